"""`cairn load`: dumps, files of SQLite, CSV and JSON lines."""
import contextlib
import shutil
import sqlite3
import subprocess

import harness
from harness import CairnTest, run_cairn

SHOP = """
PRAGMA foreign_keys=off;
BEGIN TRANSACTION;
CREATE TABLE [Employees] ([EmployeeID] INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, [LastName] TEXT NOT NULL,
  [ReportsTo] INTEGER NULL, [Photo] BLOB,
  FOREIGN KEY ([ReportsTo]) REFERENCES [Employees] ([EmployeeID]) ON DELETE NO ACTION);
CREATE TABLE [Order Details]([OrderID] INTEGER NOT NULL, [ProductID] INTEGER NOT NULL,
  [UnitPrice] NUMERIC NOT NULL DEFAULT 0 CHECK ([UnitPrice] >= (0)), PRIMARY KEY ([OrderID], [ProductID]),
  FOREIGN KEY ([OrderID]) REFERENCES [Orders] ([OrderID]));
CREATE TABLE [Orders]([OrderID] INTEGER PRIMARY KEY, [EmployeeID] INTEGER REFERENCES Employees, note);
INSERT INTO Employees VALUES(1,'Davolio',2,X'FFD8');
INSERT INTO "Order Details" VALUES(10248, 11, 14), (10248, 42, 9.8);
INSERT INTO Employees VALUES(2,'Fuller',NULL,NULL);
INSERT INTO Orders VALUES(10248, 1, 'a; b
-- no comment');
CREATE VIEW [Totals] AS SELECT OrderID, sum(UnitPrice) AS total FROM [Order Details] GROUP BY OrderID;
CREATE INDEX ByEmployee ON Orders(EmployeeID);
CREATE TRIGGER t AFTER INSERT ON Orders BEGIN
  UPDATE Employees SET LastName = LastName; DELETE FROM Orders WHERE OrderID < 0;
END;
COMMIT;
PRAGMA foreign_keys=on;
"""
FULL_TEXT = """
CREATE VIRTUAL TABLE ft USING fts5(title, body);
INSERT INTO ft(rowid, title, body) VALUES(3, 'one', 'first word'), (9, 'two', 'another word');
CREATE TABLE docs(id INTEGER PRIMARY KEY, t);
INSERT INTO docs VALUES(4, 'outside word');
CREATE VIRTUAL TABLE outside USING fts5(t, content='docs', content_rowid='id');
INSERT INTO outside(outside) VALUES('rebuild');
CREATE VIRTUAL TABLE area USING rtree(id, x0, x1);
INSERT INTO area VALUES(1, 0.5, 2.5);
"""


