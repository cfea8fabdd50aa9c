// Several statements in one command: all take effect, or none; versions, expectations, retries.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

constexpr RowExpectation kAny{};
RowExpectation Exactly(uint64_t rows) { return {RowExpectation::Kind::kExactly, rows}; }
RowExpectation AtLeast(uint64_t rows) { return {RowExpectation::Kind::kAtLeast, rows}; }

Command Batch(std::vector<BatchStatement> batch) {
  Execute execute;
  for (BatchStatement& each : batch) {
    execute.statements.push_back(std::move(each.statement));
    execute.expect.push_back(each.expect);
  }
  Command command;
  command.operation = std::move(execute);
  return command;
}
BatchStatement Sql(const std::string& sql, RowExpectation expect = kAny) {
  return {{sql, {}, {}}, expect};
}

class Batches : public testing::Test {
 protected:
  Batches() {
    replicas_.Must("CREATE TABLE t(id INTEGER PRIMARY KEY, x)");
    replicas_.Must("CREATE TABLE u(x)");
    replicas_.Must("INSERT INTO t VALUES(1, 10), (2, 20)");
    Note();
  }
  void Note() { before_ = Versions(); }
  std::vector<int64_t> Versions() {
    return {replicas_.Version(""), replicas_.Version("t"), replicas_.Version("u")};
  }
  // The database, t and u.
  void ExpectGrowth(const std::vector<int64_t>& growth) {
    std::vector<int64_t> grown = Versions();
    for (size_t i = 0; i < grown.size(); ++i) grown[i] -= before_[i];
    EXPECT_EQ(grown, growth);
    Note();
  }

  Replicas replicas_;
  std::vector<int64_t> before_;
};

TEST_F(Batches, SuccessAddsTheNumberOfStatementsAndEachHasItsResult) {
  const CommandResult result = replicas_.Execute({{"INSERT INTO t VALUES(3, 30), (4, 40)", {}, {}},
                                                  {"UPDATE t SET x = x + 1", {}, {}},
                                                  {"INSERT INTO u SELECT x FROM t", {}, {}}});
  ASSERT_TRUE(result.status.ok()) << result.status;
  ASSERT_EQ(result.statements.size(), 3u);
  EXPECT_EQ(result.statements[0].rows_affected, 2);
  EXPECT_EQ(result.statements[1].rows_affected, 4);
  EXPECT_EQ(result.statements[2].rows_affected, 4);
  ExpectGrowth({3, 2, 1});
  replicas_.Check();
}

