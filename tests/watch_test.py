"""cairn watch: changes of a cluster, as a program and a person read them."""
import json
import shutil
import signal
import subprocess
import threading

import harness
from harness import CAIRN, CairnTest, run_cairn, wait_until


class Watch:
    """A `cairn watch` that runs, and the lines that it has printed."""

    def __init__(self, addresses, *flags):
        self.process = subprocess.Popen(
            [CAIRN, "watch", ",".join(addresses), *flags], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.lines = []
        self.errors = ""
        self.readers = [threading.Thread(target=self.read_lines),
                        threading.Thread(target=self.read_errors)]
        for reader in self.readers:
            reader.start()

    def read_lines(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def read_errors(self):
        self.errors = self.process.stderr.read()

    def await_line(self, text):
        return wait_until(lambda: next((line for line in self.lines if text in line), None),
                          f"a line with {text} in {self.lines[-5:]}")

    def events(self):
        return [json.loads(line) for line in self.lines]

    def interrupt(self):
        """Gives the exit status and what the watch says on standard error."""
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def end(self):
        status = self.process.wait(timeout=harness.BOUND_SECONDS)
        for reader in self.readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return status, self.errors


class ChangesOfACluster(CairnTest):
    def setUp(self):
        super().setUp()
        self.watches = []

    def tearDown(self):
        for watch in self.watches:
            if watch.process.poll() is None:
                watch.process.kill()
                watch.end()
        super().tearDown()

    def watch(self, nodes, *flags):
        """A watch that has begun: it has told a first change, of the table `begun`."""
        watch = Watch([node.address for node in nodes], *flags)
        self.watches.append(watch)
        return watch

    def begin(self, node, watch):
        """Writes until the watch tells of it."""
        def told():
            node.sql("INSERT INTO begun DEFAULT VALUES")
            return any("begun" in line for line in watch.lines)
        wait_until(told, "the watch begins")

    def test_values_keys_and_conditions(self):
        node = self.new_cluster(1)[0]
        node.sql("CREATE TABLE begun (id INTEGER PRIMARY KEY)")
        node.sql("CREATE TABLE points (id INTEGER PRIMARY KEY, temp REAL, site TEXT)")
        json_watch = self.watch([node], "--json")
        hot = self.watch([node], "--table", "POINTS", "--table", "begun", "--where", "id > 0",
                         "--op", "insert,update")
        self.begin(node, json_watch)
        self.begin(node, hot)
        node.shell("INSERT INTO points VALUES (7, 31.5, 'a')", "UPDATE points SET temp = 32",
                   "DELETE FROM points", "CREATE TABLE other (x)", "DROP TABLE other",
                   "INSERT INTO points VALUES (8, NULL, 'end')")
        json_watch.await_line('"end"')
        hot.await_line("site=end")
        about = [event for event in json_watch.events() if event.get("table") in ("points", "other")]
        self.assertEqual([event["kind"] for event in about],
                         ["insert", "update", "delete", "schema", "schema", "insert"])
        self.assertEqual(about[0]["new"], {"id": 7, "temp": 31.5, "site": "a"})
        self.assertEqual(about[0]["key"], ["id"])
        self.assertEqual(about[1]["changed"], ["temp"])
        self.assertEqual(about[1]["old"]["temp"], 31.5)
        self.assertEqual(about[2]["old"], {"id": 7, "temp": 32.0, "site": "a"})
        self.assertEqual([event["change"] for event in about[3:5]], ["created", "dropped"])
        plain = [line.split("  ", 1)[1] for line in hot.lines if "points" in line]
        self.assertEqual(plain, ["insert points  id=7  temp=31.5  site=a",
                                 "update points  id=7  temp: 31.5 -> 32.0",
                                 "insert points  id=8  temp=NULL  site=end"])
        status, errors = hot.interrupt()
        self.assertEqual(status, 0, errors)
        self.assertRegex(errors, r"^to go on: --from \d+\.\d+\n$")

    def test_a_watch_of_one_table_is_told_of_renames(self):
        node = self.new_cluster(1)[0]
        node.sql("CREATE TABLE begun (id INTEGER PRIMARY KEY)")
        node.sql("CREATE TABLE rn (i INTEGER PRIMARY KEY)")
        plain = self.watch([node], "--table", "begun", "--table", "RN")
        in_json = self.watch([node], "--table", "begun", "--table", "rn", "--json")
        every = self.watch([node], "--json")
        for watch in (plain, in_json, every):
            self.begin(node, watch)
        self.assert_passes(node.shell(
            "INSERT INTO rn VALUES (1)", "ALTER TABLE rn RENAME TO rn_old",
            "BEGIN", "CREATE TABLE fresh (i INTEGER PRIMARY KEY, x)", "INSERT INTO fresh SELECT i, 'x' FROM rn_old",
            "ALTER TABLE fresh RENAME TO rn", "COMMIT", "INSERT INTO rn VALUES (2, 'last')"))
        plain.await_line("last")
        in_json.await_line("last")
        every.await_line("last")
        told = [line.split("  ", 1)[1].split(": CREATE")[0] for line in plain.lines if "rn" in line]
        self.assertEqual(told, ["insert rn  i=1", "altered table rn_old (renamed from rn)",
                                "altered table rn (renamed from fresh, its rows were not told: begin anew with a "
                                "snapshot)", "insert rn  i=2  x=last"])
        renames = [event for event in in_json.events() if "renamed_from" in event]
        self.assertEqual([(event["name"], event["renamed_from"], event.get("begin_anew")) for event in renames],
                         [("rn_old", "rn", None), ("rn", "fresh", True)])
        self.assertEqual([event.get("begin_anew") for event in every.events() if "renamed_from" in event], [None, None])

    def test_a_condition_that_is_not_valid_is_refused(self):
        node = self.new_cluster(1)[0]
        node.sql("CREATE TABLE points (id INTEGER PRIMARY KEY, temp REAL)")
        watch = self.watch([node], "--table", "points", "--where", "humidity > 1")
        status, errors = watch.end()
        self.assertEqual(status, 1)
        self.assertIn("no such column: humidity", errors)

    def test_a_time_series_tells_its_series(self):
        nodes = self.new_cluster(3)
        leader = self.await_leader()
        leader.sql("CREATE TABLE begun (id INTEGER PRIMARY KEY)")
        leader.sql("CREATE VIRTUAL TABLE m USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, v REAL, rollups='1m')")
        every = self.watch([leader], "--json", "--table", "m", "--table", "begun")
        self.begin(leader, every)
        some = self.watch([node for node in nodes if node is not leader], "--table", "m", "--op", "points",
                          "--where", "device = 'b' AND last_time > 5000")

        def told():
            leader.sql("INSERT OR REPLACE INTO m VALUES('b', 6000, 1)")
            return any("last_time=6000" in line for line in some.lines)
        wait_until(told, "the watch begins")
        node = next(node for node in nodes if node is not leader)
        self.assertEqual(run_cairn("watch", "retain", "m", "1h", "--node", leader.address).returncode, 0)
        leader.shell("INSERT INTO m VALUES('a', 1000, 1), ('b', 2000, 2), ('a', 3000, 3)",
                     "INSERT INTO m VALUES('b', 9000, 1), ('b', 7000, 1)", "DELETE FROM m WHERE ts < 2500",
                     "INSERT INTO begun VALUES(99)")
        every.await_line('"id":99')
        events = [event for event in every.events() if event["kind"] == "points"][-5:]
        self.assertEqual([(event["new"]["device"], event["new"]["first_time"], event["new"]["last_time"])
                          for event in events],
                         [("a", 1000, 3000), ("b", 2000, 2000), ("b", 7000, 9000), ("b", 2000, 2000),
                          ("a", 1000, 1000)])
        self.assertEqual(events[0]["key"], ["device"])
        some.await_line("points m  device=b  first_time=7000  last_time=9000")
        self.assertFalse([line for line in some.lines if "device=a" in line or "last_time=2000" in line])
        # From the database, after a restart of all nodes.
        position = events[0]["position"]
        for each in nodes:
            each.kill()
        for each in nodes:
            each.start()
        self.await_leader()
        again = self.watch([node], "--json", "--table", "m", "--from", position)
        again.await_line('"first_time":7000')
        wait_until(lambda: len([e for e in again.events() if e["kind"] == "points"]) == 4, "all come again")
        self.assertEqual([e["new"] for e in again.events() if e["kind"] == "points"], [e["new"] for e in events[1:]])

    def test_a_condition_on_the_values_of_a_time_series_is_refused(self):
        node = self.new_cluster(1)[0]
        node.sql("CREATE VIRTUAL TABLE m USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, v REAL)")
        watch = self.watch([node], "--table", "m", "--where", "v > 1")
        status, errors = watch.end()
        self.assertEqual(status, 1)
        self.assertIn("no such column: v", errors)

    def test_snapshot_and_the_changes_after_it_give_the_table(self):
        nodes = self.new_cluster(3)
        nodes[0].sql("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        nodes[0].sql("INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                     "WHERE i < 2000) SELECT i, hex(zeroblob(50)) FROM n")
        load = threading.Thread(target=lambda: [
            nodes[0].sql(f"UPDATE t SET v = 'x{i}' WHERE id % 7 = {i % 7}; "
                         f"DELETE FROM t WHERE id = {i}; INSERT INTO t VALUES ({i + 5000}, 'n')")
            for i in range(1, 15)])
        load.start()
        watch = self.watch([nodes[1]], "--json", "--from", "snapshot", "--table", "t")
        load.join()
        nodes[0].sql("INSERT INTO t VALUES (9999, 'end')")
        watch.await_line('"v":"end"')
        table = {}
        for event in watch.events():
            if event["kind"] == "snapshot_begin":
                table = {}
            if "old" in event:
                self.assertEqual(table.pop(event["old"]["id"]), event["old"]["v"])
            if "new" in event:
                table[event["new"]["id"]] = event["new"]["v"]
        rows = nodes[2].sql("SELECT id, v FROM t")
        self.assertEqual(table, {row["id"]: row["v"] for row in rows})

    def test_the_watch_goes_on_at_another_node_when_its_node_is_killed(self):
        nodes = self.new_cluster(3)
        nodes[0].sql("CREATE TABLE begun (id INTEGER PRIMARY KEY)")
        keeps = self.watch([nodes[1]], "--table", "begun")  # node 2 holds changes too
        watch = self.watch([nodes[0], nodes[1]], "--json", "--table", "begun")
        self.begin(nodes[2], keeps)
        self.begin(nodes[2], watch)
        nodes[0].kill()
        def written():
            done = nodes[2].shell("INSERT INTO begun VALUES (1000000)")
            return done.returncode == 0 or "UNIQUE" in done.stderr
        wait_until(written, "the other nodes go on")
        watch.await_line("1000000")
        ids = [event["new"]["id"] for event in watch.events() if event["kind"] == "insert"]
        rows = [row["id"] for row in nodes[2].sql("SELECT id FROM begun ORDER BY id")]
        self.assertEqual(ids, rows[rows.index(ids[0]):])
        positions = [tuple(map(int, event["position"].split("."))) for event in watch.events()]
        self.assertEqual(positions, sorted(set(positions)))

    def test_a_watched_query_gives_its_result_again_when_what_it_reads_changes(self):
        nodes = self.new_cluster(3)
        nodes[0].sql("CREATE TABLE t (id INTEGER PRIMARY KEY, v INT); CREATE TABLE log (v INT); CREATE TABLE other (v)")
        nodes[0].sql("CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO log VALUES (NEW.v); END")
        nodes[0].sql("CREATE VIEW sums AS SELECT sum(v) AS total FROM log")
        watch = self.watch(nodes[1:], "--json", "--query", "SELECT total FROM sums", "--interval-ms", "50")
        totals = lambda: [event["rows"][0]["total"] for event in watch.events()]
        wait_until(lambda: totals() == [None], "the first result")
        nodes[0].sql("INSERT INTO other VALUES (1)")
        nodes[0].sql("INSERT INTO t VALUES (1, 5)")
        watch.await_line('"total":5')
        self.assertEqual(totals(), [None, 5], "the write to the other table is not told")
        nodes[1].kill()
        nodes[0].sql("INSERT INTO t VALUES (2, 7)")
        watch.await_line('"total":12')
        # In one command: a look between two would find no view, and end the watch.
        nodes[0].sql("BEGIN; DROP VIEW sums; CREATE VIEW sums AS SELECT count(*) + 100 AS total FROM other;"
                     " COMMIT")
        watch.await_line('"total":101')
        nodes[0].sql("DROP VIEW sums")
        status, errors = watch.end()
        self.assertEqual(status, 1)
        self.assertIn("no such table: sums", errors)

    def test_a_watched_query_that_is_none_is_refused(self):
        node = self.new_cluster(1)[0]
        watch = self.watch([node], "--query", "DELETE FROM t")
        status, errors = watch.end()
        self.assertEqual(status, 1)
        self.assertRegex(errors, "this statement writes|no such table")

    def test_a_position_that_no_node_holds_is_said_so(self):
        nodes = self.new_cluster(3)
        nodes[0].sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        watch = self.watch(nodes, "--from", "1.0")
        status, errors = watch.end()
        self.assertEqual(status, 1)
        self.assertIn("the oldest position held is", errors)

    def retain(self, node, *arguments):
        done = harness.run_cairn("watch", "retain", *arguments, "--node", node.address)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_retained_changes_outlive_restarts_and_come_with_a_snapshot(self):
        nodes = self.new_cluster(3, flags=["--log-bytes-max", "1MiB"])
        nodes[0].sql("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        nodes[0].sql("CREATE TABLE other (id INTEGER PRIMARY KEY)")
        self.retain(nodes[1], "T", "24h", "--bytes", "64MiB")
        listed = self.retain(nodes[2])
        self.assertRegex(listed, r"^t  for 1d  0 of 67108864 bytes  after \d+\.0\n$")
        began = listed.split()[-1]
        for i in range(1, 51):
            nodes[0].sql(f"INSERT INTO t VALUES ({i}, 'v{i}'); INSERT INTO other VALUES ({i})")
        nodes[0].sql("UPDATE t SET v = 'new' WHERE id % 10 = 0")

        def told(node, after):
            watch = self.watch([node], "--json", "--table", "t", "--from", after)
            watch.await_line('"v":"last"')
            watch.interrupt()
            return watch.events()

        nodes[0].sql("CREATE TABLE big (x)")
        for i in range(8):  # the log is compacted, so that a new node needs a snapshot
            nodes[0].sql("INSERT INTO big VALUES (randomblob(400000))")
        for node in nodes:
            node.kill()
        for node in nodes:
            node.start(wait=False)
        insert = "INSERT OR IGNORE INTO t VALUES (999, 'last')"
        wait_until(lambda: nodes[0].shell(insert).returncode == 0, "the cluster is back")
        expected = told(nodes[0], began)
        kinds = [event["kind"] for event in expected]
        self.assertEqual(kinds.count("insert"), 51)
        self.assertEqual(kinds.count("update"), 5)
        self.assertEqual([event["new"]["id"] for event in expected if event["kind"] == "insert"],
                         [*range(1, 51), 999])
        positions = [tuple(map(int, event["position"].split("."))) for event in expected]
        self.assertEqual(positions, sorted(set(positions)))
        # From the middle, at another node, which has seen no watch.
        middle = expected[len(expected) // 2]["position"]
        self.assertEqual(told(nodes[1], middle), expected[len(expected) // 2 + 1:])
        # A node that lost its disk has the history again.
        nodes[2].kill()
        for path in self.directory.glob("node3.db*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        nodes[2].start(wait=False)
        wait_until(lambda: nodes[2].shell("SELECT count(*) FROM t").returncode == 0, "node 3 serves",
                   seconds=60)
        self.assertEqual(told(nodes[2], began), expected)
        # Without retention nothing goes so far back.
        status, errors = self.watch([nodes[2]], "--table", "other", "--from", began).end()
        self.assertEqual(status, 1)
        self.assertIn("the oldest position held is", errors)
        self.retain(nodes[0], "t", "off")
        self.assertEqual(self.retain(nodes[0]), "no changes are retained\n")
        status, errors = self.watch([nodes[2]], "--table", "t", "--from", began).end()
        self.assertEqual(status, 1)
        done = harness.run_cairn("watch", "retain", "nowhere", "1h", "--node", nodes[0].address)
        self.assertIn("no such table: nowhere", done.stderr)


if __name__ == "__main__":
    harness.main()
