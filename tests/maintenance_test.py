"""A request may ask for the budget of maintenance: more work, one request at a time."""
import re
import signal
import subprocess
import threading

import harness
from harness import CAIRN, CairnTest, run_cairn, wait_until
from raw_grpc import unary

BUDGET = 1_000_000
ROWS = 400_000
ENDLESS = ("INSERT INTO busy WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
           "SELECT i FROM n")


class Maintenance(CairnTest):
    def setUp(self):
        super().setUp()
        self.node = self.new_cluster(1, flags=["--request-steps-max", str(BUDGET)])[0]

    def maintain(self, *commands, timeout_ms=60000):
        arguments = [part for command in commands for part in ("-c", command)]
        return run_cairn("shell", self.node.address, "--timeout-ms", timeout_ms, "--maintenance",
                         *arguments)

    def test_an_index_over_many_rows_is_refused_without_it_and_made_with_it(self):
        self.node.sql("CREATE TABLE t (a)")
        for _ in range(ROWS // 20_000):
            self.node.sql("INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                          "FROM n LIMIT 20000) SELECT i FROM n")
        index = "CREATE INDEX i ON t (a)"
        refused = self.node.shell(index, timeout_ms=60000)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("maintenance", refused.stderr)
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'i'"),
                         [{"n": 0}])
        done = self.maintain(index)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t INDEXED BY i WHERE a = 7"),
                         [{"n": ROWS // 20_000}])

    def test_maintenance_in_slices_ends_between_two_of_them_when_its_caller_says(self):
        rows = 20_000
        self.node.sql("CREATE TABLE t (a)")
        self.node.sql("INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
                      f"FROM n LIMIT {rows}) SELECT i FROM n")
        left = lambda: self.node.sql("SELECT count(*) AS n FROM t")[0]["n"]
        with subprocess.Popen([CAIRN, "shell", self.node.address, "--maintenance", "-c",
                               ".slices 2 DELETE FROM t"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as shell:
            self.addCleanup(shell.kill)
            wait_until(lambda: left() < rows, "slices are applied")
            shell.send_signal(signal.SIGINT)
            _, said = shell.communicate(timeout=harness.BOUND_SECONDS)
        self.assertEqual(shell.returncode, 128 + signal.SIGINT)
        stopped = re.search(r"stopped after (\d+) rows changed in (\d+) slices", said)
        self.assertIsNotNone(stopped, said)
        self.assertEqual(left(), rows - int(stopped[1]), "it says what became of each slice")
        self.assertGreater(left(), 0, "it did not stop")

    def test_one_request_has_it_at_a_time(self):
        self.node.sql("CREATE TABLE busy (a)")
        # The command does not end during the test: tearDown kills the node.
        writer = threading.Thread(target=lambda: self.maintain(ENDLESS, timeout_ms=60000))
        writer.start()
        try:
            wait_until(lambda: b"INSERT INTO busy" in bytes(
                unary(self.node.port, "/cairn.v1.Cluster/Status", b"").answer),
                "the first is applied", seconds=60)
            second = self.maintain("DELETE FROM busy")
            self.assertNotEqual(second.returncode, 0)
            self.assertIn("another request of maintenance", second.stderr)
        finally:
            self.node.kill()
            writer.join()


if __name__ == "__main__":
    harness.main()
