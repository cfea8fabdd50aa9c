"""One SQL program on three nodes that are killed in between leaves byte-equal contents on all."""
import harness
from harness import CairnTest

SCHEMA = """
CREATE TABLE parent (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, at TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent ON DELETE CASCADE, n INTEGER CHECK (n < 100));
CREATE TABLE trail (what TEXT, id INTEGER, at TEXT, draw INTEGER);
CREATE TABLE pairs (a TEXT, b INTEGER, total INTEGER AS (b * 2) STORED, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE tight (a INTEGER, b TEXT NOT NULL) STRICT;
CREATE TABLE state (last INTEGER, changed INTEGER, total INTEGER);
CREATE VIRTUAL TABLE words USING fts5(body);
CREATE VIEW names AS SELECT id, name FROM parent;
CREATE TRIGGER parent_added AFTER INSERT ON parent BEGIN
  INSERT INTO trail VALUES ('added', new.id, datetime('now'), random());
END;
CREATE TRIGGER parent_gone AFTER DELETE ON parent BEGIN
  INSERT INTO trail VALUES ('gone', old.id, strftime('%s', 'now'), abs(random() % 1000));
END;
CREATE TRIGGER names_added INSTEAD OF INSERT ON names BEGIN
  INSERT INTO parent (name) VALUES (new.name || '-by-view');
END;
CREATE TRIGGER child_rule BEFORE INSERT ON child WHEN new.n < 0 BEGIN
  SELECT CASE new.n WHEN -1 THEN RAISE(ABORT, 'abort') WHEN -2 THEN RAISE(FAIL, 'fail')
                    WHEN -3 THEN RAISE(ROLLBACK, 'rollback') WHEN -4 THEN RAISE(IGNORE) END;
END;
"""

# Some of these fail, on purpose: they must fail everywhere.
PROGRAM = """
INSERT INTO parent (name) VALUES ('a'), ('b'), ('c') RETURNING id, at
INSERT INTO child (parent, n) SELECT id, abs(random() % 50) FROM parent ORDER BY random()
INSERT INTO state VALUES (last_insert_rowid(), changes(), total_changes())
INSERT OR IGNORE INTO parent (name) VALUES ('a'), ('d')
INSERT OR REPLACE INTO parent (name) VALUES ('b')
INSERT OR FAIL INTO parent (name) VALUES ('x1'), ('a'), ('x2')
INSERT OR ROLLBACK INTO parent (name) VALUES ('y1'), ('a'), ('y2')
INSERT OR ABORT INTO parent (name) VALUES ('z1'), ('a')
INSERT INTO parent (name) VALUES ('a') ON CONFLICT (name) DO UPDATE SET name = name || '+', at = CURRENT_TIMESTAMP
INSERT INTO child (parent, n) VALUES (1, 1), (1, -1)
INSERT INTO child (parent, n) VALUES (1, 2), (1, -2)
INSERT INTO child (parent, n) VALUES (1, 3), (1, -3)
INSERT INTO child (parent, n) VALUES (1, 4), (1, -4), (1, 5)
INSERT INTO child (parent, n) VALUES (1, 500)
INSERT INTO child (parent, n) VALUES (99999, 1)
INSERT INTO names (name) VALUES ('v')
INSERT INTO pairs (a, b) VALUES ('p', 1), ('p', 2), ('q', 1)
INSERT INTO tight VALUES ('not a number', 'x')
INSERT INTO tight VALUES (1, hex(randomblob(16)))
INSERT INTO words SELECT 'the ' || name || ' of ' || id FROM parent
DELETE FROM words WHERE words MATCH 'b'
CREATE TABLE copy AS SELECT *, random() AS r, randomblob(8) AS bytes FROM child ORDER BY random()
CREATE INDEX copy_n ON copy (n) WHERE n > 10
UPDATE copy SET r = random() WHERE rowid IN (SELECT rowid FROM copy ORDER BY random() LIMIT 2)
ALTER TABLE copy ADD COLUMN note TEXT DEFAULT 'none'
ALTER TABLE copy RENAME COLUMN r TO drawn
UPDATE copy SET note = (SELECT group_concat(name) FROM parent)
ALTER TABLE copy DROP COLUMN bytes
DELETE FROM parent WHERE id = (SELECT min(id) FROM parent)
INSERT INTO state VALUES (last_insert_rowid(), changes(), total_changes())
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO pairs (a, b) SELECT hex(randomblob(4)), i FROM n
UPDATE pairs SET b = b + 1000 WHERE a > (SELECT a FROM pairs ORDER BY random() LIMIT 1)
INSERT INTO trail SELECT 'window', row_number() OVER (ORDER BY b, a), time('now'), random() FROM pairs LIMIT 20
DELETE FROM pairs WHERE b % 7 = 0
ANALYZE
UPDATE parent SET name = printf('%s/%d', name, parent.id) FROM child WHERE child.parent = parent.id
INSERT INTO trail VALUES ('json', json_extract('{"a": 1.5}', '$.a'), julianday('now') > 2459000, 0)
REINDEX
DROP TABLE copy
CREATE TABLE copy (again)
INSERT INTO copy VALUES (1.0), (1e300 * 10), (-0.0), (x'00'), (NULL), ('\u706f')
ALTER TABLE copy RENAME TO kept
DROP TABLE kept
"""


class Determinism(CairnTest):
    def test_a_program_with_kills_in_between_leaves_equal_files(self):
        nodes = self.new_cluster(3)
        self.assert_passes(harness.run_cairn("shell", nodes[0].address, stdin=SCHEMA))
        statements = PROGRAM.encode().decode("unicode_escape").strip().splitlines()
        failed = []
        for turn in range(3):
            for i, sql in enumerate(statements):
                if i % 9 == 4:
                    # The node comes back with a cold cache and connection; the others stay warm.
                    victim = nodes[(i + turn) % 3]
                    victim.kill()
                    victim.start()
                    self.await_leader()
                done = nodes[i % 3].shell(sql)
                if done.returncode != 0:
                    self.assertNotIn("UNAVAILABLE", done.stderr, sql)
                    if turn == 0:
                        failed.append(f"{sql}: {done.stderr.strip()}")
        # Only these may fail. Otherwise the test would compare empty tables.
        self.assertEqual(len(failed), 11, failed)
        self.assertGreater(nodes[1].sql("SELECT count(*) AS n FROM trail")[0]["n"], 50)
        self.assert_equal_contents()


if __name__ == "__main__":
    harness.main()
