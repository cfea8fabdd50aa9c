"""How the thresholds of the batcher change the writes of 1 to 1,024 clients, on the disk of the machine and
on one whose syncs take longer. A part of scripts/bench; docs/decisions/022-smart-batcher.md tells what
was chosen by it.

Each round starts a cluster of three nodes for each setting, one after the other, so that a noisy moment
hits all of them. A figure is the median over the rounds of the ratio to the default in the same round.
"""
import pathlib
import statistics
import subprocess
import sys

CLIENTS = (1, 4, 16, 64, 256, 1024)
# How much longer a sync takes, in milliseconds: 0 is the disk of the machine.
DISKS = (("fast", 0), ("slow", 8))
# Name, flags, bytes of a value. The first of each size is what the others are compared with.
SETTINGS = (
    ("default", [], 64),
    ("delay 0", ["--batch-delay-us-max", "0"], 64),
    ("delay 0.5 ms", ["--batch-delay-us-max", "500"], 64),
    ("delay 8 ms", ["--batch-delay-us-max", "8000"], 64),
    ("commands 64", ["--batch-commands-max", "64"], 64),
    ("commands 256", ["--batch-commands-max", "256"], 64),
    ("commands 4096", ["--batch-commands-max", "4096"], 64),
    ("in flight 1", ["--batch-entries-in-flight-max", "1"], 64),
    ("in flight 16", ["--batch-entries-in-flight-max", "16"], 64),
    ("default, 8 KiB", [], 8192),
    ("bytes 64 KiB, 8 KiB", ["--batch-bytes-max", "64KiB"], 8192),
    ("bytes 4 MiB, 8 KiB", ["--batch-bytes-max", "4MiB"], 8192),
)
SLOW_SYNC = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static int slow(const char* name, int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  const char* delay = getenv("CAIRN_BENCH_SYNC_MS");
  const struct timespec time = {0, (delay ? atol(delay) : 0) * 1000000L};
  nanosleep(&time, 0);
  return real(fd);
}
int fsync(int fd) { return slow("fsync", fd); }
int fdatasync(int fd) { return slow("fdatasync", fd); }
"""


def build_slow_sync(directory):
    """A library for LD_PRELOAD, by which each sync of a node takes longer."""
    path = pathlib.Path(directory) / "slow_sync.so"
    subprocess.run(["gcc", "-x", "c", "-", "-O1", "-shared", "-fPIC", "-o", path, "-ldl"], input=SLOW_SYNC,
                   text=True, check=True)
    return str(path)


def measure(args, new_cluster, load, directory):
    """The figures by disk, setting and clients: a list of (writes a second, p50 in ms), one a round."""
    library = build_slow_sync(directory)
    figures = {}
    for number in range(args.batcher_rounds):
        for disk, delay_ms in DISKS:
            for name, flags, value_bytes in SETTINGS:
                print(f"\rround {number + 1}/{args.batcher_rounds} {disk} disk, {name:<22}", end="",
                      file=sys.stderr, flush=True)
                place = pathlib.Path(directory) / f"{number}-{disk}-{name.replace(' ', '-')}"
                place.mkdir()
                env = {"LD_PRELOAD": library, "CAIRN_BENCH_SYNC_MS": str(delay_ms)} if delay_ms else {}
                cluster = new_cluster(place, flags, env)
                try:
                    cluster.start_all()
                    leader = cluster.endpoints[cluster.leader()]
                    for clients in CLIENTS:
                        run = load(leader, clients, value_bytes)
                        figures.setdefault((disk, name, clients), []).append(
                            (run["per_second"], run["p50_ms"]))
                finally:
                    cluster.stop()
    print(file=sys.stderr)
    return figures


def show(figures, print_table):
    for disk, delay_ms in DISKS:
        base, lines = "", []
        for name, _, value_bytes in SETTINGS:
            if name.startswith("default"):
                base = name
            line = [name]
            for clients in CLIENTS:
                runs = figures[disk, name, clients]
                if name == base:
                    rate, p50 = (statistics.median(values) for values in zip(*runs))
                    line.append(f"{rate:,.0f}/s, {p50:.1f} ms")
                else:
                    ratios = [run[0] / other[0] for run, other in zip(runs, figures[disk, base, clients])
                              if other[0] > 0]
                    line.append(f"{statistics.median(ratios):.2f}" if ratios else "-")
            lines.append(line)
        longer = f", syncs {delay_ms} ms longer" if delay_ms else ""
        print_table(f"The batcher: single-row writes a second on a {disk} disk{longer}; the default, and ratios to it",
                    ["setting"] + [f"{clients} clients" for clients in CLIENTS], lines)


def batcher(args, new_cluster, load, directory, print_table, results):
    figures = measure(args, new_cluster, load, directory)
    results["batcher"] = [[*key, runs] for key, runs in figures.items()]
    show(figures, print_table)
