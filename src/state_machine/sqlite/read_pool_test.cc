#include "state_machine/sqlite/read_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "state_machine/sqlite/database_test_util.h"

namespace cairn::state_machine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Statement Sql(std::string sql, std::vector<Value> positional = {},
              std::vector<NamedValue> named = {}) {
  return Statement{std::move(sql), std::move(positional), std::move(named)};
}

// Counts to a number that nobody waits for.
constexpr char kEndless[] =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";

class ReadPoolTest : public testing::Test {
 protected:
  ReadPoolTest() : writer_(directory_ / "db") {
    writer_.MakeCairn();
    writer_.Run("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)");
    writer_.Run("INSERT INTO t VALUES(1, 'one'), (2, 'two'), (3, 'three')");
    writer_.SetApplied(7);
  }
  ReadPoolOptions Options(int readers_max = 4) {
    ReadPoolOptions options;
    options.path = directory_ / "db";
    options.readers_max = readers_max;
    options.applied_sql = kAppliedSql;
    return options;
  }
  static std::unique_ptr<ReadTransaction> MustOpen(ReadPool& pool) {
    Result<std::unique_ptr<ReadTransaction>> view = pool.Open(seconds(1));
    EXPECT_TRUE(view.ok()) << view.status();
    return std::move(view).value();
  }
  // Runs one query in a view of its own.
  Status Ask(const Statement& statement, RowCollector* out = nullptr) {
    RowCollector unused;
    return MustOpen(pool_)->Query(statement, {}, out == nullptr ? &unused : out);
  }
  Value One(const Statement& statement) {
    RowCollector out;
    const Status status = Ask(statement, &out);
    EXPECT_TRUE(status.ok()) << statement.sql << ": " << status;
    if (out.rows.size() != 1 || out.rows[0].size() != 1) {
      ADD_FAILURE() << statement.sql << " gave " << out.rows.size() << " rows";
      return {};
    }
    return out.rows[0][0];
  }

  TemporaryDirectory directory_;
  TestDatabase writer_;
  ManualClock clock_;
  ReadPool pool_{Options(), clock_};
};

TEST_F(ReadPoolTest, RowsComeInOrderWithTheirColumns) {
  RowCollector out;
  ASSERT_TRUE(Ask(Sql("SELECT id, name AS label, id * 2 FROM t ORDER BY id DESC"), &out).ok());
  EXPECT_EQ(out.columns,
            (std::vector<Column>{{"id", "INTEGER"}, {"label", "TEXT"}, {"id * 2", ""}}));
  ASSERT_EQ(out.rows.size(), 3u);
  EXPECT_EQ(out.rows[0], (Row{Value(int64_t{3}), Value("three"), Value(int64_t{6})}));
  EXPECT_EQ(out.rows[2], (Row{Value(int64_t{1}), Value("one"), Value(int64_t{2})}));
}

TEST_F(ReadPoolTest, ColumnsComeEvenWithoutRows) {
  RowCollector out;
  ASSERT_TRUE(Ask(Sql("SELECT id FROM t WHERE id > 99"), &out).ok());
  EXPECT_EQ(out.columns_calls, 1);
  EXPECT_EQ(out.columns.size(), 1u);
  EXPECT_TRUE(out.rows.empty());
}

TEST_F(ReadPoolTest, SeveralQueriesOfAViewSeeOneStateWhateverIsWrittenMeanwhile) {
  const auto view = MustOpen(pool_);
  EXPECT_EQ(view->applied(), LogIndex(7));
  RowCollector before;
  ASSERT_TRUE(view->Query(Sql("SELECT count(*) FROM t"), {}, &before).ok());
  writer_.Run("DELETE FROM t");
  writer_.SetApplied(8);
  RowCollector after;
  ASSERT_TRUE(view->Query(Sql("SELECT count(*) FROM t"), {}, &after).ok());
  EXPECT_EQ(before.rows, after.rows);
  EXPECT_EQ(view->applied(), LogIndex(7));

  const auto later = MustOpen(pool_);
  EXPECT_EQ(later->applied(), LogIndex(8));
  RowCollector now;
  ASSERT_TRUE(later->Query(Sql("SELECT count(*) FROM t"), {}, &now).ok());
  EXPECT_EQ(now.rows[0][0], Value(int64_t{0}));
}

