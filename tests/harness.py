"""Starts and stops real nodes for the whole-process tests. Standard library only.

CAIRN_BIN names the program (default: build/cairn of this tree). Each test gets a directory of its
own. If the test fails, the directory is kept and its name is printed.
"""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

import raw_grpc

ROOT = pathlib.Path(__file__).resolve().parent.parent
CAIRN = str(pathlib.Path(os.environ.get("CAIRN_BIN", ROOT / "build" / "cairn")).resolve())
COMPILER = shutil.which("gcc") or shutil.which("cc") or shutil.which("g++")
BOUND_SECONDS = 30  # for every wait


def free_ports(count):
    """The first of `count` ports in a row that nobody listens on. The ports lie below the range of
    outgoing connections, because such a connection could take the port of a node that is down."""
    for _ in range(100):
        base = random.randrange(20000, 32000 - count)
        try:
            for port in range(base, base + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    raise RuntimeError("no free ports")


def wait_until(condition, what, seconds=BOUND_SECONDS):
    """Calls the condition again and again, within the bound. Returns its first true value."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def run_cairn(*arguments, stdin=None, seconds=BOUND_SECONDS):
    """Runs the program to its end. The result has returncode, stdout and stderr (text)."""
    return subprocess.run([CAIRN, *map(str, arguments)], input=stdin, capture_output=True,
                          text=True, timeout=seconds, check=False,
                          stdin=subprocess.DEVNULL if stdin is None else None)


class Node:
    """One `cairn server`, which can be started, ended and started again on its data."""

    def __init__(self, node_id, port, directory, peers="", flags=(), env=None, host="127.0.0.1",
                 prefix=()):
        self.id = node_id
        self.host = host
        self.port = port
        self.prefix = list(prefix)  # a command that runs the program
        self.program = CAIRN
        self.db = pathlib.Path(directory) / f"node{node_id}.db"
        self.log_path = pathlib.Path(directory) / f"node{node_id}.log"
        self.peers = peers
        self.flags = list(flags)
        self.env = env or {}  # added to the environment of the test
        self.process = None

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self, wait=True):
        arguments = [*self.prefix, self.program, "server", "--id", str(self.id), "--host", self.host,
                     "--port", str(self.port), "--db", str(self.db), *self.flags]
        if self.peers:
            arguments += ["--peers", self.peers]
        listening_before = self.log.count(" serving on ")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env={**os.environ, **self.env})
        if wait:
            def listens():
                if self.process.poll() is not None:
                    raise AssertionError(f"node {self.id} ended with {self.process.returncode}: "
                                         f"{self.log[-2000:]}")
                return self.log.count(" serving on ") > listening_before
            wait_until(listens, f"node {self.id} listens")
        return self

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self, seconds=BOUND_SECONDS):
        """SIGTERM; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=seconds)

    @property
    def up(self):
        return self.process is not None and self.process.poll() is None

    def shell(self, *commands, mode="json", timeout_ms=10000):
        """Runs shell commands. The result has returncode, stdout and stderr."""
        arguments = []
        for command in commands:
            arguments += ["-c", command]
        return run_cairn("shell", self.address, "--mode", mode, "--timeout-ms", timeout_ms,
                         *arguments)

    def sql(self, sql):
        """Returns the rows of a query as dictionaries, or [] for a write. An error fails the test."""
        done = self.shell(sql)
        if done.returncode != 0:
            raise AssertionError(f"{sql}: {done.stderr}")
        return json.loads(done.stdout) if done.stdout else []

    def status(self):
        """The node's own status, or None if the node does not answer."""
        done = self.shell(".status", timeout_ms=1000)
        return json.loads(done.stdout)[0] if done.returncode == 0 else None

    def commit(self):
        """The index of the last entry, by a linearizable read, which makes no entry. The status is as of the
        last tick, so on a busy machine it may not yet know of what was acknowledged."""
        call = raw_grpc.unary(self.port, "/cairn.v1.Database/GetVersion", b"")
        if call.status != raw_grpc.OK:
            raise AssertionError(f"GetVersion: {call.status} {call.text}")
        return raw_grpc.integers(bytes(call.answer)[5:])[2]  # behind the length

    def pause(self):
        """SIGSTOP, and waits until each thread has stopped: one that runs on meanwhile would still
        read what comes, and answer it."""
        self.process.send_signal(signal.SIGSTOP)

        def stopped():
            try:
                tasks = list(pathlib.Path(f"/proc/{self.process.pid}/task").iterdir())
                stats = [task.joinpath("stat").read_text(encoding="ascii") for task in tasks]
            except FileNotFoundError:  # the thread has just ended
                return False
            return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)
        wait_until(stopped, f"node {self.id} has stopped")

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def unread_bytes(self):
        """The bytes that clients have sent and the node has not read; all of them if the node is stopped."""
        port = f":{self.port:04X}"
        total = 0
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with open(table, encoding="ascii") as listed:
                lines = [line.split() for line in listed.readlines()[1:]]
            total += sum(int(line[4].split(":")[1], 16) for line in lines
                         if line[1].endswith(port) and line[3] == "01")  # established
        return total

    def memory_mb_max(self):
        """The highest resident memory of the process so far."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024

    def dump(self):
        """The clients' data in the file of a stopped node, as SQL."""
        with contextlib.closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)) as file:
            check = file.execute("PRAGMA integrity_check").fetchall()
            if check != [("ok",)]:
                raise AssertionError(f"{self.db}: {check}")
            return [line for line in file.iterdump() if "_cairn_" not in line]

    def leads(self):
        status = self.status() if self.up else None
        return status is not None and status["role"] == "leader"


