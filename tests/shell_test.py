"""The shell from a pipe and from -c: what it prints and how it ends."""
import os
import pty
import select
import signal
import subprocess
import time

import harness
from harness import CAIRN, CairnTest, run_cairn


DATABASE_TO_DUMP = '''
CREATE TABLE parent (id INTEGER PRIMARY KEY AUTOINCREMENT, r REAL, t TEXT, b BLOB);
INSERT INTO parent VALUES (5, 0.1, 'it''s', x'00ff'), (7, 1e300, 'two
lines', NULL), (9, -9e999, '灯', x'');
INSERT INTO parent (r) VALUES (3.0), (1.0000000000000002), (-0.0); DELETE FROM parent WHERE id = 12;
CREATE TABLE child (p REFERENCES parent(id) ON DELETE CASCADE, n INT, twice INT AS (n * 2) STORED);
INSERT INTO child (p, n) VALUES (5, 1), (NULL, -9223372036854775808 / 2);
CREATE TABLE "odd ""name""" ("select" TEXT, "a b" PRIMARY KEY) WITHOUT ROWID;
INSERT INTO "odd ""name""" VALUES (CAST(x'610062' AS TEXT), 'k'), (CAST(x'610d0a62' AS TEXT), 'l');
CREATE TABLE empty (x DEFAULT (1 + 1));
CREATE INDEX child_p ON child(p) WHERE n > 0;
CREATE VIEW sums AS SELECT sum(n) AS s FROM child;
CREATE TRIGGER count AFTER INSERT ON child BEGIN INSERT INTO empty VALUES (new.n); SELECT 1; END;
CREATE VIRTUAL TABLE ft USING fts5(title, body);
INSERT INTO ft (rowid, title, body) VALUES (3, 'one', 'the first word'), (8, 'two', 'another word');
CREATE VIRTUAL TABLE outside USING fts5(t, content='parent', content_rowid='id');
CREATE VIRTUAL TABLE area USING rtree(id, x0, x1);
INSERT INTO area VALUES (1, 0.1, 2.5);
'''
QUERIES_OF_THE_DUMP = [
    "SELECT id, hex(r), t, hex(b), typeof(r) FROM parent", "SELECT p, n, twice FROM child",
    "SELECT hex(\"select\"), \"a b\" FROM \"odd \"\"name\"\"\"", "SELECT * FROM empty",
    "SELECT s FROM sums", "SELECT rowid, title FROM ft WHERE ft MATCH 'word'",
    "SELECT rowid FROM outside WHERE outside MATCH 'lines'", "SELECT id, x0 < 0.1, x1 FROM area",
    "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE '%\\_%' ESCAPE '\\' ORDER BY name",
    "SELECT name, seq FROM sqlite_sequence",
]