// A view must be fixed when it is opened, not at its first query.
TEST_F(ReadPoolTest, AViewSeesTheStateItWasOpenedAt) {
  const auto view = MustOpen(pool_);
  writer_.Run("DELETE FROM t");
  RowCollector out;
  ASSERT_TRUE(view->Query(Sql("SELECT count(*) FROM t"), {}, &out).ok());
  EXPECT_EQ(out.rows[0][0], Value(int64_t{3}));
}

TEST_F(ReadPoolTest, AllFiveTypesGoInAndOut) {
  for (const Value& value :
       {Value{}, Value(std::numeric_limits<int64_t>::min()), Value(1.25), Value("h\xc3\xa9"),
        Value(std::string()), Value(std::string("a\0b", 3)), Value(Blob{std::string("\0\xff", 2)}),
        Value(Blob{})}) {
    EXPECT_EQ(One(Sql("SELECT ?1", {value})), value) << value.index();
  }
}

TEST_F(ReadPoolTest, ParametersAreFoundByNumberAndByNameWithOrWithoutPrefix) {
  EXPECT_EQ(One(Sql("SELECT ?2 || ?1", {Value("a"), Value("b")})), Value("ba"));
  EXPECT_EQ(One(Sql("SELECT :x || @y || $z", {}, {{"x", "1"}, {"@y", "2"}, {"z", "3"}})),
            Value("123"));
  EXPECT_EQ(One(Sql("SELECT ?1 || :x", {Value("p")}, {{":x", "n"}})), Value("pn"));
}

TEST_F(ReadPoolTest, ParametersThatDoNotFitAreRefusedWithTheReason) {
  const auto message = [this](const Statement& s) {
    const Status status = Ask(s);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << s.sql;
    return status.message();
  };
  EXPECT_EQ(message(Sql("SELECT ?1", {Value("a"), Value("b")})),
            "the statement has 1 parameter, but 2 positional values came with it");
  EXPECT_EQ(message(Sql("SELECT ?1, ?2", {Value("a")})),
            "the statement has 2 parameters; no value was given for ?2");
  EXPECT_EQ(message(Sql("SELECT :x, :y", {}, {{"x", "1"}})),
            "the statement has 2 parameters; no value was given for :y");
  EXPECT_EQ(message(Sql("SELECT :x", {}, {{"z", "1"}})),
            "the statement has no parameter named 'z'");
  EXPECT_EQ(message(Sql("SELECT :x", {Value("0")}, {{"x", "1"}})),
            "parameter :x was given two values");
  EXPECT_EQ(message(Sql("SELECT ?1", {Value("\xc3(")})),
            "the value of parameter ?1 is not valid UTF-8; bytes belong in a blob");
}

// A statement that failed to bind is clean when it is used again from the cache.
TEST_F(ReadPoolTest, ACachedStatementKeepsNothingOfItsLastUse) {
  const auto view = MustOpen(pool_);
  RowCollector out;
  const Statement good = Sql("SELECT ?1, ?2", {Value("a"), Value("b")});
  ASSERT_TRUE(view->Query(good, {}, &out).ok());
  EXPECT_FALSE(view->Query(Sql("SELECT ?1, ?2", {Value("c")}), {}, &out).ok());
  ASSERT_TRUE(view->Query(good, {}, &out).ok());
  EXPECT_EQ(out.rows[1], (Row{Value("a"), Value("b")}));
}

TEST_F(ReadPoolTest, MoreStatementsThanTheCacheHoldsAllWork) {
  ReadPoolOptions options = Options();
  options.statements_cached_max = 2;
  ReadPool pool(options, clock_);
  const auto view = MustOpen(pool);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 5; ++i) {
      RowCollector out;
      const std::string filler(i == 3 ? 20'000 : 0, ' ');
      ASSERT_TRUE(view->Query(Sql("SELECT " + filler + std::to_string(i)), {}, &out).ok());
      EXPECT_EQ(out.rows[0][0], Value(int64_t{i}));
    }
  }
}

