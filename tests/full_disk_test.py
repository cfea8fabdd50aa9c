"""A full disk: writes are refused, reads go on, and when there is room again so do the writes."""
import os
import subprocess
import unittest

import harness
from harness import CairnTest, Node, free_ports, wait_until


class FullDisk(CairnTest):
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

    def fill(self, leave_bytes):
        free = os.statvfs(self.disk)
        size = free.f_bavail * free.f_frsize - leave_bytes
        with open(self.disk / "filler", "ab") as filler:
            while size > 0:
                size -= filler.write(b"\0" * min(size, 1 << 20))

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
        # Nothing left at all: it still reads, and lives.
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


if __name__ == "__main__":
    harness.main()
