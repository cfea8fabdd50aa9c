#!/usr/bin/env python3
"""Tests real servers with real faults, and judges what their clients saw. See README.md here.

    tests/cluster/run.py [KIND ...] [--seed N] [--json FILE]

KIND: nemesis, power-cuts, failover, planted, or all (default).
Needs root. Ends with 77 if root or a tool is missing.
"""
import argparse
import contextlib
import json
import math
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import cluster as clusters
import disks
import harness
import isolate
import nemesis
import network
from cluster import Cluster, Failed, Void
from harness import wait_until

SKIPPED = 77
# Required before each fault. A run that does not reach it within a bound is void.
FLOOR_PER_SECOND = 50
RATE_PER_SECOND = 400
ATTEMPTS = 3  # of a void run
# One after the other. Each has faults that the others do not have.
SETUPS = [("five", {"count": 5}), ("proxied", {"proxied": True}), ("fuse", {"fuse": True}),
          ("clock", {"clock": True}), ("", {})]
FLAGS = ["--log-bytes-max", "4MiB", "--free-bytes-min", "8MiB"]


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def missing():
    """The reason why these tests can not run here; empty if they can."""
    if os.geteuid() != 0:
        return "network namespaces and mounts need root"
    for tool in ("ip", "nft", "nsenter", "mkfs.ext4", "mount"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    for program in (clusters.LOAD, clusters.CHECK):
        if not program.exists():
            return f"{program} is not built"
    return ""


@contextlib.contextmanager
def new_directory():
    with tempfile.TemporaryDirectory(dir=isolate.DIRECTORY) as directory:
        yield pathlib.Path(directory)


def check_kernel():
    """Tries in the namespaces what the runs need from the kernel. Returns why not, or an empty text."""
    with new_directory() as directory:
        try:
            net = network.Network(2, lambda i, j: 1)
            net.drop_percent = 1
            net.apply()
            net.close()
            disk = disks.Disk(directory, "probe")
            disk.cut_power()
            disk.close()
        except (OSError, RuntimeError) as error:
            return str(error).splitlines()[0]
    return ""


def no_fuse():
    """The reason why the faults of the FUSE file system are not available here."""
    if not disks.FAULT_FS.exists():
        return f"{disks.FAULT_FS.name} is not built (needs libfuse3-dev)"
    return "" if os.path.exists("/dev/fuse") else "there is no /dev/fuse"


@contextlib.contextmanager
def new_cluster(**options):
    with new_directory() as directory:
        made = None
        try:
            made = Cluster(directory, flags=FLAGS, **options)
            yield made
        except (Failed, AssertionError) as error:
            if "CAIRN_PLANT" not in os.environ:
                keep(directory, error)
            raise
        finally:
            if made:
                made.close()


def keep(directory, error):
    """Keeps logs and histories for a person to read. Everything else ends with this process."""
    kept = pathlib.Path(tempfile.mkdtemp(prefix="cairn-cluster."))
    (kept / "why").write_text(str(error) + "\n", encoding="utf-8")
    for path in [*directory.glob("*.log"), *directory.glob("nemesis.jsonl"),
                 *directory.glob("history/*")]:
        shutil.copy(path, kept)
    say(f"logs and histories are kept in {kept}")


def not_void(run, summary):
    """Returns the result of the run. Repeats a void run, up to ATTEMPTS times."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return run()
        except Void as why:
            summary["void_runs"] += 1
            say(f"void, attempt {attempt} of {ATTEMPTS}: {why}")
    raise Failed(f"{ATTEMPTS} attempts were void")


def count_operations(load):
    ok, fail, info = load.counts()
    return {"ok": ok, "fail": fail, "info": info, "all": ok + fail + info}


class Recording:
    """Records what the nemesis did, as events that the checkers skip."""

    def __init__(self, path):
        self.path = path

    def __call__(self, fault, what):
        say(f"  {fault} {what}")
        with open(self.path, "a", encoding="ascii") as file:
            event = {"type": "info", "process": "nemesis", "f": fault, "value": what,
                     "time": time.monotonic_ns()}
            file.write(json.dumps(event) + "\n")


def nemesis_run(seed, needs, options, faults, operations_min):
    """Records one history under the given faults. Returns its report."""
    rng = random.Random(seed)
    with new_cluster(**options) as cluster:
        load = cluster.start_load(seed, RATE_PER_SECOND)
        record = Recording(cluster.directory / "nemesis.jsonl")
        for step in nemesis.group(faults, rng):
            load.await_floor(FLOOR_PER_SECOND)
            nemesis.apply_faults(cluster, step, rng, record)
        load.await_floor(FLOOR_PER_SECOND)
        until = time.monotonic() + operations_min / FLOOR_PER_SECOND
        while load.operations() < operations_min:
            if time.monotonic() > until:
                raise Void(f"only {load.operations()} operations of {operations_min}")
            time.sleep(0.2)
        verdicts = cluster.finish()
        counts = count_operations(load)
    return {"seed": seed, "cluster": needs or "plain", "nodes": options.get("count", 3),
            "faults": [each.name for each in faults], "operations": counts, "verdicts": verdicts}


def run_nemesis(args, summary):
    deck = nemesis.Deck(args.seed, args.faults)
    setups = [(needs, options) for needs, options in SETUPS if needs != "fuse" or not no_fuse()]
    if no_fuse():
        summary["skipped"].append(f"faults of the FUSE file system: {no_fuse()}")
    if args.faults:
        wanted = {nemesis.FAULTS[name].needs for name in args.faults}
        setups = [setup for setup in setups if setup[0] in wanted]
    for number in range(args.runs):
        needs, options = setups[number % len(setups)]
        faults = deck.deal(needs, own=4, general=3 if needs else 5)
        seed = args.seed + number
        say(f"nemesis run {number + 1} of {args.runs}, seed {seed}, {needs or 'plain'}: "
            + ", ".join(each.name for each in faults))
        result = not_void(lambda: nemesis_run(seed, needs, options, faults, args.operations), summary)
        say(f"  {result['operations']}, all {len(result['verdicts'])} verdicts valid")
        summary["histories"].append(result)
    done = [result["operations"]["all"] for result in summary["histories"]]
    summary["totals"] = {
        "histories": len(done), "operations": sum(done), "operations_min": min(done, default=0),
        "acknowledged": sum(result["operations"]["ok"] for result in summary["histories"]),
        "verdicts_valid": sum(len(result["verdicts"]) for result in summary["histories"])}
    summary["faults"] = {name: count for name, count in sorted(deck.dealt.items()) if count}


def power_cut_run(seed, cuts, nodes=3):
    rng = random.Random(seed)
    done = {"one": 0, "leader": 0, "majority": 0, "all": 0}
    with new_cluster(count=nodes) as cluster:
        load = cluster.start_load(seed, RATE_PER_SECOND)
        load.await_floor(FLOOR_PER_SECOND)
        for number in range(cuts):
            which = rng.choice(["one", "leader", "majority", "all", "all"])
            victims = {"one": lambda: [rng.choice(cluster.nodes)],
                       "leader": lambda: [cluster.await_leader()],
                       "majority": lambda: rng.sample(cluster.nodes, cluster.majority()),
                       "all": lambda: cluster.nodes}[which]()
            time.sleep(rng.random() * 0.3)  # the moment of the cut is random
            cluster.check_alive()
            cluster.cut_power(victims)
            cluster.start(victims)
            done[which] += 1
            # Fewer than the floor demands, but after every single cut.
            if not load.await_answers(FLOOR_PER_SECOND, clusters.SETTLE_SECONDS):
                raise Failed(f"no load was taken after power cut {number + 1}: "
                             f"{[node.status() for node in cluster.nodes]}")
            if number % 10 == 9:
                say(f"  {number + 1} power cuts, {load.operations()} operations")
        load.await_floor(FLOOR_PER_SECOND)
        verdicts = cluster.finish()
        counts = count_operations(load)
    return {"seed": seed, "nodes": nodes, "cuts": cuts, "of": done, "operations": counts,
            "verdicts": verdicts, "acknowledged_writes_lost": 0}


def run_power_cuts(args, summary):
    summary["power_cuts"] = []
    for nodes, cuts in ((3, args.cuts), (1, max(1, args.cuts // 3))):
        say(f"{cuts} power cuts of a cluster of {nodes}, seed {args.seed}")
        result = not_void(lambda: power_cut_run(args.seed, cuts, nodes), summary)
        say(f"  {result['of']}, {result['operations']}, nothing acknowledged is lost")
        summary["power_cuts"].append(result)
    summary["power_cuts_total"] = sum(result["cuts"] for result in summary["power_cuts"])


class AcknowledgedWrites:
    """Follows a history file, for the first acknowledged write that began after a moment."""

    def __init__(self, path):
        self.file = open(path, encoding="utf-8")
        self.part = ""
        self.invoked = {}

    def first_after(self, moment_ns, seconds):
        """Returns the nanoseconds from the moment to the acknowledgement."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.part += self.file.read()
            *lines, self.part = self.part.split("\n")
            for line in lines:
                event = json.loads(line)
                if event["type"] == "invoke":
                    self.invoked[event["process"]] = event["time"]
                elif event["type"] == "ok" and event["f"] == "add":
                    if self.invoked[event["process"]] >= moment_ns:
                        return event["time"] - moment_ns
            time.sleep(0.01)
        raise Failed(f"no write was acknowledged within {seconds} s of the fault")


def percentile(values, percent):
    values = sorted(values)
    return values[max(0, math.ceil(len(values) * percent / 100) - 1)]


def kill_now(cluster, leader):
    cluster.may_end.add(leader.id)
    leader.process.kill()


# Each is in force when the call returns. The measurement begins then.
FAILOVERS = {
    "kill": kill_now,
    "pause": lambda cluster, leader: cluster.pause(leader),
    "cut": lambda cluster, leader: cluster.network.isolate(leader.id),
    "hung_disk": lambda cluster, leader: cluster.disks[leader.id].set_fault("fsync-hang"),
}


# Slower than this is worth a look: the logs of the round are shown.
SLOW_MS = {"kill": 800, "pause": 1000, "cut": 1000, "hung_disk": 3000}


def failover_round(cluster, load, kind):
    """Returns milliseconds, and the logs of that time."""
    load.await_floor(FLOOR_PER_SECOND)
    cluster.settle_followers()
    writes = AcknowledgedWrites(load.directory / "set.jsonl")
    leader = cluster.await_leader()
    lengths = {node.id: len(node.log) for node in cluster.nodes}
    FAILOVERS[kind](cluster, leader)
    took_ms = writes.first_after(time.monotonic_ns(), 30) / 1e6
    writes.file.close()
    logs = {node.id: node.log[lengths[node.id]:] for node in cluster.nodes}
    wait_until(lambda: any(node.leads() for node in cluster.nodes if node is not leader and node.up),
               "another leader")
    cluster.heal()
    return took_ms, leader.id, logs


def failover_run(seed, kind, rounds):
    times = []
    disturbed = 0
    with new_cluster(fuse=kind == "hung_disk") as cluster:
        load = cluster.start_load(seed, RATE_PER_SECOND, only=["set"])
        while len(times) < rounds:
            took_ms, led, logs = failover_round(cluster, load, kind)
            # The disk of the machine itself stood still for a second where no fault was: the others
            # could not elect, which says nothing of them.
            if any("the disk does not answer" in log for i, log in logs.items() if i != led):
                disturbed += 1
                say(f"  a round of {took_ms:.0f} ms is void: the machine's own disk hung")
                if disturbed > rounds:
                    raise Void("the machine's own disk hangs all the time")
                continue
            times.append(took_ms)
            if took_ms > SLOW_MS[kind]:
                say(f"  round {len(times)} took {took_ms:.0f} ms; node {led} led")
                print("\n".join(logs.values()))
        cluster.finish()
    return {"rounds": rounds, "void_rounds": disturbed, "p50_ms": round(percentile(times, 50)),
            "p99_ms": round(percentile(times, 99)), "max_ms": round(max(times)),
            "all_ms": [round(each) for each in times]}


# Of an idle machine; a busy one may miss them, which fails nothing.
AIMS_P99_MS = {"kill": 800, "hung_disk": 3000}


def run_failover(args, summary):
    summary["failover"] = {}
    for kind in FAILOVERS:
        if kind == "hung_disk" and no_fuse():
            summary["skipped"].append(f"failover from a hung disk: {no_fuse()}")
            continue
        rounds = args.failovers
        say(f"failover, {kind}, {rounds} times")
        result = not_void(lambda: failover_run(args.seed, kind, rounds), summary)
        if kind in AIMS_P99_MS:
            result["aim_p99_ms"] = AIMS_P99_MS[kind]
            result["met"] = result["p99_ms"] <= AIMS_P99_MS[kind]
        say(f"  p50 {result['p50_ms']} ms, p99 {result['p99_ms']} ms, worst {result['max_ms']} ms")
        summary["failover"][kind] = result


def wide_partitions(seed):
    return nemesis_run(seed, "five", {"count": 5}, [nemesis.FAULTS[name] for name in (
        "leader-alone", "halves", "pause", "one-way")], 2000)


def paused_leaders(seed):
    return nemesis_run(seed, "", {}, [nemesis.FAULTS["pause"]] * 6, 2000)


def failing_disk(seed):
    return nemesis_run(seed, "fuse", {"fuse": True}, [nemesis.FAULTS[name] for name in (
        "sync-error", "power-cut-all", "sync-error", "kill-all")], 2000)


# Planted bugs (sim/plants), and the faults that must uncover them.
PLANTS = {
    "ack_before_sync": lambda seed: power_cut_run(seed, 15),
    "retry_applied_twice": lambda seed: power_cut_run(seed, 15),
    "read_before_apply": lambda seed: power_cut_run(seed, 15),
    "log_compacted_past_the_file": lambda seed: power_cut_run(seed, 15),
    "failed_sync_ignored": failing_disk,
    "timeout_taken_for_not_applied": wide_partitions,
    "read_without_quorum": paused_leaders,
}
PLANTED_ATTEMPTS = 6


def run_planted(args, summary):
    """Shows that the instrument works: each bug is caught within a few runs, as a broken promise."""
    program = harness.ROOT / "build-plants" / "build" / "cairn"
    if not program.exists():
        summary["skipped"].append("planted bugs: build-plants/build/cairn is not built")
        return
    summary["planted"] = {}
    honest = harness.CAIRN
    for plant, run in PLANTS.items():
        harness.CAIRN, os.environ["CAIRN_PLANT"] = str(program), plant
        try:
            caught = next((attempt for attempt in range(1, PLANTED_ATTEMPTS + 1)
                           if is_caught(plant, run, args.seed + attempt)), 0)
        finally:
            harness.CAIRN = honest
            del os.environ["CAIRN_PLANT"]
        if not caught:
            raise Failed(f"the planted bug {plant} was not caught in {PLANTED_ATTEMPTS} runs")
        say(f"  {plant} was caught by run {caught}")
        summary["planted"][plant] = caught


def is_caught(plant, run, seed):
    say(f"planted {plant}, seed {seed}")
    try:
        run(seed)
        return False
    except Void:
        return False
    except (Failed, AssertionError) as error:
        say("  " + str(error).replace("\n", " ")[:300])
        return True


KINDS = {"nemesis": run_nemesis, "power-cuts": run_power_cuts, "failover": run_failover,
         "planted": run_planted}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kinds", nargs="*", default=[], metavar="KIND",
                        help=f"of {', '.join(KINDS)}, all")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--runs", type=int, default=12, help="histories of the nemesis")
    parser.add_argument("--operations", type=int, default=5000, help="at least so many in a history")
    parser.add_argument("--faults", type=lambda text: text.split(","), default=[],
                        help="the nemesis draws from these alone: " + ", ".join(nemesis.FAULTS))
    parser.add_argument("--cuts", type=int, default=60, help="power cuts")
    parser.add_argument("--failovers", type=int, default=50, help="of each kind")
    parser.add_argument("--json", help="writes what was done and measured")
    args = parser.parse_args()
    unknown = set(args.kinds) - set(KINDS) - {"all"}
    if unknown:
        parser.error(f"unknown kind {', '.join(sorted(unknown))}")
    if not args.kinds or "all" in args.kinds:
        args.kinds = list(KINDS)
    return args


def main():
    args = parse_arguments()
    why = missing()
    if not why:
        try:
            isolate.enter()
            why = check_kernel()
        except OSError as error:
            why = str(error)
    if why:
        print(f"skipped: {len(args.kinds)} of {len(args.kinds)} ({', '.join(args.kinds)}): {why}")
        sys.exit(SKIPPED)
    begun = time.monotonic()
    summary = {"seed": args.seed, "kinds": args.kinds, "skipped": [], "void_runs": 0, "histories": [],
               "load_floor_per_second": FLOOR_PER_SECOND, "passed": False}
    try:
        for kind in args.kinds:
            KINDS[kind](args, summary)
        summary["passed"] = True
    except (Failed, AssertionError, RuntimeError, OSError) as error:
        traceback.print_exc()
        summary["error"] = f"{type(error).__name__}: {error}"
        say(f"FAILED; again with: tests/cluster/run.py {' '.join(sys.argv[1:])} --seed {args.seed}")
    summary["seconds"] = round(time.monotonic() - begun)
    for reason in summary["skipped"]:
        say(f"skipped: {reason}")
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(summary, indent=1) + "\n", encoding="ascii")
    sys.exit(0 if summary["passed"] else 1)


if __name__ == "__main__":
    main()
