// Blob literals that are longer than a value may be while they are used. SQLite makes NULL of them.

#include <gtest/gtest.h>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

constexpr uint64_t kStepsMax = 50'000'000;

std::string BlobOf(size_t bytes) { return "x'" + std::string(2 * bytes, 'b') + "'"; }

class BlobLiteralsTest : public ::testing::Test {
 protected:
  BlobLiteralsTest() {
    Run({{}, 0, RaiseLevel{kLevelDataPlatform}});
    Run("CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    Run("CREATE TABLE numbers(n INTEGER PRIMARY KEY)");
    Run("INSERT INTO numbers WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
        " SELECT i FROM n");
  }
  Status Apply(const Command& command) {
    const raft::Entry entry = MakeEntry(next_, {1'700'000'000'000, 1, 1'000, kStepsMax}, {command});
    next_ = next_ + 1;
    return replica_.Apply(std::vector{entry}).at(0).results.at(0).status;
  }
  void Run(const Command& command) {
    const Status status = Apply(command);
    EXPECT_TRUE(status.ok()) << status;
  }
  void Run(const std::string& sql) { Run(ExecuteCommand(sql)); }
  std::string Text(const std::string& query) {
    replica_.Close();
    std::string text = TestDatabase(replica_.path()).Text(query);
    replica_.Open();
    return text;
  }

  TestReplica replica_;
  LogIndex next_{1};
};

TEST_F(BlobLiteralsTest, OfAnyLengthAreStored) {
  for (const size_t kib : {10, 40, 48, 64, 100, 250, 500, 3000}) {
    Run("INSERT INTO t(b) VALUES (" + BlobOf(kib << 10) + ")");
  }
  Run("UPDATE t SET b = " + BlobOf(300 << 10) + " WHERE a = 1");
  EXPECT_EQ(Text("SELECT group_concat(length(b) / 1024) FROM t"), "300,40,48,64,100,250,500,3000");
}

// The longer a statement works, the shorter its values must be.
TEST_F(BlobLiteralsTest, FailTheStatementWhereTheyAreTooLong) {
  const std::string insert =
      "INSERT INTO t SELECT NULL, CASE WHEN a.n > 0 THEN " + BlobOf(15'000) +
      " END FROM numbers a CROSS JOIN numbers b WHERE b.n <= 600 GROUP BY a.n";
  const Status refused = Apply(ExecuteCommand(insert));
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted) << refused;
  EXPECT_NE(refused.message().find("parameter"), std::string::npos) << refused;
  EXPECT_EQ(Text("SELECT count(*) FROM t"), "0");
}

TEST_F(BlobLiteralsTest, InTriggersViewsAndDefaultsCount) {
  Run("CREATE TABLE d(a INTEGER PRIMARY KEY, b DEFAULT " + BlobOf(100'000) + ")");
  Run("CREATE VIEW v AS SELECT " + BlobOf(110'000) + " AS b");
  Run("CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO d VALUES (new.a + 10, " +
      BlobOf(120'000) + "); END");
  Run("INSERT INTO d(a) VALUES (1)");
  Run("INSERT INTO d SELECT 2, b FROM v");
  Run("INSERT INTO t VALUES (1, 'fires the trigger')");
  EXPECT_EQ(Text("SELECT group_concat(length(b)) FROM d"), "100000,110000,120000");
}

// A known program has another bound than one that is new on a node.
TEST_F(BlobLiteralsTest, AreStoredAlikeAfterARestart) {
  const std::string insert = "INSERT INTO t(b) VALUES (" + BlobOf(1900) + ")";
  Run(insert);
  Run(insert);
  replica_.Restart();
  Run(insert);
  EXPECT_EQ(Text("SELECT group_concat(length(b)) FROM t"), "1900,1900,1900");
}

}  // namespace
}  // namespace cairn::state_machine
