"""While one command keeps apply busy, the node reports the command."""
import threading

import harness
from harness import CairnTest, wait_until
from raw_grpc import unary

HEAVY = ("INSERT INTO busy WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
         "WHERE i < 10000000) SELECT i FROM n")


class BusyApply(CairnTest):
    def test_a_long_command_shows_in_the_status_and_the_log(self):
        # Some seconds of work, also on a fast machine.
        node = self.new_cluster(1, ["--request-steps-max", "200000000"])[0]
        node.sql("CREATE TABLE busy (a)")

        def status():
            return bytes(unary(node.port, "/cairn.v1.Cluster/Status", b"").answer)

        self.assertNotIn(b"INSERT INTO busy", status())
        done = threading.Event()
        seen = []

        def write():
            # Repeats, because the first one may be over before it is looked for.
            while not seen and not done.is_set():
                node.shell(HEAVY, timeout_ms=60000)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            wait_until(lambda: b"INSERT INTO busy" in status(), "the status says so", seconds=60)
            seen.append(True)
        finally:
            done.set()
            writer.join()
        said = next(line for line in node.log.splitlines() if "apply is busy for" in line)
        self.assertIn("of host:127.0.0.1, session", said)
        wait_until(lambda: "apply was busy for" in node.log, "the log says that it is over")
        self.assertNotIn(b"INSERT INTO busy", status())


if __name__ == "__main__":
    harness.main()
