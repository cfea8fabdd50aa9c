"""The shell from a pipe and from -c: what it prints and how it ends."""
import harness
from harness import CairnTest, run_cairn


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
        self.assertEqual(self.pipe(".nonsense\n").returncode, 1)
        self.assertEqual(self.pipe(".read /no/such/file\n").returncode, 1)

    def test_a_large_result_arrives_whole(self):
        done = self.pipe("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
                         "50000) SELECT i, hex(zeroblob(200)) AS h FROM n;\n", "--mode", "csv")
        self.assert_passes(done)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 50001)
        self.assertTrue(lines[-1].startswith("50000,00"))

    def test_a_dead_address_is_an_error(self):
        done = run_cairn("shell", f"127.0.0.1:{harness.free_ports(1)}", "-c", "SELECT 1",
                         "--timeout-ms", 1000)
        self.assertEqual(done.returncode, 1)
        self.assertIn("error:", done.stderr)


if __name__ == "__main__":
    harness.main()