TEST_F(ReadPoolTest, AChangeOfSchemaReachesCachedStatements) {
  RowCollector out;
  ReadPool pool(Options(1), clock_);
  ASSERT_TRUE(MustOpen(pool)->Query(Sql("SELECT * FROM t"), {}, &out).ok());
  EXPECT_EQ(out.columns.size(), 2u);
  writer_.Run("ALTER TABLE t ADD COLUMN extra REAL DEFAULT 0.5");
  ASSERT_TRUE(MustOpen(pool)->Query(Sql("SELECT * FROM t"), {}, &out).ok());
  ASSERT_EQ(out.columns.size(), 3u);
  EXPECT_EQ(out.columns[2], (Column{"extra", "REAL"}));
  EXPECT_EQ(out.rows.back().size(), 3u);
}

TEST_F(ReadPoolTest, WritingStatementsAreToldToUseExecute) {
  for (const char* sql :
       {"INSERT INTO t VALUES(4, 'four')", "INSERT INTO t VALUES(4, 'four') RETURNING id",
        "WITH n(i) AS (VALUES(9)) INSERT INTO t SELECT i, 'x' FROM n", "UPDATE t SET name = 'x'",
        "DELETE FROM t", "REPLACE INTO t VALUES(1, 'x')", "CREATE TABLE u(a)", "DROP TABLE t",
        "CREATE TEMP TABLE u(a)", "ALTER TABLE t RENAME TO u", "CREATE INDEX i ON t(name)",
        "REINDEX", "ANALYZE", "DROP TABLE IF EXISTS missing", "DROP TRIGGER IF EXISTS missing",
        "CREATE TABLE IF NOT EXISTS t(a)", "PRAGMA user_version = 5", "VACUUM",
        "PRAGMA application_id = 5"}) {
    const Status status = Ask(Sql(sql));
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << sql << ": " << status;
    EXPECT_NE(status.message().find("use Execute"), std::string::npos) << sql << ": " << status;
  }
  EXPECT_EQ(writer_.Number("SELECT count(*) FROM t"), 3);
}

TEST_F(ReadPoolTest, TransactionStatementsAttachAndExtensionsAreRefused) {
  for (const char* sql : {"BEGIN", "COMMIT", "ROLLBACK", "END", "SAVEPOINT s", "RELEASE s",
                          "ROLLBACK TO s", "EXPLAIN COMMIT"}) {
    const Status status = Ask(Sql(sql));
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << sql << ": " << status;
  }
  for (const char* sql : {"ATTACH 'other' AS o", "DETACH main", "SELECT load_extension('x')",
                          "EXPLAIN ATTACH 'other' AS o", "VACUUM INTO 'copy'"}) {
    const Status status = Ask(Sql(sql));
    EXPECT_FALSE(status.ok()) << sql;
  }
  EXPECT_FALSE(std::filesystem::exists("other"));
  EXPECT_FALSE(std::filesystem::exists("copy"));
  // The view is still intact afterwards.
  const auto view = MustOpen(pool_);
  RowCollector out;
  EXPECT_FALSE(view->Query(Sql("COMMIT"), {}, &out).ok());
  writer_.Run("DELETE FROM t");
  ASSERT_TRUE(view->Query(Sql("SELECT count(*) FROM t"), {}, &out).ok());
  EXPECT_EQ(out.rows[0][0], Value(int64_t{3}));
}

TEST_F(ReadPoolTest, InternalTablesAreHiddenFromClientsButNotFromTheRoot) {
  for (const char* sql : {"SELECT * FROM _cairn_meta", "SELECT count(*) FROM _CAIRN_META",
                          "SELECT (SELECT applied FROM \"_cairn_meta\")",
                          "SELECT name FROM t WHERE id IN (SELECT term FROM _cairn_meta)"}) {
    EXPECT_EQ(Ask(Sql(sql)).code(), StatusCode::kPermissionDenied) << sql;
  }
  const auto view = MustOpen(pool_);
  RowCollector out;
  const Statement internal =
      Sql("SELECT applied FROM _cairn_meta WHERE id = ?", {Value(int64_t{1})});
  ASSERT_TRUE(view->QueryInternal(internal, &out).ok());
  EXPECT_EQ(out.rows[0][0], Value(int64_t{7}));
  // The cache does not lend the owner's statement to a client either.
  EXPECT_EQ(view->Query(internal, {}, &out).code(), StatusCode::kPermissionDenied);
}

