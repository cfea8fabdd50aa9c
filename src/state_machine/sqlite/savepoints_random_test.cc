// Random commands have the same outcome with a savepoint and without one.
//
// The statements come from a pool, so most are known when they run, and need no savepoint. The
// replica that restarts before each entry knows hardly any. Replicas compares every result of the
// two, and at the end their tables.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/rng.h"
#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

constexpr const char* kSchema[] = {
    "CREATE TABLE t(a INTEGER UNIQUE CHECK(a < 90), b TEXT NOT NULL DEFAULT 'd')",
    "CREATE TABLE k(id INTEGER PRIMARY KEY, x)",
    "CREATE TABLE w(p, q, r UNIQUE, PRIMARY KEY(p, q)) WITHOUT ROWID",
    "CREATE TABLE s(n INTEGER, v TEXT) STRICT",
    "CREATE TABLE ff(x UNIQUE ON CONFLICT FAIL, y NOT NULL ON CONFLICT IGNORE DEFAULT 1)",
    "CREATE TABLE ro(x UNIQUE ON CONFLICT ROLLBACK, y)",
    "CREATE TABLE rp(x PRIMARY KEY ON CONFLICT REPLACE, y UNIQUE ON CONFLICT IGNORE)",
    R"(CREATE TABLE d(x, c DEFAULT (changes()), total DEFAULT (total_changes()),
         id DEFAULT (last_insert_rowid()), r DEFAULT (random()), at DEFAULT CURRENT_TIMESTAMP,
         CHECK (x <> 13 OR changes() = 1)))",
    "CREATE TABLE g(n, twice AS (n * 2) STORED, j AS (json_extract(n, '$')) VIRTUAL)",
    "CREATE INDEX g_j ON g(json(n)) WHERE typeof(n) = 'text'",
    "CREATE TABLE parent(id INTEGER PRIMARY KEY)",
    R"(CREATE TABLE child(x, p REFERENCES parent(id) ON DELETE CASCADE DEFERRABLE INITIALLY
         DEFERRED))",
    "CREATE TABLE audited(x UNIQUE)",
    R"(CREATE TRIGGER tr AFTER INSERT ON audited BEGIN INSERT INTO d(x, c) VALUES(new.x, changes());
         SELECT RAISE(FAIL, 'seven') WHERE new.x = 7; END)",
    "CREATE TABLE seq(n INTEGER PRIMARY KEY AUTOINCREMENT, x)",
    "CREATE TABLE docs(x)",
    "INSERT INTO docs VALUES('[1, 2]'), ('[3]'), ('{'), ('[4, \"x\", null]')",
    "INSERT INTO k(x) VALUES('one'), ('two'), ('three')",
};
class Statements {
 public:
  explicit Statements(uint64_t seed) : rng_(seed) {}

