"""The data platform: telemetry through three nodes beside one process of SQLite, the change stream, and
writers beside a backup. A part of scripts/bench.

Rounds are interleaved, and figures are medians; a ratio is the median of the ratios within a round.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from bench_snapshot import grow

BACKUP_MB = 400
WRITERS = 64
# Blocks of a request, clients.
BLOCKS, BLOCK_CLIENTS = 8, 16
POINTS, POINT_CLIENTS = 1000, 8


class Platform:
    def __init__(self, args, cluster, cairn, bench, directory):
        self.args, self.cluster, self.cairn, self.bench = args, cluster, cairn, bench
        self.directory = pathlib.Path(directory)
        self.figures = {}

    def run(self, *command):
        done = subprocess.run([str(self.bench), *map(str, command)], capture_output=True, text=True,
                              cwd=self.directory, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr}")
        return json.loads(done.stdout)

    def load(self, op, clients, rows=1, duration_ms=None):
        return self.run("load", "--target", "cairn-client", "--endpoints", ",".join(self.cluster.endpoints),
                        "--op", op, "--clients", clients, "--rows", rows, "--duration-ms",
                        duration_ms or self.args.duration_ms, "--warm-up-ms", self.args.warm_up_ms)["per_second"]

    def note(self, name, figure):
        self.figures.setdefault(name, []).append(figure)

    def median(self, name):
        return statistics.median(self.figures[name])

    def ratio(self, name, other):
        """The median of the ratios within the rounds; the lowest and the highest."""
        ratios = [a / b for a, b in zip(self.figures[name], self.figures[other])]
        return statistics.median(ratios), min(ratios), max(ratios)

    def telemetry(self):
        self.note("plain", self.run("plain-blocks", "--file", self.directory / "plain.db", "--clients",
                                    BLOCK_CLIENTS, "--rows", BLOCKS, "--duration-ms",
                                    self.args.duration_ms)["per_second"])
        self.note("blocks", self.load("blocks", BLOCK_CLIENTS, BLOCKS))
        self.note("blocks-rollups", self.load("blocks-rollups", BLOCK_CLIENTS, BLOCKS))
        self.note("points", self.load("points", POINT_CLIENTS, POINTS))

    def stream(self):
        found = self.run("stream", "--endpoints", ",".join(self.cluster.endpoints), "--duration-ms",
                         self.args.duration_ms)
        self.note("events", found["events_per_second"])

    def writers(self):
        """Writers alone, beside 10 readers of all changes, and beside a backup."""
        self.note("alone", self.load("write", WRITERS))
        # The readers outlast the writers.
        lasts_ms = self.args.duration_ms + self.args.warm_up_ms + 2000
        readers = subprocess.Popen([str(self.bench), "watch", "--endpoints", ",".join(self.cluster.endpoints),
                                    "--watchers", "10", "--duration-ms", str(lasts_ms)],
                                   stdout=subprocess.DEVNULL)
        time.sleep(0.5)  # they connect; the warm-up of the writers is behind it
        self.note("watched", self.load("write", WRITERS))
        readers.wait()

    def beside_backup(self):
        self.note("alone, large", self.load("write", WRITERS))
        # The client stands for another machine: it goes behind all others, and its disk is memory.
        shared = pathlib.Path("/dev/shm")
        place = shared if shared.is_dir() else self.directory
        file = place / f"cairn-bench-{os.getpid()}.db"
        backup = subprocess.Popen(["nice", "-n", "19", "sh", "-c", 'while :; do rm -f "$2"*; "$0" backup "$1" "$2" || exit 1; done',
                                   str(self.cairn), self.cluster.endpoints[self.cluster.leader()], str(file)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            self.note("beside a backup", self.load("write", WRITERS))
            if backup.poll() is not None:
                raise SystemExit("the backup failed")
        finally:
            subprocess.run(["kill", "--", f"-{backup.pid}"], check=False)
            backup.wait()
            for left in place.glob(file.name + "*"):
                left.unlink()

    def measure(self):
        parts = (("telemetry", self.telemetry), ("change stream", self.stream), ("writers", self.writers))
        for number in range(self.args.platform_rounds):
            for name, part in parts:
                print(f"\rround {number + 1}/{self.args.platform_rounds} {name:<15}", end="", file=sys.stderr,
                      flush=True)
                part()
        print(f"\ra database of {BACKUP_MB} MB{'':<20}", end="", file=sys.stderr, flush=True)
        grow(self.cairn, self.cluster.endpoints[self.cluster.leader()], BACKUP_MB)
        for number in range(self.args.platform_rounds):
            print(f"\rround {number + 1}/{self.args.platform_rounds} backup{'':<20}", end="", file=sys.stderr,
                  flush=True)
            self.beside_backup()
        print(file=sys.stderr)

    def table(self):
        def ratio(name, other):
            middle, low, high = self.ratio(name, other)
            return f"{middle:.2f} ({low:.2f} to {high:.2f})"

        def rate(name, unit):
            return f"{self.median(name):,.0f} {unit}/s"
        return [
            ["telemetry as blocks, three nodes", rate("blocks", "points"), "300,000 points/s"],
            ["the same beside one plain SQLite process", ratio("blocks", "plain"), "0.25"],
            ["that process", rate("plain", "points"), "-"],
            ["telemetry as blocks with rollups of 1 m, 1 h, 1 d", rate("blocks-rollups", "points"), "-"],
            ["telemetry as SQL rows", rate("points", "points"), "100,000 points/s"],
            ["change stream to one reader", rate("events", "events"), "50,000 events/s"],
            [f"single-row writes of {WRITERS} clients, nobody watches", rate("alone", "writes"), "-"],
            ["writers beside 10 readers of all changes", ratio("watched", "alone"), "0.9"],
            [f"writers beside a backup of {BACKUP_MB} MB", ratio("beside a backup", "alone, large"), "0.9"],
        ]


def platform(args, cluster, cairn, bench, directory, print_table, results):
    bench_of = Platform(args, cluster, cairn, bench, directory)
    cluster.start_all()
    bench_of.measure()
    results["platform"] = bench_of.figures
    print_table("The data platform", ["what", "measured", "aim"], bench_of.table())