class CairnTest(unittest.TestCase):
    """A test with a directory and nodes that end with it."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="cairn-test."))
        self.nodes = []
        self.addCleanup(self.kill_nodes)  # runs also if setUp fails, unlike tearDown

    def kill_nodes(self):
        for node in self.nodes:
            node.kill()

    def tearDown(self):
        self.kill_nodes()
        outcome = getattr(self, "_outcome", None)
        result = getattr(outcome, "result", None)
        failed = result is not None and any(
            test is self for test, _ in list(result.failures) + list(result.errors))
        if failed or not getattr(outcome, "success", True):
            print(f"{self.id()}: data and logs are kept in {self.directory}", file=sys.stderr)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def build_shim(self, source):
        """Builds a library for LD_PRELOAD from C. By it a test gets between a node and its kernel."""
        path = self.directory / "shim.so"
        subprocess.run([COMPILER, "-x", "c", "-", "-O1", "-shared", "-fPIC", "-o", path, "-ldl"],
                       input=source, text=True, check=True)
        return str(path)

    def new_cluster(self, count, flags=(), start=True):
        base = free_ports(count)
        peers = ",".join(f"{i + 1}=127.0.0.1:{base + i}" for i in range(count)) if count > 1 else ""
        self.nodes = [Node(i + 1, base + i, self.directory, peers, flags) for i in range(count)]
        if start:
            for node in self.nodes:
                node.start()
            self.await_level(self.await_leader())
        return self.nodes

    def await_level(self, leader):
        """A new cluster raises its feature level, unless a member can not follow."""
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            status = leader.status()
            if status is not None and status["level"] == status["level_max"]:
                return
            time.sleep(0.01)

    def await_leader(self):
        def leader():
            return next((node for node in self.nodes if node.leads()), None)
        return wait_until(leader, "a leader")

    def assert_equal_contents(self):
        """Asserts that all nodes hold the same rows. Stops the nodes and compares their files."""
        for node in self.nodes:
            node.sql("SELECT 1")  # linearizable: the node has applied every acknowledged write
        for node in self.nodes:
            self.assertEqual(node.stop(), 0, node.log[-2000:])
        first = self.nodes[0].dump()
        for node in self.nodes[1:]:
            other = node.dump()
            if other != first:
                lines = [pair for pair in zip(first, other) if pair[0] != pair[1]][:5]
                self.fail(f"node {node.id} differs from node 1: {len(first)} and {len(other)} "
                          f"statements; first differences {lines}")

    def client(self, *arguments, seconds=120):
        return run_cairn("client", "--master-addr", self.nodes[0].address, "--slave-addrs",
                         ",".join(node.address for node in self.nodes[1:]), *arguments,
                         seconds=seconds)

    def assert_passes(self, done):
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])

    def start_load(self, duration_ms):
        """Starts a load in the background; see check_load."""
        self.load_log = self.directory / "load.log"
        with open(self.load_log, "wb") as log:
            self.load = subprocess.Popen(
                [CAIRN, "client", "--scenario", "load", "--ledger", self.directory / "ledger",
                 "--duration-ms", str(duration_ms), "--master-addr", self.nodes[0].address,
                 "--slave-addrs", ",".join(node.address for node in self.nodes[1:])],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.addCleanup(self.load.kill)
        wait_until(lambda: "load begins" in self.load_log.read_text(), "the load begins")

    def check_load(self, stop=False):
        """All writes that were acknowledged are there, none twice, on all nodes. With `stop` the load
        ends now, else when its time is over."""
        if stop:
            self.load.terminate()
        self.load.wait(timeout=120)
        self.assertEqual(self.load.returncode, 0, self.load_log.read_text())
        self.assert_passes(self.client("--scenario", "check-load", "--ledger",
                                       self.directory / "ledger"))


def main():
    """Runs the tests of the calling file. Exit status 77 (skipped, to ctest) if all were skipped."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if result.skipped:
        print(f"skipped: {len(result.skipped)} of {result.testsRun}")
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.testsRun and len(result.skipped) == result.testsRun else 0)
