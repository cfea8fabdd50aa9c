#include "state_machine/sqlite/lease_function.h"

#include <gtest/gtest.h>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/two_phase_test_util.h"

namespace cairn::state_machine {
namespace {

class LeaseFunctionTest : public ::testing::Test {
 protected:
  LeaseFunctionTest() {
    Apply(100, {ExecuteCommand("CREATE TABLE t(ms)"), {{}, 0, RaiseLevel{kLevelDataPlatform}}});
  }
  std::vector<CommandResult> Apply(uint64_t lease_ms, const std::vector<Command>& commands) {
    const raft::Entry entry = MakeEntry(next_, {1'700'000'000'000, 1, lease_ms, 0}, commands);
    next_ = next_ + 1;
    return replica_.Apply(std::vector{entry}).at(0).results;
  }
  Status Run(uint64_t lease_ms, const std::string& sql) {
    return Apply(lease_ms, {ExecuteCommand(sql)}).at(0).status;
  }
  Value Read(const std::string& sql) {
    auto view = replica_.machine().OpenReadView(std::chrono::seconds(5));
    EXPECT_TRUE(view.ok()) << view.status();
    RowCollector out;
    const Status status = (*view)->Query({sql, {}, {}}, {}, &out);
    EXPECT_TRUE(status.ok()) << status;
    return out.rows.empty() ? Value() : out.rows.at(0).at(0);
  }

  TestReplica replica_;
  LogIndex next_{1};
};

TEST_F(LeaseFunctionTest, AWriteSeesTheClockOfItsEntryAndAReadThatOfTheLastEntry) {
  EXPECT_TRUE(Run(2'000, "INSERT INTO t VALUES(cairn_lease_ms())").ok());
  EXPECT_EQ(Read("SELECT ms FROM t"), Value(int64_t{2'000}));
  EXPECT_EQ(Read("SELECT cairn_lease_ms()"), Value(int64_t{2'000}));
  // A leader whose clock is behind does not set it back.
  EXPECT_TRUE(Run(1'500, "INSERT INTO t VALUES(cairn_lease_ms() + 1)").ok());
  EXPECT_EQ(Read("SELECT max(ms) FROM t"), Value(int64_t{2'001}));
  EXPECT_TRUE(Run(3'000, "DELETE FROM t WHERE ms < cairn_lease_ms() - 999").ok());
  EXPECT_EQ(Read("SELECT count(*) FROM t"), Value(int64_t{1}));
  EXPECT_EQ(Read("SELECT cairn_lease_ms()"), Value(int64_t{3'000}));
  replica_.Restart();
  EXPECT_EQ(Read("SELECT cairn_lease_ms()"), Value(int64_t{3'000}));
}

TEST_F(LeaseFunctionTest, DefaultsAndTriggersMayUseIt) {
  EXPECT_TRUE(Run(200, "CREATE TABLE d(id, at DEFAULT (cairn_lease_ms()))").ok());
  EXPECT_TRUE(Run(200,
                  "CREATE TRIGGER g AFTER INSERT ON d BEGIN"
                  " INSERT INTO t VALUES(cairn_lease_ms() + NEW.id); END")
                  .ok());
  EXPECT_TRUE(Run(300, "INSERT INTO d(id) VALUES(7)").ok());
  EXPECT_EQ(Read("SELECT at FROM d"), Value(int64_t{300}));
  EXPECT_EQ(Read("SELECT ms FROM t"), Value(int64_t{307}));
  // What is stored must not depend on when it is looked at.
  EXPECT_FALSE(Run(300, "CREATE INDEX i ON t(ms + cairn_lease_ms())").ok());
}

// The statements run at the Prepare and again at the Commit. The clock goes on between.
TEST_F(LeaseFunctionTest, ATwoPhaseTransactionIsRefused) {
  const auto refused = Apply(400, {PrepareCommand("tx", "INSERT INTO t VALUES(cairn_lease_ms())")});
  EXPECT_FALSE(refused.at(0).status.ok());
  EXPECT_NE(refused.at(0).status.message().find("two-phase"), std::string::npos)
      << refused.at(0).status;
}

TEST(LeaseFunction, IsNotThereBelowItsLevel) {
  Replicas replicas;
  EXPECT_EQ(replicas.Execute("SELECT cairn_lease_ms()").status.message().find("no such function"),
            0u);
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
