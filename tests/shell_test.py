"""The shell from a pipe and from -c: what it prints and how it ends."""
import os
import pty
import select
import signal
import subprocess
import time

import harness
from harness import CAIRN, CairnTest, run_cairn


class ShellFromAPipe(CairnTest):
    def setUp(self):
        super().setUp()
        self.node = self.new_cluster(1)[0]

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

    def test_a_large_result_arrives_whole(self):
        done = self.pipe("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
                         "50000) SELECT i, hex(zeroblob(200)) AS h FROM n;\n", "--mode", "csv")
        self.assert_passes(done)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 50001)
        self.assertTrue(lines[-1].startswith("50000,00"))

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
        with open("/dev/full", "w", encoding="ascii") as full:
            subprocess.run([CAIRN, "shell", address, "-c", "SELECT 1", "-c", "INSERT INTO t VALUES (1)"],
                           stdout=full, stderr=subprocess.PIPE, timeout=harness.BOUND_SECONDS,
                           check=False)
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": 0}], "it went on")

    def test_a_transaction_is_one_command(self):
        self.node.sql("CREATE TABLE first (a)")  # the first write begins the node's session
        before = self.node.status()["commit"]
        done = self.pipe("BEGIN;\nCREATE TABLE t (a INTEGER PRIMARY KEY);\nINSERT INTO t VALUES (1);\n"
                         "SAVEPOINT s; INSERT INTO t VALUES (2); ROLLBACK TO s;\n"
                         "INSERT INTO t VALUES (3) RETURNING a;\nCOMMIT;\n")
        self.assert_passes(done)
        self.assertIn("ok, 2 rows changed by 3 statements in one command", done.stdout)
        self.assertEqual(self.node.status()["commit"], before + 1)
        self.assertEqual(self.node.sql("SELECT a FROM t"), [{"a": 1}, {"a": 3}])
        done = self.pipe("BEGIN;\nDELETE FROM t;\nINSERT INTO t VALUES (1), (1);\nCOMMIT;\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("error: standard input:3: ", done.stderr)
        self.assertIn("statement 2 of the transaction that begins in line 1", done.stderr)
        for bad in ("BEGIN; DELETE FROM t;", "BEGIN; DELETE FROM t; SELECT 1; COMMIT;",
                    "BEGIN; DELETE FROM t;\n.quit\n", "COMMIT;"):
            self.assertEqual(self.pipe(bad).returncode, 1, bad)
        self.assertEqual(self.node.shell("BEGIN; DELETE FROM t").returncode, 1)
        self.assert_passes(self.node.shell("BEGIN; DELETE FROM t", "ROLLBACK"))
        self.assertEqual(self.node.sql("SELECT count(*) AS n FROM t"), [{"n": 2}])

    def test_slices_change_all_rows_in_requests_of_their_own(self):
        self.node.sql("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        self.node.sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) "
                      "INSERT INTO t SELECT i, NULL FROM n")
        before = self.node.status()["commit"]
        done = self.pipe(".slices UPDATE t SET b = 'x' WHERE b IS NULL\n")
        self.assert_passes(done)
        self.assertEqual(done.stdout, "ok, 2500 rows changed in 3 slices\n")
        self.assertGreaterEqual(self.node.status()["commit"], before + 3)
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


class ShellOnATerminal(CairnTest):
    def setUp(self):
        super().setUp()
        self.node = self.new_cluster(1)[0]
        self.seen = ""

    def open_shell(self):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(HOME=str(self.directory), TERM="xterm", LC_ALL="C.UTF-8")
            os.execv(CAIRN, [CAIRN, "shell", self.node.address])
        self.expect("cairn> ")

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


if __name__ == "__main__":
    harness.main()