TEST_F(ReadPoolTest, OnlyReadingPragmasPass) {
  writer_.Run("PRAGMA user_version = 42");
  EXPECT_EQ(One(Sql("PRAGMA user_version")), Value(int64_t{42}));
  EXPECT_EQ(One(Sql("PRAGMA integrity_check")), Value("ok"));
  EXPECT_EQ(One(Sql("PRAGMA main.quick_check(1)")), Value("ok"));
  EXPECT_EQ(One(Sql("SELECT count(*) FROM pragma_table_info('t')")), Value(int64_t{2}));
  for (const char* sql : {"PRAGMA table_info(t)", "PRAGMA table_list", "PRAGMA foreign_key_list(t)",
                          "PRAGMA foreign_keys", "PRAGMA database_list", "PRAGMA index_list(t)"}) {
    EXPECT_TRUE(Ask(Sql(sql)).ok()) << sql << ": " << Ask(Sql(sql));
  }
  for (const char* sql :
       {"PRAGMA foreign_keys = OFF", "PRAGMA query_only = ON", "PRAGMA writable_schema = 1",
        "PRAGMA no_such_pragma", "PRAGMA temp_store_directory = '/'", "PRAGMA schema_version = 1",
        "EXPLAIN PRAGMA query_only = OFF", "EXPLAIN PRAGMA cache_size = 1",
        "PRAGMA encoding = 'UTF-16'", "PRAGMA secure_delete = ON",
        "PRAGMA case_sensitive_like(1)"}) {
    EXPECT_EQ(Ask(Sql(sql)).code(), StatusCode::kPermissionDenied) << sql << ": " << Ask(Sql(sql));
  }
}

TEST_F(ReadPoolTest, AnExplainedWriteIsARead) {
  EXPECT_TRUE(Ask(Sql("EXPLAIN QUERY PLAN DELETE FROM t")).ok());
  EXPECT_TRUE(Ask(Sql("EXPLAIN INSERT INTO t VALUES(9, 'x')")).ok());
  EXPECT_EQ(writer_.Number("SELECT count(*) FROM t"), 3);
}

TEST_F(ReadPoolTest, VirtualTablesThatPrepareTheirOwnWritesCanBeRead) {
  writer_.Run("CREATE VIRTUAL TABLE r USING rtree(id, x0, x1)");
  writer_.Run("INSERT INTO r VALUES(1, 0, 10)");
  writer_.Run("CREATE VIRTUAL TABLE f USING fts5(body)");
  writer_.Run("INSERT INTO f VALUES('quick brown fox')");
  EXPECT_EQ(One(Sql("SELECT id FROM r WHERE x0 < 5")), Value(int64_t{1}));
  EXPECT_EQ(One(Sql("SELECT body FROM f WHERE f MATCH 'brown'")), Value("quick brown fox"));
}

TEST_F(ReadPoolTest, MalformedTextsAreRefusedAndBlameless) {
  for (const Statement& statement :
       {Sql(""), Sql("   -- nothing"), Sql(";;"), Sql("SELECT 1; SELECT 2"),
        Sql("SELECT 1; nonsense"), Sql("SELECT 1; DROP TABLE t"), Sql("SELEC 1"),
        Sql("SELECT * FROM nothing"), Sql(std::string("SELECT 1\0", 9)), Sql("SELECT '\xff'"),
        Sql("SELECT 1 --" + std::string(kSqlBytesMax, 'x'))}) {
    EXPECT_EQ(Ask(statement).code(), StatusCode::kInvalidArgument) << statement.sql.substr(0, 40);
  }
  EXPECT_TRUE(Ask(Sql("SELECT 1; -- and /* this */ ; \n ; /* too")).ok());
  EXPECT_TRUE(Ask(Sql("  /* first */ SELECT 1 ;")).ok());
}

TEST_F(ReadPoolTest, ARowTooLargeIsRefused) {
  EXPECT_EQ(Ask(Sql("SELECT zeroblob(17 << 20)")).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Ask(Sql("SELECT zeroblob(9 << 20), zeroblob(9 << 20)")).code(),
            StatusCode::kResourceExhausted);
  EXPECT_TRUE(Ask(Sql("SELECT zeroblob(9 << 20)")).ok());
}

