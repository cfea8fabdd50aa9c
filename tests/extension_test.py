#!/usr/bin/env python3
"""A stock sqlite3 reads the file of a stopped node: time series, rollups and vectors by the extension,
ordinary tables without it."""
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import unittest

from harness import BOUND_SECONDS, ROOT, CairnTest, main

EXTENSION = pathlib.Path(os.environ.get("CAIRN_BUILD", ROOT / "build")) / "cairn_sqlite"
QUERIES = [
    "SELECT device, ts, temp, note FROM m WHERE device = 'b' AND ts >= 120000 ORDER BY ts LIMIT 4",
    "SELECT device, count(*), sum(temp), max(ts) FROM m GROUP BY device ORDER BY device",
    "SELECT device, ts, temp FROM m WHERE is_last ORDER BY device",
    "SELECT * FROM m_1m WHERE device = 'a' ORDER BY ts LIMIT 3",
    "SELECT time_bucket('5m', ts) AS b, count(*), first(temp, ts), last(temp, ts), delta(temp, ts),"
    " rate(temp, ts) FROM m WHERE device = 'a' GROUP BY b ORDER BY b LIMIT 3",
    "SELECT id, vector_distance_cos(at, '[1, 2]') AS d, vector_extract(at) FROM place ORDER BY d, id"
    " LIMIT 3",
    "SELECT id FROM vector_top_k('place_idx', '[1, 2]', 5)",
    "SELECT name FROM plain ORDER BY name",
]


class Extension(CairnTest):
    def sqlite3(self, sql, load=True, readonly=True):
        arguments = ["sqlite3", "-bail", "-json"] + (["-readonly"] if readonly else [])
        loads = ["-cmd", f".load {EXTENSION}"] if load else []
        return subprocess.run([*arguments, *loads, str(self.db), sql], capture_output=True,
                              text=True, check=False, timeout=BOUND_SECONDS)

    def rows(self, sql, **how):
        done = self.sqlite3(sql, **how)
        self.assertEqual(done.returncode, 0, f"{sql}: {done.stderr}")
        return json.loads(done.stdout) if done.stdout else []

    def refused(self, sql, why, **how):
        done = self.sqlite3(sql, readonly=False, **how)
        self.assertNotEqual(done.returncode, 0, sql)
        self.assertIn(why, done.stderr, sql)

    def setUp(self):
        super().setUp()
        if shutil.which("sqlite3") is None:
            raise unittest.SkipTest("there is no sqlite3")

    def test_a_stopped_node(self):
        node = self.new_cluster(1)[0]
        node.sql("CREATE VIRTUAL TABLE m USING timeseries(device TEXT TAG, ts TIMESTAMP_MS, temp REAL,"
                 " note TEXT, rollups='1m')")
        node.sql("CREATE TABLE i(n)")
        node.sql("INSERT INTO i WITH RECURSIVE i(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM i"
                 " WHERE n < 1999) SELECT n FROM i")
        node.sql("INSERT INTO m(device, ts, temp, note) SELECT char(97 + n % 2), n * 500,"
                 " round(20 + n % 37 * 0.25, 2), iif(n % 10 = 0, 'x' || n % 3, NULL) FROM i")
        node.sql("CREATE TABLE place(id INTEGER PRIMARY KEY, at F32_BLOB(2))")
        node.sql("CREATE INDEX place_idx ON place(libsql_vector_idx(at, 'metric=cosine'))")
        node.sql("INSERT INTO place(at) WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM"
                 " i WHERE n < 200) SELECT vector32('[' || n || ',' || (n * 7 % 101) || ']') FROM i")
        node.sql("CREATE TABLE plain(name TEXT)")
        node.sql("INSERT INTO plain VALUES('one'), ('two')")
        answers = [node.sql(query) for query in QUERIES]
        self.assertEqual(node.stop(), 0)
        self.db = node.db
        for query, answer in zip(QUERIES, answers):
            self.assertTrue(answer, query)
            self.assertEqual(self.rows(query), answer, query)
        self.assertEqual(self.rows("SELECT name FROM plain ORDER BY name", load=False), answers[-1])
        self.assertEqual(self.rows("SELECT count(*) AS n FROM place", load=False), [{"n": 200}])
        self.assertEqual(self.rows("PRAGMA integrity_check"), [{"integrity_check": "ok"}])
        self.check_refusals()
        self.check_connections_end()
        # Nothing of it has changed the file for the node.
        node.start()
        self.assertEqual([node.sql(query) for query in QUERIES], answers)

    def check_refusals(self):
        writes = ["INSERT INTO m(device, ts, temp) VALUES('a', 1, 2)", "UPDATE m SET temp = 0 WHERE device = 'a'",
                  "DELETE FROM m", "CREATE VIRTUAL TABLE n USING timeseries(d TEXT TAG, ts TIMESTAMP_MS, v REAL)",
                  "ALTER TABLE m RENAME TO n"]
        for sql in (*writes, "DROP TABLE m", "INSERT INTO place(at) VALUES(vector32('[1,2]'))", "DELETE FROM place",
                    "DROP INDEX place_idx", "DELETE FROM plain", "CREATE TABLE more(x)"):
            self.refused(sql, "readonly")
        for sql in writes:
            self.refused("PRAGMA query_only = OFF; " + sql, "this connection only reads")
        self.refused("PRAGMA query_only = OFF; DROP TABLE m", "readonly")
        self.refused("DELETE FROM m_1m", "may not be modified")
        self.refused("PRAGMA query_only = OFF; INSERT INTO place(at) VALUES(vector32('[1,2]'))",
                     "cairn_sqlite reads only")
        self.refused("INSERT INTO place(at) VALUES(x'00')", "unknown function: libsql_vector_idx", load=False)
        other = self.directory / "other.db"
        done = self.sqlite3(f"PRAGMA query_only = OFF; ATTACH '{other}' AS other; CREATE TABLE other.points AS"
                            " SELECT * FROM m WHERE device = 'a'", readonly=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def check_connections_end(self):
        """The library may be unloaded and loaded again in one process."""
        for _ in range(3):
            db = sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)
            if not hasattr(db, "enable_load_extension"):
                return
            db.enable_load_extension(True)
            db.load_extension(str(EXTENSION))
            cursor = db.execute("SELECT * FROM m")
            cursor.fetchone()
            self.assertTrue(db.execute("SELECT cairn_sqlite_version()").fetchone()[0])
            db.close()


if __name__ == "__main__":
    main()
