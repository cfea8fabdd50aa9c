#include "state_machine/sqlite/sql_generator_test_util.h"

#include <utility>

namespace cairn::state_machine {

const std::vector<std::string>& SqlGenerator::Schema() {
  static const std::vector<std::string> kSchema = {
      // NOLINTNEXTLINE(bugprone-suspicious-missing-comma): long statements are in several literals
      "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT UNIQUE COLLATE NOCASE,"
      " qty INTEGER NOT NULL DEFAULT 0 CHECK(qty >= 0), price REAL, tags TEXT, made TEXT)",
      "CREATE TABLE orders(id INTEGER PRIMARY KEY AUTOINCREMENT,"
      " item REFERENCES item(id) ON DELETE CASCADE ON UPDATE CASCADE, n INTEGER DEFAULT 1, at TEXT"
      " DEFAULT CURRENT_TIMESTAMP)",
      "CREATE TABLE note(item INTEGER REFERENCES item(id) ON DELETE SET NULL DEFERRABLE INITIALLY"
      " DEFERRED, body, UNIQUE(item, body) ON CONFLICT IGNORE)",
      "CREATE TABLE pair(a TEXT, b INTEGER, v ANY, PRIMARY KEY(a, b DESC)) WITHOUT ROWID, STRICT",
      "CREATE TABLE typed(i INT, r REAL, t TEXT, b BLOB, a ANY) STRICT",
      "CREATE TABLE gen(n INTEGER, twice INT AS (n * 2) STORED UNIQUE,"
      " kind TEXT AS (CASE WHEN n % 2 THEN 'odd' ELSE 'even' END) VIRTUAL)",
      "CREATE TABLE audit(n INTEGER PRIMARY KEY, what, old, new)",
      "CREATE TABLE loose(a, b NUMERIC, c BLOB)",
      "CREATE VIRTUAL TABLE doc USING fts5(title, body, prefix='2')",
      "CREATE VIRTUAL TABLE box USING rtree_i32(id, x0, x1)",
      "CREATE INDEX item_qty ON item(qty DESC, name) WHERE qty > 10",
      "CREATE INDEX item_first ON item(substr(name, 1, 1), length(tags))",
      "CREATE UNIQUE INDEX orders_big ON orders(item, n) WHERE n > 50",
      "CREATE INDEX gen_kind ON gen(kind)",
      "CREATE INDEX loose_json ON loose(json_extract(c, '$.k')) WHERE json_valid(c)",
      "CREATE VIEW cheap AS SELECT id, name, qty FROM item WHERE price < 20 OR price IS NULL",
      "CREATE VIEW totals(item, n, last) AS SELECT item, sum(n), max(id) FROM orders GROUP BY item",
      "CREATE TRIGGER item_added AFTER INSERT ON item BEGIN"
      " INSERT INTO audit(what, new) VALUES('item', new.name);"
      " INSERT INTO doc(rowid, title, body) VALUES(new.id + 1000, new.name, new.tags); END",
      "CREATE TRIGGER item_sold AFTER UPDATE OF qty ON item WHEN old.qty <> new.qty BEGIN"
      " INSERT INTO audit(what, old, new) VALUES('qty', old.qty, new.qty);"
      " SELECT RAISE(ABORT, 'too many at once') WHERE new.qty - old.qty > 55; END",
      "CREATE TRIGGER item_gone BEFORE DELETE ON item BEGIN"
      " DELETE FROM doc WHERE rowid = old.id + 1000;"
      " SELECT RAISE(IGNORE) WHERE old.qty = 13; END",
      "CREATE TRIGGER cheap_changed INSTEAD OF UPDATE ON cheap BEGIN"
      " UPDATE item SET qty = new.qty, name = new.name WHERE id = old.id; END",
      "CREATE TRIGGER cheap_added INSTEAD OF INSERT ON cheap BEGIN"
      " INSERT OR IGNORE INTO item(name, qty, price) VALUES(new.name, new.qty, 9.5); END",
      "INSERT INTO item(name, qty, price, tags, made) VALUES('Nut', 5, 0.25, '[\"small\"]',"
      " '2020-02-29'), ('bolt', 40, 1.5, '{\"k\":[1,2]}', NULL), ('Éclair', 12, NULL, NULL,"
      " '1999-12-31 23:59:59.999')",
      "INSERT INTO gen(n) VALUES(1), (2), (30)",
      "INSERT INTO pair VALUES('a', 1, x'00ff'), ('a', 2, 2.5), ('b', 1, NULL)",
      "INSERT INTO doc VALUES('first words', 'some text to look for'), ('second', 'other words')",
  };
  return kSchema;
}

Statement SqlGenerator::Write() {
  Statement statement;
  switch (rng_.Below(12)) {
    case 0:
    case 1:
    case 2: statement.sql = Rows(); break;
    case 3:
    case 4: statement.sql = Upserts(); break;
    case 5: statement.sql = References(); break;
    case 6: statement.sql = Typed(); break;
    case 7: statement.sql = Computed(); break;
    case 8: statement.sql = Searches(); break;
    case 9: statement.sql = SchemaChanges(); break;
    case 10: statement.sql = Scratch(); break;
    default:
      statement.sql = "INSERT INTO loose VALUES(?1, :b, @c) RETURNING rowid, typeof(b), *";
      statement.positional = {static_cast<int64_t>(rng_.Below(100))};
      statement.named = {{":b", rng_.Below(2) == 0 ? Value("12") : Value(1.5)},
                         {"@c", rng_.Below(2) == 0 ? Value(Blob{std::string("\0x", 2)}) : Value()}};
  }
  return statement;
}

std::string SqlGenerator::Integer() {
  static constexpr std::initializer_list<const char*> kEdges = {
      "0", "-1", "9223372036854775807", "255", "NULL", "-9223372036854775808"};
  return rng_.Below(8) == 0 ? OneOf(kEdges) : Number();
}

std::string SqlGenerator::Text() {
  static constexpr std::initializer_list<const char*> kWords = {"nut", "BOLT",  "gear",  "éclair",
                                                                "",    "it''s", "a%b_c", "wheel"};
  return "'" + OneOf(kWords) + (rng_.Below(2) == 0 ? "" : Number(9)) + "'";
}

std::string SqlGenerator::Literal() {
  static constexpr std::initializer_list<const char*> kOthers = {
      "x'c0ffee'", "1e3", "-0.0", "1e999", "'12abc'", "TRUE", "''", "x''"};
  switch (rng_.Below(4)) {
    case 0: return Integer();
    case 1: return Text();
    case 2: return std::to_string(rng_.Below(1000)) + "." + Number(9);
    default: return OneOf(kOthers);
  }
}

std::string SqlGenerator::Date() {
  switch (rng_.Below(6)) {
    case 0: return "datetime('now', '-" + Number() + " days')";
    case 1: return "date('now', 'start of month', '+1 month', '-1 day')";
    case 2: return "strftime('%Y-%m-%d %H:%M:%f', 'now', 'weekday " + Number(6) + "')";
    case 3: return "time('2024-02-29 12:00', '+" + Number() + " minutes')";
    case 4: return "CURRENT_TIMESTAMP";
    default: return "unixepoch('now') - julianday('2020-01-01')";
  }
}

std::string SqlGenerator::Condition() {
  switch (rng_.Below(10)) {
    case 0: return "id = " + Number(80);
    case 1: return "id IN (SELECT item FROM orders WHERE n > " + Number() + ")";
    case 2: return "qty BETWEEN " + Number() + " AND " + Number();
    case 3: return "name LIKE '%" + OneOf({"n", "E", "1", "\\%"}) + "%' ESCAPE '\\'";
    case 4: return "name GLOB '[a-m]*' AND qty > 10";
    case 5: return "substr(name, 1, 1) = 'g'";
    case 6: return "price IS NULL OR price < " + Number();
    case 7:
      return "EXISTS(SELECT 1 FROM note WHERE note.item = item.id AND body IS NOT " + Text() + ")";
    case 8: return "json_valid(tags) AND json_extract(tags, '$.k') IS NOT NULL";
    default: return "(id, qty) > (" + Number() + ", " + Number() + ")";
  }
}

std::string SqlGenerator::Rows() {
  const std::string row = "(" + Text() + ", " + Integer() + ", " + Literal() + ", " +
                          (rng_.Below(2) == 0 ? "NULL" : "'[" + Number() + "]'") + ", " + Date() +
                          ")";
  static constexpr std::initializer_list<const char*> kModes = {
      "", " OR IGNORE", " OR REPLACE", " OR ABORT", " OR FAIL", " OR ROLLBACK"};
  const std::string into = " INTO item(name, qty, price, tags, made) ";
  switch (rng_.Below(10)) {
    case 0: return "INSERT" + OneOf(kModes) + into + "VALUES " + row;
    case 1: return "INSERT OR IGNORE" + into + "VALUES " + row + ", (NULL, 1, 2, 3, 4)";
    case 2: return "INSERT OR REPLACE" + into + "VALUES " + row + " RETURNING id, name, made";
    case 3:
      return "UPDATE" + OneOf(kModes) + " item SET qty = qty + " + Number() + " WHERE " +
             Condition();
    case 4:
      return "UPDATE item SET price = round(price * 1.1, 2), tags = json_array(qty, name) WHERE " +
             Condition() + " RETURNING id, price, tags, rowid";
    case 5:
      return "UPDATE item SET qty = s.n FROM (SELECT item, count(*) AS n FROM orders GROUP BY "
             "item) AS"
             " s WHERE s.item = item.id";
    case 6: return "DELETE FROM item WHERE " + Condition() + " AND id % 3 = " + Number(2);
    case 7: return "DELETE FROM item WHERE id > 40 AND qty < " + Number() + " RETURNING *";
    case 8: return "UPDATE cheap SET qty = qty + 1 WHERE id < " + Number() + " RETURNING id";
    default:
      return "INSERT INTO cheap(name, qty) SELECT name || '+', qty FROM item WHERE " + Condition() +
             " ORDER BY id LIMIT 3";
  }
}

std::string SqlGenerator::Upserts() {
  switch (rng_.Below(7)) {
    case 0:
      return "INSERT INTO item(name, qty) VALUES(" + Text() + ", " + Number() +
             ") ON CONFLICT(name) DO UPDATE SET qty = min(qty + excluded.qty, 60) RETURNING *";
    case 1:
      return "INSERT INTO item(id, name) VALUES(" + Number(80) + ", " + Text() +
             ") ON CONFLICT(id) DO UPDATE SET name = excluded.name WHERE qty < " + Number() +
             " ON CONFLICT DO NOTHING";
    case 2:
      return "INSERT INTO pair VALUES('" + OneOf({"a", "b", "c"}) + "', " + Number(9) + ", " +
             Literal() + ") ON CONFLICT(a, b) DO UPDATE SET v = excluded.v RETURNING typeof(v), *";
    case 3:
      return "INSERT INTO gen(n) VALUES(" + Number() +
             ") ON CONFLICT(twice) DO UPDATE SET n = n + 100 RETURNING n, twice, kind";
    case 4: return "REPLACE INTO pair SELECT a, b + 1, v FROM pair WHERE b < " + Number(9);
    case 5:
      return "INSERT INTO orders(item, n) SELECT id, " + Number(70) +
             " FROM item WHERE true ON CONFLICT(item, n) WHERE n > 50 DO UPDATE SET n = NULL";
    default:
      return "INSERT INTO item SELECT id + 1, name || 'x', qty, price, tags, made FROM item "
             "WHERE " +
             Condition() + " ON CONFLICT DO NOTHING";
  }
}

std::string SqlGenerator::References() {
  switch (rng_.Below(7)) {
    case 0: return "INSERT INTO orders(item, n) VALUES(" + Number(80) + ", " + Integer() + ")";
    case 1:
      return "INSERT INTO orders(item, n) SELECT id, qty FROM item WHERE " + Condition() +
             " ORDER BY id RETURNING id, item";
    case 2: return "INSERT INTO note VALUES(" + Number(80) + ", " + Text() + ")";
    case 3: return "INSERT INTO note SELECT id, name FROM item WHERE " + Condition();
    case 4: return "UPDATE item SET id = id + 200 WHERE id = " + Number(80);
    case 5: return "UPDATE orders SET item = " + Number(80) + " WHERE id % 7 = " + Number(6);
    default:
      return "DELETE FROM orders WHERE id IN (SELECT id FROM orders ORDER BY n DESC, id LIMIT " +
             Number(9) + ")";
  }
}

std::string SqlGenerator::Typed() {
  switch (rng_.Below(5)) {
    case 0:
      return "INSERT INTO typed VALUES(" + Integer() + ", " + Number() + ", " + Text() + ", x'0" +
             Number(9) + "', " + Literal() + ") RETURNING typeof(r), typeof(a), quote(b)";
    case 1: return "INSERT INTO typed(i) VALUES(" + Literal() + ")";
    case 2:
      return "UPDATE typed SET a = CAST(a AS " +
             OneOf({"TEXT", "INTEGER", "REAL", "BLOB", "NUMERIC"}) + "), r = i / 4.0 WHERE i < " +
             Number();
    case 3:
      return "UPDATE typed SET t = printf('%5d|%-6s|%.3e', i, t, r), b = CAST(t AS BLOB) WHERE i "
             "> " +
             Number() + " RETURNING t, hex(b)";
    default: return "DELETE FROM typed WHERE i IS " + Integer();
  }
}

std::string SqlGenerator::Computed() {
  switch (rng_.Below(8)) {
    case 0: return "INSERT INTO gen(n) VALUES(" + Integer() + ") RETURNING *";
    case 1: return "UPDATE gen SET n = n + " + Number(3) + " WHERE kind = 'odd' RETURNING n, twice";
    case 2:
      return "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n * 3 FROM c WHERE n < 500)"
             " INSERT OR IGNORE INTO gen(n) SELECT n + " +
             Number() + " FROM c ORDER BY 1";
    case 3:
      return "INSERT INTO audit(what, old, new) SELECT 'rank', id, rank() OVER (PARTITION BY qty "
             "> " +
             Number() + " ORDER BY price, id) FROM item ORDER BY id";
    case 4:
      return "WITH w AS (SELECT id, sum(n) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT "
             "ROW)"
             " AS s FROM orders) UPDATE orders SET n = w.s % 50 FROM w WHERE w.id = orders.id AND "
             "w.s > " +
             Number();
    case 5:
      return "INSERT INTO loose SELECT key, value, json_object('k', value) FROM json_each('[" +
             Number() + "," + Number() + ",null]') ORDER BY key";
    case 6:
      return "UPDATE loose SET c = json_set(CASE WHEN json_valid(c) THEN c ELSE '{}' END, '$.k', " +
             Number() + ", '$.at', " + Date() + ") WHERE rowid % 4 = " + Number(3) + " RETURNING c";
    default: return "DELETE FROM gen WHERE n > 100 OR kind = 'even' AND n < " + Number(20);
  }
}

std::string SqlGenerator::Searches() {
  switch (rng_.Below(8)) {
    case 0:
      return "INSERT INTO doc VALUES(" + Text() + ", 'words about " +
             OneOf({"nuts", "bolts", "gears"}) + " " + Number() + "')";
    case 1:
      return "UPDATE doc SET body = body || ' again' WHERE doc MATCH '" +
             OneOf({"nuts", "bol*", "title:gear OR words", "\"some text\""}) + "'";
    case 2: return "DELETE FROM doc WHERE rowid = " + Number();
    case 3:
      return "INSERT INTO loose SELECT rowid, title, body FROM doc('" +
             OneOf({"gear*", "words NOT bolts", "NEAR(words about, 3)"}) +
             "') ORDER BY rowid LIMIT 5";
    case 4:
      return "INSERT INTO doc(doc) VALUES('" + OneOf({"optimize", "integrity-check", "rebuild"}) +
             "')";
    case 5:
      return "INSERT OR REPLACE INTO box VALUES(" + Number() + ", " + Number(20) + ", " +
             std::to_string(20 + rng_.Below(30)) + ")";
    case 6:
      return "DELETE FROM box WHERE x0 <= " + Number() + " AND x1 >= " + Number() +
             " AND id % 2 = 0";
    default:
      return "INSERT INTO loose SELECT id, x0, x1 FROM box WHERE x0 > " + Number(20) +
             " ORDER BY id";
  }
}

std::string SqlGenerator::SchemaChanges() {
  const std::string table = Extra();
  switch (rng_.Below(14)) {
    case 0:
    case 1:
      return "CREATE TABLE IF NOT EXISTS " + table + "(x INTEGER PRIMARY KEY, y DEFAULT (1 + 2))";
    case 2: return "CREATE TABLE IF NOT EXISTS " + table + "(y, x PRIMARY KEY) WITHOUT ROWID";
    case 3: return "DROP TABLE IF EXISTS " + table;
    case 4: return "ALTER TABLE " + table + " RENAME TO " + Extra();
    case 5: return "ALTER TABLE " + table + " ADD COLUMN z" + Number(3) + " TEXT DEFAULT " + Text();
    case 6: return "ALTER TABLE " + table + " DROP COLUMN z" + Number(3);
    case 7: return "ALTER TABLE " + table + " RENAME COLUMN y TO z" + Number(3);
    case 8:
      return "CREATE INDEX IF NOT EXISTS extra_i" + Number(2) + " ON " + table +
             "(x DESC) WHERE x > " + Number();
    case 9: return "DROP INDEX IF EXISTS extra_i" + Number(2);
    case 10: return "CREATE VIEW IF NOT EXISTS extra_v AS SELECT count(*) AS n FROM " + table;
    case 11: return "DROP VIEW IF EXISTS extra_v";
    case 12:
      return "CREATE TABLE " + table +
             " AS SELECT id AS x, name AS y FROM item ORDER BY id LIMIT " + Number(9);
    default: return OneOf({"ANALYZE", "REINDEX", "ANALYZE item", "REINDEX item_first"});
  }
}

// Does not give the largest rowid: Cairn refuses it, since SQLite draws the rowids after it at
// random.
std::string SqlGenerator::Scratch() {
  const std::string table = Extra();
  switch (rng_.Below(4)) {
    case 0: return "INSERT OR IGNORE INTO " + table + "(x) VALUES(" + Number(200) + ")";
    case 1: return "UPDATE " + table + " SET x = x + 1000 WHERE x < " + Number();
    case 2:
      return "INSERT INTO " + table + "(x, y) SELECT id, n FROM orders WHERE n > " + Number() +
             " ON CONFLICT DO NOTHING";
    default: return "DELETE FROM " + table + " WHERE x % 5 = " + Number(4) + " RETURNING *";
  }
}

std::string SqlGenerator::Read() {
  switch (rng_.Below(14)) {
    case 0:
      return "SELECT i.name, o.id, o.n FROM item i LEFT JOIN orders o ON o.item = i.id ORDER BY "
             "i.id, o.id";
    case 1: return "SELECT * FROM item NATURAL JOIN totals ORDER BY id, item, last";
    case 2:
      return "SELECT i.id, t.n FROM item i CROSS JOIN totals t WHERE t.item = i.id AND " +
             std::string("i.qty > ") + Number() + " ORDER BY 1";
    case 3:
      return "SELECT id, lag(qty, 2, -1) OVER w, ntile(3) OVER w, sum(qty) OVER (w ROWS BETWEEN 1 "
             "PRECEDING AND 1 FOLLOWING) FROM item WINDOW w AS (ORDER BY qty, id) ORDER BY id";
    case 4:
      return "SELECT kind, count(*), group_concat(n), total(twice), avg(n) FILTER (WHERE n > 5) "
             "FROM gen GROUP BY kind HAVING count(*) > 1 ORDER BY kind";
    case 5:
      return "WITH RECURSIVE f(a, b) AS (VALUES(0, 1) UNION ALL SELECT b, a + b FROM f LIMIT " +
             Number(20) + ") SELECT * FROM f";
    case 6:
      return "SELECT id, " + Date() + ", made, date(made, '+1 year') FROM item WHERE " +
             Condition() + " ORDER BY id";
    case 7:
      return "SELECT rowid, highlight(doc, 1, '<', '>'), snippet(doc, -1, '[', ']', '.', 4) FROM "
             "doc WHERE doc MATCH '" +
             OneOf({"words", "nut*", "gears OR bolts"}) + "' ORDER BY rowid";
    case 8:
      return "SELECT key, type, atom, fullkey FROM item, json_tree(item.tags) WHERE "
             "json_valid(item.tags) ORDER BY item.id, json_tree.id";
    case 9:
      return "SELECT name FROM item EXCEPT SELECT y FROM (SELECT b AS y FROM loose) ORDER BY 1 "
             "LIMIT 10 OFFSET " +
             Number(5);
    case 10:
      return "SELECT a, b, typeof(v), quote(v) FROM pair WHERE (a, b) >= ('a', " + Number(5) +
             ") ORDER BY a, b";
    case 11:
      return "SELECT typeof(" + Literal() + " || " + Literal() + "), " + Literal() + " = " +
             Literal() + ", " + Literal() + " < " + Literal() + ", abs(-" + Number() + "), " +
             Text() + " COLLATE NOCASE = " + Text();
    case 12:
      return "SELECT id FROM box WHERE x0 <= " + Number() + " AND x1 >= " + Number() +
             " ORDER BY id";
    default:
      return "SELECT (SELECT max(n) FROM orders WHERE item = item.id), CASE WHEN " + Condition() +
             " THEN 'yes' END FROM item ORDER BY id";
  }
}

}  // namespace cairn::state_machine
