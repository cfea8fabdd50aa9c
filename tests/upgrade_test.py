"""Nodes and data of other versions: data of 0.1 are taken over, or refused with advice."""
import os
import pathlib
import sqlite3
import tarfile
import threading

import harness
import raw_grpc
from harness import CairnTest, Node, wait_until
from raw_grpc import field, unary

FIXTURES = pathlib.Path(__file__).resolve().parent / "fixtures" / "v0.1"
BASE_PORT = 17811  # as in fixtures/v0.1/make.py: it is stored in the membership
DATABASE = "/cairn.v1.Database/"
# Knows one feature level more.
NEXT = os.environ.get("CAIRN_NEXT_BIN", str(pathlib.Path(harness.CAIRN).parent / "cairn_next_level"))
# Knows it, too, and runs another build of SQLite, in which unicode() is always -1.
OTHER_ENGINE = str(pathlib.Path(NEXT).parent / "cairn_other_engine")


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
        # A request that 0.1 answered is not applied again.
        again = field(1, field(1, "INSERT INTO event (what) VALUES ('app 3') RETURNING what"))
        again += field(2, field(1, "app") + field(2, 3)) + field(3, 2)
        call = unary(leader.port, DATABASE + "Execute", again)
        self.assertEqual(call.status, raw_grpc.OK, call.text)
        self.assertEqual(leader.sql("SELECT count(*) AS n FROM event WHERE what = 'app 3'"), [{"n": 1}])
        # A transaction that 0.1 prepared is committed here.
        call = unary(leader.port, DATABASE + "Commit", field(1, "open"))
        self.assertEqual(call.status, raw_grpc.OK, call.text)
        for node in self.nodes:
            rows = node.sql("SELECT name FROM setting WHERE name LIKE 'tx open%' ORDER BY 1")
            self.assertEqual([row["name"] for row in rows], ["tx open", "tx open too"])
        # All nodes hold the same rows.
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


class Load(threading.Thread):
    """Inserts numbers until told to end. Repeats each insert until it is acknowledged."""

    def __init__(self, nodes):
        super().__init__()
        self.nodes = nodes
        self.acknowledged = []
        self.ended = threading.Event()

    def run(self):
        number = turn = 0
        while not self.ended.is_set():
            number += 1
            # The id makes a repeated request the same one.
            request = field(1, field(1, f"INSERT INTO t VALUES ({number})"))
            request += field(2, field(1, "load") + field(2, number))
            while not self.ended.is_set():
                turn += 1  # the node that is being upgraded refuses connections
                try:
                    call = unary(self.nodes[turn % len(self.nodes)].port, DATABASE + "Execute", request)
                except OSError:
                    continue
                if call.status == raw_grpc.OK:
                    self.acknowledged.append(number)
                    break

    def end(self):
        self.ended.set()
        self.join()