  std::string Next() {
    switch (rng_.Between(0, 31)) {
      case 0: return "INSERT" + Mode() + " INTO t(a, b) VALUES(" + Number() + ", " + Text() + ")";
      case 1:
        return "INSERT" + Mode() + " INTO t(a) VALUES(" + Number() + "), (" + Number() + "), (" +
               Number() + "), (" + Number() + ")";
      case 2: return "UPDATE" + Mode() + " t SET a = a + " + Number() + " WHERE a % 3 = 1";
      case 3:
        return "UPDATE" + Mode() + " t SET b = CASE a WHEN " + Number() + " THEN NULL ELSE " +
               Text() + " END";
      case 4: return "DELETE FROM t WHERE a > " + Number();
      case 5:
        return "INSERT INTO t(a, b) VALUES(" + Number() + ", 'u'), (" + Number() +
               ", 'u') ON CONFLICT(a) DO UPDATE SET a = a + 1, b = excluded.b";
      case 6: return "INSERT INTO t(a) SELECT a + 40 FROM t WHERE a % 7 < " + Number();
      case 7: return "INSERT" + Mode() + " INTO k SELECT " + Mixed() + ", x FROM docs";
      case 8: return "UPDATE" + Mode() + " k SET id = " + Mixed() + " WHERE id % 4 = 1";
      case 9: return "DELETE FROM k WHERE id % 5 = " + Number();
      case 10: return "INSERT" + Mode() + " INTO k VALUES(9223372036854775807, 1), (5, 5)";
      case 11:
        return "INSERT" + Mode() + " INTO w VALUES(" + Number() + ", 1, " + Number() + "), (" +
               Number() + ", 2, " + Number() + ")";
      case 12: return "UPDATE" + Mode() + " w SET q = q + 1, r = r + " + Number() + " WHERE p > 20";
      case 13: return "DELETE FROM w WHERE p IN (SELECT a FROM t) OR p > 35";
      case 14: return "INSERT INTO s VALUES(1, 'a'), (" + Mixed() + ", 'b'), (" + Number() + ", 3)";
      case 15: return "UPDATE s SET n = " + Mixed() + " WHERE n > " + Number();
      case 16: return "DELETE FROM s WHERE n < " + Number();
      case 17:
        return "INSERT" + Mode() + " INTO ff(x) VALUES(" + Number() + "), (" + Number() + ")";
      case 18: return "UPDATE" + Mode() + " ff SET x = x + 1 WHERE x < " + Number();
      case 19: return "INSERT INTO ro(x) VALUES(" + Number() + "), (" + Number() + ")";
      case 20:
        return "INSERT" + Mode() + " INTO rp VALUES(" + Number() + ", " + Number() + "), (" +
               Number() + ", " + Number() + ")";
      case 21: return "INSERT INTO d(x) VALUES(" + Number() + "), (13), (" + Number() + ")";
      case 22: return "INSERT INTO d(x) SELECT changes() FROM k";
      case 23: return "UPDATE d SET x = abs(x - 9223372036854775807 - " + Number() + ")";
      case 24: return "INSERT INTO g(n) SELECT x FROM docs WHERE rowid <= " + Number();
      case 25: return "INSERT INTO k(x) SELECT j.value FROM docs, json_each(docs.x) AS j";
      case 26:
        return "INSERT INTO k(x) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
               " LIMIT 2" +
               Number() + "0) SELECT i FROM n WHERE i > 2000";
      case 27: return "INSERT INTO child VALUES(1, " + Number() + ")";
      case 28: return "INSERT" + Mode() + " INTO parent VALUES(" + Number() + ")";
      case 29: return "DELETE FROM parent WHERE id = " + Number();
      case 30: return "INSERT INTO audited VALUES(" + Number() + "), (" + Number() + ")";
      default: return "INSERT INTO seq(x) SELECT x FROM k WHERE id < " + Number() + " RETURNING n";
    }
  }
  uint64_t Between(uint64_t low, uint64_t high) { return rng_.Between(low, high); }

 private:
  std::string Number() { return std::to_string(rng_.Between(0, 40)); }
  std::string Text() { return "'x" + std::to_string(rng_.Between(0, 9)) + "'"; }
  // The value has the wrong type in some rows.
  std::string Mixed() {
    return "iif(random() % 5 = 1, 'x', " + Number() + " + abs(random() % 60))";
  }
  std::string Mode() {
    constexpr const char* kModes[] = {
        "", "", "", "", "", " OR ABORT", " OR FAIL", " OR IGNORE", " OR REPLACE", " OR ROLLBACK"};
    return kModes[rng_.Below(std::size(kModes))];
  }
  Rng rng_;
};

class RandomCommands : public testing::TestWithParam<uint64_t> {};

TEST_P(RandomCommands, HaveTheSameOutcomeWithAndWithoutASavepoint) {
  Statements statements(GetParam());
  Replicas replicas;
  for (const char* sql : kSchema) replicas.Must(sql);
  replicas.header.command_steps_max = 20'000;
  std::vector<std::string> pool(150);
  for (std::string& sql : pool) sql = statements.Next();
  int kept = 0;
  int failed = 0;
  for (int entry = 0; entry < 120; ++entry) {
    std::vector<Command> commands;
    for (uint64_t n = statements.Between(1, 8); n > 0; --n) {
      commands.push_back(ExecuteCommand(pool[statements.Between(0, pool.size() - 1)]));
      if (statements.Between(0, 9) > 0) continue;
      auto& several = std::get<Execute>(commands.back().operation).statements;
      several.push_back({pool[statements.Between(0, pool.size() - 1)], {}, {}});
    }
    for (const CommandResult& each : replicas.DoAll(commands)) ++(each.status.ok() ? kept : failed);
    ASSERT_FALSE(HasFailure()) << "entry " << entry;
  }
  EXPECT_GT(kept, 100);
  EXPECT_GT(failed, 50);
  EXPECT_EQ(replicas.Query("PRAGMA integrity_check"), "ok");
  replicas.Check();
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomCommands, testing::Values(1, 2, 3, 4));

}  // namespace
}  // namespace cairn::state_machine
