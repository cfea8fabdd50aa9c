// Generated statements: replicas with different batches and restarts end with the same bytes.
// Clients see what plain SQLite would have made of the statements that succeeded.

#include <gtest/gtest.h>

#include "base/rng.h"
#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

class Generator {
 public:
  explicit Generator(uint64_t seed) : rng_(seed) {}

  std::string Next() {
    switch (rng_.Between(0, 21)) {
      case 0:
        return "INSERT OR " + Mode() + " INTO t(a, b) VALUES(" + Number() + ", " + Text() + ")";
      case 1: return "INSERT INTO t(a, b) SELECT a + 100, b FROM t ORDER BY b, a LIMIT " + Number();
      case 2: return "UPDATE OR " + Mode() + " t SET a = a + " + Number() + " WHERE a % 3 = 1";
      case 3:
        return "UPDATE t SET b = b || " + Text() + " WHERE a < " + Number() + " RETURNING a, b";
      case 4: return "DELETE FROM t WHERE a = " + Number();
      case 5: return "INSERT INTO child VALUES(" + Number() + ", " + Number() + ")";
      case 6: return "DELETE FROM parent WHERE id = " + Number();
      case 7: return "INSERT INTO parent VALUES(" + Number() + ") ON CONFLICT DO NOTHING";
      case 8: return "INSERT INTO words(body) VALUES(" + Text() + ")";
      case 9: return "DELETE FROM words WHERE rowid = " + Number();
      case 10: return "INSERT INTO t(a, b) SELECT 500 + rowid, body FROM words('x*') LIMIT 3";
      case 11:
        return "CREATE TABLE IF NOT EXISTS extra" + Digit() + "(x PRIMARY KEY, y) WITHOUT ROWID";
      case 12: return "DROP TABLE IF EXISTS extra" + Digit();
      case 13: return "CREATE INDEX IF NOT EXISTS t_b" + Digit() + " ON t(b, a)";
      case 14: return "DROP INDEX IF EXISTS t_b" + Digit();
      case 15: return "REPLACE INTO extra" + Digit() + " VALUES(" + Number() + ", " + Text() + ")";
      case 16: return "ALTER TABLE extra" + Digit() + " RENAME TO extra" + Digit();
      case 17: return "ANALYZE";
      case 18: return "INSERT INTO old VALUES(" + Number() + ", " + Text() + ")";
      case 19:
        return "INSERT INTO seq(x) SELECT x.a FROM t x, t y WHERE x.b = y.b LIMIT " + Number();
      case 20: return "DELETE FROM v WHERE a = " + Number();
      default: return "UPDATE generated SET n = n + 1";
    }
  }
  uint64_t Between(uint64_t low, uint64_t high) { return rng_.Between(low, high); }

 private:
  std::string Number() { return std::to_string(rng_.Between(0, 40)); }
  std::string Digit() { return std::to_string(rng_.Between(0, 2)); }
  std::string Text() { return "'x" + std::to_string(rng_.Between(0, 9)) + " y'"; }
  std::string Mode() {
    static constexpr const char* kModes[] = {"ABORT", "FAIL", "ROLLBACK", "IGNORE", "REPLACE"};
    return kModes[rng_.Between(0, 4)];
  }
  Rng rng_;
};

constexpr const char* kSchema[] = {
    "CREATE TABLE t(a INTEGER UNIQUE CHECK(a < 600), b TEXT COLLATE NOCASE)",
    "CREATE TABLE log(n INTEGER PRIMARY KEY, a, changed)",
    "CREATE TABLE parent(id INTEGER PRIMARY KEY)",
    "CREATE TABLE child(x, p REFERENCES parent(id) ON DELETE CASCADE DEFERRABLE INITIALLY "
    "DEFERRED)",
    "CREATE TABLE seq(n INTEGER PRIMARY KEY AUTOINCREMENT, x)",
    "CREATE TABLE generated(n, twice AS (n * 2) STORED, text AS (hex(n)) VIRTUAL)",
    "INSERT INTO generated VALUES(1), (2)",
    "CREATE INDEX generated_text ON generated(text) WHERE n > 3",
    "CREATE VIRTUAL TABLE words USING fts5(body)",
    "CREATE VIRTUAL TABLE old USING fts4(n, body)",
    "CREATE VIEW v AS SELECT a, b FROM t WHERE a > 5",
    "CREATE TRIGGER v_delete INSTEAD OF DELETE ON v BEGIN DELETE FROM t WHERE a = old.a; END",
    "CREATE TRIGGER t_insert AFTER INSERT ON t BEGIN"
    " INSERT INTO log(a) VALUES(new.a);"
    " UPDATE log SET changed = changes() WHERE n = last_insert_rowid();"
    " SELECT RAISE(FAIL, 'seventeen') WHERE new.a = 17;"
    " SELECT RAISE(ROLLBACK, 'nineteen') WHERE new.a = 19; END",
};

