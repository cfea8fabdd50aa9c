"""A disk for each node: ext4 in a file, with power that can be cut.

Where syncs and writes must fail, Cairn's FUSE file system is on top.
"""
import errno
import fcntl
import os
import pathlib
import struct
import subprocess
import tempfile
import time

import harness

FAULT_FS = harness.ROOT / "build" / "cairn-fault-fs"
# From linux/fs/ext4: unsynced data is lost, and so is the journal's memory.
EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
SIZE_MB = 512
# From linux/loop.h.
LOOP_CTL_GET_FREE = 0x4C82
LOOP_CONFIGURE = 0x4C0A
LO_FLAGS_AUTOCLEAR = 4


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


def attach_loop(image):
    """A loop device on an open file: (path, descriptor). The device goes when nobody uses it."""
    # struct loop_config: fd, block size, loop_info64 with nothing but its flags, reserved.
    config = struct.pack("=II52xI176x64x", image, 0, LO_FLAGS_AUTOCLEAR)
    until = time.monotonic() + harness.BOUND_SECONDS
    while True:
        with open("/dev/loop-control", "rb") as control:
            path = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
        device = os.open(path, os.O_RDWR)
        try:
            fcntl.ioctl(device, LOOP_CONFIGURE, config)
            return path, device
        except OSError as error:
            os.close(device)
            if error.errno != errno.EBUSY or time.monotonic() > until:
                raise
            # Another process took this device; try the next one.


def holders(path):
    """The processes with open files there: (process, file)."""
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
    """The image has no name, and the mounts are under `directory`, so everything ends with this
    process, however the process ends."""

    def __init__(self, directory, name, fuse=False):
        self.fuse = fuse
        self.image = os.open(tempfile.gettempdir(), os.O_TMPFILE | os.O_RDWR, 0o600)
        self.below = directory / f"{name}.ext4"
        self.above = directory / f"{name}.fuse"
        self.faults = directory / f"{name}.faults"
        self.server = None
        self.dark = True  # until it is mounted
        for path in (self.below, self.above, self.faults):
            path.mkdir()
        self.mount(fresh=True)

    @property
    def path(self):
        """The directory of the node's data."""
        return self.above if self.fuse else self.below

    def mount(self, fresh=False):
        """Mounts the disk. A fresh disk is empty."""
        if fresh:
            os.truncate(self.image, 0)
            os.truncate(self.image, SIZE_MB << 20)
        path, device = attach_loop(self.image)
        try:
            if fresh:
                run("mkfs.ext4", "-q", "-m", "0", path)
            run("mount", "-t", "ext4", path, self.below)
        finally:
            os.close(device)
        self.dark = False
        if not self.fuse:
            return
        self.server = subprocess.Popen([FAULT_FS, self.below, self.faults, self.above],
                                       stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        if self.server.stdout.readline() != b"mounted\n":
            raise RuntimeError(f"{FAULT_FS} did not mount {self.above}")

    def unmount(self):
        """The users of the disk have ended. Nothing more is written to a disk whose power was cut."""
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
        """From now on nothing reaches the disk. End the node, then call restore_power."""
        self.dark = True
        fd = os.open(self.below, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def restore_power(self):
        self.unmount()
        self.mount()

    def close(self):
        self.unmount()
        os.close(self.image)

    def set_fault(self, name, value=""):
        """See fault_fs.cc for the names."""
        new = self.faults / ".new"
        new.write_text(str(value))
        new.rename(self.faults / name)

    def heal(self):
        """Ends the faults of the FUSE file system, and frees the space unless the power is off."""
        for fault in self.faults.iterdir():
            fault.unlink()
        if not self.dark:
            (self.below / "balloon").unlink(missing_ok=True)

    def fill(self, leave_bytes=0):
        """Fills the disk except for this much space."""
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
        """Replaces the disk by an empty one. The node has ended."""
        self.unmount()
        self.mount(fresh=True)
