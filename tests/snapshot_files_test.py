"""The files of a snapshot: their places, modes and removal, and disks without room."""
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile

import harness
from harness import CairnTest, wait_until

MIB = 1 << 20
ROWS = 60  # of 1 MB


def mount(directory, mib):
    """Mounts a small disk. False if this user may not mount."""
    directory.mkdir()
    return os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", directory],
        capture_output=True, check=False).returncode == 0


def fill(directory, leave_mib):
    """Fills the disk except for this much space."""
    state = os.statvfs(directory)
    size = state.f_bavail * state.f_frsize - leave_mib * MIB
    with open(directory / "filler", "wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, size)


class SnapshotFiles(CairnTest):
    flags = ["--log-bytes-max", "4MiB", "--request-timeout-ms", "60000"]

    def start(self):
        for node in self.nodes:
            node.start()
        self.leader = self.await_leader()
        self.behind = self.nodes[self.leader.id % 3]

    def link_elsewhere(self, node, target):
        node.db.symlink_to(target)

    def write(self, sql):
        self.assert_passes(self.leader.shell(sql, timeout_ms=60000))

    def fall_behind(self):
        self.write("CREATE TABLE IF NOT EXISTS big (id INTEGER PRIMARY KEY, data TEXT)")
        self.behind.kill()
        rows = "".join(f"INSERT INTO big (data) VALUES ('{i:01000000d}');\n" for i in range(ROWS))
        self.assert_passes(harness.run_cairn("shell", self.leader.address, stdin=rows, seconds=120))
        wait_until(lambda: self.leader.status()["log_bytes"] < 20 * MIB, "the log is compacted")

    def installed(self):
        return "snapshot installed" in self.behind.log

    def copies(self, node):
        return sorted(path.name for path in
                      (node.db.parent / (node.db.name + ".cairn") / "snapshot").iterdir())

    def assert_private(self):
        for path in self.directory.rglob("node*.db*"):
            for each in [path, *path.rglob("*")] if path.is_dir() else [path]:
                mode = stat.S_IMODE(each.stat().st_mode)
                self.assertEqual(mode, 0o700 if each.is_dir() else 0o600, each)

    def test_copies_are_private_and_go_when_they_have_arrived(self):
        self.new_cluster(3, flags=self.flags, start=False)
        self.start()
        self.fall_behind()
        self.behind.start()
        wait_until(self.installed, "the snapshot is installed")
        self.assert_private()
        wait_until(lambda: not self.copies(self.leader), "the copy is removed")
        self.assertEqual(self.copies(self.behind), [])
        self.assert_equal_contents()

    def test_a_leader_killed_while_it_makes_a_copy_leaves_none(self):
        self.new_cluster(3, flags=self.flags, start=False)
        self.start()
        self.fall_behind()
        self.behind.start(wait=False)
        wait_until(lambda: "receiving snapshot" in self.behind.log, "the transfer begins")
        # If the receiver is slow or gone, the leader makes a copy.
        self.behind.pause()
        wait_until(lambda: self.copies(self.leader) or self.installed(), "a copy is made")
        self.leader.kill()
        self.behind.resume()
        self.leader.start()
        wait_until(self.installed, "the snapshot is installed")
        for node in self.nodes:
            wait_until(lambda node=node: not self.copies(node), "no copy is left")
        self.assert_equal_contents()

    def test_a_link_to_another_disk_stays_one_and_the_database_keeps_its_mode(self):
        elsewhere = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test.", dir="/dev/shm"))
        self.addCleanup(shutil.rmtree, elsewhere, ignore_errors=True)
        if os.stat(elsewhere).st_dev == os.stat(self.directory).st_dev:
            self.skipTest("/dev/shm is no other file system")
        self.new_cluster(3, flags=self.flags, start=False)
        for node in self.nodes:
            self.link_elsewhere(node, elsewhere / f"real{node.id}.db")
        self.start()
        self.fall_behind()
        target = elsewhere / f"real{self.behind.id}.db"
        target.chmod(0o640)
        inode = target.stat().st_ino
        self.behind.start()
        wait_until(self.installed, "the snapshot is installed")
        self.assertTrue(self.behind.db.is_symlink(), "the link was replaced")
        self.assertNotEqual(target.stat().st_ino, inode, "it was not replaced")
        self.assertEqual(stat.S_IMODE(target.stat().st_mode), 0o640)
        self.assertTrue((elsewhere / (target.name + "-wal")).exists())
        self.assertFalse(self.behind.db.with_name(self.behind.db.name + "-wal").exists())
        self.assertEqual(list((elsewhere / (target.name + ".snapshot")).iterdir()), [])
        self.assert_equal_contents()

    def test_a_leader_without_room_for_a_copy_says_so_and_makes_it_when_there_is(self):
        disk = self.directory / "disk"
        if not mount(disk, 600):
            self.skipTest("needs root, to mount a disk of its own")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=False)
        self.new_cluster(3, flags=self.flags, start=False)
        for node in self.nodes:
            node.db = disk / node.db.name
        self.start()
        self.fall_behind()
        fill(disk, leave_mib=100)  # more than the reserve, less than a copy needs beside it
        self.behind.start()
        self.assert_refused("a snapshot needs")
        self.assertEqual(self.copies(self.leader), [])
        self.write("INSERT INTO big (data) VALUES ('writes go on')")
        (disk / "filler").unlink()
        wait_until(self.installed, "the snapshot is installed", 60)
        self.assert_equal_contents()

    def test_a_receiver_without_room_makes_the_leader_say_so(self):
        disk = self.directory / "disk"
        if not mount(disk, 300):
            self.skipTest("needs root, to mount a disk of its own")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=False)
        self.new_cluster(3, flags=self.flags, start=False)
        self.start()
        self.fall_behind()
        for path in list(self.directory.glob(self.behind.db.name + "*")):
            shutil.move(path, disk / path.name)
        self.behind.db = disk / self.behind.db.name
        fill(disk, leave_mib=100)
        self.behind.start()
        self.assert_refused("more bytes beside the reserve")
        self.assertEqual([name for name in self.copies(self.behind) if name.endswith(".snapshot")], [])
        (disk / "filler").unlink()
        wait_until(self.installed, "the snapshot is installed", 60)
        self.assert_equal_contents()

    def assert_refused(self, words):
        def told():
            doubt = self.leader.status()["doubt"]
            return f"member {self.behind.id} needs a snapshot" in doubt and words in doubt
        wait_until(told, "the leader says why the node gets no snapshot")


if __name__ == "__main__":
    harness.main()
