// The memory that one row of a query, or one write statement, may take.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "base/thread_memory.h"
#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/read_pool.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/sqlite_memory.h"
#include "state_machine/sqlite/value_bound.h"

namespace cairn::state_machine {
namespace {

constexpr int64_t kMiB = 1 << 20;

// `values` of them, each made by `value`, in one row.
std::string LongRow(int values, const std::string& value, const std::string& separator) {
  std::string row;
  for (int i = 0; i < values; ++i) {
    row += (i == 0 ? "" : separator) + value + " AS c" + std::to_string(i);
  }
  return row;
}
std::string SumOfLengths(int values) {
  std::string sum;
  for (int i = 0; i < values; ++i)
    sum += (i == 0 ? "length(c" : " + length(c") + std::to_string(i) + ")";
  return sum;
}
std::string RowOfLargeValues(int values, const std::string& value) {
  return "SELECT " + SumOfLengths(values) + " FROM (SELECT " + LongRow(values, value, ", ") +
         " FROM one LIMIT 1)";
}

// Measures how much memory the thread has allocated at once during the object's lifetime.
class MostHeld {
 public:
  MostHeld() : begin_(ThreadHeapBytes()) {}
  int64_t bytes() const { return most_; }

 private:
  static Status Look(void* self, size_t more_bytes) {
    auto* const held = static_cast<MostHeld*>(self);
    held->most_ =
        std::max(held->most_, ThreadHeapBytes() - held->begin_ + static_cast<int64_t>(more_bytes));
    return OkStatus();
  }
  const int64_t begin_;
  int64_t most_ = 0;
  const MemoryGate gate_{&Look, this};
};

class MemoryOfReads : public testing::Test {
 protected:
  MemoryOfReads() : writer_(directory_ / "db") {
    writer_.MakeCairn();
    writer_.Run("CREATE TABLE one(x)");
    writer_.Run("INSERT INTO one VALUES(1)");
    writer_.SetApplied(7);
    ReadPoolOptions options;
    options.path = directory_ / "db";
    options.applied_sql = kAppliedSql;
    pool_ = std::make_unique<ReadPool>(options);
  }
  std::unique_ptr<ReadTransaction> Open() {
    Result<std::unique_ptr<ReadTransaction>> view = pool_->Open(std::chrono::seconds(1));
    EXPECT_TRUE(view.ok()) << view.status();
    return std::move(view).value();
  }

  TemporaryDirectory directory_;
  TestDatabase writer_;
  std::unique_ptr<ReadPool> pool_;
};

TEST_F(MemoryOfReads, AreAskedForWithinARow) {
  const int64_t begin = ThreadHeapBytes();
  int64_t most = 0;
  QueryLimits limits;
  limits.check = [&](SteadyTime) {
    most = std::max(most, ThreadHeapBytes() - begin);
    return most > 64 * kMiB ? ResourceExhausted("no more") : OkStatus();
  };
  auto view = Open();
  EXPECT_EQ(view->applied(), LogIndex(7));
  writer_.SetApplied(8);
  RowCollector rows;
  const Status status =
      view->Query({RowOfLargeValues(100, "hex(zeroblob(7000000))"), {}, {}}, limits, &rows);
  EXPECT_EQ(status, ResourceExhausted("no more"));
  EXPECT_TRUE(rows.rows.empty());
  EXPECT_LT(most, 96 * kMiB);
  // SQLite has ended the transaction. Later queries see a later state, and know which.
  EXPECT_EQ(view->applied(), LogIndex(8));
  writer_.SetApplied(9);
  EXPECT_TRUE(view->Query({"SELECT x FROM one", {}, {}}, {}, &rows).ok());
  EXPECT_EQ(rows.rows.size(), 1u);
  EXPECT_TRUE(view->QueryInternal({kAppliedSql, {}, {}}, &rows).ok());
  EXPECT_EQ(rows.rows.back().at(0), Value(int64_t{8}));
  view.reset();
  rows.rows.clear();
  EXPECT_LT(ThreadHeapBytes() - begin, 2 * kMiB);
}

TEST_F(MemoryOfReads, OfAStatementThatIsCompiledAreAskedForToo) {
  QueryLimits limits;
  limits.check = [](SteadyTime) { return ResourceExhausted("no more"); };
  auto view = Open();
  RowCollector rows;
  std::string sql = "SELECT 1";
  for (int i = 0; i < 490; ++i) sql += " UNION ALL SELECT '" + std::string(1000, 'x') + "'";
  EXPECT_EQ(view->Query({sql, {}, {}}, limits, &rows), ResourceExhausted("no more"));
  EXPECT_TRUE(view->Query({"SELECT 1", {}, {}}, {}, &rows).ok());
}

TEST(MemoryOfWrites, TheValuesOfAStatementAreBoundedTogether) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE one(x)");
  replicas.Must("INSERT INTO one VALUES(1)");
  const std::string insert = "INSERT INTO t ";
  const MostHeld most;
  const Value bytes = 7 * kMiB;
  const Value text = std::string(6 * kMiB, 'x');
  // The function is charged by its bytes, or not at all.
  for (const auto& [value, given] :
       {std::pair("hex(zeroblob(?1))", bytes), std::pair("zeroblob(2 * ?1) || 'x'", bytes),
        std::pair("?1 || ?1", text)}) {
    SCOPED_TRACE(value);
    for (int i = 0; i < 2; ++i) {  // compiled anew, and known
      const CommandResult result = replicas.Execute(insert + RowOfLargeValues(900, value), {given});
      EXPECT_EQ(result.status.code(), StatusCode::kResourceExhausted) << result.status;
    }
    const CommandResult few = replicas.Execute(insert + RowOfLargeValues(5, value), {given});
    EXPECT_TRUE(few.status.ok()) << few.status;
  }
  EXPECT_LT(most.bytes(), static_cast<int64_t>(kHeldBytesMax) + 64 * kMiB);
  replicas.Check();
}

TEST(MemoryOfWrites, OfATransactionThatIsPreparedAreBoundedInTheSameWay) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE one(x)");
  replicas.Must("INSERT INTO one VALUES(1)");
  const auto prepare = [](int values) {
    Prepare operation;
    operation.tx_id = "tx";
    operation.statement = {
        "INSERT INTO t " + RowOfLargeValues(values, "hex(zeroblob(?1))"), {7 * kMiB}, {}};
    Command command;
    command.operation = operation;
    return command;
  };
  Command commit;
  commit.operation = Commit{"tx"};
  EXPECT_EQ(replicas.Do(prepare(900)).status.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(replicas.Do(prepare(5)).status.ok());
  EXPECT_TRUE(replicas.Do(commit).status.ok());
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), std::to_string(5 * 14 * kMiB));
  replicas.Check();
}

