"""Anything may arrive on the port, and a request may ask for too much."""
import os
import random
import socket
import subprocess

import harness
import raw_grpc
from harness import CAIRN, CairnTest, wait_until
from raw_grpc import PREFACE, field, frame, message, unary

SEED = "/transaction.DatabaseService/"
DATABASE = "/cairn.v1.Database/"
PEER = "/cairn.internal.Peer/"


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

    def test_idle_connections_leave_descriptors_for_the_log(self):
        self.node.stop()
        self.node.prefix = ["prlimit", "--nofile=256:256"]
        self.node.start()
        session = raw_grpc.Call(self.node.port, DATABASE + "Session")
        while not session.answer:
            session.read_frame()
        connections = []
        for _ in range(400):
            connection = socket.create_connection(("127.0.0.1", self.node.port), timeout=30)
            connections.append(connection)
            try:
                connection.sendall(PREFACE + frame(raw_grpc.SETTINGS, 0, 0, b""))
            except OSError:
                pass  # the node takes no more
        wait_until(lambda: "too many connections" in self.node.log, "the node refuses connections")
        # More than a segment of the log.
        insert = "INSERT INTO t VALUES ('" + "x" * 900_000 + "')"
        for i in range(40):
            session.answer.clear()
            session.send(message(field(1, field(1, i + 1) + field(3, field(1, field(1, insert))))))
            while not session.answer and not session.closed:
                session.read_frame()
        session.drop()
        for connection in connections:
            connection.close()
        wait_until(lambda: self.node.shell("SELECT 1").returncode == 0, "clients get in again")
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": 40}])
        self.assertTrue(self.node.up)

    def test_oversized_and_malformed_statements_have_answers(self):
        table = [
            ("SELECT " + "(" * 5000 + "1" + ")" * 5000, 1),
            ("INSERT INTO t VALUES (zeroblob(20000000))", 1),
            ("SELEC 1", 1),
            ("SELECT 1 2", 1),
            ("ATTACH 'x.db' AS x", 1),
            ("BEGIN", 1),
            ("PRAGMA writable_schema = ON", 1),
            ("INSERT INTO _cairn_meta VALUES (1, 2)", 1),
            ("SELECT load_extension('x')", 1),
            ("VACUUM", 1),
        ]
        for sql, code in table:
            with self.subTest(sql=sql[:60]):
                done = self.node.shell(sql)
                self.assertEqual(done.returncode, code, done.stdout[:200])
                self.assertIn("error: ", done.stderr)
        # Drivers send it at start. The answer is the mode that stays.
        self.assertEqual(self.node.sql("PRAGMA journal_mode = DELETE"), [{"journal_mode": "wal"}])
        self.node.sql("INSERT INTO t VALUES (1)")
        self.assertTrue(self.node.up)

    def query(self, sql, values=b""):
        return unary(self.node.port, DATABASE + "Query", field(1, field(1, sql) + values))

    def execute(self, sql, values=b""):
        return unary(self.node.port, DATABASE + "Execute", field(1, field(1, sql) + values))

    def test_requests_that_no_decent_client_sends_have_a_status(self):
        one = field(2, field(1, 2))  # the integer 1
        table = [
            ("nothing wrong", SEED + "Execute", field(1, "INSERT INTO t VALUES (0)"), [raw_grpc.OK]),
            ("no such method", SEED + "Nothing", b"", [raw_grpc.UNIMPLEMENTED]),
            ("not a message", SEED + "Execute", b"\xff" * 50,
             [raw_grpc.INVALID_ARGUMENT, raw_grpc.INTERNAL]),
            ("a length past the end", SEED + "Execute", b"\x0a\xff\x7fshort",
             [raw_grpc.INVALID_ARGUMENT, raw_grpc.INTERNAL]),
            ("not UTF-8", SEED + "Execute", field(1, b"INSERT INTO t VALUES ('\xff\xfe')"),
             [raw_grpc.INVALID_ARGUMENT, raw_grpc.INTERNAL]),
            ("a NUL", SEED + "Execute", field(1, "INSERT INTO t VALUES (1)\0; DROP TABLE t"),
             [raw_grpc.INVALID_ARGUMENT]),
            ("a SELECT in Execute", SEED + "Execute", field(1, "SELECT 1"),
             [raw_grpc.INVALID_ARGUMENT]),
            ("nothing at all", SEED + "Execute", b"", [raw_grpc.INVALID_ARGUMENT]),
            ("too few parameters", DATABASE + "Execute",
             field(1, field(1, "INSERT INTO t VALUES (?1 + ?2)") + one), [raw_grpc.INVALID_ARGUMENT]),
            ("too many parameters", DATABASE + "Execute",
             field(1, field(1, "INSERT INTO t VALUES (?1)") + one + one),
             [raw_grpc.INVALID_ARGUMENT]),
            ("a write in Query", DATABASE + "Query", field(1, field(1, "DELETE FROM t")),
             [raw_grpc.INVALID_ARGUMENT]),
            ("too few parameters of a query", DATABASE + "Query", field(1, field(1, "SELECT ?1")),
             [raw_grpc.INVALID_ARGUMENT]),
            ("more than 16 MiB", SEED + "Execute",
             field(1, "INSERT INTO t VALUES ('" + "x" * (17 << 20) + "')"),
             [raw_grpc.INVALID_ARGUMENT]),
        ]
        for name, method, request, allowed in table:
            with self.subTest(name):
                call = unary(self.node.port, method, request)
                self.assertIn(call.status, allowed, call.text)
        self.assertEqual(self.node.sql("SELECT a FROM t"), [{"a": 0}])
        self.assertTrue(self.node.up)

    def test_a_result_larger_than_a_message_has_an_answer(self):
        done = self.execute("INSERT INTO t SELECT hex(zeroblob(1500000)) FROM (SELECT 1 UNION SELECT 2 "
                            "UNION SELECT 3) RETURNING a")
        self.assertEqual(done.status, raw_grpc.RESOURCE_EXHAUSTED, done.text)
        # The same rows as a stream: many messages.
        done = self.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE "
                          "i < 20) SELECT hex(zeroblob(500000)) FROM n")
        self.assertEqual(done.status, raw_grpc.OK, done.text)
        self.assertGreater(len(done.answer), 20 * 1000000)

    def test_an_error_after_many_rows_is_no_success(self):
        sql = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) "
               "SELECT CASE i WHEN 29999 THEN abs(-9223372036854775808) ELSE i END FROM n")
        done = self.query(sql)
        self.assertGreater(len(done.answer), 50000)
        self.assertEqual(done.status, raw_grpc.INVALID_ARGUMENT, done.text)
        shell = self.node.shell(sql, mode="csv")
        self.assertEqual(shell.returncode, 1)
        self.assertIn("integer overflow", shell.stderr)

    def test_connections_dropped_in_the_middle_hold_nothing(self):
        endless = field(1, field(1, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                                    "SELECT i FROM n"))
        write = field(1, "INSERT INTO t VALUES (7)")
        # More than there are threads for queries.
        for _ in range(12):
            reading = raw_grpc.Call(self.node.port, DATABASE + "Query")
            reading.send(message(endless), end=True)
            while not reading.answer:
                reading.read_frame()
            reading.drop()
            half = raw_grpc.Call(self.node.port, SEED + "Execute")
            half.send(message(write)[:-5])
            half.drop()
            session = raw_grpc.Call(self.node.port, DATABASE + "Session")
            while not session.answer:
                session.read_frame()
            session.send(message(field(1, field(1, 1) + field(3, field(1, write)))))
            session.drop()
        # A client that dies while its query runs.
        shell = subprocess.Popen([CAIRN, "shell", self.node.address, "--mode", "csv", "-c",
                                  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                                  "SELECT i FROM n"], stdout=subprocess.PIPE)
        shell.stdout.read(100)
        shell.kill()
        shell.wait()
        shell.stdout.close()
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t WHERE a <> 7"), [{"n": 0}])
        self.node.sql("INSERT INTO t VALUES (1)")
        self.assertTrue(self.node.up)

    def test_a_connection_outlives_any_number_of_pings(self):
        # By default gRPC ends a connection after three pings that come sooner than every 5 minutes.
        call = raw_grpc.Call(self.node.port, "/grpc.health.v1.Health/Watch")
        call.send(message(b""))
        for pings in range(1, 21):
            call.write(frame(raw_grpc.PING, 0, 0, b"stillup?"))
            while not call.closed and call.pongs < pings:
                call.read_frame()
        self.assertFalse(call.closed)
        self.assertEqual(call.pongs, 20)
        self.assertIsNone(call.status)
        call.drop()

    def test_peers_of_another_version_or_cluster_are_refused_with_the_reason(self):
        def hello(version, cluster):
            return field(1, field(1, version) + field(2, cluster) + field(3, 2) + field(4, 2) +
                         field(5, 1) + field(6, "127.0.0.1:1") + field(7, "x"))
        for version, reason in [(1 << 20, "protocol version"), (1, "version 1, this node version 2"),
                                (2, "of cluster 0000000000001267")]:
            for method in ("Messages", "Snapshot"):
                with self.subTest(version=version, method=method):
                    call = raw_grpc.Call(self.node.port, PEER + method)
                    call.send(message(hello(version, 4711)), end=True)
                    self.assertEqual(call.finish(), raw_grpc.FAILED_PRECONDITION, call.text)
                    self.assertIn(reason, call.text)
        probe = unary(self.node.port, PEER + "Probe", field(1, 1 << 20))
        self.assertIn(probe.status, (raw_grpc.OK, raw_grpc.FAILED_PRECONDITION))
        for method in ("Messages", "Snapshot", "Probe", "Join"):
            for garbage in (b"", b"\xff" * 100, os.urandom(1000)):
                unary(self.node.port, PEER + method, garbage)
        self.node.sql("INSERT INTO t VALUES (1)")
        self.assertTrue(self.node.up)


if __name__ == "__main__":
    harness.main()