class ShellFromAPipe(CairnTest):
    def setUp(self):
        super().setUp()
        self.node = self.new_cluster(1)[0]

    def another_node(self):
        """A cluster of its own, in a directory of its own."""
        nodes, home = self.nodes, self.directory
        self.directory = home / "another"
        self.directory.mkdir()
        node = self.new_cluster(1)[0]
        self.nodes, self.directory = nodes + self.nodes, home
        return node

    def pipe(self, text, *flags):
        return run_cairn("shell", self.node.address, *flags, stdin=text)

    def test_statements_run_in_order_and_rows_are_printed(self):
        done = self.pipe("CREATE TABLE t (a INTEGER, b TEXT);\n"
                         "INSERT INTO t VALUES (1, 'x;y'),\n (2, NULL); -- two\n"
                         "SELECT * FROM t ORDER BY a")
        self.assert_passes(done)
        self.assertIn("ok, 2 rows changed", done.stdout)
        self.assertIn("│ 1 │ x;y  │\n│ 2 │ NULL │\n", done.stdout)
        self.assertNotIn("cairn>", done.stdout)

    def test_it_stops_at_the_first_error_with_status_1(self):
        done = self.pipe("CREATE TABLE t (a); INSERT INTO nowhere VALUES (1);\n"
                         "INSERT INTO t VALUES (1);\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nowhere", done.stderr)
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": 0}])

    def test_triggers_and_blobs_and_returning(self):
        done = self.pipe("CREATE TABLE a (x); CREATE TABLE b (y);\n"
                         "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n"
                         " INSERT INTO b VALUES (new.x); SELECT 1;\nEND;\n"
                         "INSERT INTO a VALUES (x'00ff') RETURNING x;\nSELECT y FROM b;\n",
                         "--mode", "csv")
        self.assert_passes(done)
        self.assertEqual(done.stdout, "x\nx'00ff'\ny\nx'00ff'\n")

    def test_dot_commands(self):
        script = self.directory / "script.sql"
        script.write_text("CREATE TABLE zebra (a);\nINSERT INTO zebra VALUES (7);\n")
        done = self.pipe(f".read {script}\n.tables\n.schema zebra\n.mode json\nSELECT a FROM zebra;\n"
                         ".timer on\nSELECT 1;\n.nodes\n.status\n.quit\nnever run;\n")
        self.assert_passes(done)
        self.assertIn("CREATE TABLE zebra (a);", done.stdout)
        self.assertIn('[{"a":7}]', done.stdout)
        self.assertRegex(done.stdout, r"\d\.\d ms")
        self.assertIn('"role":"leader"', done.stdout)
        self.assertNotIn("_cairn_", done.stdout)
        done = self.pipe("ANALYZE;\n.schema\n")
        self.assertIn("CREATE TABLE zebra (a);", done.stdout)
        self.assertNotIn("sqlite_stat", done.stdout)
        self.assertIn("sqlite_stat1", self.pipe(".schema sqlite_stat1\n").stdout)
        self.assertEqual(self.pipe(".nonsense\n").returncode, 1)
        self.assertEqual(self.pipe(".read /no/such/file\n").returncode, 1)
        self.node.sql("CREATE TABLE lion (a)")
        self.assertEqual(self.pipe(".mode list\n.tables Z%\n").stdout, "zebra|table\n")

    def test_an_input_that_cannot_be_read_is_an_error(self):
        done = self.pipe("SELECT 1;\n.read /tmp\nSELECT 2;\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("read /tmp: ", done.stderr)
        self.assertNotIn("2", done.stdout)
        self.assertIn("read /tmp: ", self.pipe(".import /tmp t\n").stderr)
        directory = os.open("/tmp", os.O_RDONLY)
        done = subprocess.run([CAIRN, "shell", self.node.address], stdin=directory, text=True, capture_output=True,
                              timeout=harness.BOUND_SECONDS, check=False)
        os.close(directory)
        self.assertEqual(done.returncode, 1)
        self.assertIn("read standard input: ", done.stderr)

    def test_a_script_may_have_the_line_ends_of_windows(self):
        path = self.directory / "windows.sql"
        path.write_bytes(b".mode list\r\nSELECT 1;\r\n.headers on\r\nSELECT 'x' AS a;\r\n")
        done = self.pipe(f".read {path}\n.tables\r\n")
        self.assert_passes(done)
        self.assertEqual(done.stdout, "1\na\nx\n")

    def test_a_dump_with_full_text_is_sent_to_load(self):
        done = self.pipe("BEGIN TRANSACTION;\nPRAGMA writable_schema=ON;\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("`cairn load` takes a dump", done.stderr)
        done = self.pipe("BEGIN;\nPRAGMA synchronous=OFF;\nCOMMIT;\n")
        self.assertIn("write it before BEGIN", done.stderr)

    def test_a_large_result_arrives_whole(self):
        done = self.pipe("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
                         "50000) SELECT i, hex(zeroblob(200)) AS h FROM n;\n", "--mode", "csv")
        self.assert_passes(done)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 50001)
        self.assertTrue(lines[-1].startswith("50000,00"))

    def test_a_row_of_many_megabytes_is_read_back(self):
        self.node.sql("CREATE TABLE t (b)")
        # The last one is the largest that is stored: its row has a header of some bytes.
        for size in (12_000_000, 15_000_000, 16 * 1024 * 1024 - 16):
            self.node.sql(f"INSERT INTO t VALUES (zeroblob({size}))")
            self.assertEqual(self.node.sql("SELECT length(b) AS n FROM t"), [{"n": size}])
            done = self.node.shell("SELECT b FROM t", mode="list")
            self.assert_passes(done)
            self.assertEqual(len(done.stdout), 2 * size + 4)
            dump = run_cairn("dump", self.node.address)
            self.assertEqual(dump.returncode, 0, dump.stderr)
            self.assertGreater(len(dump.stdout), 2 * size)
            self.node.sql("DELETE FROM t")

    def test_an_error_names_the_source_the_line_and_the_statement(self):
        script = "CREATE TABLE t (a);\n.tables\n\nINSERT INTO t VALUES (1); INSERT\n INTO nowhere VALUES (1);\n"
        done = self.pipe(script)
        self.assertIn("error: standard input:4: INVALID_ARGUMENT: no such table: nowhere", done.stderr)
        self.assertIn("\n  in: INSERT INTO nowhere VALUES (1)\n", done.stderr)
        path = self.directory / "load.sql"
        path.write_text("\n\nINSERT INTO nowhere VALUES (2);\n")
        with open(path, encoding="ascii") as file:
            done = subprocess.run([CAIRN, "shell", self.node.address], stdin=file, text=True,
                                  capture_output=True, timeout=harness.BOUND_SECONDS, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"error: {path}:3: ", done.stderr)
        done = self.node.shell(f"SELECT 1;\n.read {path}")
        self.assertIn(f"error: {path}:3: ", done.stderr)
        done = self.node.shell("SELECT 1", "SELECT 2;\nSELECT nowhere")
        self.assertIn("error: -c 2:2: INVALID_ARGUMENT: no such column: nowhere", done.stderr)
        self.assertIn("in: SELECT nowhere\n", done.stderr)
        done = self.node.shell(".nonsense")
        self.assertIn("error: -c:1: unknown command .nonsense", done.stderr)

    def test_what_cannot_be_written_is_no_success(self):
        address = self.node.address
        commands = [["shell", address, "-c", "SELECT 1"], ["shell", address, "-c", ".status"],
                    ["shell", address, "-c", ".help"], ["member", "list", address],
                    ["client", "--scenario", "verify-only", "--master-addr", address],
                    ["--help"], ["shell", "--help"], ["--version"]]
        for command in commands:
            with self.subTest(command), open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run([CAIRN, *command], stdout=full, stderr=subprocess.PIPE, text=True,
                                      stdin=subprocess.DEVNULL, timeout=harness.BOUND_SECONDS,
                                      check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("standard output", done.stderr)
        self.node.sql("CREATE TABLE t (a)")
        (self.directory / "rows.csv").write_text("a\n7\n", encoding="ascii")
        commands = [["dump", address], ["watch", address, "--from", "snapshot"],
                    ["load", address, str(self.directory / "rows.csv"), "--table", "loaded"]]
        for command in commands:
            with self.subTest(command), open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run([CAIRN, *command], stdout=full, stderr=subprocess.PIPE, text=True,
                                      stdin=subprocess.DEVNULL, timeout=harness.BOUND_SECONDS, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stderr, "error: .*(written|write)")
        with open("/dev/full", "w", encoding="ascii") as full:
            subprocess.run([CAIRN, "shell", address, "-c", "SELECT 1", "-c", "INSERT INTO t VALUES (1)"],
                           stdout=full, stderr=subprocess.PIPE, timeout=harness.BOUND_SECONDS,
                           check=False)
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": 0}], "it went on")

    def test_a_transaction_is_one_command(self):
        self.node.sql("CREATE TABLE first (a)")  # the first write begins the node's session
        before = self.node.commit()
        done = self.pipe("BEGIN;\nCREATE TABLE t (a INTEGER PRIMARY KEY);\nINSERT INTO t VALUES (1);\n"
                         "SAVEPOINT s; INSERT INTO t VALUES (2); ROLLBACK TO s;\n"
                         "INSERT INTO t VALUES (3) RETURNING a;\nCOMMIT;\n")
        self.assert_passes(done)
        self.assertIn("ok, 2 rows changed by 3 statements in one command", done.stdout)
        self.assertEqual(self.node.commit(), before + 1)
        self.assertEqual(self.node.sql("SELECT a FROM t"), [{"a": 1}, {"a": 3}])
        done = self.pipe("BEGIN;\nDELETE FROM t;\nINSERT INTO t VALUES (1), (1);\nCOMMIT;\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("error: standard input:3: ", done.stderr)
        self.assertIn("statement 2 of the transaction that begins in line 1: ", done.stderr)
        self.assertEqual(done.stderr.count("statement 2"), 1)
        for bad in ("BEGIN; DELETE FROM t;", "BEGIN; DELETE FROM t; SELECT 1; COMMIT;",
                    "BEGIN; DELETE FROM t;\n.quit\n", "COMMIT;"):
            self.assertEqual(self.pipe(bad).returncode, 1, bad)
        self.assertEqual(self.node.shell("BEGIN; DELETE FROM t").returncode, 1)
        self.assert_passes(self.node.shell("BEGIN; DELETE FROM t", "ROLLBACK"))
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": 2}])

    def test_a_migration_with_foreign_keys_off_is_one_command(self):
        self.assert_passes(self.pipe(
            "CREATE TABLE author(id INTEGER PRIMARY KEY, name TEXT);\n"
            "CREATE TABLE book(id INTEGER PRIMARY KEY, a REFERENCES author ON DELETE CASCADE);\n"
            "INSERT INTO author VALUES (1, 'Ann');\nINSERT INTO book VALUES (1, 1);\n"))
        rebuild = ("CREATE TABLE new_author(id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n"
                   "INSERT INTO new_author SELECT id, name FROM author;\nDROP TABLE author;\n"
                   "ALTER TABLE new_author RENAME TO author;\n")
        before = self.node.commit()
        scripts = [f"PRAGMA foreign_keys=OFF;\nBEGIN;\n{rebuild}COMMIT;\nPRAGMA foreign_keys=ON;\n",
                   f"PRAGMA foreign_keys=off;\nBEGIN TRANSACTION;\n{rebuild}COMMIT;\n",
                   "PRAGMA defer_foreign_keys=ON;\nPRAGMA foreign_keys=OFF;\n" + rebuild +
                   "PRAGMA foreign_key_check;\nPRAGMA foreign_keys=ON;\nPRAGMA defer_foreign_keys=OFF;\n",
                   "PRAGMA foreign_keys=0;\n" + rebuild]
        for script in scripts:
            done = self.pipe(script)
            self.assert_passes(done)
            self.assertIn("by 4 statements in one command", done.stdout)
            self.assertEqual(self.node.sql("SELECT * FROM book"), [{"id": 1, "a": 1}])
        self.assertEqual(self.node.commit(), before + len(scripts))
        done = self.pipe("PRAGMA foreign_keys=OFF;\nBEGIN;\nDELETE FROM author;\nCOMMIT;\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("row 1 of book refers to no row of author", done.stderr)
        self.assertEqual(self.pipe("BEGIN;\nPRAGMA foreign_keys=OFF;\n").returncode, 1)
        self.assert_passes(self.pipe("PRAGMA foreign_keys=ON;\nDELETE FROM author;\n"))
        self.assertEqual(self.node.sql("SELECT * FROM book"), [])

    def test_neighbouring_changes_of_a_script_are_sent_together(self):
        self.node.sql("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        before = self.node.commit()
        done = self.pipe("".join(f"INSERT INTO t VALUES ({i});\n" for i in range(1000)))
        self.assert_passes(done)
        self.assertEqual(done.stdout.count("ok, 1 row changed\n"), 1000)
        self.assertLess(self.node.commit(), before + 20)
        # The statements before the one that fails stand, and those after it have not run.
        done = self.pipe("DELETE FROM t WHERE a > 5;\nINSERT INTO t VALUES (10);\n"
                         "INSERT INTO t VALUES (5);\nINSERT INTO t VALUES (11);\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("error: standard input:3: ALREADY_EXISTS", done.stderr)
        self.assertIn("in: INSERT INTO t VALUES (5)\n", done.stderr)
        self.assertEqual(done.stdout.count("ok, "), 2)
        self.assertEqual(self.node.sql("SELECT a FROM t WHERE a > 4"), [{"a": 5}, {"a": 10}])

    def test_an_answer_does_not_wait_for_the_next_line(self):
        self.node.sql("CREATE TABLE t (a)")
        shell = subprocess.Popen([CAIRN, "shell", self.node.address], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        for _ in range(3):
            shell.stdin.write("INSERT INTO t VALUES (1);\n")
            shell.stdin.flush()
            self.assertEqual(shell.stdout.readline(), "ok, 1 row changed\n")
        shell.stdin.close()
        self.assertEqual(shell.wait(timeout=harness.BOUND_SECONDS), 0)
        shell.stdout.close()

    def test_modes_print_what_the_shell_of_sqlite_prints(self):
        rows = ("VALUES (1, 'x,y', NULL), (-2.5, '', 'two words'), (3, 'q\"z', 'a|b'), "
                "(9007199254740993, 'two\nlines', 'é')")
        script = f"CREATE TABLE t (a, b, long_name); INSERT INTO t {rows};\n"
        self.assert_passes(self.pipe(script))
        queries = ("SELECT * FROM t;\nSELECT a FROM t WHERE 0;\nSELECT a, long_name FROM t WHERE a = 1;\n")
        for mode in ("box", "column", "line", "list", "markdown", "table"):
            for headers in ("", ".headers on\n", ".headers off\n"):
                if headers == ".headers off\n" and mode in ("box", "table", "markdown"):
                    continue
                with self.subTest(mode=mode, headers=headers):
                    commands = f".mode {mode}\n{headers}{queries}"
                    expected = subprocess.run(["sqlite3", ":memory:"], input=script + commands, text=True,
                                              capture_output=True, check=True).stdout
                    self.assertEqual(self.pipe(commands).stdout, expected)
        csv = self.pipe(f".mode csv\n{queries}")
        self.assertEqual(csv.stdout, '1,"x,y",\n-2.5,"",two words\n3,"q""z",a|b\n'
                                     '9007199254740993,"two\nlines",é\n1,\n')
        self.assertEqual(self.pipe(".mode\n.mode list\n.mode\n.mode nonsense\n").returncode, 1)
        long = "x" * 5000
        self.assertIn(long, self.pipe(f"SELECT '{long}';").stdout)

    def test_indexes_and_parameters_are_as_in_the_shell_of_sqlite(self):
        script = "CREATE TABLE t (a UNIQUE, b); CREATE INDEX one ON t(a); CREATE TABLE u (c PRIMARY KEY);\n"
        self.assert_passes(self.pipe(script))
        commands = (".mode list\n.indexes\n.indexes t\n.parameter set :a 5+1\n.parameter set @bb 'two words'\n"
                    ".parameter set $c word\n.parameter list\nSELECT :a, @bb, $c, :unset IS NULL;\n"
                    ".parameter unset :a\nSELECT :a IS NULL;\n.parameter clear\n.parameter list\n")
        expected = subprocess.run(["sqlite3", ":memory:"], input=script + commands, text=True,
                                  capture_output=True, check=True).stdout
        self.assertEqual(self.pipe(commands).stdout, expected)
        self.assert_passes(self.pipe(".parameter set ?1 x'00ff'\nINSERT INTO t VALUES (?1, :b);\n"))
        self.assertEqual(self.node.sql("SELECT a, b FROM t"), [{"a": "x'00ff'", "b": None}])
        self.assertEqual(self.pipe(".parameter set a 1\n").returncode, 1)

    def test_a_dump_makes_the_same_database_in_sqlite_and_in_cairn(self):
        self.assert_passes(self.pipe(DATABASE_TO_DUMP))
        self.assert_passes(self.pipe("INSERT INTO outside(outside) VALUES ('rebuild');", "--maintenance"))
        dump = run_cairn("dump", self.node.address)
        self.assert_passes(dump)
        self.assertEqual(self.pipe(".dump\n").stdout, dump.stdout)
        path = self.directory / "restored.db"
        subprocess.run(["sqlite3", "-bail", path], input=dump.stdout, text=True, check=True,
                       capture_output=True)
        other = self.another_node()
        done = run_cairn("shell", other.address, "--maintenance", stdin=dump.stdout)
        self.assert_passes(done)
        for query in QUERIES_OF_THE_DUMP:
            expected = self.node.shell(query, mode="list").stdout
            self.assertEqual(other.shell(query, mode="list").stdout, expected, query)
            restored = subprocess.run(["sqlite3", path, query], text=True, capture_output=True, check=True)
            self.assertEqual(restored.stdout, expected, query)
        self.assertEqual(run_cairn("dump", other.address).stdout, dump.stdout)
        one = self.pipe(".dump odd%\n").stdout
        self.assertIn('CREATE TABLE "odd ""name"""', one)
        self.assertNotIn("child", one)

    def test_slices_change_all_rows_in_requests_of_their_own(self):
        self.node.sql("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        self.node.sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) "
                      "INSERT INTO t SELECT i, NULL FROM n")
        before = self.node.commit()
        done = self.pipe(".slices UPDATE t SET b = 'x' WHERE b IS NULL\n")
        self.assert_passes(done)
        self.assertEqual(done.stdout, "ok, 2500 rows changed in 3 slices\n")
        self.assertGreaterEqual(self.node.commit(), before + 3)
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t WHERE b = 'x'"), [{"n": 2500}])
        done = self.pipe(".slices 500 DELETE FROM t WHERE a > 500 -- the rest;\n")
        self.assertEqual(done.stdout, "ok, 2000 rows changed in 5 slices\n")
        for bad in ("SELECT 1", "UPDATE t SET b = 1", "DELETE FROM t LIMIT 3", ""):
            self.assertEqual(self.pipe(f".slices {bad}\n").returncode, 1, bad)
        done = self.pipe(".slices DELETE FROM nowhere\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("after 0 rows changed in 0 slices: no such table: nowhere", done.stderr)

    def test_an_interrupt_says_whether_the_statement_was_sent(self):
        self.node.sql("CREATE TABLE t (a)")
        with subprocess.Popen([CAIRN, "shell", self.node.address], stdin=subprocess.PIPE, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as shell:
            self.addCleanup(shell.kill)
            # This write gives the shell the session that the next write uses.
            shell.stdin.write("INSERT INTO t VALUES ('connected') RETURNING a;\n")
            shell.stdin.flush()
            while "connected" not in shell.stdout.readline():
                pass
            self.node.pause()
            self.addCleanup(self.node.resume)
            shell.stdin.write("INSERT INTO t VALUES ('" + 5000 * "x" + "');\n")
            shell.stdin.flush()
            harness.wait_until(lambda: self.node.unread_bytes() > 5000, "the statement is on its way")
            shell.send_signal(signal.SIGINT)
            told = shell.stderr.read()
            self.assertEqual(shell.wait(timeout=harness.BOUND_SECONDS), 130)
        self.assertIn("interrupted after the request was sent (unknown", told)
        with subprocess.Popen([CAIRN, "shell", self.node.address, "-c", "INSERT INTO t VALUES (2)"],
                              text=True, stderr=subprocess.PIPE) as shell:
            self.addCleanup(shell.kill)
            harness.wait_until(lambda: self.node.unread_bytes() > 0, "it connects")
            shell.send_signal(signal.SIGINT)
            told = shell.stderr.read()
            self.assertEqual(shell.wait(timeout=harness.BOUND_SECONDS), 130)
        self.assertIn("interrupted before the request was sent (not applied", told)

    def test_a_write_to_a_dead_address_was_not_sent(self):
        done = run_cairn("shell", f"127.0.0.1:{harness.free_ports(1)}", "-c", "CREATE TABLE t (a)")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not applied: safe to try again", done.stderr)

    def test_a_dead_address_is_an_error(self):
        done = run_cairn("shell", f"127.0.0.1:{harness.free_ports(1)}", "-c", "SELECT 1",
                         "--timeout-ms", 1000)
        self.assertEqual(done.returncode, 1)
        self.assertIn("error:", done.stderr)


class OnATerminal(CairnTest):
    def setUp(self):
        super().setUp()
        self.seen = ""

    def open_command(self, *arguments):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(HOME=str(self.directory), TERM="xterm", LC_ALL="C.UTF-8")
            os.execv(CAIRN, [CAIRN, *arguments])

    def expect(self, text):
        """Reads what the shell prints until `text` appears, and forgets what came before it."""
        until = time.monotonic() + harness.BOUND_SECONDS
        while text not in self.seen:
            self.assertLess(time.monotonic(), until, f"no {text!r} in {self.seen!r}")
            if select.select([self.terminal], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.terminal, 4096).decode(errors="replace")
                except OSError:  # the other end is closed
                    self.assertIn(text, self.seen)
        self.seen = self.seen.split(text, 1)[1]

    def type(self, text):
        os.write(self.terminal, text.encode())


class MemberOnATerminal(OnATerminal):
    def test_a_change_of_the_cluster_shows_how_long_it_has_run(self):
        nodes = self.new_cluster(3)
        leader = self.await_leader()
        for node in nodes:
            if node is not leader:
                node.kill()  # without a majority the leader waits
        self.open_command("member", "transfer", leader.address)
        self.expect("1 s; Ctrl-C stops waiting")
        self.type("\x03")
        self.expect("error: ")
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


class ShellOnATerminal(OnATerminal):
    def setUp(self):
        super().setUp()
        self.node = self.new_cluster(1)[0]

    def open_shell(self):
        self.open_command("shell", self.node.address)
        self.expect("cairn> ")

    def close_shell(self, text):
        """Types Ctrl-D until the shell ends. A Ctrl-D that comes before the editor has taken over the
        terminal from the kernel is lost."""
        def ended():
            try:
                self.type(text)
            except OSError:  # it is gone
                pass
            if select.select([self.terminal], [], [], 0.2)[0]:
                try:
                    os.read(self.terminal, 4096)
                except OSError:
                    pass
            pid, self.ended_status = os.waitpid(self.pid, os.WNOHANG)
            return pid
        harness.wait_until(ended, "the shell ends")
        status = self.ended_status
        os.close(self.terminal)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)

    def test_a_session(self):
        self.open_shell()
        self.type("SELECT 'lost'\n")
        self.expect("...> ")
        self.type("\x03")  # Ctrl-C drops the statement that was begun, not the shell
        self.expect("cairn> ")
        self.type("SELECT 'a' ||\n")
        self.expect("...> ")
        self.type("'灯' AS joined;\n")
        self.expect("joined")
        self.expect("a灯")
        self.expect("cairn> ")
        self.type("BEGIN;\n")
        self.expect("BEGIN> ")
        self.type("ROLLBACK;\n")
        self.expect("cairn> ")
        self.type("nonsense;\n")
        self.expect("error: ")
        self.expect("cairn> ")
        self.close_shell("\x04")
        history = self.directory / ".cairn_history"
        self.assertIn("nonsense", history.read_text())
        self.assertEqual(history.stat().st_mode & 0o777, 0o600)
        # A long statement shows how long it has run, and Ctrl-C stops waiting for it.
        self.open_shell()
        self.type("SELECT 'connected';\n")
        self.expect("1 row")
        self.node.pause()
        self.addCleanup(self.node.resume)
        self.type("CREATE TABLE t (a);\n")
        self.expect("1 s; Ctrl-C stops waiting")
        self.type("\x03")
        self.expect("interrupted after the request was sent (unknown")
        self.expect("cairn> ")
        self.node.resume()
        self.close_shell("\x04")
        # The next shell knows the typed lines: arrow up brings them back.
        self.open_shell()
        self.type("\x1b[A")
        self.expect("CREATE TABLE t")
        self.type("\x03")
        self.expect("cairn> ")
        self.close_shell(".quit\n")

    def test_tab_completes_commands_and_names(self):
        self.node.sql("CREATE TABLE zebras (stripes, legs)")
        self.open_shell()
        self.type("INSERT INTO zeb\t VALUES (40, 4);\n")
        self.expect("1 row changed")
        self.expect("cairn> ")
        self.type("SELECT str\t FROM zebras;\n")
        self.expect("40")
        self.expect("cairn> ")
        self.type(".tab\t\n")
        self.expect("zebras")
        self.expect("cairn> ")
        self.close_shell("\x04")


if __name__ == "__main__":
    harness.main()
