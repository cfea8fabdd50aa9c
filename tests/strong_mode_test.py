"""Two-phase commit in strong mode: every listed node must hold the transaction, or is named."""
import subprocess

import harness
from harness import CAIRN, CairnTest, wait_until


class StrongMode(CairnTest):
    def test_all_nodes_up_passes(self):
        self.new_cluster(3)
        self.assert_passes(self.client("--scenario", "full", "--mode", "strong"))

    def test_a_node_that_is_down_means_rollback(self):
        nodes = self.new_cluster(3)
        nodes[2].kill()
        self.await_leader()
        done = self.client("--scenario", "full", "--mode", "strong")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("not every node holds the prepared transaction: " + nodes[2].address,
                      done.stdout)
        self.assertIn("rolled back: OK", done.stdout)
        # The tables are free again: a quorum is enough for the other mode.
        self.assert_passes(self.client("--scenario", "full"))

    def test_a_node_that_dies_before_commit_is_reported(self):
        nodes = self.new_cluster(3)
        leader = self.await_leader()
        victim = nodes[leader.id % 3]
        log_path = self.directory / "client.log"
        with open(log_path, "wb") as log:
            client = subprocess.Popen(
                [CAIRN, "client", "--mode", "strong", "--pause-before-commit-ms", "1500",
                 "--master-addr", leader.address, "--slave-addrs",
                 ",".join(node.address for node in nodes if node is not leader)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.addCleanup(client.kill)
        wait_until(lambda: "pausing" in log_path.read_text(), "the pause")
        victim.kill()
        self.assertEqual(client.wait(timeout=harness.BOUND_SECONDS), 1, log_path.read_text())
        self.assertIn("committed, but not applied yet on: " + victim.address, log_path.read_text())
        victim.start()
        self.assert_passes(self.client("--scenario", "verify-only"))


if __name__ == "__main__":
    harness.main()
