"""A cluster in namespaces of its own, on disks of its own, under a recorded load."""
import collections
import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import clock_test
import disks
import harness
import network
import proxy
from harness import wait_until

TOOLS = harness.ROOT / "build"
LOAD = TOOLS / "cairn-history-load"
CHECK = TOOLS / "cairn-check-history"
BANK_TOTAL = 500  # as workloads.h
# How long the closing reads of the load wait for nodes that recover.
FINAL_SECONDS = 90
SETTLE_SECONDS = 90


class Void(Exception):
    """The run proves nothing, because the load before a fault was too small. The run is repeated."""


class Failed(Exception):
    """The cluster broke a promise."""


def build_shim(directory):
    path = directory / "clock.so"
    subprocess.run([harness.COMPILER, "-x", "c", "-", "-O1", "-shared", "-fPIC", "-o", path],
                   input=clock_test.SHIM, text=True, check=True)
    return str(path)


class Load:
    """cairn-history-load, from its start to its histories."""

    def __init__(self, directory, nodes, seed, rate, only=()):
        self.directory = directory
        self.log_path = directory / "load.log"
        self.error_path = directory / "load.err"
        arguments = [LOAD, "--endpoints", ",".join(node.address for node in nodes), "--directory",
                     directory, "--seed", str(seed), "--rate", str(rate), "--final-seconds",
                     str(FINAL_SECONDS)]
        if only:
            arguments += ["--only", ",".join(only)]
        with open(self.log_path, "wb") as log, open(self.error_path, "wb") as errors:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=errors,
                                            stdin=subprocess.DEVNULL)
        wait_until(lambda: self.counts() or not self.running, "the load begins")

    @property
    def running(self):
        return self.process.poll() is None

    def counts(self):
        """The operations so far: (ok, fail, info). None before the first."""
        lines = self.log_path.read_text().splitlines()
        complete = [line.split() for line in lines[-3:] if len(line.split()) >= 3]
        return tuple(int(count) for count in complete[-1][:3]) if complete else None

    def operations(self):
        return sum(self.counts())

    def await_floor(self, per_second, seconds=20):
        """Waits until this many operations were answered within one second."""
        until = time.monotonic() + seconds
        looks = collections.deque()
        while True:
            if not self.running:
                raise Failed(f"the load ended: {self.error_path.read_text()}")
            now = time.monotonic()
            looks.append((now, self.counts()[0]))
            while now - looks[0][0] > 1.2:
                looks.popleft()
            elapsed = now - looks[0][0]
            if elapsed >= 0.9 and looks[-1][1] - looks[0][1] >= per_second * elapsed:
                return
            if now > until:
                raise Void(f"fewer than {per_second} operations/s answered for {seconds} s, though all "
                           f"is healed: {looks[-1][1] - looks[0][1]} in the last {elapsed:.1f} s")
            time.sleep(0.1)

    def await_answers(self, count, seconds):
        """Waits until this many more operations were answered. False if the time is over first."""
        target = self.counts()[0] + count
        until = time.monotonic() + seconds
        while self.counts()[0] < target:
            if time.monotonic() > until or not self.running:
                return False
            time.sleep(0.02)
        return True

    def finish(self):
        """Ends the load. The load then reads everything through every node, and each must answer."""
        self.process.terminate()
        status = self.process.wait(timeout=FINAL_SECONDS + harness.BOUND_SECONDS)
        if status != 0:
            raise Failed(f"the load: {self.error_path.read_text()}")

    def histories(self):
        return sorted(path for path in self.directory.glob("*.jsonl") if path.stat().st_size)

    def judge(self):
        """The verdicts of the checkers, one for each history and check."""
        done = subprocess.run([CHECK, "--bank-total", str(BANK_TOTAL), *self.histories()],
                              capture_output=True, text=True, check=False, timeout=300)
        verdicts = [json.loads(line) for line in done.stdout.splitlines()]
        for verdict in verdicts:
            verdict["file"] = pathlib.Path(verdict["file"]).name
        bad = [verdict for verdict in verdicts if verdict["verdict"] != "valid"]
        if bad or done.returncode != 0 or not verdicts:
            raise Failed("the histories: " + json.dumps(bad, indent=1) + done.stderr)
        return verdicts

    def stop(self):
        if self.running:
            self.process.kill()
            self.process.wait()