class Load(CairnTest):
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

    def load(self, name, *flags, content=None, stdin=None):
        path = name
        if content is not None:
            path = self.directory / name
            path.write_text(content, encoding="utf-8")
        return run_cairn("load", self.node.address, path, *flags, stdin=stdin)

    def rows(self, sql):
        return [list(row.values()) for row in self.node.sql(sql)]

    def sqlite(self, script, name="source.db"):
        path = self.directory / name
        subprocess.run(["sqlite3", "-bail", path], input=script, text=True, check=True, capture_output=True)
        return path

    def test_a_dump_like_northwind_is_one_command(self):
        before = self.node.commit()
        self.assert_passes(self.load("-", stdin=SHOP))
        self.assertLessEqual(self.node.commit(), before + 3)
        self.assertEqual(self.rows("SELECT LastName, ReportsTo, Photo FROM Employees"),
                         [["Davolio", 2, "x'ffd8'"], ["Fuller", None, None]])
        self.assertEqual(self.rows("SELECT total FROM Totals"), [[23.8]])
        self.assertEqual(self.rows("SELECT note FROM Orders"), [["a; b\n-- no comment"]])
        self.assertEqual(self.rows("SELECT seq FROM sqlite_sequence"), [[2]])
        self.assertEqual(self.rows("SELECT name FROM sqlite_schema WHERE type IN ('index', 'trigger') "
                                   "AND sql NOT NULL ORDER BY 1"), [["ByEmployee"], ["t"]])
        again = self.load("-", stdin=SHOP)
        self.assertEqual(again.returncode, 1)
        self.assertIn("the cluster has", again.stderr)

    def test_dumps_and_files_of_sqlite_with_virtual_tables(self):
        path = self.sqlite(SHOP + FULL_TEXT)
        dump = subprocess.run(["sqlite3", path, ".dump"], text=True, capture_output=True, check=True).stdout
        self.assertIn("writable_schema", dump)
        for source in ({"name": str(path)}, {"name": "dump.sql", "content": dump}):
            with self.subTest(source["name"]):
                if "content" in source:
                    self.node = self.another_node()
                self.assert_passes(self.load(**source))
                self.assertEqual(self.rows("SELECT rowid FROM ft WHERE ft MATCH 'word'"), [[3], [9]])
                self.assertEqual(self.rows("SELECT rowid FROM outside WHERE outside MATCH 'word'"), [[4]])
                self.assertEqual(self.rows("SELECT * FROM area"), [[1, 0.5, 2.5]])
                self.assertEqual(self.rows("SELECT count(*) FROM \"Order Details\""), [[2]])

    def test_a_dump_of_an_analyzed_database_is_taken(self):
        path = self.sqlite("CREATE TABLE q(a); CREATE INDEX i ON q(a); INSERT INTO q VALUES(1), (2); ANALYZE;")
        dump = subprocess.run(["sqlite3", path, ".dump"], text=True, capture_output=True, check=True).stdout
        self.assertIn("INSERT INTO sqlite_stat1", dump)
        # A build with SQLITE_ENABLE_STAT4 writes a table of samples, too.
        dump = dump.replace("INSERT INTO sqlite_stat1",
                            "INSERT INTO sqlite_stat4 VALUES('q','i','1','0','0',x'00');\nINSERT INTO sqlite_stat1")
        self.assert_passes(self.load("analyzed.sql", content=dump))
        self.assertEqual(self.rows("SELECT a FROM q"), [[1], [2]])
        self.assertEqual(self.rows("SELECT name FROM sqlite_schema WHERE name LIKE 'sqlite_stat%'"), [])

    def test_a_drop_that_does_nothing_is_told(self):
        self.node.sql("CREATE TABLE old(a)")
        dump = "DROP TABLE IF EXISTS \"old\";\nDROP TABLE IF EXISTS nowhere;\nDROP TABLE IF EXISTS t;\nCREATE TABLE t(a);\n"
        done = self.load("drops.sql", content=dump)
        self.assert_passes(done)
        self.assertIn("note: DROP TABLE IF EXISTS old does nothing", done.stderr)
        self.assertEqual(done.stderr.count("note: "), 1)

    def test_what_sqlite_cannot_rename_is_told_before_rows_are_sent(self):
        self.node.sql("CREATE VIEW broken AS SELECT * FROM gone")
        rows = "".join(f"{i},{'x' * 700}\n" for i in range(30000))
        done = self.load("big.csv", "--table", "big", content="i,x\n" + rows)
        self.assertEqual(done.returncode, 1)
        self.assertIn("error in view broken: no such table: main.gone", done.stderr)
        self.assertEqual(self.rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE "
                                   "'\\_cairn%' ESCAPE '\\'"), [])
        self.node.sql("DROP VIEW broken")
        self.assert_passes(self.load("big.csv", "--table", "big", content="i,x\n" + rows))
    def test_time_series_and_vectors_come_from_dumps_and_files_of_sqlite(self):
        node = self.node
        node.sql("CREATE TABLE n(i)")
        node.sql("INSERT INTO n WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999)"
                 " SELECT i FROM n")
        for name, count in (("small", 3000), ("large", 300_000)):  # in one command, and staged
            node.sql(f"CREATE VIRTUAL TABLE {name} USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, v REAL,"
                     " s TEXT, rollups='1m,1h')")
            for start in range(0, count, 100_000):
                node.sql(f"INSERT INTO {name} SELECT char(97 + i % 3), ({start} + i) * 500, i % 17 * 0.25,"
                         f" iif(i % 5, NULL, 'on') FROM n WHERE i < {min(count, 100_000)}")
        node.sql("DROP TABLE n")
        node.sql("CREATE TABLE place(id INTEGER PRIMARY KEY, at F32_BLOB(2))")
        node.sql("CREATE INDEX place_idx ON place(libsql_vector_idx(at, 'metric=l2'))")
        node.sql("INSERT INTO place VALUES(1, vector32('[1, 2]')), (2, vector32('[3, 4]')), (3, NULL)")
        queries = ["SELECT id FROM vector_top_k('place_idx', '[3, 3]', 2)", "SELECT name FROM sqlite_schema ORDER BY 1"]
        for name in ("small", "large"):
            queries += [f"SELECT device, count(*), sum(v), max(ts), count(s) FROM {name} GROUP BY 1 ORDER BY 1",
                        f"SELECT * FROM {name}_1h ORDER BY device, ts LIMIT 5",
                        f"SELECT count(*), sum(points) FROM {name}_1m"]
        expected = [node.sql(query) for query in queries]
        dump = self.directory / "all.sql"
        done = run_cairn("dump", node.address, seconds=60)
        self.assert_passes(done)
        dump.write_text(done.stdout, encoding="utf-8")
        copy = self.directory / "copy.db"
        self.assert_passes(run_cairn("backup", node.address, copy, seconds=60))
        with contextlib.closing(sqlite3.connect(copy)) as file:  # a file of SQLite, and no backup any more
            for (table,) in file.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE"
                                         " '\\_cairn%' ESCAPE '\\'").fetchall():
                file.execute(f"DROP TABLE {table}")
            file.commit()
        kept = self.load("kept.sql", content="CREATE VIRTUAL TABLE k USING timeseries(ts TIMESTAMP_MS, v REAL,"
                         " retention='7d');\nINSERT INTO k VALUES(1000, 1);\n")
        self.assertEqual(kept.returncode, 1)
        self.assertIn("has a retention", kept.stderr)
        for source in (dump, copy):
            with self.subTest(source.name):
                self.node = self.another_node()
                self.assert_passes(run_cairn("load", self.node.address, source, seconds=120))
                self.assertEqual([self.node.sql(query) for query in queries], expected)
                self.node.stop()
                shutil.rmtree(self.directory / "another")

    def test_more_than_one_command_takes_is_staged_and_renamed(self):
        path = self.sqlite(
            "CREATE TABLE child(p REFERENCES parent(id) ON DELETE CASCADE, x TEXT);"
            "CREATE TABLE parent(id INTEGER PRIMARY KEY AUTOINCREMENT, up REFERENCES parent);"
            "CREATE TABLE tags(a TEXT, b INT, PRIMARY KEY(a, b)) WITHOUT ROWID;"
            "CREATE UNIQUE INDEX ux ON child(x); CREATE VIEW v AS SELECT count(*) AS n FROM child;"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) "
            "INSERT INTO child SELECT 1 + i % 100, hex(randomblob(200)) || i FROM n;"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
            "INSERT INTO parent SELECT i, 101 - i FROM n;"
            "INSERT INTO parent VALUES(500, NULL); DELETE FROM parent WHERE id = 500;"
            "INSERT INTO tags VALUES('a', 1), ('b', 2); DELETE FROM child WHERE rowid % 1000 = 7;" + FULL_TEXT)
        done = self.load(str(path))
        self.assert_passes(done)
        for query in ("SELECT count(*), sum(rowid), sum(length(x)), max(x) FROM child",
                      "SELECT count(*), sum(up) FROM parent", "SELECT * FROM tags", "SELECT n FROM v",
                      "SELECT seq FROM sqlite_sequence WHERE name = 'parent'", "SELECT title FROM ft",
                      "SELECT sql FROM sqlite_schema WHERE name IN ('ux', 'v', 'child', 'tags') ORDER BY name"):
            expected = subprocess.run(["sqlite3", path, query], text=True, capture_output=True, check=True)
            self.assertEqual(self.node.shell(query, mode="list").stdout.replace('"', ""),
                             expected.stdout.replace('"', ""), query)
        self.assertEqual(self.rows("SELECT name FROM sqlite_schema WHERE name LIKE '\\_load%' ESCAPE '\\'"), [])
        self.assertEqual(self.rows("SELECT * FROM pragma_foreign_key_check"), [])
        # The foreign key acts.
        self.node.sql("UPDATE parent SET up = NULL")
        self.node.sql("DELETE FROM parent WHERE id = 5")
        self.assertEqual(self.rows("SELECT count(*) FROM child WHERE p = 5"), [[0]])

    def test_an_input_with_an_error_loads_nothing_and_says_where(self):
        cases = {
            "cut off": ("BEGIN;\nCREATE TABLE t(a);\nINSERT INTO t VALUES(1);\n", "no COMMIT"),
            "cut within": ("CREATE TABLE t(a);\nINSERT INTO t VALUES('x\n", "bad.sql:2: the input is cut off"),
            "syntax": ("CREATE TABLE t(a);\n\nINSERT INTO t VALUE(1);\n", "bad.sql:3: near"),
            "constraint": ("CREATE TABLE t(a UNIQUE);\nINSERT INTO t VALUES(1);\nINSERT INTO t VALUES(1);\n",
                           "bad.sql:3: UNIQUE constraint failed: t.a\n  in: INSERT INTO t VALUES(1);"),
            "no table": ("INSERT INTO nowhere VALUES(1);\n", "bad.sql:1: no such table: nowhere"),
            "rolled back": ("BEGIN;\nCREATE TABLE t(a);\nROLLBACK; -- due to errors\n", "ended in an error"),
            "attach": ("CREATE TABLE t(a);\nATTACH 'other.db' AS o;\n", "bad.sql:2: "),
            "orphan": ("CREATE TABLE p(a PRIMARY KEY);\nCREATE TABLE t(a REFERENCES p);\n"
                       "INSERT INTO t VALUES(7);\n", "--unchecked"),
            "empty": ("-- nothing\n", "no table"),
            "rolled back in part": ("CREATE TABLE t(a);\nSAVEPOINT x;\nINSERT INTO t VALUES(1);\n"
                                    "ROLLBACK TO x;\nRELEASE x;\n", "bad.sql:4: a load does not take ROLLBACK TO"),
            "NUL": ("CREATE TABLE t(a);\nINSERT INTO t VALUES(1);\0INSERT INTO t VALUES(2);\n",
                    "bad.sql:2: the line has a NUL byte"),
            "temporary": ("CREATE TABLE t(a);\nCREATE TEMP TABLE p(a);\n", "the TEMP table p is not dropped"),
            "temporary view": ("CREATE TABLE t(a);\nCREATE TEMP VIEW p AS SELECT 1;\n",
                               "bad.sql:2: a load takes no temporary"),
            "no semicolon": ("CREATE TABLE t(a);\nINSERT INTO t VALUES(1)\n", "bad.sql:2: the input is cut off"),
            "not UTF-8": ("CREATE TABLE t(a);\nINSERT INTO t VALUES('x'), (CAST(x'ff' AS TEXT));\n",
                          "row 2 of t: the text in column a is not valid UTF-8"),
        }
        for name, (content, message) in cases.items():
            with self.subTest(name):
                done = self.load("bad.sql", content=content)
                self.assertEqual(done.returncode, 1)
                self.assertIn(message, done.stderr)
                self.assertEqual(self.rows("SELECT name FROM sqlite_schema WHERE name IN ('t', 'p')"), [])
        self.assert_passes(self.load("bad.sql", "--unchecked", content=cases["orphan"][0]))
        self.assertEqual(self.load("/no/such/file").returncode, 1)
        for arguments in ((), ("--table", "x"), ("--table", "x", "--format", "jsonl"), ("--format", "sqlite")):
            unreadable = self.load("/tmp", *arguments)
            self.assertEqual(unreadable.returncode, 1)
            self.assertIn("error: ", unreadable.stderr)
            if "sqlite" not in arguments:
                self.assertIn("read /tmp: ", unreadable.stderr)
        self.assertIn("reserved", self.load("x.csv", "--table", "_load_x", content="a\n1\n").stderr)
        self.assertEqual(self.rows("SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_load%' ESCAPE '\\'"), [[0]])
        garbage = self.directory / "no.db"
        garbage.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
        self.assertEqual(self.load(str(garbage)).returncode, 1)

    def test_csv_into_a_new_and_an_existing_table(self):
        csv = "id,name\n1,Ann\n2,\"Bob, \"\"B\"\"\"\n3,\n"
        self.assert_passes(self.load("new.csv", "--table", "people", content=csv))
        self.assertEqual(self.rows("SELECT * FROM people"), [[1, "Ann"], [2, 'Bob, "B"'], [3, ""]])
        self.node.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INT DEFAULT 5)")
        # The first row names columns of the table; without such a row all fields are given.
        self.assert_passes(self.load("a.csv", "--table", "t", content="name,id\nx,1\n"))
        self.assert_passes(self.load("b.csv", "--table", "t", content="2,y,7\n"))
        self.assertEqual(self.rows("SELECT * FROM t"), [[1, "x", 5], [2, "y", 7]])
        clash = self.load("c.csv", "--table", "t", content="9,z,7\n2,again,7\n")
        self.assertEqual(clash.returncode, 1)
        self.assertIn("c.csv:2: row 2 of t: ", clash.stderr)
        shell = self.node.shell(f".import {self.directory / 'b2.csv'} t")
        self.assertEqual(shell.returncode, 1)
        (self.directory / "b2.csv").write_text("3,w,8\n", encoding="utf-8")
        self.assert_passes(self.node.shell(f".import {self.directory / 'b2.csv'} t"))
        self.assertEqual(self.rows("SELECT count(*) FROM t"), [[3]])

    def test_import_takes_the_separator_of_the_shell_of_sqlite(self):
        bars, semicolons = self.directory / "bars", self.directory / "semicolons"
        bars.write_text('a|b\n"x|y"|2,5\n', encoding="utf-8")
        semicolons.write_text("a;b\n1;2|3\n", encoding="utf-8")
        script = (f".mode list\n.import {bars} t\nSELECT * FROM t;\n.separator ;\n.import {semicolons} u\n"
                  f"SELECT * FROM u;\n.mode csv\nSELECT * FROM t;\n.separator \"\\t\"\nSELECT a, b, NULL FROM u;\n"
                  f".mode list\nSELECT * FROM u;\n")
        expected = subprocess.run(["sqlite3", ":memory:"], input=script, text=True, capture_output=True,
                                  check=True).stdout
        done = run_cairn("shell", self.node.address, stdin=script)
        self.assert_passes(done)
        self.assertEqual(done.stdout, expected.replace("\r\n", "\n"))
        self.assert_passes(self.node.shell(".mode list", f".import --csv {semicolons} v"))
        self.assertEqual(self.rows("SELECT * FROM v"), [["1;2|3"]])
        self.assertIn("one byte", self.node.shell(".separator ab", f".import {bars} w").stderr)

    def test_all_bad_rows_are_listed_and_none_is_half_loaded(self):
        path = self.directory / "bad.csv"
        path.write_bytes(b"a,b\n1,2\n3\n4,5,6\nfine,row\n\"x\"y,2\n\xff,1\n7,\"open\n")
        done = self.load(str(path), "--table", "t")
        self.assertEqual(done.returncode, 1)
        for line, why in ((3, "1 field"), (4, "3 fields"), (6, "closing quote"), (7, "UTF-8"), (8, "never closed")):
            self.assertRegex(done.stderr, f"bad.csv:{line}: .*{why}")
        self.assertIn("5 rows are bad: nothing is loaded", done.stderr)
        self.assertEqual(self.rows("SELECT name FROM sqlite_schema WHERE name = 't'"), [])

    def test_json_lines(self):
        lines = '{"b": 1.5, "a": "x"}\n\n{"a": null, "c": [1, {"d": true}]}\n{"b": true}\n'
        self.assert_passes(self.load("new.jsonl", "--table", "j", content=lines))
        self.assertEqual(self.node.sql("SELECT * FROM j"),
                         [{"b": 1.5, "a": "x", "c": None}, {"b": None, "a": None, "c": '[1,{"d":true}]'},
                          {"b": 1, "a": None, "c": None}])
        bad = self.load("bad.jsonl", "--table", "j", content='{"a": 1}\n[1]\n{"nope": 1}\n{"a": \n')
        self.assertEqual(bad.returncode, 1)
        for line in (2, 3, 4):
            self.assertIn(f"bad.jsonl:{line}: ", bad.stderr)
        self.assertIn("bad.jsonl:1: a: the number 1e400 is too large",
                      self.load("bad.jsonl", "--table", "j", content='{"a": 1e400}\n').stderr)
        self.assertEqual(self.rows("SELECT count(*) FROM j"), [[3]])

    def test_rows_past_one_command_for_an_existing_table_are_all_or_nothing(self):
        self.node.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT, n NUMERIC)")
        self.node.sql("CREATE INDEX t_x ON t(x)")
        self.node.sql("INSERT INTO t VALUES(20000, 'in the way', 1)")
        rows = "".join(f"{i},{i:0700},{i}.5\n" for i in range(1, 30001))
        stages = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_load%' ESCAPE '\\'"
        failed = self.load("big.csv", "--table", "t", content=rows)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("UNIQUE constraint failed: t.id", failed.stderr)
        self.assertEqual(self.rows("SELECT count(*) FROM t"), [[1]])
        self.assertEqual(self.rows(stages), [[0]])
        self.node.sql("DELETE FROM t")
        self.assert_passes(self.load("big.csv", "--table", "t", content=rows))
        self.assertEqual(self.rows("SELECT count(*), sum(id), max(length(x)), sum(n), typeof(n) FROM t"),
                         [[30000, 450015000, 700, 450030000.0, "real"]])
        self.assertEqual(self.rows(stages), [[0]])

    def test_a_load_holds_up_writers_no_longer_than_a_request_may(self):
        self.node.stop()
        self.node.flags += ["--request-steps-max", "4000000"]
        self.node.start()
        self.node.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT)")
        rows = "".join(f"{i},{'x' * 700}\n" for i in range(1, 30001))
        refused = self.load("big.csv", "--table", "t", content=rows)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("with --resume", refused.stderr)
        self.assertEqual(self.rows("SELECT count(*) FROM t"), [[0]])
        self.assertEqual(self.rows("SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_load%' ESCAPE '\\'"), [[0]])
        self.assert_passes(self.load("big.csv", "--table", "t", "--resume", content=rows))
        self.assertEqual(self.rows("SELECT count(*) FROM t"), [[30000]])

    def test_rows_past_64_mb_for_an_existing_table_need_resume(self):
        self.node.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT)")
        rows = "".join(f"{i},{'x' * 700}\n" for i in range(1, 100001))
        refused = self.load("big.csv", "--table", "t", content=rows)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("--resume", refused.stderr)
        self.assertEqual(self.rows("SELECT count(*) FROM t"), [[0]])

    def test_a_load_that_is_resumed_goes_on_behind_its_last_row(self):
        self.node.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT)")
        rows = "".join(f"{i},{'x' * 700}\n" for i in range(1, 30001))
        self.node.sql("INSERT INTO t VALUES(20000, 'in the way')")
        failed = self.load("big.csv", "--table", "t", "--resume", content=rows)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("big.csv:20000: row 20000 of t: ", failed.stderr)
        before = self.rows("SELECT count(*) FROM t")[0][0]
        self.assertGreater(before, 1)
        self.node.sql("DELETE FROM t WHERE id = 20000")
        done = self.load("big.csv", "--table", "t", "--resume", content=rows)
        self.assert_passes(done)
        self.assertIn("goes on behind row", done.stderr)
        self.assertEqual(self.rows("SELECT count(*), sum(id), max(length(x)) FROM t"), [[30000, 450015000, 700]])
        # The mark stays, so that the same call after a lost answer loads nothing twice.
        again = self.load("big.csv", "--table", "t", "--resume", content=rows)
        self.assert_passes(again)
        self.assertIn("are loaded already", again.stderr)
        self.assertEqual(self.rows("SELECT count(*) FROM t"), [[30000]])


if __name__ == "__main__":
    harness.main()
