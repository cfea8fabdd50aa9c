"""A node that the log can no longer help gets the database as a stream, in bounded memory.

CAIRN_TEST_DATA_MB says how large the database is; `make test-big` makes it 2 GB.
"""
import os
import re

import harness
from harness import CairnTest, wait_until

DATA_MB = int(os.environ.get("CAIRN_TEST_DATA_MB", "300"))
# The extra memory that a node may take, whatever the size of the database.
SPARE_MB = 128
STEP_MB = 10
LONG = harness.BOUND_SECONDS + DATA_MB // 5


class Snapshots(CairnTest):
    def setUp(self):
        super().setUp()
        self.new_cluster(3, flags=["--log-bytes-max", "4MiB", "--request-timeout-ms", "60000"])
        self.leader = self.await_leader()
        self.behind = self.nodes[self.leader.id % 3]
        self.other = self.nodes[(self.leader.id + 1) % 3]
        self.write("CREATE TABLE big (id INTEGER PRIMARY KEY, data BLOB)")

    def write(self, sql):
        done = self.leader.shell(sql, timeout_ms=60000)
        self.assert_passes(done)

    def grow(self):
        """Makes a large database from small entries, then enough entries to push those out of the log."""
        rows = STEP_MB * 100
        for _ in range(DATA_MB // STEP_MB):
            self.write("INSERT INTO big (data) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                       f"FROM n WHERE i < {rows}) SELECT randomblob(10000) FROM n")
        self.write("CREATE TABLE filler (data TEXT)")
        statements = [f"INSERT INTO filler VALUES ('{i:01000000d}');\n" for i in range(60)]
        done = harness.run_cairn("shell", self.leader.address, stdin="".join(statements), seconds=60)
        self.assert_passes(done)
        self.write("DELETE FROM filler")
        wait_until(lambda: self.leader.status()["log_bytes"] < 20 << 20, "the log is compacted")

    def fall_behind(self):
        self.behind.kill()
        self.grow()

    def part_bytes(self):
        directory = self.behind.db.parent / (self.behind.db.name + ".cairn") / "snapshot"
        return max((path.stat().st_size for path in directory.glob("*") if path.is_file()), default=0)

    def installed(self):
        if not self.behind.up:
            raise AssertionError(f"node {self.behind.id} ended: {self.behind.log[-2000:]}")
        return "snapshot installed" in self.behind.log

    def transfer_begins(self):
        # More than a crash may lose: one sixteenth that is being recorded, and one that is being received.
        return self.part_bytes() > (DATA_MB << 20) // 4

    def assert_caught_up(self):
        wait_until(self.installed, "the snapshot is installed", LONG)
        self.await_leader()
        self.assertEqual(self.behind.sql("SELECT count(*) AS n, sum(length(data)) AS bytes FROM big"),
                         [{"n": DATA_MB * 100, "bytes": DATA_MB * 1000000}])

    def test_a_node_behind_the_log_catches_up_in_bounded_memory(self):
        idle_mb = self.behind.memory_mb_max()
        self.fall_behind()
        self.behind.start()
        self.assert_caught_up()
        self.assertIn("receiving snapshot", self.behind.log)
        for node in (self.behind, self.leader):
            print(f"node {node.id}: {idle_mb:.0f} MB idle, at most {node.memory_mb_max():.0f} MB")
        self.assertLess(self.behind.memory_mb_max(), idle_mb + SPARE_MB)
        self.write("INSERT INTO big (data) VALUES (x'00')")
        self.assertEqual(self.part_bytes(), 0, "a piece of the snapshot was left behind")
        if DATA_MB <= 300:
            self.assert_equal_contents()

    def test_killed_in_the_middle_both_ways_the_transfer_goes_on(self):
        self.fall_behind()
        self.behind.start(wait=False)
        wait_until(self.transfer_begins, "the transfer is under way", LONG)
        self.behind.kill()
        self.behind.start(wait=False)
        resumed = wait_until(lambda: [int(at) for at in re.findall(r"resumed_at=(\d+)",
                                                                    self.behind.log)][1:],
                             "the transfer begins again", LONG)
        self.assertGreater(resumed[0], 0, "the receiver forgot what it had")
        if not self.installed():
            # Now the sender. The bytes that it sent may be useless, and another leader sends anew.
            self.leader.kill()
            self.other.status()
            wait_until(self.other.leads, "the other node leads")
            self.leader.start()
        self.assert_caught_up()
        self.assertEqual(self.part_bytes(), 0, "a piece of the snapshot was left behind")


if __name__ == "__main__":
    harness.main()
