"""What a manager of services (systemd) is told by a server, through a socket of the test's own; and the
unit that the package ships."""
import ctypes
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
import unittest
import urllib.error
import urllib.request

from harness import BOUND_SECONDS, ROOT, CairnTest, Node, free_ports, main, wait_until

UNIT = ROOT / "packaging" / "cairn.service"
EXPOSURE_MAX = 2.0
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000


class Manager:
    """The socket of a manager of services, with all that came."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.lines = []

    def read(self, seconds):
        """Takes what comes within that time; True if anything did."""
        self.socket.settimeout(max(seconds, 0.01))
        try:
            self.lines += self.socket.recv(4096).decode().splitlines()
            return True
        except TimeoutError:
            return False

    def await_line(self, pattern, seconds=BOUND_SECONDS):
        until = time.monotonic() + seconds
        seen = 0
        while True:
            for line in self.lines[seen:]:
                if re.fullmatch(pattern, line):
                    return line
            seen = len(self.lines)
            if not self.read(until - time.monotonic()) and time.monotonic() >= until:
                raise AssertionError(f"not within {seconds} s: {pattern}; {self.lines[-20:]}")

    def forget(self):
        while self.read(0):
            pass
        self.lines = []


class Frozen:
    """Stops one thread of a child process, as a thread that hangs. The others go on."""

    def __init__(self, process, name):
        self.libc = ctypes.CDLL(None, use_errno=True)
        tasks = pathlib.Path(f"/proc/{process.pid}/task")
        self.thread = next(int(task.name) for task in tasks.iterdir()
                           if (task / "comm").read_text().strip() == name)

    def __enter__(self):
        if self.libc.ptrace(PTRACE_SEIZE, self.thread, None, None) != 0:
            raise unittest.SkipTest(f"a thread cannot be traced here: {os.strerror(ctypes.get_errno())}")
        self.libc.ptrace(PTRACE_INTERRUPT, self.thread, None, None)
        os.waitpid(self.thread, WALL)
        return self

    def __exit__(self, *_):
        self.libc.ptrace(PTRACE_DETACH, self.thread, None, None)


class FullPipe:
    """A pipe that takes nothing: nobody reads it, and it is full."""

    def __init__(self, path):
        os.mkfifo(path)
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            pass
        os.close(writer)

    def close(self):
        os.close(self.reader)


class Service(CairnTest):
    def manager(self, path=None):
        manager = Manager(path or self.directory / "notify")
        self.addCleanup(manager.socket.close)
        return manager

    def node(self, manager, watchdog_s=0, flags=()):
        env = {"NOTIFY_SOCKET": manager.path}
        if watchdog_s:
            env["WATCHDOG_USEC"] = str(int(watchdog_s * 1_000_000))
        node = Node(1, free_ports(1), self.directory, env=env, flags=flags)
        self.addCleanup(node.kill)
        return node

    def test_readiness_the_role_and_the_stop_are_told(self):
        manager = self.manager()
        node = self.node(manager).start()
        manager.await_line("READY=1")
        manager.await_line("STATUS=leader, members: 1")
        self.assertFalse([line for line in manager.lines if "WATCHDOG" in line])
        self.assertEqual(node.stop(), 0)
        manager.await_line("STOPPING=1")

    def test_an_abstract_name_is_a_socket_too(self):
        manager = self.manager(f"\0cairn-test-{os.getpid()}")
        manager.path = "@" + manager.path[1:]
        self.node(manager).start()
        manager.await_line("READY=1")

    def test_a_node_without_a_majority_is_ready_and_says_what_it_waits_for(self):
        # Readiness means that it listens: a manager that waited for a leader would end the first of
        # three nodes before the second one is started.
        manager = self.manager()
        ports = free_ports(2)
        node = Node(1, ports, self.directory, env={"NOTIFY_SOCKET": manager.path},
                    peers=f"1=127.0.0.1:{ports},2=127.0.0.1:{ports + 1}")
        self.addCleanup(node.kill)
        node.start()
        manager.await_line("READY=1")
        manager.await_line("STATUS=not ready: .*")

    def test_a_stuck_core_thread_ends_the_pings_and_is_not_alive(self):
        manager = self.manager()
        http = free_ports(1)
        node = self.node(manager, watchdog_s=1, flags=["--http-port", str(http)]).start()
        manager.await_line("WATCHDOG=1")

        def alive():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{http}/livez", timeout=10) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        self.assertEqual(alive(), (200, "alive\n"))
        with Frozen(node.process, "cairn-core"):
            status, why = wait_until(lambda: (lambda a: a if a[0] != 200 else None)(alive()),
                                     "/livez tells of the stuck thread")
            self.assertEqual(status, 503)
            self.assertIn("the core thread has been stuck", why)
            # Long stuck by now: nothing is left to come but a change of the words.
            manager.forget()
            manager.read(2.5)
            self.assertFalse([line for line in manager.lines if "WATCHDOG" in line])
        manager.await_line("WATCHDOG=1")
        wait_until(lambda: alive()[0] == 200, "the node is alive again")

    def test_a_log_that_nobody_takes_holds_up_nothing(self):
        pipe = FullPipe(self.directory / "stderr")
        self.addCleanup(pipe.close)
        http = free_ports(1)
        node = Node(1, free_ports(1), self.directory, flags=["--http-port", str(http)],
                    prefix=["sh", "-c", f'exec "$@" 2>{self.directory}/stderr', "sh"])
        self.addCleanup(node.kill)
        node.start()
        node.sql("CREATE TABLE t (a)")
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/metrics", timeout=10) as answer:
            self.assertEqual(answer.status, 200)
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/livez", timeout=10) as answer:
            self.assertEqual(answer.status, 200)
        self.assertEqual(node.stop(), 0)


class Unit(unittest.TestCase):
    def test_the_unit_exposes_little(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not installed")
        done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)],
                              capture_output=True, text=True, timeout=60, check=False)
        level = re.search(r"Overall exposure level for cairn.service: ([0-9.]+)", done.stdout)
        self.assertTrue(level, done.stdout + done.stderr)
        self.assertLessEqual(float(level.group(1)), EXPOSURE_MAX, done.stdout)

    def test_the_unit_is_one_that_systemd_takes(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not installed")
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(UNIT)],
                              capture_output=True, text=True, timeout=60, check=False)
        # The program is not installed where the tests run.
        complaints = [line for line in done.stderr.splitlines()
                      if "cairn.service" in line and "is not executable" not in line]
        self.assertEqual(complaints, [])


if __name__ == "__main__":
    main()
