"""`cairn load` and `cairn dump` lose nothing silently: what they cannot take, they refuse."""
import resource
import subprocess

import harness
from harness import CAIRN, CairnTest, run_cairn


class LoadLoss(CairnTest):
    def setUp(self):
        super().setUp()
        self.node = self.new_cluster(1)[0]

    def load(self, name, *flags, content=None, node=None):
        path = self.directory / name
        if content is not None:
            path.write_text(content, encoding="utf-8")
        return run_cairn("load", (node or self.node).address, path, *flags)

    def sqlite(self, script, name="source.db"):
        path = self.directory / name
        subprocess.run(["sqlite3", "-bail", path], input=script, text=True, check=True, capture_output=True)
        return name

    def big(self, table, create, *more):
        """A file of SQLite with more than one command takes in the table."""
        return self.sqlite(f"{create}; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 170) "
                           f"INSERT INTO {table}(a) SELECT hex(zeroblob(50000)) || i FROM n; {'; '.join(more)};",
                           f"{table}.db")

    def rows(self, sql, node=None):
        return [list(row.values()) for row in (node or self.node).sql(sql)]

    def refused(self, done, *messages):
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        for message in messages:
            self.assertIn(message, done.stderr)

    def another_node(self):
        nodes, home = self.nodes, self.directory
        self.directory = home / f"another{len(nodes)}"
        self.directory.mkdir()
        node = self.new_cluster(1)[0]
        self.nodes, self.directory = nodes + self.nodes, home
        return node

    def round_trip(self, name):
        """Loads the file here, and its dump into another cluster."""
        self.assert_passes(self.load(name))
        dump = run_cairn("dump", self.node.address)
        self.assertIn("COMMIT;", dump.stdout, dump.stderr)
        other = self.another_node()
        self.assert_passes(self.load("dump.sql", content=dump.stdout, node=other))
        return self.node, other

    def test_a_table_that_looks_like_a_part_of_a_full_text_table_is_kept(self):
        name = self.sqlite("CREATE TABLE log_content(id INTEGER PRIMARY KEY, x); INSERT INTO log_content VALUES(1, 'a');"
                           "CREATE VIRTUAL TABLE log USING fts5(x, content='');"
                           "CREATE TABLE doc_content(id INTEGER PRIMARY KEY, x);"
                           "INSERT INTO doc_content VALUES(1, 'word');"
                           "CREATE VIRTUAL TABLE doc USING fts5(x, content=[doc_content], content_rowid=[id]);"
                           "CREATE VIRTUAL TABLE own USING fts5(x); INSERT INTO own VALUES('word');")
        # A dump without the entries of `log` says so by its exit code.
        for node in self.round_trip(name):
            self.assertEqual(self.rows("SELECT x FROM log_content", node), [["a"]])
            self.assertEqual(self.rows("SELECT x FROM doc_content", node), [["word"]])
            self.assertEqual(self.rows("SELECT count(*) FROM doc WHERE doc MATCH 'word'", node), [[1]])
            self.assertEqual(self.rows("SELECT count(*) FROM own WHERE own MATCH 'word'", node), [[1]])

    def test_settings_of_full_text_tables_and_of_the_file_are_kept(self):
        name = self.sqlite("PRAGMA user_version = 42; PRAGMA application_id = 7;"
                           "CREATE VIRTUAL TABLE l4 USING fts4(x, languageid=lid); INSERT INTO l4(x, lid) VALUES('a', 5);"
                           "CREATE VIRTUAL TABLE r5 USING fts5(x, y); INSERT INTO r5 VALUES('a', 'b');"
                           "INSERT INTO r5(r5, rank) VALUES('rank', 'bm25(10.0,1.0)');"
                           "CREATE TABLE d(a INTEGER PRIMARY KEY DESC); INSERT INTO d(rowid, a) VALUES(100, 7), (200, 5);")
        for node in self.round_trip(name):
            self.assertEqual(self.rows("SELECT x, lid FROM l4", node), [["a", 5]])
            self.assertEqual(self.rows("SELECT v FROM r5_config WHERE k = 'rank'", node), [["bm25(10.0,1.0)"]])
            self.assertEqual(self.rows("PRAGMA user_version", node), [[42]])
            self.assertEqual(self.rows("PRAGMA application_id", node), [[7]])
        self.assertEqual(self.rows("SELECT rowid, a FROM d ORDER BY 1"), [[100, 7], [200, 5]])

    def test_a_table_of_the_cluster_is_neither_read_nor_altered(self):
        self.node.sql("CREATE TABLE ex(id INTEGER PRIMARY KEY, v)")
        self.node.sql("INSERT INTO ex VALUES(1, 'here')")
        for statement in ("CREATE TABLE new(id, x); INSERT INTO new SELECT * FROM ex;",
                          "CREATE TABLE new AS SELECT count(*) FROM ex;", "ALTER TABLE ex RENAME TO new;",
                          "INSERT INTO ex VALUES(9, 'a');\nALTER TABLE ex DROP COLUMN v;",
                          "INSERT INTO ex VALUES(9, 'a'); DROP TABLE ex;", "CREATE INDEX new ON ex(v);",
                          "INSERT INTO ex VALUES(9, 'a') RETURNING v;"):
            with self.subTest(statement):
                self.refused(self.load("x.sql", content=statement + "\n"), "x.sql:", "the cluster has ex")
        for name in ("rowid", "_rowid_", "OID"):
            with self.subTest(name):
                self.refused(self.load("x.sql", content=f"INSERT INTO ex({name}, v) VALUES(77, 'x');\n"),
                             "x.sql:1: ", "cairn shell")
        self.assertEqual(self.rows("SELECT * FROM ex"), [[1, "here"]])
        self.assert_passes(self.load("x.sql", content="INSERT INTO ex VALUES(2, 'b'); INSERT INTO ex(v) VALUES('c');\n"))
        self.assertEqual(self.rows("SELECT * FROM ex"), [[1, "here"], [2, "b"], [3, "c"]])

    def test_a_resumed_load_is_known_by_its_rows(self):
        self.node.sql("CREATE TABLE ra(a INTEGER CHECK (a <> 15000))")
        self.node.sql("CREATE TABLE rb(a)")
        rows = "".join(f"{i}\n" for i in range(20000))
        self.refused(self.load("same.csv", "--table", "ra", "--resume", content=rows), "same.csv:15001: row 15001 of ra")
        # The same file for another table is another load.
        self.assert_passes(self.load("same.csv", "--table", "rb", "--resume"))
        self.assertEqual(self.rows("SELECT count(*), min(a) FROM rb"), [[20000, "0"]])
        # The same name with other rows is refused: some rows are loaded already.
        before = self.rows("SELECT count(*) FROM ra")
        changed = self.load("same.csv", "--table", "ra", "--resume", content=rows.replace("15000\n", "15\n"))
        self.refused(changed, "its rows have changed since", "DELETE FROM cairn_load")
        self.assertEqual(self.rows("SELECT count(*) FROM ra"), before)
        # A load's own tables are in no dump.
        self.node.sql("CREATE TABLE _load_0123abcd_0_x(a)")
        self.assertNotIn("_load", run_cairn("dump", self.node.address).stdout)

    def test_json_lines_take_defaults_and_refuse_what_is_not_exact(self):
        self.node.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, s TEXT DEFAULT 'new', n)")
        self.assert_passes(self.load("a.jsonl", "--table", "t", content='{"id":1,"N":5}\n{}\n{"id":9,"s":null}\n'))
        self.assertEqual(self.rows("SELECT id, s, n FROM t"), [[1, "new", 5], [2, "new", None], [9, None, None]])
        done = self.load("b.jsonl", "--table", "new", content='{"a":1}\n{"A":12345678901234567890123}\n{"a":1,"A":2}\n'
                         + '{"a":' + "[" * 300000 + "]" * 300000 + "}\n")
        self.refused(done, "b.jsonl:2: A: an integer is larger than 64 bits", "b.jsonl:3: A: the object has it twice",
                     "b.jsonl:4: a: it is deeper than 1000 levels", "3 rows are bad")

    def test_a_misspelt_header_is_no_row(self):
        self.node.sql("CREATE TABLE t(k TEXT, v TEXT)")
        self.refused(self.load("a.csv", "--table", "t", content="k,value\n1,x\n"), "a.csv:1: 1 of 2 fields", "k, v")
        self.assert_passes(self.load("b.csv", "--table", "t", content="k,v\nk,value\n"))
        self.assertEqual(self.rows("SELECT * FROM t"), [["k", "value"]])
        rows = "".join(f"{i},x\n" for i in range(13000))
        self.assert_passes(self.load("c.csv", "--table", "t", content=rows))  # more rows than statements in a command

    def test_foreign_keys_of_others_hold_up_no_load(self):
        orphan = "CREATE TABLE pa(a PRIMARY KEY); CREATE TABLE ch(a REFERENCES pa); INSERT INTO ch VALUES(7);\n"
        self.assert_passes(self.load("o.sql", "--unchecked", content=orphan))
        self.assert_passes(self.load("p.sql", content=orphan.replace("pa", "pb").replace("ch", "ci")
                                     + "INSERT INTO pb VALUES(7);\n"))
        # A new table may refer to rows of the cluster: the cluster checks.
        self.node.sql("DELETE FROM ch")
        self.node.sql("CREATE TABLE cust(id INTEGER PRIMARY KEY)")
        self.node.sql("INSERT INTO cust VALUES(1)")
        self.refused(self.load("q.sql", content="CREATE TABLE o(c REFERENCES cust); INSERT INTO o VALUES(2);\n"),
                     "refers to no row of cust")
        self.assert_passes(self.load("r.sql", content="CREATE TABLE o(c REFERENCES cust); INSERT INTO o VALUES(1);\n"))

    def test_a_large_load_takes_what_a_small_one_does(self):
        name = self.big("bq", "CREATE TABLE bq(a CHECK (bq.a IS NOT NULL), n)",
                        "INSERT INTO bq(a) VALUES(CAST(zeroblob(15728640 - 1000) AS TEXT))",
                        "CREATE UNIQUE INDEX bi ON bq(a) WHERE length(CAST(bq.a AS BLOB)) < 5", "CREATE VIEW bv AS SELECT a FROM bq")
        self.assert_passes(self.load(name))
        self.assertEqual(self.rows("SELECT count(*), max(length(CAST(a AS BLOB))) FROM bq"), [[171, 15727640]])
        self.assertEqual(self.rows("SELECT name FROM sqlite_schema WHERE name LIKE '\\_load%' ESCAPE '\\'"), [])
        commit = self.node.commit()
        self.refused(self.load(self.big("bw", "CREATE TABLE bw(a)", "CREATE INDEX bi ON bw(1)")),
                     "the cluster has bi already (index)")
        self.node.sql("CREATE VIEW broken AS SELECT a FROM bx")
        self.refused(self.load(self.big("bx", "CREATE TABLE bx(a)")), "error in view broken")
        self.assertLess(self.node.commit(), commit + 5)  # nothing was sent

    def test_no_input_fills_the_memory(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (1200 << 20, 1200 << 20))

        for flags, text, message in ((["-"], b"x" * (1 << 20), "longer than 64 MiB"),
                                     (["-", "--format", "jsonl", "--table", "q"], b"x" * (1 << 20), "longer than 64 MiB"),
                                     (["-", "--format", "csv", "--table", "q"], b"," * (1 << 20), "more than 2000 fields")):
            with self.subTest(message):
                load = subprocess.Popen([CAIRN, "load", self.node.address, *flags], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=limit)
                try:
                    for _ in range(100):
                        load.stdin.write(text)
                    load.stdin.close()
                except BrokenPipeError:
                    pass
                load.stdin = None
                _, errors = load.communicate()
                self.assertEqual(load.returncode, 1)
                self.assertIn(message, errors.decode())

    def test_a_trigger_behind_spaces_is_whole(self):
        self.assert_passes(self.load("t.sql", content="CREATE TABLE a(x); CREATE TABLE b(x);\n" + " " * 80
                                     + "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n INSERT INTO b VALUES(new.x);\nEND;\n"))
        self.node.sql("INSERT INTO a VALUES(1)")
        self.assertEqual(self.rows("SELECT * FROM b"), [[1]])


if __name__ == "__main__":
    harness.main()
