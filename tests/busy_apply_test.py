"""While one command keeps apply busy, the node reports the command."""
import threading

import harness
from harness import CairnTest, wait_until
from raw_grpc import OK, field, unary

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

    def test_a_light_writer_is_not_behind_the_heavy_commands_of_another_client(self):
        """A light command waits for at most one heavy command, however many of those wait."""
        node = self.new_cluster(1)[0]
        node.sql("CREATE TABLE busy (a)")
        node.sql("CREATE TABLE light (a)")
        some = HEAVY.replace("10000000", "1000000") + " WHERE i % 1000 = 0"
        stop = threading.Event()
        counts = {"heavy": 0, "light": 0}

        def heavy():
            while not stop.is_set():
                done = unary(node.port, "/cairn.v1.Database/Execute", field(1, field(1, some)), source="127.0.0.2")
                self.assertEqual(done.status, OK, done.text)
                counts["heavy"] += 1

        # 16 at once, so that some always wait. Each takes some 0.1 s.
        writers = [threading.Thread(target=heavy) for _ in range(16)]
        for writer in writers:
            writer.start()
        try:
            wait_until(lambda: counts["heavy"] >= 16, "the heavy commands are known as such")
            before = counts["heavy"]
            while counts["light"] < 20:
                done = unary(node.port, "/cairn.v1.Database/Execute",
                             field(1, field(1, "INSERT INTO light VALUES (1)")))
                self.assertEqual(done.status, OK, done.text)
                counts["light"] += 1
            passed = counts["heavy"] - before
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        # One behind the other, 20 light ones would see 320 heavy ones pass.
        self.assertLess(passed, 80)


if __name__ == "__main__":
    harness.main()