std::string Rows(sqlite3* db, const std::string& sql) {
  std::string out;
  sqlite3_stmt* stmt = nullptr;
  EXPECT_EQ(sqlite3_prepare_v2(db, sql.c_str(), -1, &stmt, nullptr), SQLITE_OK) << sql;
  while (sqlite3_step(stmt) == SQLITE_ROW) {
    for (int i = 0; i < sqlite3_column_count(stmt); ++i) {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(stmt, i));
      out += (text == nullptr ? "NULL" : text) + std::string("|");
    }
    out += "\n";
  }
  sqlite3_finalize(stmt);
  return out;
}

class Differential : public ::testing::TestWithParam<uint64_t> {};

// Schemas are stored with ABORT in place of ROLLBACK (docs/sqlite-differences.md).
std::string AsKept(std::string schema) {
  const std::string written = "RAISE(ROLLBACK";
  for (size_t at = 0; (at = schema.find(written, at)) != std::string::npos;) {
    schema.replace(at, written.size(), "RAISE(ABORT");
  }
  return schema;
}

TEST_P(Differential, GeneratedStatementsDoWhatPlainSqliteDoesOnEveryReplica) {
  Generator generator(GetParam());
  Replicas replicas;
  TestDatabase plain(replicas.first().directory() / "plain.db");
  plain.Run("PRAGMA foreign_keys = ON");
  for (const char* sql : kSchema) {
    replicas.Must(sql);
    plain.Run(sql);
  }
  int succeeded = 0;
  for (int entry = 0; entry < 120; ++entry) {
    std::vector<Command> commands;
    for (uint64_t n = generator.Between(1, 4); n > 0; --n) {
      Execute execute;
      for (uint64_t s = generator.Between(1, 2); s > 0; --s) {
        execute.statements.push_back({generator.Next(), {}, {}});
      }
      commands.emplace_back();
      commands.back().operation = std::move(execute);
    }
    const std::vector<CommandResult> results = replicas.DoAll(commands);
    for (size_t i = 0; i < results.size(); ++i) {
      if (!results[i].status.ok()) continue;
      ++succeeded;
      plain.Run("BEGIN");
      for (const Statement& each : std::get<Execute>(commands[i].operation).statements) {
        plain.Run(each.sql);
      }
      plain.Run("COMMIT");
    }
  }
  EXPECT_GT(succeeded, 100);
  replicas.Check();
  TestDatabase ours(replicas.first().path());
  for (const char* sql :
       {"SELECT * FROM t ORDER BY a", "SELECT n, a FROM log ORDER BY n", "SELECT * FROM parent",
        "SELECT * FROM child ORDER BY 1, 2", "SELECT count(*) FROM seq", "SELECT * FROM generated",
        "SELECT rowid, * FROM words ORDER BY rowid", "SELECT docid, * FROM old ORDER BY docid",
        "SELECT type, name, tbl_name, sql FROM sqlite_schema"
        " WHERE substr(tbl_name, 1, 7) <> '_cairn_' ORDER BY 1, 2"}) {
    EXPECT_EQ(Rows(ours.handle(), sql), AsKept(Rows(plain.handle(), sql))) << sql;
  }
  EXPECT_EQ(ours.Text("PRAGMA integrity_check"), "ok");
}

INSTANTIATE_TEST_SUITE_P(Seeds, Differential, ::testing::Values(1, 10, 15, 30));

}  // namespace
}  // namespace cairn::state_machine