TEST_F(ReadPoolTest, TheStatusOfTheSinkEndsTheQuery) {
  class Full final : public RowCollector {
    Status OnRow(Row row) override {
      RETURN_IF_ERROR(RowCollector::OnRow(std::move(row)));
      return rows.size() == 2 ? ResourceExhausted("enough") : OkStatus();
    }
  } sink;
  const auto view = MustOpen(pool_);
  EXPECT_EQ(view->Query(Sql("SELECT id FROM t"), {}, &sink), ResourceExhausted("enough"));
  EXPECT_EQ(sink.rows.size(), 2u);
  RowCollector again;
  ASSERT_TRUE(view->Query(Sql("SELECT id FROM t"), {}, &again).ok());
  EXPECT_EQ(again.rows.size(), 3u);
}

TEST_F(ReadPoolTest, AnOldViewIsAborted) {
  const auto view = MustOpen(pool_);
  RowCollector out;
  clock_.Advance(seconds(60));
  EXPECT_TRUE(view->Query(Sql("SELECT 1"), {}, &out).ok());
  clock_.Advance(milliseconds(1));
  EXPECT_EQ(view->Query(Sql("SELECT 1"), {}, &out).code(), StatusCode::kAborted);
}

TEST_F(ReadPoolTest, AQueryGrowingOldWhileItRunsIsAborted) {
  const auto view = MustOpen(pool_);
  RowCollector out;
  QueryLimits limits;
  limits.cancelled = [this] {
    clock_.Advance(seconds(1));
    return false;
  };
  EXPECT_EQ(view->Query(Sql(kEndless), limits, &out).code(), StatusCode::kAborted);
}