class Cluster:
    """Nodes 1 to `count`; close() ends and removes everything but the directory."""

    def __init__(self, directory, count=3, proxied=False, fuse=False, clock=False, flags=()):
        self.directory = pathlib.Path(directory)
        self.proxy = None
        self.network = network.Network(count, proxy.port if proxied else None)
        if proxied:
            self.proxy = proxy.Proxy(self.network.ids)
            self.proxy.start()
        self.disks = {i: disks.Disk(self.directory, f"disk{i}", fuse) for i in self.network.ids}
        peers = ",".join(f"{i}={network.address(i)}:{network.PORT}" for i in self.network.ids)
        shim = build_shim(self.directory) if clock else None
        self.nodes = []
        for i in self.network.ids:
            node = harness.Node(i, network.PORT, self.directory, peers, [*flags, "--insecure"],
                                host=network.address(i), prefix=network.Network.enter(i))
            node.db = self.disks[i].path / "node.db"
            if shim:
                node.env = {"LD_PRELOAD": shim, "CAIRN_TEST_CLOCK": str(self.clock_file(i))}
                self.set_clock(node, 0)
            self.nodes.append(node)
        self.paused = set()
        self.may_end = set()  # ids of nodes that a fault may end
        self.load = None
        self.deadline = None
        for node in self.nodes:
            node.start()
        self.await_leader()

    # Questions to the cluster.

    def await_leader(self, seconds=SETTLE_SECONDS):
        return wait_until(self.leader, "a leader", seconds)

    def leader(self):
        """The node that leads, is fit to lead, and at least knows itself that it leads."""
        for node in self.nodes:
            if node.up and node.id not in self.paused and node.leads():
                return node
        return None

    def node(self, node_id):
        return self.nodes[node_id - 1]

    def majority(self):
        return len(self.nodes) // 2 + 1

    def check_alive(self):
        """Asserts that a node has ended only where a fault may end it."""
        for node in self.nodes:
            if not node.up and node.id not in self.may_end:
                raise Failed(f"node {node.id} ended by itself with {node.process.returncode}: "
                             f"{node.log[-3000:]}")

    # Faults.

    def start_load(self, seed, rate, only=()):
        directory = self.directory / "history"
        directory.mkdir()
        self.load = Load(directory, self.nodes, seed, rate, only)
        return self.load

    def kill(self, nodes):
        """Sends SIGKILL to all nodes at nearly the same time."""
        nodes = list(nodes)
        self.may_end |= {node.id for node in nodes}
        for node in nodes:
            self.disks[node.id].heal()  # a process that waits for a disk that hangs can not die
            if node.up:
                node.process.kill()
        for node in nodes:
            node.kill()
            self.paused.discard(node.id)

    def start(self, nodes):
        for node in nodes:
            node.start(wait=False)
            self.may_end.discard(node.id)

    def pause(self, node):
        node.pause()
        self.paused.add(node.id)

    def resume(self, node):
        node.resume()
        self.paused.discard(node.id)

    def cut_power(self, nodes):
        """Cuts the power of disks and processes. The disks are first, so that no later sync succeeds."""
        nodes = list(nodes)
        self.may_end |= {node.id for node in nodes}
        for node in nodes:
            self.disks[node.id].cut_power()
        self.kill(nodes)
        for node in nodes:
            self.disks[node.id].restore_power()

    def clock_file(self, node_id):
        return self.directory / f"clock{node_id}"

    def set_clock(self, node, seconds):
        new = self.directory / "clock.new"
        new.write_text(f"{seconds}\n")
        new.rename(self.clock_file(node.id))

    def heal(self):
        """Ends every fault, and starts the nodes that have ended."""
        self.network.heal()
        if self.proxy:
            self.proxy.heal()
        for disk in self.disks.values():
            disk.heal()
        for node in self.nodes:
            if node.env:
                self.set_clock(node, 0)
            if node.id in self.paused:
                self.resume(node)
            if not node.up:
                node.kill()
                self.start([node])
        self.may_end = set()

    # The end.

    def settle(self):
        """Waits until all nodes follow one leader and have applied the same."""
        def settled():
            self.check_alive()
            statuses = [node.status() for node in self.nodes]
            if any(status is None or status.get("trouble") for status in statuses):
                return False
            applied = {status["applied"] for status in statuses}
            return (len(applied) == 1 and sum(s["role"] == "leader" for s in statuses) == 1)
        try:
            wait_until(settled, "all nodes converge", SETTLE_SECONDS)
        except AssertionError as error:
            raise Failed(f"{error}: {[node.status() for node in self.nodes]}") from error

    def settle_followers(self):
        """Every node serves, under load."""
        wait_until(lambda: all((node.status() or {"trouble": "down"})["trouble"] == ""
                               for node in self.nodes), "all nodes serve", SETTLE_SECONDS)

    @staticmethod
    def threads_of(node):
        """The state of each thread, and its wait in the kernel, which shows a disk that hangs."""
        found = []
        for task in pathlib.Path(f"/proc/{node.process.pid}/task").iterdir():
            try:
                state = (task / "stat").read_text().rsplit(")", 1)[1].split()[0]
                found.append((state, (task / "wchan").read_text()))
            except OSError:
                continue  # the thread has just ended
        return sorted(found)

    def compare_contents(self):
        """Stops all nodes and asserts that their files hold the same rows."""
        for node in self.nodes:
            try:
                status = node.stop()
            except subprocess.TimeoutExpired as error:
                raise Failed(f"node {node.id} does not end: {node.log[-2000:]}\nits threads: "
                             f"{self.threads_of(node)}") from error
            if status != 0:
                raise Failed(f"node {node.id} does not stop cleanly: {node.log[-2000:]}")
        first = self.nodes[0].dump()
        for node in self.nodes[1:]:
            other = node.dump()
            if other != first:
                lines = [pair for pair in zip(first, other) if pair[0] != pair[1]][:5]
                raise Failed(f"node {node.id} differs from node 1: {len(first)} and {len(other)} "
                             f"statements; first differences {lines}")

    def finish(self):
        """Heals, ends the load, and demands convergence and equal contents. Returns the verdicts."""
        self.heal()
        self.load.finish()
        self.settle()
        self.compare_contents()
        return self.load.judge()

    def close(self):
        if self.load:
            self.load.stop()
        for node in self.nodes:
            if node.id in self.paused and node.up:
                self.resume(node)
        for disk in self.disks.values():
            disk.heal()
        for node in self.nodes:
            node.kill()
        for disk in self.disks.values():
            disk.close()
        if self.proxy:
            self.proxy.close()
        self.network.close()
