"""The faults, and the schedule that combines them.

A fault is a generator. It begins, yields its duration in seconds, and ends what it began. The heal
of the schedule repairs what a fault leaves half done (a node that is down).
"""
import dataclasses
import random
import time

import harness
from cluster import Failed, Void
from harness import wait_until

FAULTS = {}


@dataclasses.dataclass
class Fault:
    name: str
    needs: str  # the kind of cluster: "" any, "five", "proxied", "fuse", "clock"
    on: str  # the thing that the fault affects; faults on different things may overlap
    begin: object


def fault(needs="", on="network"):
    def register(function):
        name = function.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, needs, on, function)
        return function
    return register


def likely_leader(cluster, rng):
    """The leader, or any node if no leader is seen. It does not wait, because another fault may be on."""
    return cluster.leader() or rng.choice(cluster.nodes)


# The network.

@fault("five")
def halves(cluster, rng):
    """The smaller half has no majority."""
    ids = rng.sample(cluster.network.ids, len(cluster.nodes))
    small = ids[:len(ids) // 2]
    cluster.network.keep_only([small, ids[len(ids) // 2:]])
    yield rng.uniform(1, 4)


@fault("five")
def leader_alone(cluster, rng):
    leader = likely_leader(cluster, rng).id
    rest = [i for i in cluster.network.ids if i != leader]
    cluster.network.keep_only([[leader], rest])
    yield rng.uniform(1, 4)


@fault("five")
def ring(cluster, rng):
    """Each node hears its two neighbours, so each node has another majority of five."""
    ids = rng.sample(cluster.network.ids, len(cluster.nodes))
    pairs = list(zip(ids, ids[1:] + ids[:1]))
    cluster.network.keep_only(pairs)
    yield rng.uniform(1, 4)


@fault("five")
def bridge(cluster, rng):
    """Two halves that hear each other only through one node."""
    ids = rng.sample(cluster.network.ids, len(cluster.nodes))
    middle = ids[0]
    half = len(ids) // 2 + 1
    cluster.network.keep_only([ids[1:half] + [middle], ids[half:] + [middle]])
    yield rng.uniform(1, 4)


@fault("five")
def one_way(cluster, rng):
    """One node is heard and hears nobody, or the other way round."""
    victim = likely_leader(cluster, rng).id if rng.random() < 0.5 else rng.choice(cluster.network.ids)
    if rng.random() < 0.5:
        cluster.network.cut([victim], cluster.network.ids)
    else:
        cluster.network.cut(cluster.network.ids, [victim])
    yield rng.uniform(1, 4)


@fault("five")
def random_drop(cluster, rng):
    cluster.network.drop_percent = rng.choice([5, 20, 50])
    cluster.network.apply()
    yield rng.uniform(2, 5)


# The streams between the nodes.

@fault("proxied")
def delay(cluster, rng):
    """Each link has its own delay, which may exceed the election timeout."""
    delays = [rng.choice([0.0, 0.01, 0.05, 0.2]) for _ in cluster.proxy.links]

    def set_delay(link, delays=iter(delays)):
        link.delay = next(delays)
    cluster.proxy.change(set_delay)
    yield rng.uniform(2, 5)


@fault("proxied")
def throttle(cluster, rng):
    rate = rng.choice([2_000, 20_000, 200_000])

    def set_rate(link):
        link.bytes_per_second = rate
    cluster.proxy.change(set_rate)
    yield rng.uniform(2, 5)


@fault("proxied")
def reset(cluster, rng):
    """Resets every connection between nodes, again and again."""
    for _ in range(rng.randrange(2, 8)):
        cluster.proxy.change(lambda link: link.reset())
        yield rng.uniform(0.1, 0.8)


# Processes.

@fault(on="process")
def pause(cluster, rng):
    """SIGSTOP for 0.1 to 30 seconds, short ones more often."""
    node = likely_leader(cluster, rng) if rng.random() < 0.7 else rng.choice(cluster.nodes)
    cluster.pause(node)
    yield min(30, 0.1 * 300 ** (rng.random() ** 1.5))
    cluster.resume(node)


def _down(take_down, cluster, nodes, rng):
    take_down(nodes)
    yield rng.uniform(0, 1.5)
    cluster.start(nodes)


def _majority(cluster, rng):
    return rng.sample(cluster.nodes, cluster.majority())


@fault(on="process")
def kill_one(cluster, rng):
    yield from _down(cluster.kill, cluster, [rng.choice(cluster.nodes)], rng)


@fault(on="process")
def kill_leader(cluster, rng):
    yield from _down(cluster.kill, cluster, [likely_leader(cluster, rng)], rng)


@fault(on="process")
def kill_majority(cluster, rng):
    yield from _down(cluster.kill, cluster, _majority(cluster, rng), rng)


@fault(on="process")
def kill_all(cluster, rng):
    yield from _down(cluster.kill, cluster, cluster.nodes, rng)


# Disks.

@fault(on="process")
def power_cut_one(cluster, rng):
    yield from _down(cluster.cut_power, cluster, [rng.choice(cluster.nodes)], rng)


@fault(on="process")
def power_cut_leader(cluster, rng):
    yield from _down(cluster.cut_power, cluster, [likely_leader(cluster, rng)], rng)


@fault(on="process")
def power_cut_majority(cluster, rng):
    yield from _down(cluster.cut_power, cluster, _majority(cluster, rng), rng)


@fault(on="process")
def power_cut_all(cluster, rng):
    yield from _down(cluster.cut_power, cluster, cluster.nodes, rng)


@fault(on="disk")
def disk_full(cluster, rng):
    """Leaves no space at all. The node must live."""
    node = likely_leader(cluster, rng) if rng.random() < 0.7 else rng.choice(cluster.nodes)
    cluster.disks[node.id].fill()
    yield rng.uniform(2, 5)
    cluster.disks[node.id].heal()


@fault(on="disk")
def disks_full(cluster, rng):
    """Fills all disks at once, so no node can take writes. All nodes must live, and go on afterwards."""
    for disk in cluster.disks.values():
        disk.fill(leave_bytes=rng.choice([0, 0, 1 << 20, 6 << 20]))
    yield rng.uniform(2, 4)
    for disk in cluster.disks.values():
        disk.heal()


@fault(on="everything")
def restart_on_full_disk(cluster, rng):
    """The node starts on the full disk. If SQLite has not even room for its shared memory, the node
    reports that, and starts once there is room."""
    node = likely_leader(cluster, rng)
    cluster.disks[node.id].fill()
    yield rng.uniform(0, 2)
    node.process.kill()
    node.kill()
    cluster.may_end.add(node.id)
    node.start(wait=False)
    yield rng.uniform(1, 3)
    if not node.up and not any(why in node.log[-300:] for why in ("No space left", "is full")):
        raise Failed(f"node {node.id} does not start on a full disk for another reason: "
                     f"{node.log[-1000:]}")
    cluster.disks[node.id].heal()


def _disk_fault(cluster, rng, name, value="", ends_node=False):
    node = likely_leader(cluster, rng) if rng.random() < 0.6 else rng.choice(cluster.nodes)
    if ends_node:
        cluster.may_end.add(node.id)
    cluster.disks[node.id].set_fault(name, value)
    yield rng.uniform(2, 6)
    cluster.disks[node.id].heal()


@fault("fuse", on="disk")
def write_error(cluster, rng):
    yield from _disk_fault(cluster, rng, "write-eio", ends_node=True)


@fault("fuse", on="disk")
def sync_error(cluster, rng):
    yield from _disk_fault(cluster, rng, "fsync-eio", ends_node=True)


@fault("fuse", on="disk")
def no_space(cluster, rng):
    """ENOSPC for every file that grows, although the file system reports free space."""
    yield from _disk_fault(cluster, rng, "write-full")


@fault("fuse", on="process")
def read_error(cluster, rng):
    """Reads fail from the start of a process on, because later reads mostly hit the memory."""
    node = rng.choice(cluster.nodes)
    cluster.kill([node])
    cluster.disks[node.id].set_fault("read-eio")
    node.start(wait=False)
    yield rng.uniform(1, 3)
    cluster.disks[node.id].heal()


@fault("fuse", on="disk")
def slow_sync(cluster, rng):
    yield from _disk_fault(cluster, rng, "fsync-slow", rng.choice([20, 100, 500]))


@fault("fuse", on="disk")
def hung_sync(cluster, rng):
    yield from _disk_fault(cluster, rng, "fsync-hang")


@fault("fuse", on="disk")
def hung_syncs_of_a_majority(cluster, rng):
    """Nobody can commit during the fault. Afterwards all nodes go on."""
    for node in _majority(cluster, rng):
        cluster.disks[node.id].set_fault("fsync-hang")
    yield rng.uniform(1, 4)
    for disk in cluster.disks.values():
        disk.heal()


@fault("fuse", on="everything")
def lying_sync(cluster, rng):
    """The syncs of one node do nothing, then its power is cut: it has lost what it vouched for. That
    is more than Raft promises to survive if another node lags or fails meanwhile, so the node comes
    back only when the others have settled without it. Then it may have lost so much that it refuses
    to start, and says why; its disk is replaced, as an operator would do."""
    node = likely_leader(cluster, rng) if rng.random() < 0.5 else rng.choice(cluster.nodes)
    cluster.disks[node.id].set_fault("fsync-lie")
    yield rng.uniform(1, 4)
    cluster.cut_power([node])
    others = [other for other in cluster.nodes if other is not node]

    def settled():
        statuses = [other.status() for other in others]
        return all(statuses) and len({s["applied"] for s in statuses}) == 1 or None
    wait_until(lambda: any(other.leads() for other in others), "the others elect")
    if not cluster.load.await_answers(50, 30):
        raise Void("the others took no load")
    wait_until(settled, "the others hold the same", 30)
    listening = node.log.count(" serving on ")
    node.start(wait=False)
    wait_until(lambda: not node.up or node.log.count(" serving on ") > listening,
               "the node starts or refuses to")
    yield 2
    if not node.up:
        cluster.disks[node.id].wipe()
        cluster.start([node])
    cluster.may_end.discard(node.id)


# Clocks.

@fault("clock", on="clock")
def clock_jump(cluster, rng):
    for _ in range(rng.randrange(2, 5)):
        for node in cluster.nodes:
            cluster.set_clock(node, rng.choice([0, -30, 30, 3600, -7200, 86400, -400 * 86400]))
        yield rng.uniform(0.3, 1.5)


# Members.

@fault(on="everything")
def member_wiped(cluster, rng):
    """A node comes back with an empty disk, and is admitted anew."""
    node = rng.choice(cluster.nodes)
    cluster.kill([node])
    cluster.disks[node.id].wipe()
    yield rng.uniform(0, 1)
    cluster.start([node])
    wait_until(lambda: (node.status() or {}).get("stage") == "started", "the wiped node is let in", 60)


@fault(on="everything")
def restart_in_snapshot(cluster, rng):
    """A node that the log can no longer help is killed while it receives the database, and so is the
    sender."""
    leader = cluster.await_leader()
    node = rng.choice([other for other in cluster.nodes if other is not leader])
    cluster.kill([node])
    bulk = ("CREATE TABLE IF NOT EXISTS bulk (id INTEGER PRIMARY KEY, data BLOB)",
            *["INSERT INTO bulk (data) VALUES (randomblob(900000))"] * 40,
            *[f"INSERT INTO bulk (data) VALUES ('{i:0900000d}')" for i in range(12)])
    # Makes a large database from small entries, then long entries, which push the others out of the log.
    harness.run_cairn("shell", leader.address, "--timeout-ms", "20000",
                      stdin="".join(f"{sql};\n" for sql in bulk))
    yield 1
    node.start(wait=False)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and "receiving snapshot" not in node.log:
        yield 0.01
    cluster.may_end.add(node.id)
    cluster.kill([node])
    if rng.random() < 0.5 and leader.up:
        cluster.kill([leader])
        yield 0.3
        cluster.start([leader])
    cluster.start([node])


# The schedule.

class Begun:
    """A fault in progress. `next_at` is when it continues or ends."""

    def __init__(self, which, cluster, rng):
        self.which = which
        self.steps = which.begin(cluster, rng)
        self.next_at = time.monotonic()

    def go_on(self):
        """Continues the fault. False once the fault has ended."""
        try:
            self.next_at = time.monotonic() + next(self.steps)
            return True
        except StopIteration:
            return False


def apply_faults(cluster, faults, rng, record):
    """Begins all faults, some time apart. Returns when all have ended and are healed."""
    begun = []
    for which in faults:
        record(which.name, "begins")
        begun.append(Begun(which, cluster, rng))
    while begun:
        begun.sort(key=lambda each: each.next_at)
        first = begun[0]
        time.sleep(max(0, min(0.2, first.next_at - time.monotonic())))
        cluster.check_alive()
        if first.next_at <= time.monotonic() and not first.go_on():
            record(first.which.name, "ends")
            begun.remove(first)
    cluster.heal()
    record("all", "healed")


class Deck:
    """Deals faults so that each kind comes equally often."""

    def __init__(self, seed, only=()):
        self.rng = random.Random(seed)
        unknown = set(only) - set(FAULTS)
        if unknown:
            raise ValueError(f"unknown faults {sorted(unknown)}; there are {sorted(FAULTS)}")
        self.dealt = {name: 0 for name in FAULTS if not only or name in only}

    def deal(self, needs, own, general):
        """Deals `own` faults, which only this kind of cluster allows, and `general` faults, shuffled."""
        names = self._least_dealt(own, lambda f: f.needs == needs and needs)
        names += self._least_dealt(general, lambda f: not f.needs)
        self.rng.shuffle(names)
        return [FAULTS[name] for name in names]

    def _least_dealt(self, count, fits):
        fitting = [name for name in self.dealt if fits(FAULTS[name])]
        self.rng.shuffle(fitting)
        fitting.sort(key=lambda name: self.dealt[name])
        for name in fitting[:count]:
            self.dealt[name] += 1
        return fitting[:count]


def group(faults, rng):
    """Groups the faults in order, often two or three on different things at once."""
    steps = []
    rest = list(faults)
    while rest:
        step = [rest.pop(0)]
        while rest and rng.random() < 0.5 and rest[0].on not in {each.on for each in step} \
                and "everything" not in (step[0].on, rest[0].on):
            step.append(rest.pop(0))
        steps.append(step)
    return steps
