// What a write costs by the bytes of its rows, of its keys, and of the rows that it sorts. Ten times
// the work that a budget allows was done for the price of one, and a disk was filled by one request.
#include <gtest/gtest.h>

#include <string>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/index_keys.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {
namespace {

constexpr uint64_t kRows = 100;
constexpr uint64_t kLong = 2000;  // bytes

class WrittenBytes : public testing::Test {
 protected:
  void Raise() {
    Command raise;
    raise.operation = RaiseLevel{kLevelDataPlatform};
    ASSERT_TRUE(replicas_.Do(raise).status.ok());
  }
  // The steps of a statement that may name `n`, the numbers from 1 to kRows.
  uint64_t Steps(const std::string& sql) {
    return replicas_
        .Must("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
              std::to_string(kRows) + ") " + sql)
        .steps;
  }
  uint64_t InsertLong(const std::string& table) {
    return Steps("INSERT INTO " + table +
                 "(a, b) SELECT i, hex(zeroblob(990)) || printf('%020d', i)"
                 " FROM n");
  }
  // The steps of one row, or one entry, of `kLong` bytes more.
  static void ExpectEach(uint64_t more, uint64_t steps) {
    EXPECT_GE(more, kRows * steps);
    EXPECT_LT(more, kRows * steps * 5 / 4);
  }

