"""Separate namespaces for processes, mounts and network. They end with the process that made them.

Everything that a test makes (network namespaces, mounts, loop devices, servers) lives inside. When
the test's first process is gone, for whatever reason, the kernel ends the rest and removes
everything: nothing is left on the machine, also after SIGKILL.
"""
import ctypes
import os
import pathlib
import signal
import subprocess
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
STOP_SECONDS = 10  # for a test that was told to end; then everything is killed

_libc = ctypes.CDLL(None, use_errno=True)


def _unshare(flags):
    if _libc.unshare(flags) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"unshare: {os.strerror(error)}")


def _wait_for(child):
    """Runs in the parent: forwards signals, and ends as the child does."""
    def end(which, _):
        os.kill(child, which)
        signal.alarm(STOP_SECONDS)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    while True:
        try:
            _, status = os.waitpid(child, 0)
            break
        except InterruptedError:
            continue
    sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


DIRECTORY = pathlib.Path("/run/cairn")  # inside: in memory, ends with the rest


def enter():
    """Continues in a child that is the first process of new namespaces. The caller itself only waits
    for the child and never returns. OSError if the system does not allow it."""
    _unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        _wait_for(child)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The first process of a namespace ignores signals that it does not handle.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    for command in (["mount", "--make-rprivate", "/"],
                    ["mount", "-t", "proc", "proc", "/proc"],
                    ["mount", "-t", "tmpfs", "tmpfs", "/run"],  # ip keeps names of namespaces here
                    ["ip", "link", "set", "lo", "up"]):
        subprocess.run(command, check=True)
    DIRECTORY.mkdir()
