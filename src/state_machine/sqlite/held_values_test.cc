// A value that is made once and then used at each step is bounded like a value that is made at each
// step. So are rows that are kept in a temporary file.

#include "state_machine/sqlite/held_values.h"

#include <gtest/gtest.h>

#include <string>

#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

std::string With(int rows) {
  return "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT " +
         std::to_string(rows) + ") INSERT INTO t SELECT ";
}
std::string Held(int bytes) {
  return "(SELECT printf('%.*c', " + std::to_string(bytes) + ", 'x'))";
}
void Replace(std::string* sql, const std::string& what, const std::string& by) {
  for (size_t at = sql->find(what); at != std::string::npos; at = sql->find(what, at + by.size())) {
    sql->replace(at, what.size(), by);
  }
}

// "#" is made once. The first three statements took up to 188 s.
const char* const kUses[] = {
    "count(substr(#, -i, 1)) FROM n", "count(min(#, #, i)) FROM n",  "count(*) FROM n WHERE # >= #",
    "sum(length(#)) FROM n",          "sum(i + #) FROM n",           "count(nullif(#, #)) FROM n",
    "count(unicode(#)) FROM n",       "count(soundex(#)) FROM n",    "count(*) FROM n WHERE NOT #",
    "count(CAST(# AS BLOB)) FROM n",  "length(#) FROM n GROUP BY i", "max(#) FROM n"};

TEST(HeldValues, AValueThatIsMadeOnceAndUsedAtEachStepIsBounded) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  for (std::string use : kUses) {
    SCOPED_TRACE(use);
    std::string small = use;
    Replace(&use, "#", Held(15'000'000));
    Replace(&small, "#", Held(1'000));
    const CommandResult result = replicas.Execute(With(3000) + use);
    EXPECT_EQ(result.status.code(), StatusCode::kResourceExhausted) << result.status;
    EXPECT_LT(result.steps, 10'000'000u);
    // Steps times bytes: no more than for values that are made at each step.
    const CommandResult lawful = replicas.Execute(With(3000) + small);
    EXPECT_TRUE(lawful.status.ok()) << lawful.status;
    EXPECT_GT(lawful.steps, 3000u * kPriceOfHeldCopies);
  }
  replicas.Check();
}

TEST(HeldValues, ParametersThatAreUsedAtEachStepAreBoundedToo) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  const std::string large(1 << 20, 'x');
  for (const char* use :
       {"count(min(?1, ?1, i)) FROM n", "sum(length(?1 || '')) + count(max(?1, i)) FROM n",
        "sum(i + ?1) FROM n"}) {
    SCOPED_TRACE(use);
    const CommandResult result = replicas.Execute(With(30'000) + use, {large});
    EXPECT_EQ(result.status.code(), StatusCode::kResourceExhausted) << result.status;
    replicas.Must(With(3000) + use, {std::string("7")});
  }
  replicas.Check();
}

// No part of the row is written, so only the trigger looks at the long value.
TEST(HeldValues, LongParametersInATriggerAreCharged) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must(
      "CREATE TRIGGER tr BEFORE INSERT ON t WHEN length(new.x) > 0 BEGIN"
      " SELECT RAISE(IGNORE); END");
  const std::string large(1 << 20, 'x');
  EXPECT_EQ(replicas.Execute(With(30'000) + "?1 FROM n", {large}).status.code(),
            StatusCode::kResourceExhausted);
  replicas.Must(With(30'000) + "?1 FROM n", {std::string("7")});
  replicas.Check();
}

TEST(HeldValues, LongParametersThatAreOnlyWrittenOrReadOnceWork) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(id INTEGER PRIMARY KEY, x)");
  std::string ids = "[0";
  for (int i = 1; i < 20'000; ++i) ids += ", " + std::to_string(i);
  replicas.Must("INSERT INTO t SELECT value, 1 FROM json_each(?1)", {ids + "]"});
  replicas.Must("DELETE FROM t WHERE id IN (SELECT value FROM json_each(?1)) AND id > 40",
                {ids + "]"});
  replicas.Must("UPDATE t SET x = ?1 WHERE id < 20", {std::string(1 << 20, 'x')});
  replicas.Must("UPDATE t SET x = x || '!' WHERE id < (SELECT max(id) FROM t)");
  EXPECT_EQ(replicas.Query("SELECT count(*), sum(length(x)) FROM t"),
            "41|" + std::to_string(20 * ((1 << 20) + 1) + 20 * 2 + 1));
  replicas.Check();
}

// 1.6 GB went to a temporary file, which is on another file system and has no bound of its own.
TEST(HeldValues, RowsThatAreKeptBesideTheDatabaseAreBounded) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  const std::string numbers =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)";
  const std::string blob = "zeroblob(min(15000000, 300000000 / i))";
  for (const std::string& sql : {numbers + ", m(i, z) AS MATERIALIZED (SELECT i, " + blob +
                                     " FROM n) INSERT INTO t SELECT count(*) FROM m",
                                 numbers + " INSERT INTO t SELECT length(z) FROM (SELECT " + blob +
                                     " AS z, i FROM n) ORDER BY -i, z",
                                 numbers + " INSERT INTO t SELECT count(DISTINCT z) FROM (SELECT " +
                                     blob + " AS z FROM n)"}) {
    const CommandResult result = replicas.Execute(sql);
    EXPECT_EQ(result.status.code(), StatusCode::kResourceExhausted) << sql << result.status;
    std::string small = sql;
    Replace(&small, "15000000", "5000");
    replicas.Must(small);
  }
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