class RollingUpgrade(CairnTest):
    def upgrade(self, node):
        self.assertEqual(node.stop(), 0)
        node.program = NEXT
        node.start()
        index = self.await_leader().status()["applied"]
        wait_until(lambda: (status := node.status()) and not status["trouble"] and
                   status["applied"] >= index, f"node {node.id} has caught up")

    def test_nodes_are_upgraded_one_by_one_under_load(self):
        self.new_cluster(3)
        self.await_leader().sql("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        load = Load(self.nodes)
        load.start()
        self.addCleanup(load.end)
        for node in self.nodes[:2]:
            self.upgrade(node)
        # The third node can not follow, whichever node leads.
        self.nodes[0].shell(".status")
        harness.run_cairn("member", "transfer", self.nodes[0].address, 1)
        wait_until(lambda: self.nodes[0].leads(), "node 1 leads")
        refused = harness.run_cairn("member", "upgrade", self.nodes[1].address)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("not every member can follow to level 4: node 3 at", refused.stderr)
        self.assertIn("knows levels up to 3", refused.stderr)
        self.upgrade(self.nodes[2])
        raised = harness.run_cairn("member", "upgrade", self.nodes[1].address)
        self.assertEqual((raised.returncode, raised.stderr), (0, ""))
        self.assertIn("the cluster has feature level 4", raised.stdout)
        load.end()
        self.assertGreater(len(load.acknowledged), 20)
        for node in self.nodes:
            wait_until(lambda: node.status()["level"] == 4, f"node {node.id} is at level 4")
            rows = node.sql("SELECT n FROM t ORDER BY n")
            self.assertLessEqual(set(load.acknowledged), {row["n"] for row in rows})
        # The old build does not start on these data any more, and does not change them.
        old = self.nodes[2]
        self.assertEqual(old.stop(), 0)
        old.program = harness.CAIRN
        old.start(wait=False)
        self.assertNotEqual(old.process.wait(timeout=harness.BOUND_SECONDS), 0)
        self.assertIn("it has feature level 4, and this version of Cairn knows levels up to 3; start a "
                      "later version", old.log)
        old.program = NEXT
        old.start()
        wait_until(lambda: old.status()["level"] == 4, "the right build goes on")

    def test_an_old_build_that_meets_a_raised_level_stops_with_the_reason(self):
        # A new cluster of the next build would begin at the next level.
        node = self.new_cluster(1)[0]
        wait_until(node.leads, "a leader")
        node.sql("CREATE TABLE t (n INTEGER)")
        node.stop()
        node.program = NEXT
        node.start()
        wait_until(node.leads, "a leader")
        self.assertEqual(harness.run_cairn("member", "upgrade", node.address).returncode, 0)
        node.kill()
        # As after a power cut: the log holds the new level, the file does not.
        for suffix in ("-wal", "-shm"):
            pathlib.Path(f"{node.db}{suffix}").unlink(missing_ok=True)
        node.program = harness.CAIRN
        node.start()
        status = wait_until(lambda: (s := node.status()) and s["trouble"] and s, "trouble is told")
        self.assertIn("it raises the feature level to 4, and this version of Cairn knows levels up to 3: "
                      "start a later version on this node", status["trouble"])
        self.assertEqual(status["fenced"], 0)
        node.stop()
        node.program = NEXT
        node.start()
        wait_until(lambda: node.leads() and node.status()["level"] == 4, "the right build goes on")
        self.assertEqual(node.sql("SELECT count(*) AS n FROM t"), [{"n": 0}])


class OtherEngine(CairnTest):
    """One of three nodes runs another build of SQLite, which gives another result for one function."""

    def begin(self):
        self.new_cluster(3)
        self.await_leader().sql("CREATE TABLE t (n INTEGER)")

    def change_engine(self, node):
        index = self.await_leader().status()["applied"]
        for each in self.nodes:
            wait_until(lambda: (each.status() or {}).get("applied", 0) >= index,
                       f"node {each.id} has applied all")
        self.assertEqual(node.stop(), 0)
        node.program = OTHER_ENGINE
        node.start()
        index = self.await_leader().status()["applied"]
        wait_until(lambda: (status := node.status()) and status["applied"] >= index,
                   f"node {node.id} has caught up")

    def await_rebuilt(self, node):
        wait_until(lambda: "this node is fenced until a snapshot has replaced its database: the results "
                   "of this node up to index" in node.log, f"node {node.id} says that it is outvoted")
        wait_until(lambda: "snapshot installed" in node.log, f"node {node.id} is rebuilt")
        wait_until(lambda: (status := node.status()) and not status["trouble"] and not status["fenced"],
                   f"node {node.id} is back in service")
        wait_until(lambda: node.sql("SELECT n FROM t ORDER BY n") == [{"n": 97}, {"n": 1000}],
                   f"node {node.id} holds what the majority holds")

    def test_a_write_is_acknowledged_by_the_majority_and_the_outvoted_node_is_rebuilt(self):
        self.begin()
        other = next(node for node in self.nodes if not node.leads())
        self.change_engine(other)
        leader = wait_until(lambda: next((n for n in self.nodes if n is not other and n.leads()), None),
                            "another node leads")
        # What both builds do alike does not hold them up.
        leader.sql("INSERT INTO t VALUES (1000)")
        self.assertEqual(other.sql("SELECT n FROM t"), [{"n": 1000}])
        rows = leader.sql("INSERT INTO t VALUES (unicode('a')) RETURNING n")
        self.assertEqual(rows, [{"n": 97}])
        self.await_rebuilt(other)

    def test_an_outvoted_leader_stands_down_and_its_client_hears_the_result_of_the_majority(self):
        self.begin()
        other = self.nodes[0]
        self.change_engine(other)
        if not other.leads():
            # Refused until the leader hears again from the node that was restarted.
            wait_until(lambda: harness.run_cairn("member", "transfer", other.address, 1).returncode == 0,
                       "the leadership is handed over")
            wait_until(other.leads, "the node with the other engine leads")
        other.sql("INSERT INTO t VALUES (1000)")
        # The outcome is unknown to the node, so it asks the next leader for what became of the write.
        rows = other.sql("INSERT INTO t VALUES (unicode('a')) RETURNING n")
        self.assertEqual(rows, [{"n": 97}])
        wait_until(lambda: any(n.leads() for n in self.nodes[1:]), "another node leads")
        self.await_rebuilt(other)


if __name__ == "__main__":
    harness.main()
