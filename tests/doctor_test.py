"""What `cairn doctor` says of real clusters, and the log as JSON."""
import json

import harness
from harness import CairnTest, run_cairn, wait_until


class Doctor(CairnTest):
    def test_it_says_what_is_wrong_and_where_to_read_on(self):
        nodes = self.new_cluster(3)
        for node in nodes:
            node.sql("SELECT 1")
        done = run_cairn("doctor", nodes[1].address)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("3 nodes, node ", done.stdout)
        self.assertIn("nothing is wrong", done.stdout)

        leader = next(node for node in nodes if node.leads())
        others = [node for node in nodes if node is not leader]
        others[0].kill()
        done = run_cairn("doctor", leader.address)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("warning: 2 of 3 voters answer: one more loss stops the cluster", done.stdout)
        self.assertIn(f"warning: node {others[0].id} at {others[0].address} does not answer", done.stdout)
        self.assertIn("(A node does not start)", done.stdout)

        leader.kill()
        last = others[1]
        wait_until(lambda: "critical: 1 of 3 voters answer" in run_cairn("doctor", last.address).stdout,
                   "the doctor sees that the majority is lost")
        done = run_cairn("doctor", others[0].address)
        self.assertEqual(done.returncode, 1)
        self.assertIn("does not answer", done.stderr)
        self.assertEqual(run_cairn("doctor", "nowhere").returncode, 2)


class JsonLog(CairnTest):
    def test_each_line_is_an_object(self):
        node = self.new_cluster(1, flags=["--log-format", "json"])[0]
        self.assertEqual(node.stop(), 0)
        lines = [line for line in node.log.splitlines() if not line.startswith("cairn ")]
        told = [json.loads(line) for line in lines if line.startswith("{")]
        self.assertGreater(len(told), 2)
        for entry in told:
            self.assertEqual(set(entry), {"time", "level", "name", "message"})
            self.assertEqual(entry["name"], "node 1")
        self.assertTrue(any(entry["message"].startswith("serving ") for entry in told))


if __name__ == "__main__":
    harness.main()
