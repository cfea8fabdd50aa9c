"""How long a wiped node takes until it has the database again, beside `cp` and `sync` of the same file
on the same disk, and what the writers lose meanwhile. A part of scripts/bench."""
import json
import os
import shutil
import statistics
import subprocess
import time

STEP_MB = 10
FLAGS = ["--log-bytes-max", "4MiB", "--request-timeout-ms", "60000"]
SLICE = ("INSERT INTO big (data) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
         f"WHERE i < {STEP_MB * 100}) SELECT randomblob(10000) FROM n")


def shell(cairn, endpoint, stdin):
    run = subprocess.run([cairn, "shell", endpoint, "--mode", "json", "--timeout-ms", "60000"], input=stdin,
                         capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise SystemExit(f"{endpoint}: {run.stderr}")
    return run.stdout


def grow(cairn, endpoint, megabytes):
    """A large database from small entries, then entries enough to push the others out of the log."""
    shell(cairn, endpoint, "CREATE TABLE big (id INTEGER PRIMARY KEY, data BLOB);")
    for _ in range(megabytes // STEP_MB):
        shell(cairn, endpoint, SLICE + ";")
    shell(cairn, endpoint, "CREATE TABLE filler (data TEXT);")
    shell(cairn, endpoint, "".join(f"INSERT INTO filler VALUES ('{i:01000000d}');\n" for i in range(30)))
    shell(cairn, endpoint, "DELETE FROM filler;")


def copy_seconds(file, target):
    """The file is in the page cache, as the database of a node is that has just written it."""
    subprocess.run(["cat", file], stdout=subprocess.DEVNULL, check=True)
    began = time.monotonic()
    subprocess.run(["cp", file, target], check=True)
    subprocess.run(["sync", target], check=True)
    took = time.monotonic() - began
    os.remove(target)
    subprocess.run(["sync"], check=True)
    return took


def memory_mb_max(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


class CatchUp:
    """The cluster, whose third node is wiped and started again."""

    def __init__(self, cluster, cairn, bench):
        self.cluster, self.cairn, self.bench = cluster, cairn, bench
        self.leader = cluster.leader()
        self.wiped = (self.leader + 1) % 3
        self.database = cluster.directory / f"cairn{self.leader + 1}" / "bench.db"

    def wipe(self):
        self.cluster.kill(self.wiped)
        shutil.rmtree(self.cluster.directory / f"cairn{self.wiped + 1}")
        subprocess.run(["sync"], check=True)

    def start_and_await(self):
        log = self.cluster.directory / f"cairn{self.wiped + 1}.log"
        seen = log.stat().st_size
        began = time.monotonic()
        self.cluster.start(self.wiped)
        while b"snapshot installed" not in log.read_bytes()[seen:]:
            if time.monotonic() - began > 300:
                raise SystemExit(f"the wiped node does not come back; see {log}")
            time.sleep(0.02)
        # Linearizable: the node has all that was acknowledged.
        shell(self.cairn, self.cluster.endpoints[self.wiped], "SELECT count(*) FROM big;")
        return time.monotonic() - began

    def load(self, duration_ms):
        return subprocess.Popen(
            [self.bench, "load", "--target", "cairn-session", "--endpoints", self.cluster.endpoints[self.leader],
             "--op", "write", "--clients", "64", "--warm-up-ms", "200", "--duration-ms", str(duration_ms)],
            stdout=subprocess.PIPE, text=True)

    def written(self, load):
        return json.loads(load.communicate()[0])["per_second"]

    def round(self, index):
        copied = copy_seconds(self.database, self.cluster.directory / "copy.db")
        self.wipe()
        alone = self.start_and_await()
        memory = memory_mb_max(self.cluster.processes[self.wiped].pid)
        duration_ms = int(1000 * max(3, 3 * alone))  # about as long as the catch-up beside the writers
        before = self.written(self.load(duration_ms))
        self.wipe()
        load = self.load(duration_ms)
        loaded = self.start_and_await()
        during = self.written(load)
        return {"round": index, "bytes": os.path.getsize(self.database), "cp_s": copied, "alone_s": alone,
                "memory_mb": memory, "loaded_s": loaded, "writes_before": before, "writes_during": during}


def snapshots(args, cluster, cairn, bench, print_table, results):
    """Fills results["snapshot"], and prints the table. The cluster is new, and has FLAGS."""
    cluster.start_all()
    grow(cairn, cluster.endpoints[cluster.leader()], args.snapshot_mb)
    catch_up = CatchUp(cluster, cairn, bench)
    rounds = [catch_up.round(i) for i in range(args.snapshot_rounds)]
    results["snapshot"] = rounds
    m = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
    lines = [[f"{r['bytes'] / 1e6:,.0f} MB", f"{r['cp_s']:.1f}", f"{r['alone_s']:.1f}",
              f"{r['cp_s'] / r['alone_s']:.2f}", f"{r['memory_mb']:.0f} MB", f"{r['loaded_s']:.1f}",
              f"{r['writes_before']:,.0f}", f"{r['writes_during']:,.0f}",
              f"{r['writes_during'] / r['writes_before']:.2f}"] for r in [*rounds, m]]
    lines[-1][0] = "median"
    print_table("A wiped node gets the database, beside cp and sync of the file (in the page cache), seconds",
                ["database", "cp + sync", "catch-up", "ratio", "most resident", "catch-up beside writers",
                 "writes/s without", "writes/s beside", "ratio"], lines)
