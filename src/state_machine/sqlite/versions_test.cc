#include "state_machine/sqlite/versions.h"

#include <gtest/gtest.h>

#include <string>

#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/value_bytes.h"

namespace cairn::state_machine {
namespace {

int64_t RowsOfVersions(const std::string& path) {
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  sqlite3_stmt* stmt = nullptr;
  EXPECT_EQ(sqlite3_prepare_v2(db, "SELECT count(*) FROM _cairn_versions", -1, &stmt, nullptr),
            SQLITE_OK);
  EXPECT_EQ(sqlite3_step(stmt), SQLITE_ROW);
  const int64_t rows = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  sqlite3_close(db);
  return rows;
}

TEST(Versions, NamesOfTablesThatAreGoneAreNotKept) {
  Replicas replicas;
  for (int i = 0; i < 60; ++i) {
    const std::string name = "t" + std::to_string(i) + std::string(1000, 'x');
    replicas.Must("CREATE TABLE " + name + "(x)");
    replicas.Must("INSERT INTO " + name + " VALUES(1)");
    if (i % 2 == 0) replicas.Must("ALTER TABLE " + name + " RENAME TO other");
    replicas.Must("DROP TABLE " + (i % 2 == 0 ? "other" : name));
    // Nor the names of tables that never existed.
    const std::string fails = "f" + name;
    EXPECT_FALSE(replicas
                     .Execute({{"CREATE TABLE " + fails + "(x)", {}, {}},
                               {"INSERT INTO " + fails + " VALUES(1)", {}, {}},
                               {"INSERT INTO missing VALUES(1)", {}, {}}})
                     .status.ok());
  }
  EXPECT_EQ(RowsOfVersions(replicas.first().path()), 2);  // the database, and what was removed
  const std::string too_long(1025, 'x');
  EXPECT_EQ(replicas.Execute("CREATE TABLE " + too_long + "(x)").status.code(),
            StatusCode::kInvalidArgument);
  replicas.Must("CREATE TABLE t(x)");
  EXPECT_EQ(replicas.Execute("ALTER TABLE t RENAME TO " + too_long).status.code(),
            StatusCode::kInvalidArgument);
  replicas.Check();
}

TEST(Versions, NoSequenceGoesBackWhenATableIsMadeAgain) {
  Replicas replicas;
  replicas.Must("CREATE TABLE a(x)");
  EXPECT_EQ(replicas.Version("a"), 1);
  for (int i = 0; i < 5; ++i) replicas.Must("INSERT INTO a VALUES(1)");
  replicas.Must("CREATE TABLE b(x)");
  EXPECT_EQ(replicas.Version("b"), 1);
  replicas.Must("DROP TABLE a");
  EXPECT_EQ(replicas.Version("a"), 0);
  replicas.Must("CREATE TABLE a(x)");
  EXPECT_EQ(replicas.Version("a"), 8);
  replicas.Execute({{"DROP TABLE a", {}, {}},
                    {"CREATE TABLE a(x)", {}, {}},
                    {"INSERT INTO a VALUES(1)", {}, {}}});
  EXPECT_GT(replicas.Version("a"), 8);
  const int64_t before = replicas.Version("a");
  replicas.Must("ALTER TABLE a RENAME TO c");
  EXPECT_GT(replicas.Version("c"), before);
  replicas.Must("CREATE TABLE a(x)");
  EXPECT_GT(replicas.Version("a"), before);
  EXPECT_EQ(replicas.Version("b"), 1);
  replicas.Check();
}

// 190 times RETURNING * of 2,000 columns in one request, sixty times at once, took 1.6 GB.
TEST(ColumnsOfReturning, AreHeldWithinABound) {
  Replicas replicas(/*restarts=*/false);
  std::string columns = "a";
  for (int i = 1; i < 1990; ++i) columns += ", c" + std::to_string(i);
  replicas.Must("CREATE TABLE w(" + columns + ")");
  const Statement statement{"UPDATE w SET a = a WHERE 0 RETURNING *", {}, {}};
  EXPECT_EQ(replicas.Execute(std::vector<Statement>(190, statement)).status.code(),
            StatusCode::kResourceExhausted);
  Command command;
  command.operation = Execute{std::vector<Statement>(7, statement)};
  size_t held = 0;
  for (const CommandResult& result : replicas.DoAll(std::vector<Command>(60, command))) {
    for (const StatementResult& each : result.statements) held += HeldBytes(each);
    EXPECT_GT(result.steps, 7u * 1990u);
  }
  EXPECT_GT(held, 16u << 20);
  EXPECT_LE(held, 32u << 20);
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