// A table of ordinary width takes values of any allowed size, also beside others.
TEST(MemoryOfWrites, LargeValuesInWideRowsAreWrittenAndChanged) {
  Replicas replicas;
  std::string columns = "big";
  for (int i = 0; i < 24; ++i) columns += ", c" + std::to_string(i);
  replicas.Must("CREATE TABLE t(" + columns + ")");
  replicas.Must("INSERT INTO t(big, c1) VALUES(?, 1)", {std::string(12 * kMiB, 'x')});
  replicas.Must("INSERT INTO t(big, c1) VALUES(zeroblob(12000000), 2)");
  replicas.Must("UPDATE t SET c2 = c1");
  replicas.Must("UPDATE t SET c3 = c1 WHERE c1 = 'no'");
  EXPECT_EQ(replicas.Query("SELECT c2, length(big) FROM t"), "1|12582912 2|12000000");
  replicas.Check();
}

// The bound is found with EXPLAIN, which no semicolon may follow.
TEST(MemoryOfWrites, SemicolonsBeforeAStatementDoNotHinderTheLookForTheBound) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(x)");
  replicas.Must("; INSERT INTO t VALUES(zeroblob(8000000))");
  replicas.Must(" ;; /* ; */ ; INSERT INTO t VALUES(?)", {std::string(8 * kMiB, 'x')});
  replicas.Must(";INSERT INTO f VALUES('word')");
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "2");
  replicas.Check();
}

// EXPLAIN sets changes() to zero, and only a node that has forgotten the program needs EXPLAIN.
TEST(MemoryOfWrites, TheLookForTheBoundDoesNotChangeWhatChangesSays) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE log(x)");
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(x)");
  replicas.Must("CREATE TRIGGER tr BEFORE INSERT ON log BEGIN UPDATE t SET x = changes(); END");
  replicas.Must("INSERT INTO t VALUES(1), (2), (3)");
  for (int i = 0; i < 2; ++i) {
    replicas.Execute({{"UPDATE t SET x = x", {}, {}}, {"INSERT INTO f VALUES(changes())", {}, {}}});
    replicas.Execute({{"UPDATE t SET x = x", {}, {}},
                      {"INSERT INTO log VALUES(?)", {std::string(200'000, 'x')}, {}}});
  }
  EXPECT_EQ(replicas.Query("SELECT x FROM f"), "3 3");
  replicas.Check();
}

// SQLite reports no call in a DEFAULT to the authorizer.
TEST(MemoryOfWrites, TheLookForTheBoundDoesNotChangeWhatADefaultSays) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE log(x, n DEFAULT (changes()))");
  replicas.Must("CREATE TABLE by_trigger(x)");
  replicas.Must(
      "CREATE TRIGGER tr BEFORE INSERT ON by_trigger BEGIN"
      " INSERT INTO log(x) VALUES(new.x); END");
  replicas.Must("INSERT INTO t VALUES(1), (2), (3)");
  for (int i = 0; i < 2; ++i) {
    for (const char* table : {"log", "by_trigger"}) {
      const std::string sql = std::string("INSERT INTO ") + table + "(x) VALUES(?)";
      const CommandResult logged = replicas.Execute(
          {{"UPDATE t SET x = x", {}, {}}, {sql, {std::string(200'000, 'x')}, {}}});
      ASSERT_TRUE(logged.status.ok()) << logged.status;
    }
  }
  EXPECT_EQ(replicas.Query("SELECT n FROM log"), "3 3 3 3");
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