TEST_F(Batches, OneThatFailsAddsNothingAndNamesTheStatement) {
  const CommandResult failed = replicas_.Execute({{"INSERT INTO u VALUES(1)", {}, {}},
                                                  {"INSERT INTO t VALUES(3, 30)", {}, {}},
                                                  {"INSERT INTO t VALUES(1, 11)", {}, {}}});
  EXPECT_EQ(failed.status.code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(failed.status.statement(), 3u);
  EXPECT_TRUE(failed.status.message().starts_with("statement 3: ")) << failed.status;
  EXPECT_TRUE(failed.statements.empty());
  ExpectGrowth({0, 0, 0});
  EXPECT_EQ(replicas_.Query("SELECT count(*) FROM t, (SELECT count(*) FROM u)"), "2");
  // One alone is numbered for programs, and its message needs no number.
  const CommandResult alone = replicas_.Execute("INSERT INTO t VALUES(1, 11)");
  EXPECT_EQ(alone.status.statement(), 1u);
  EXPECT_FALSE(alone.status.message().starts_with("statement")) << alone.status;
  replicas_.Check();
}

TEST_F(Batches, AMissedExpectationTakesBackAll) {
  struct Case {
    std::vector<BatchStatement> batch;
    uint32_t missed_at;
    const char* says;
  };
  const std::vector<Case> cases = {
      // A compare-and-set that another client has won.
      {{Sql("UPDATE t SET x = 11 WHERE id = 1 AND x = 9", Exactly(1))},
       1,
       "exactly 1 row had to be changed, and there were 0"},
      {{Sql("INSERT INTO u VALUES(1)"), Sql("UPDATE t SET x = 0", AtLeast(3))},
       2,
       "statement 2: at least 3 rows had to be changed, and there were 2"},
      {{Sql("INSERT INTO u VALUES(1)", Exactly(1)),
        Sql("DELETE FROM t WHERE x < 15 RETURNING id", Exactly(2)), Sql("INSERT INTO u VALUES(2)")},
       2,
       "statement 2: exactly 2 rows had to be returned, and there were 1"},
      // Fewer than the statement changed.
      {{Sql("UPDATE t SET x = 0", Exactly(1))},
       1,
       "exactly 1 row had to be changed, and there were 2"},
      {{Sql("CREATE TABLE v(x)"), Sql("INSERT INTO v VALUES(1)", Exactly(2))},
       2,
       "statement 2: exactly 2 rows had to be changed, and there were 1"},
      {{Sql("INSERT OR IGNORE INTO t VALUES(1, 0)", AtLeast(1))},
       1,
       "at least 1 row had to be changed, and there were 0"},
  };
  for (const Case& each : cases) {
    // Between two other commands of one entry, which stand.
    const std::vector<CommandResult> results =
        replicas_.DoAll({ExecuteCommand("INSERT INTO u VALUES('a')"), Batch(each.batch),
                         ExecuteCommand("DELETE FROM u WHERE x = 'a'")});
    EXPECT_TRUE(results[0].status.ok());
    EXPECT_EQ(results[1].status.code(), StatusCode::kAborted) << results[1].status;
    EXPECT_EQ(results[1].status.outcome(), Outcome::kApplied);
    EXPECT_EQ(results[1].status.reason(), Reason::kUnexpectedRows);
    EXPECT_EQ(results[1].status.statement(), each.missed_at);
    EXPECT_EQ(results[1].status.message(), each.says);
    EXPECT_EQ(results[2].statements.at(0).rows_affected, 1);
    ExpectGrowth({2, 0, 2});
    EXPECT_EQ(replicas_.Query("SELECT x FROM t ORDER BY id"), "10 20");
    EXPECT_EQ(replicas_.Query("SELECT count(*) FROM u"), "0");
  }
  replicas_.Check();
}

TEST_F(Batches, AnExpectationThatIsMetChangesNothing) {
  const CommandResult met = replicas_.Do(Batch({
      Sql("UPDATE t SET x = 11 WHERE id = 1 AND x = 10", Exactly(1)),
      Sql("UPDATE t SET x = 0 WHERE id = 9", Exactly(0)),
      Sql("INSERT INTO u VALUES(1), (2) RETURNING x", AtLeast(2)),
      Sql("DELETE FROM u WHERE x = 2"),
  }));
  ASSERT_TRUE(met.status.ok()) << met.status;
  ASSERT_EQ(met.statements.size(), 4u);
  EXPECT_EQ(met.statements[2].rows.size(), 2u);
  ExpectGrowth({4, 2, 2});
  EXPECT_EQ(replicas_.Query("SELECT t.x, u.x FROM t, u WHERE id = 1"), "11|1");
  replicas_.Check();
}

TEST_F(Batches, ARetryIsAnsweredAsTheFirstTry) {
  const Command wins =
      WithId(Batch({Sql("UPDATE t SET x = 11 WHERE id = 1 AND x = 10", Exactly(1))}), "s", 1);
  const Command loses =
      WithId(Batch({Sql("UPDATE t SET x = 12 WHERE id = 1 AND x = 10", Exactly(1))}), "s", 2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(replicas_.Do(wins).status.ok());
    EXPECT_EQ(replicas_.Do(loses).status.code(), StatusCode::kAborted);
    ExpectGrowth({i == 0 ? 1 : 0, i == 0 ? 1 : 0, 0});
  }
  // Another expectation is another request.
  const Command other =
      WithId(Batch({Sql("UPDATE t SET x = 11 WHERE id = 1 AND x = 10", AtLeast(1))}), "s", 1);
  EXPECT_EQ(replicas_.Do(other).status.code(), StatusCode::kInvalidArgument);
  replicas_.Check();
}

TEST_F(Batches, ACommitOfSeveralStatementsAddsTheirNumberAndARollbackNothing) {
  const auto prepare = [&](const std::string& tx_id, const std::string& sql) {
    Command command;
    command.operation = Prepare{tx_id, {sql, {}, {}}};
    EXPECT_TRUE(replicas_.Do(command).status.ok()) << sql;
  };
  for (const bool commits : {true, false}) {
    const std::string tx_id = commits ? "commits" : "rolls back";
    prepare(tx_id, "INSERT INTO t(x) VALUES(30)");
    prepare(tx_id, "UPDATE t SET x = x + 1");
    prepare(tx_id, "INSERT INTO u VALUES(1)");
    ExpectGrowth({0, 0, 0});
    Command finish;
    if (commits) {
      finish.operation = Commit{tx_id};
    } else {
      finish.operation = Rollback{tx_id};
    }
    EXPECT_TRUE(replicas_.Do(finish).status.ok());
    ExpectGrowth(commits ? std::vector<int64_t>{3, 2, 1} : std::vector<int64_t>{0, 0, 0});
    replicas_.Do(finish);
    ExpectGrowth({0, 0, 0});
  }
  replicas_.Check();
}

}  // namespace
}  // namespace cairn::state_machine
