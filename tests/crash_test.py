"""SIGKILL and SIGTERM at any moment: no acknowledged write is lost, and none happens twice."""
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import harness
from harness import CairnTest, wait_until

# This must be equal everywhere, however often a node that lost its effects applies an entry again.
MIXED = """
CREATE TABLE mixed (id INTEGER PRIMARY KEY, chance INTEGER DEFAULT (random()), blob BLOB,
                    at TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE trail (id INTEGER, what TEXT, at TEXT);
CREATE TRIGGER mixed_added AFTER INSERT ON mixed BEGIN
  INSERT INTO trail VALUES (new.id, hex(randomblob(4)), datetime('now'));
END;
"""


class Crash(CairnTest):
    def test_a_single_node_killed_under_load_loses_nothing(self):
        node = self.new_cluster(1)[0]
        self.start_load(300_000)
        for _ in range(3):
            applied = node.status()["applied"]
            wait_until(lambda: (node.status() or {"applied": 0})["applied"] > applied + 20,
                       "writes go on")
            node.kill()
            node.start()
            self.await_leader()
        self.check_load(stop=True)

    def test_all_nodes_killed_at_once_lose_nothing(self):
        nodes = self.new_cluster(3)
        self.start_load(300_000)
        time.sleep(1)  # of load; the kill may come at any moment
        for node in nodes:
            node.process.kill()
        for node in nodes:
            node.kill()
        for node in nodes:
            node.start()
        self.await_leader()
        self.check_load(stop=True)

    def write_mixed(self, stop):
        """Statements that draw numbers and tell the time, through any node, until told to stop.
        Each may fail: its node may be down."""
        turn = 0
        while not stop.is_set():
            node = self.nodes[turn % len(self.nodes)]
            turn += 1
            if node.up:
                node.shell("INSERT INTO mixed (blob) VALUES (randomblob(20)), (randomblob(300))",
                           "UPDATE mixed SET chance = random() WHERE id IN "
                           "(SELECT id FROM mixed ORDER BY random() LIMIT 3)", timeout_ms=2000)

    def test_random_nodes_killed_again_and_again_stay_equal(self):
        seed = int(os.environ.get("CAIRN_TEST_SEED", time.time_ns() % (1 << 32)))
        print(f"CAIRN_TEST_SEED={seed}")
        rng = random.Random(seed)
        nodes = self.new_cluster(3)
        done = harness.run_cairn("shell", nodes[0].address, stdin=MIXED)
        self.assert_passes(done)
        stop = threading.Event()
        mixed = threading.Thread(target=self.write_mixed, args=(stop,))
        self.start_load(15000)
        mixed.start()
        try:
            kills = 0
            while self.load.poll() is None:
                victims = rng.sample(nodes, rng.choice([1, 1, 1, 1, 2, 3]))
                for victim in victims:
                    self.assertTrue(victim.up, f"node {victim.id} ended by itself: "
                                               f"{victim.log[-2000:]}")
                    victim.process.kill()
                for victim in victims:
                    victim.kill()
                kills += len(victims)
                # The moment of the next kill is random: a node may also be starting.
                time.sleep(rng.random() * 0.4)
                for victim in victims:
                    victim.start(wait=False)
                time.sleep(rng.random() * rng.choice([0.2, 2]))
        finally:
            stop.set()
            mixed.join()
        self.await_leader()
        self.check_load()
        self.assertGreater(kills, 5)
        self.assertGreater(nodes[0].sql("SELECT count(*) AS n FROM trail")[0]["n"], 0)
        self.assert_equal_contents()

    def test_reads_on_a_node_that_restarts_see_all_that_was_acknowledged(self):
        nodes = self.new_cluster(3)
        nodes[0].sql("CREATE TABLE t (a)")
        read = 0
        for round_number in range(1, 9):
            victim = nodes[round_number % 3]
            helper = nodes[(round_number + 1) % 3]
            victim.kill()
            helper.sql(f"INSERT INTO t VALUES ({round_number})")
            victim.start(wait=False)

            def answered():
                done = victim.shell("SELECT count(*) AS n FROM t", timeout_ms=2000)
                if done.returncode != 0:
                    return False  # not listening yet, or without a leader
                self.assertEqual(done.stdout.strip(), f'[{{"n":{round_number}}}]')
                return True
            wait_until(answered, "the first read after the start")
            read += 1
        self.assertEqual(read, 8)

    def test_sigterm_hands_leadership_over_and_exits_with_0(self):
        self.new_cluster(3)
        self.start_load(300_000)
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
        self.check_load(stop=True)

    def test_a_signal_that_comes_twice_at_once_is_one_request(self):
        # timeout(1) sends the signal to the process and to its group.
        node = self.new_cluster(1)[0]
        node.sql("CREATE TABLE t (a)")
        node.process.send_signal(signal.SIGTERM)
        node.process.send_signal(signal.SIGINT)
        self.assertEqual(node.process.wait(timeout=harness.BOUND_SECONDS), 0)
        self.assertIn("stopped", node.log)

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
