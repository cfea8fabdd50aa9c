"""A disk for each node: ext4 in a file, whose power can be cut, with our FUSE file system on top where
syncs and writes are to fail."""
import fcntl
import os
import pathlib
import struct
import subprocess
import time

import harness

FAULT_FS = harness.ROOT / "build" / "cairn-fault-fs"
# Of linux/fs/ext4: what was not synced is lost, like the journal's memory.
EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
SIZE_MB = 512


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


def holders(path):
    """Who has files open there: (process, file)."""
    found = []
    for link in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith(str(path)):
            found.append((link.parts[2], target))
    return found


class Disk:
    def __init__(self, directory, name, fuse=False):
        self.fuse = fuse
        self.image = directory / f"{name}.img"
        self.below = directory / f"{name}.ext4"
        self.above = directory / f"{name}.fuse"
        self.faults = directory / f"{name}.faults"
        self.server = None
        with open(self.image, "wb") as image:
            image.truncate(SIZE_MB << 20)
        run("mkfs.ext4", "-q", "-m", "0", self.image)
        for path in (self.below, self.above, self.faults):
            path.mkdir()
        self.mount()

    @property
    def path(self):
        """Where the node's data goes."""
        return self.above if self.fuse else self.below

    def mount(self):
        run("mount", "-o", "loop", self.image, self.below)
        if not self.fuse:
            return
        self.server = subprocess.Popen([FAULT_FS, self.below, self.faults, self.above],
                                       stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        if self.server.stdout.readline() != b"mounted\n":
            raise RuntimeError(f"{FAULT_FS} did not mount {self.above}")

    def unmount(self):
        """Whoever used it has ended. Nothing more is written to a disk whose power was cut."""
        self.heal()
        if self.server:
            self._unmount(self.above)
            self.server.wait(timeout=harness.BOUND_SECONDS)
            self.server.stdout.close()
            self.server = None
        self._unmount(self.below)

    @staticmethod
    def _unmount(path):
        until = time.monotonic() + harness.BOUND_SECONDS
        while True:
            done = subprocess.run(["umount", path], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            if time.monotonic() > until:
                raise RuntimeError(f"umount {path}: {done.stderr} held by {holders(path)}")
            time.sleep(0.05)  # the kernel still takes the dead process apart

    def cut_power(self):
        """From here on nothing reaches the disk. End the node, then call restore_power."""
        fd = os.open(self.below, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def restore_power(self):
        self.unmount()
        self.mount()

    def set_fault(self, name, value=""):
        """See fault_fs.cc for the names."""
        new = self.faults / ".new"
        new.write_text(str(value))
        new.rename(self.faults / name)

    def heal(self):
        """No fault of the FUSE file system any more, and room again."""
        for fault in self.faults.iterdir():
            fault.unlink()
        (self.below / "balloon").unlink(missing_ok=True)

    def fill(self, leave_bytes=0):
        """Takes all free space but this."""
        with open(self.below / "balloon", "ab") as balloon:
            for step in (64 << 20, 1 << 20, 4096):
                while True:
                    free = os.statvfs(self.below)
                    if free.f_bavail * free.f_frsize - leave_bytes < step:
                        break
                    try:
                        os.posix_fallocate(balloon.fileno(), balloon.seek(0, os.SEEK_END), step)
                    except OSError:
                        break

    def wipe(self):
        """An empty disk in the place of the old one; the node has ended."""
        self.unmount()
        run("mkfs.ext4", "-q", "-F", "-m", "0", self.image)
        self.mount()
