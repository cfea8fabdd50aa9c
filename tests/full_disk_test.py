"""Disks that are full or read-only: what the node refuses, what goes on, and how the trouble ends."""
import errno
import os
import subprocess
import unittest

import harness
from harness import CairnTest, Node, free_ports, run_cairn, wait_until


class SmallDisk(CairnTest):
    """A node on a disk of its own, of 256 MiB."""

    def setUp(self):
        super().setUp()
        self.disk = self.directory / "disk"
        self.disk.mkdir()
        mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", self.disk],
            capture_output=True, check=False).returncode == 0
        if not mounted:
            self.skipTest("mounting a tmpfs needs root")
        self.node = Node(1, free_ports(1), self.disk)
        self.nodes = [self.node]

    def tearDown(self):
        self.node.kill() if self.nodes else None
        subprocess.run(["umount", "-l", self.disk], capture_output=True, check=False)
        super().tearDown()

    def remount(self, how):
        return subprocess.run(["mount", "-o", f"remount,{how}", self.disk], capture_output=True,
                              check=False).returncode == 0


class FullDisk(SmallDisk):
    def fill(self, leave_bytes):
        """The node writes meanwhile, and may take the last bytes itself: the disk is full then too."""
        free = os.statvfs(self.disk)
        size = free.f_bavail * free.f_frsize - leave_bytes
        with open(self.disk / "filler", "ab", buffering=0) as filler:
            while size > 0:
                try:
                    size -= filler.write(b"\0" * min(size, 1 << 20))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    return

    def test_writes_are_refused_and_resume_by_themselves(self):
        self.node.start()
        wait_until(self.node.leads, "the node leads")
        self.node.sql("CREATE TABLE t (a)")
        self.fill(leave_bytes=32 << 20)  # below the reserve of 64 MiB

        def refused():
            done = self.node.shell("INSERT INTO t VALUES (1)")
            if done.returncode == 0:
                return False
            self.assertIn("RESOURCE_EXHAUSTED", done.stderr)
            self.assertIn("not applied", done.stderr)
            return True
        wait_until(refused, "writes are refused")
        before = self.node.sql("SELECT count(*) AS n FROM t")[0]["n"]
        self.assertTrue(self.node.status()["trouble"])
        # No space at all is left. The node still reads, and lives.
        self.fill(leave_bytes=0)
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": before}])
        self.assertTrue(self.node.up)
        (self.disk / "filler").unlink()
        wait_until(lambda: self.node.shell("INSERT INTO t VALUES (2)").returncode == 0,
                   "writes resume")
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": before + 1}])
        self.assertEqual(self.node.stop(), 0)
        self.node.start()
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": before + 1}])


    def test_one_request_does_not_fill_the_disk_at_apply(self):
        """It did, and the node met the same entry again at each start."""
        self.node.start()
        wait_until(self.node.leads, "the node leads")
        wait_until(lambda: self.node.status()["level"] == self.node.status()["level_max"],
                   "the new cluster has raised its level")
        self.node.sql("CREATE TABLE t (a)")
        for bytes_of_half in (1050, 1900, 60):
            done = self.node.shell(
                "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                f"SELECT hex(zeroblob({bytes_of_half})) || (i * 7919 % 1000003) FROM n",
                timeout_ms=60000)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("RESOURCE_EXHAUSTED", done.stderr)
            self.assertIn("steps of work", done.stderr)
        self.node.sql("INSERT INTO t VALUES (1)")
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": 1}])
        self.assertEqual(self.node.stop(), 0)
        self.node.start()
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": 1}])

    def test_filled_to_the_last_byte_at_once_it_says_so(self):
        """Too fast to notice that the reserve is gone: the log or the database reaches the end first."""
        self.node.start()
        wait_until(self.node.leads, "the node leads")
        self.node.sql("CREATE TABLE t (a)")
        self.fill(leave_bytes=0)
        self.node.shell("INSERT INTO t VALUES (zeroblob(200000))", timeout_ms=1000)  # may still succeed
        for size in (10, 200000, 10):
            done = self.node.shell(f"INSERT INTO t VALUES (zeroblob({size}))")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("RESOURCE_EXHAUSTED", done.stderr)
            self.assertIn("not applied", done.stderr)
        self.assertTrue(self.node.up)
        (self.disk / "filler").unlink()
        wait_until(lambda: self.node.shell("INSERT INTO t VALUES (1)").returncode == 0,
                   "writes resume")
        self.assertEqual(self.node.stop(), 0)
        self.node.start()
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t WHERE a = 1"), [{"n": 1}])


    def test_a_node_starts_on_a_full_disk_and_resumes(self):
        """The node is killed when no space is left, also during its trouble."""
        self.node.start()
        wait_until(self.node.leads, "the node leads")
        self.node.sql("CREATE TABLE t (a)")
        self.node.sql("INSERT INTO t VALUES (1)")
        self.fill(leave_bytes=0)
        for _ in range(3):
            self.node.shell("INSERT INTO t VALUES (zeroblob(200000))", timeout_ms=500)
            self.node.kill()
            self.node.start()
        (self.disk / "filler").unlink()
        wait_until(lambda: self.node.shell("INSERT INTO t VALUES (2)").returncode == 0,
                   "writes resume")
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t WHERE a = 1"), [{"n": 1}])


class ReadOnlyDisk(SmallDisk):
    def test_a_node_does_not_start_and_says_why(self):
        self.assertTrue(self.remount("ro"))
        done = run_cairn("server", "--db", self.node.db, "--port", self.node.port, seconds=10)
        self.assertGreater(done.returncode, 0)
        self.assertIn("read-only", done.stderr.lower())
        self.assertIn(str(self.disk), done.stderr)
        self.assertEqual(list(self.disk.iterdir()), [])

    def test_data_on_a_disk_that_became_read_only_is_refused_and_whole(self):
        self.node.start()
        wait_until(self.node.leads, "the node leads")
        self.node.sql("CREATE TABLE t (a)")
        self.node.sql("INSERT INTO t VALUES (1)")
        self.node.kill()
        self.assertTrue(self.remount("ro"))
        done = run_cairn("server", "--db", self.node.db, "--port", self.node.port, seconds=10)
        self.assertGreater(done.returncode, 0)
        self.assertIn("read-only", done.stderr.lower())
        self.assertTrue(self.remount("rw"))
        self.node.start()
        self.assertEqual(self.node.sql("SELECT a FROM t"), [{"a": 1}])


if __name__ == "__main__":
    harness.main()
