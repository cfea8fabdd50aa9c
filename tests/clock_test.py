"""Wall clocks that jump: nothing but the timestamps in the data may depend on them."""
import glob
import subprocess
import unittest

import harness
from harness import CAIRN, CairnTest, wait_until

# Debian's package faketime.
LIBRARIES = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")


@unittest.skipUnless(LIBRARIES, "needs the package faketime")
class JumpingClock(CairnTest):
    def setUp(self):
        super().setUp()
        self.new_cluster(3, start=False)
        for node in self.nodes:
            self.jump(node, "+0")
            node.env = {"LD_PRELOAD": LIBRARIES[0], "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                        "FAKETIME_NO_CACHE": "1", "FAKETIME_TIMESTAMP_FILE": str(self.clock_file(node))}
            node.start()
        self.leader = self.await_leader()

    def clock_file(self, node):
        return self.directory / f"clock{node.id}"

    def jump(self, node, offset):
        """The node's wall clock shows the true time plus this from now on."""
        new = self.directory / "clock.new"
        new.write_text(offset + "\n")
        new.rename(self.clock_file(node))

    def year(self):
        return int(self.leader.sql("SELECT strftime('%Y', max(at)) AS y FROM t")[0]["y"])

    def test_the_jump_is_seen_by_the_node(self):
        """That the other tests test something."""
        self.leader.sql("CREATE TABLE t (at TEXT DEFAULT CURRENT_TIMESTAMP)")
        self.leader.sql("INSERT INTO t DEFAULT VALUES")
        before = self.year()
        for node in self.nodes:
            self.jump(node, "+1000d")

        def later():
            self.leader.sql("INSERT INTO t DEFAULT VALUES")
            return self.year() >= before + 2
        wait_until(later, "the data base tells the new time")

    def test_clocks_that_jump_apart_under_load_lose_nothing(self):
        self.start_load(8000)
        term = self.leader.status()["term"]
        for offset in ("+86400s", "-400d", "+0", "+3650d", "-30s"):
            for node, sign in zip(self.nodes, (1, 0, -1)):
                self.jump(node, offset if sign > 0 else "+0" if sign == 0 else "-7200s")
            applied = self.leader.status()["applied"]
            wait_until(lambda: (self.await_leader().status() or {"applied": 0})["applied"] >
                       applied + 20, "writes go on")
        self.check_load()
        # Elections and leases count steady time: a machine that is busy may cost one, jumps do not.
        self.assertLessEqual(self.await_leader().status()["term"], term + 2)
        self.assert_equal_contents()

    def test_a_prepared_transaction_outlives_a_jump_of_a_day(self):
        log_path = self.directory / "client.log"
        with open(log_path, "wb") as log:
            client = subprocess.Popen(
                [CAIRN, "client", "--pause-before-commit-ms", "2000", "--master-addr",
                 self.leader.address, "--slave-addrs",
                 ",".join(node.address for node in self.nodes if node is not self.leader)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.addCleanup(client.kill)
        wait_until(lambda: "pausing" in log_path.read_text(), "the pause")
        for node in self.nodes:
            self.jump(node, "+1d")
        self.assertEqual(client.wait(timeout=harness.BOUND_SECONDS), 0, log_path.read_text())
        self.assert_equal_contents()


if __name__ == "__main__":
    harness.main()