  Replicas replicas_;
};

TEST_F(WrittenBytes, ARowCostsByItsBytes) {
  replicas_.Must("CREATE TABLE t(a, b)");
  const uint64_t before = InsertLong("t");
  Steps("DELETE FROM t");
  Raise();
  const uint64_t inserted = InsertLong("t");
  EXPECT_LT(before + kRows * kLong / kInsertedBytesPerStep / 2, inserted) << "not below the level";
  ExpectEach(inserted, kLong / kInsertedBytesPerStep);
  ExpectEach(Steps("UPDATE t SET a = a + 1"), 2 * kLong / kUpdatedBytesPerStep);
  ExpectEach(Steps("DELETE FROM t"), kLong / kDeletedBytesPerStep);
  replicas_.Check();
}

TEST_F(WrittenBytes, AnEntryOfAnIndexCostsByItsKey) {
  Raise();
  replicas_.Must("CREATE TABLE t(a, b)");
  const uint64_t plain = InsertLong("t");
  const uint64_t plain_delete = Steps("DELETE FROM t");
  replicas_.Must("CREATE INDEX short ON t(a)");
  EXPECT_LT(InsertLong("t") - plain, kRows * 2 * kStepsPerIndexEntryNow);
  Steps("DELETE FROM t");
  replicas_.Must("DROP INDEX short");
  replicas_.Must("CREATE INDEX long ON t(b)");
  ExpectEach(InsertLong("t") - plain, StepsOfKeys(kLong));
  EXPECT_LT(Steps("UPDATE t SET a = a + 1"), kRows * kLong / 2) << "the index does not change";
  const uint64_t updated = Steps("UPDATE t SET b = b || ''");
  ExpectEach(updated - 2 * kRows * kLong / kUpdatedBytesPerStep, 2 * StepsOfKeys(kLong));
  ExpectEach(Steps("DELETE FROM t") - plain_delete, StepsOfKeys(kLong));
  replicas_.Check();
}

// 300,000 keys of 4 KB took 7 s, at the price of the steps alone: less than half a budget.
TEST_F(WrittenBytes, AnIndexOfStoredRowsCostsByTheBytesOfItsKeys) {
  constexpr uint64_t kOfKeys = kRows * kLong / kInsertedBytesPerStep;
  replicas_.Must("CREATE TABLE t(a, b)");
  InsertLong("t");
  const auto must = [this](const std::string& sql) { return replicas_.Must(sql).steps; };
  EXPECT_LT(must("CREATE INDEX old ON t(b)"), kOfKeys) << "below the level";
  must("DROP INDEX old");
  Raise();
  const uint64_t of_short = must("CREATE INDEX short ON t(a)");
  EXPECT_LT(of_short, kOfKeys / 2);
  EXPECT_GT(must("CREATE INDEX long ON t(b)"), of_short + kOfKeys);
  EXPECT_GT(must("CREATE INDEX computed ON t(a, lower(b))"), of_short + kOfKeys);
  EXPECT_GT(must("CREATE INDEX grown ON t(printf('%3000d', a))"), of_short + 3 * kOfKeys / 2);
  EXPECT_LT(must("REINDEX short"), kOfKeys / 2);
  EXPECT_GT(must("REINDEX long"), kOfKeys);
  EXPECT_GT(must("REINDEX t"), 4 * kOfKeys);
  replicas_.Must("CREATE TABLE u(a PRIMARY KEY, b UNIQUE)");
  InsertLong("u");
  EXPECT_GT(must("REINDEX u"), kOfKeys) << "the keys of a constraint";
  replicas_.header.command_steps_max = kOfKeys;
  const CommandResult refused = replicas_.Execute("CREATE INDEX again ON t(b)");
  EXPECT_EQ(refused.status.code(), StatusCode::kResourceExhausted) << refused.status;
  EXPECT_NE(refused.status.message().find("as maintenance"), std::string::npos) << refused.status;
  EXPECT_EQ(replicas_.Query("SELECT count(*) FROM sqlite_schema WHERE name = 'again'"), "0");
  replicas_.Check();
}

// SQLite keeps the rows of such a table in the tree of the key.
TEST_F(WrittenBytes, ARowWithoutRowidCostsAsAKey) {
  Raise();
  replicas_.Must("CREATE TABLE t(a, b, PRIMARY KEY(b, a)) WITHOUT ROWID");
  const uint64_t inserted = InsertLong("t");
  ExpectEach(inserted, kLong / kInsertedBytesPerStep + StepsOfKeys(kLong));
  replicas_.Check();
}

TEST_F(WrittenBytes, AKeyThatAnExpressionMakesLongCostsAsALongOne) {
  Raise();
  replicas_.Must("CREATE TABLE t(a, b)");
  const uint64_t plain = InsertLong("t");
  replicas_.Must("CREATE INDEX cut ON t(substr(b, 1, 5))");
  ExpectEach(InsertLong("t") - plain, StepsOfKeys(kLong));
  replicas_.Must("DROP INDEX cut");
  replicas_.Must("CREATE INDEX grown ON t(hex(b) || 'x')");
  ExpectEach(InsertLong("t") - plain, StepsOfKeys(kGrownKeyBytes));
  replicas_.Must("DROP INDEX grown");
  replicas_.Must("ALTER TABLE t ADD COLUMN g AS (printf('%500d', a))");
  replicas_.Must("CREATE INDEX generated ON t(g)");
  ExpectEach(InsertLong("t") - plain, StepsOfKeys(kGrownKeyBytes));
  replicas_.Check();
}

TEST_F(WrittenBytes, TheKeyOfARowidIsShortAndAVectorIndexHasNoKeys) {
  Raise();
  replicas_.Must("CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
  const uint64_t plain = InsertLong("t");
  Steps("DELETE FROM t");
  replicas_.Must("CREATE INDEX i ON t(a)");
  EXPECT_LT(InsertLong("t") - plain, kRows * 2 * kStepsPerIndexEntryNow);
  replicas_.Must("CREATE TABLE v(e F32_BLOB(500))");
  const std::string insert = "INSERT INTO v SELECT zeroblob(2000) FROM n";
  const uint64_t without = Steps(insert);
  replicas_.Must("CREATE INDEX vi ON v(libsql_vector_idx(e))");
  EXPECT_LT(Steps(insert) - without, kRows * StepsOfKeys(kLong) / 2);
  replicas_.Check();
}

// Rows that are sorted go to a temporary file several times; rows that are looked up among those
// before, too.
TEST_F(WrittenBytes, RowsThatAreSortedAreDear) {
  replicas_.Must("CREATE TABLE t(a)");
  const std::string sorts = "INSERT INTO t SELECT -i FROM n ORDER BY -i";
  const std::string distinct = "INSERT INTO t SELECT DISTINCT i % 50 FROM n";
  const uint64_t sorted_before = Steps(sorts);
  const uint64_t distinct_before = Steps(distinct);
  const uint64_t plain_before = Steps("INSERT INTO t SELECT -i FROM n");
  Raise();
  EXPECT_GT(Steps(sorts), 4 * sorted_before);
  EXPECT_GT(Steps(distinct), 4 * distinct_before);
  EXPECT_LT(Steps("INSERT INTO t SELECT -i FROM n"), 2 * plain_before);
  replicas_.Check();
}

TEST_F(WrittenBytes, ManyLongRowsAreNotKeptBesideTheDatabase) {
  Raise();
  replicas_.Must("CREATE TABLE t(a)");
  const std::string numbers =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000) ";
  const CommandResult done = replicas_.Execute(
      numbers +
      "INSERT INTO t SELECT max(a || '') FROM (SELECT hex(zeroblob(245)) || -i AS a FROM n"
      " ORDER BY a LIMIT -1 OFFSET 1)");
  EXPECT_EQ(done.status.code(), StatusCode::kResourceExhausted) << done.status;
  replicas_.Check();
}

TEST(IndexKeys, TheTextOfAnExpressionTellsWhetherItMayGrow) {
  EXPECT_FALSE(MayGrow("CREATE INDEX i ON t(lower(a), json_extract(b, '$.x')) WHERE c > 1"));
  EXPECT_TRUE(MayGrow("CREATE INDEX i ON t(a || b)"));
  EXPECT_TRUE(MayGrow("CREATE INDEX i ON t(HEX(a))"));
  EXPECT_TRUE(MayGrow("CREATE INDEX i ON t(\"printf\"('%9999d', a))"));
}

}  // namespace
}  // namespace cairn::state_machine
