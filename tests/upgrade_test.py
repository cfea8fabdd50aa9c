"""Nodes and data of other versions: what 0.1 left is taken over, or refused with advice."""
import pathlib
import sqlite3
import tarfile

import harness
import raw_grpc
from harness import CairnTest, Node, wait_until
from raw_grpc import field, unary

FIXTURES = pathlib.Path(__file__).resolve().parent / "fixtures" / "v0.1"
BASE_PORT = 17811  # as in fixtures/v0.1/make.py: it is stored in the membership
DATABASE = "/cairn.v1.Database/"


class DataOfTheFirstVersion(CairnTest):
    def unpack(self, name):
        with tarfile.open(FIXTURES / name) as tar:
            tar.extractall(self.directory, filter="data")

    def format(self, node):
        with sqlite3.connect(f"file:{node.db}?mode=ro&immutable=1", uri=True) as file:
            return file.execute("SELECT format FROM _cairn_state").fetchone()[0]

    def test_three_nodes_that_were_stopped_cleanly_go_on(self):
        self.unpack("stopped.tar.gz")
        peers = ",".join(f"{i + 1}=127.0.0.1:{BASE_PORT + i}" for i in range(3))
        self.nodes = [Node(i + 1, BASE_PORT + i, self.directory, peers,
                           ["--digest-interval-ms", "200"]) for i in range(3)]
        for node in self.nodes:
            node.start()
        leader = self.await_leader()
        self.assertEqual(leader.sql("SELECT count(*) AS n FROM account"), [{"n": 40}])
        self.assertEqual(leader.sql("SELECT count(*) AS n FROM note WHERE note MATCH 'fox'"), [{"n": 19}])
        # A request that 0.1 answered is not done again.
        again = field(1, field(1, "INSERT INTO event (what) VALUES ('app 3') RETURNING what"))
        again += field(2, field(1, "app") + field(2, 3)) + field(3, 2)
        call = unary(leader.port, DATABASE + "Execute", again)
        self.assertEqual(call.status, raw_grpc.OK, call.text)
        self.assertEqual(leader.sql("SELECT count(*) AS n FROM event WHERE what = 'app 3'"), [{"n": 1}])
        # A transaction that was prepared there is committed here.
        call = unary(leader.port, DATABASE + "Commit", field(1, "open"))
        self.assertEqual(call.status, raw_grpc.OK, call.text)
        for node in self.nodes:
            rows = node.sql("SELECT name FROM setting WHERE name LIKE 'tx open%' ORDER BY 1")
            self.assertEqual([row["name"] for row in rows], ["tx open", "tx open too"])
        # All hold the same.
        index = leader.status()["applied"]
        for node in self.nodes:
            wait_until(lambda: (node.status() or {}).get("digest_right", 0) >= index,
                       f"node {node.id} is found right")
            self.assertEqual(node.status()["fenced"], 0)
        for node in self.nodes:
            self.assertEqual(node.stop(), 0)
            self.assertEqual(self.format(node), 3)
        self.assertEqual(self.nodes[0].dump(), self.nodes[1].dump())
        self.assertEqual(self.nodes[0].dump(), self.nodes[2].dump())

    def test_entries_that_were_not_applied_are_refused_with_advice_and_nothing_is_changed(self):
        self.unpack("power_cut.tar.gz")
        node = Node(1, BASE_PORT + 3, self.directory)
        self.nodes = [node]
        before = node.db.read_bytes()
        node.start(wait=False)
        self.assertNotEqual(node.process.wait(timeout=harness.BOUND_SECONDS), 0)
        self.assertIn("this entry was written by Cairn 0.1 and not applied: start 0.1 again on all "
                      "nodes, stop it cleanly, then start 0.2", node.log)
        self.assertEqual(node.db.read_bytes(), before)
        self.assertEqual(self.format(node), 2)


if __name__ == "__main__":
    harness.main()
