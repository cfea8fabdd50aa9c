"""SIGKILL and SIGTERM at any moment: nothing that was acknowledged is lost, nothing happens twice."""
import shutil
import signal
import sqlite3
import subprocess
import time

import harness
from harness import CairnTest, wait_until


class Crash(CairnTest):
    def test_a_single_node_killed_under_load_loses_nothing(self):
        node = self.new_cluster(1)[0]
        self.start_load(6000)
        for _ in range(3):
            applied = node.status()["applied"]
            wait_until(lambda: (node.status() or {"applied": 0})["applied"] > applied + 20,
                       "writes go on")
            node.kill()
            node.start()
            self.await_leader()
        self.check_load()

    def test_all_nodes_killed_at_once_lose_nothing(self):
        nodes = self.new_cluster(3)
        self.start_load(5000)
        time.sleep(1)  # of load; the kill may come at any moment
        for node in nodes:
            node.process.kill()
        for node in nodes:
            node.kill()
        for node in nodes:
            node.start()
        self.await_leader()
        self.check_load()

    def test_sigterm_hands_leadership_over_and_exits_with_0(self):
        self.new_cluster(3)
        self.start_load(4000)
        leader = self.await_leader()
        term = leader.status()["term"]
        began = time.monotonic()
        self.assertEqual(leader.stop(), 0, leader.log)
        successor = self.await_leader()
        took = time.monotonic() - began
        self.assertNotEqual(successor.id, leader.id)
        self.assertGreater(successor.status()["term"], term)
        self.assertLess(took, 5, "the hand-over took longer than an election should")
        leader.start()
        self.check_load()

    def test_sigint_ends_a_single_node_cleanly(self):
        node = self.new_cluster(1)[0]
        node.sql("CREATE TABLE t (a)")
        node.process.send_signal(signal.SIGINT)
        self.assertEqual(node.process.wait(timeout=harness.BOUND_SECONDS), 0)
        self.assertIn("stopped", node.log)


class StoppedFile(CairnTest):
    def test_the_stock_sqlite3_opens_a_stopped_nodes_file(self):
        nodes = self.new_cluster(3)
        nodes[0].sql("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
        nodes[1].sql("INSERT INTO t (name) VALUES ('a'), ('b')")
        nodes[2].sql("SELECT count(*) FROM t")
        for node in nodes:
            self.assertEqual(node.stop(), 0)
        contents = []
        for node in nodes:
            if shutil.which("sqlite3"):
                done = subprocess.run(["sqlite3", node.db, "PRAGMA integrity_check; SELECT * FROM t"],
                                      capture_output=True, text=True, check=True)
                contents.append(done.stdout)
            else:
                with sqlite3.connect(node.db) as file:
                    rows = file.execute("PRAGMA integrity_check").fetchall()
                    rows += file.execute("SELECT * FROM t").fetchall()
                    contents.append("".join("|".join(map(str, row)) + "\n" for row in rows))
        self.assertEqual(contents, ["ok\n1|a\n2|b\n"] * 3)


if __name__ == "__main__":
    harness.main()