TEST_F(ReadPoolTest, AQueryEndsAtItsDeadlineAndOnCancellation) {
  const auto view = MustOpen(pool_);
  RowCollector out;
  QueryLimits limits;
  int polls = 0;
  limits.cancelled = [&polls] { return ++polls > 3; };
  EXPECT_EQ(view->Query(Sql(kEndless), limits, &out).code(), StatusCode::kCancelled);
  EXPECT_EQ(polls, 4);
  limits.duration_max = milliseconds(10);
  limits.cancelled = [this] {
    clock_.Advance(milliseconds(1));
    return false;
  };
  EXPECT_EQ(view->Query(Sql(kEndless), limits, &out).code(), StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(view->Query(Sql("SELECT 1"), {}, &out).ok());
}

TEST_F(ReadPoolTest, AnExhaustedPoolAnswersAfterTheTimeoutAndRecovers) {
  ReadPool pool(Options(2), clock_);
  auto first = MustOpen(pool);
  const auto second = MustOpen(pool);
  EXPECT_EQ(pool.Open(milliseconds(5)).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(pool.in_use(), 2);
  std::future<bool> waiter =
      std::async(std::launch::async, [&pool] { return pool.Open(seconds(30)).ok(); });
  first.reset();
  EXPECT_TRUE(waiter.get());
  EXPECT_EQ(pool.in_use(), 1);
}

TEST_F(ReadPoolTest, AFailedOpenGivesItsConnectionBack) {
  ReadPoolOptions options = Options(1);
  options.path = directory_ / "missing";
  ReadPool pool(options, clock_);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(pool.Open(milliseconds(1)).ok());
  EXPECT_EQ(pool.in_use(), 0);
}

// Waits for the first row, then for permission to go on: a client that reads slowly.
class SlowSink final : public RowSink {
 public:
  Status OnColumns(const std::vector<Column>&) override { return OkStatus(); }
  Status OnRow(Row) override {
    if (!started_) reached.set_value();
    started_ = true;
    go_on.get_future().wait();
    return OkStatus();
  }
  std::promise<void> reached;
  std::promise<void> go_on;

 private:
  bool started_ = false;
};

TEST_F(ReadPoolTest, DrainingEndsRunningQueriesWithUnavailableAndClosesEverything) {
  std::promise<void> running;
  std::atomic<bool> told{false};
  std::future<Status> query = std::async(std::launch::async, [&] {
    const auto view = MustOpen(pool_);
    QueryLimits limits;
    limits.cancelled = [&] {
      if (!told.exchange(true)) running.set_value();
      return false;
    };
    RowCollector out;
    Status status = view->Query(Sql(kEndless), limits, &out);
    EXPECT_EQ(view->Query(Sql("SELECT 1"), limits, &out).code(), StatusCode::kUnavailable);
    return status;
  });
  const auto idle = MustOpen(pool_);
  running.get_future().wait();
  pool_.DrainAndClose();
  EXPECT_EQ(query.get().code(), StatusCode::kUnavailable);
  RowCollector out;
  EXPECT_EQ(idle->Query(Sql("SELECT 1"), {}, &out).code(), StatusCode::kUnavailable);
  // Nobody holds the WAL any more: it can be emptied.
  EXPECT_EQ(writer_.Number("PRAGMA wal_checkpoint(TRUNCATE)"), 0);

  EXPECT_EQ(pool_.Open(milliseconds(1)).status().code(), StatusCode::kUnavailable);
  pool_.Reopen();
  EXPECT_EQ(One(Sql("SELECT count(*) FROM t")), Value(int64_t{3}));
  // The old view stays ended after the pool is open again: it would see another state.
  EXPECT_EQ(idle->Query(Sql("SELECT 1"), {}, &out).code(), StatusCode::kUnavailable);
}

TEST_F(ReadPoolTest, DrainingDoesNotWaitForASlowClient) {
  SlowSink sink;
  std::future<Status> query = std::async(std::launch::async, [&] {
    return MustOpen(pool_)->Query(Sql("SELECT id FROM t"), {}, &sink);
  });
  sink.reached.get_future().wait();
  pool_.DrainAndClose();  // would hang here
  sink.go_on.set_value();
  EXPECT_EQ(query.get().code(), StatusCode::kUnavailable);
  pool_.Reopen();
  EXPECT_EQ(One(Sql("SELECT count(*) FROM t")), Value(int64_t{3}));
}

TEST_F(ReadPoolTest, AnIdleOldViewIsEndedSoThatTheWalCanBeReset) {
  const auto view = MustOpen(pool_);
  writer_.Run("DELETE FROM t");
  EXPECT_EQ(writer_.Number("PRAGMA wal_checkpoint(TRUNCATE)"), 1) << "the view pins the WAL";
  clock_.Advance(seconds(61));
  const auto young = MustOpen(pool_);
  pool_.EndViewsOlderThan(seconds(60));
  RowCollector out;
  EXPECT_EQ(view->Query(Sql("SELECT 1"), {}, &out).code(), StatusCode::kAborted);
  EXPECT_TRUE(young->Query(Sql("SELECT 1"), {}, &out).ok());
}

TEST_F(ReadPoolTest, ViewsDrainsAndWritesOnManyThreadsNeverMixStates) {
  int64_t index = 6;
  // As the state machine sets it: a connection that opens or closes may lock the file for a moment.
  writer_.Run("PRAGMA busy_timeout = 20000");
  writer_.Run("BEGIN; DELETE FROM t; INSERT INTO t VALUES(6, 'x')");
  writer_.SetApplied(6);
  writer_.Run("COMMIT");
  std::atomic<bool> stop{false};
  std::atomic<int> answered{0};
  std::vector<std::thread> readers(3);
  for (std::thread& reader : readers) {
    reader = std::thread([&] {
      while (!stop.load()) {
        auto view = pool_.Open(seconds(5));
        if (!view.ok()) continue;
        RowCollector out;
        const Status status = (*view)->Query(Sql("SELECT sum(id) FROM t"), {}, &out);
        if (!status.ok()) {
          EXPECT_TRUE(status.code() == StatusCode::kUnavailable ||
                      status.code() == StatusCode::kAborted)
              << status;
          continue;
        }
        // Each write below keeps the sum equal to the index.
        EXPECT_EQ(out.rows[0][0], Value(static_cast<int64_t>((*view)->applied().value())));
        ++answered;
      }
    });
  }
  for (int round = 0; round < 100 || answered.load() < 200; ++round) {
    ++index;
    writer_.Run("BEGIN; UPDATE t SET id = id + 1");
    writer_.SetApplied(static_cast<uint64_t>(index));
    writer_.Run("COMMIT");
    if (round % 10 == 5) {
      pool_.DrainAndClose();
      pool_.Reopen();
    }
    if (round % 10 == 9) pool_.EndViewsOlderThan(SteadyTime(-1));
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(pool_.in_use(), 0);
}

}  // namespace
}  // namespace cairn::state_machine
