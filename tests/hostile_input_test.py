"""What arrives on the port may be anything; what is asked may be too much."""
import os
import random
import socket

import harness
from harness import CairnTest

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload):
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
            + payload)


class HostileInput(CairnTest):
    def setUp(self):
        super().setUp()
        self.node = self.new_cluster(1)[0]
        self.node.sql("CREATE TABLE t (a)")

    def send(self, data):
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=5) as connection:
            try:
                connection.sendall(data)
                connection.settimeout(0.2)
                connection.recv(4096)
            except OSError:
                pass  # the node may close at any moment

    def test_garbage_on_the_port_disturbs_nobody(self):
        rng = random.Random(7)
        settings = frame(4, 0, 0, b"")
        for data in [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01" + os.urandom(200), PREFACE,
                     PREFACE + settings + frame(1, 4, 1, os.urandom(100)),
                     PREFACE + settings + frame(0, 0, 0, b"x" * 16384),
                     PREFACE + settings + b"\xff" * 9,
                     *(rng.randbytes(rng.randrange(1, 5000)) for _ in range(30)),
                     *(PREFACE + rng.randbytes(rng.randrange(1, 5000)) for _ in range(30))]:
            self.send(data)
        self.node.sql("INSERT INTO t VALUES (1)")
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": 1}])
        self.assertTrue(self.node.up)

    def test_oversized_and_malformed_statements_have_answers(self):
        table = [
            ("SELECT " + "(" * 5000 + "1" + ")" * 5000, 1),
            ("INSERT INTO t VALUES (zeroblob(20000000))", 1),
            ("SELEC 1", 1),
            ("SELECT 1 2", 1),
            ("ATTACH 'x.db' AS x", 1),
            ("BEGIN", 1),
            ("PRAGMA journal_mode = DELETE", 1),
            ("INSERT INTO _cairn_meta VALUES (1, 2)", 1),
            ("SELECT load_extension('x')", 1),
            ("VACUUM", 1),
        ]
        for sql, code in table:
            with self.subTest(sql=sql[:60]):
                done = self.node.shell(sql)
                self.assertEqual(done.returncode, code, done.stdout[:200])
                self.assertIn("error: ", done.stderr)
        self.node.sql("INSERT INTO t VALUES (1)")
        self.assertTrue(self.node.up)


if __name__ == "__main__":
    harness.main()
