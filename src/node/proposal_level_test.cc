// Commands that need a higher feature level than the cluster has.

#include <gtest/gtest.h>

#include "node/replica_core_test_util.h"
#include "state_machine/feature_level.h"

namespace cairn::node {
namespace {

class ProposalLevelTest : public ReplicaCoreTest {
 protected:
  ProposalLevelTest() { report_.level = state_machine::kLevelFirst; }
  static state_machine::Command Expecting(bool maintenance = false) {
    state_machine::Execute execute;
    execute.statements = {{"DELETE FROM t", {}, {}}};
    execute.expect = {{RowExpectation::Kind::kExactly, 1}};
    execute.maintenance = maintenance;
    state_machine::Command command;
    command.id = {"s", 1};
    command.operation = std::move(execute);
    return command;
  }
};

TEST_F(ProposalLevelTest, AreRefusedByTheLeaderUntilTheLevelHasRisen) {
  Lead();
  for (const bool maintenance : {false, true}) {
    const auto refused = Propose(Expecting(maintenance));
    EXPECT_EQ(refused->code(), StatusCode::kFailedPrecondition) << *refused;
    EXPECT_EQ(refused->outcome(), Outcome::kNotApplied);
    EXPECT_NE(refused->message().find("cairn member upgrade"), std::string::npos) << *refused;
  }
  const auto plain = Propose();
  Settle();
  EXPECT_TRUE(plain->ok()) << *plain;
  report_.level = state_machine::kLevelExpectations;
  core_->OnApplied(report_);
  const auto taken = Propose(Expecting());
  Settle();
  EXPECT_TRUE(taken->ok()) << *taken;
}

TEST_F(ProposalLevelTest, AreRefusedWithForeignKeysOffUntilTheLevelHasRisen) {
  state_machine::Execute execute;
  execute.statements = {{"DROP TABLE t", {}, {}}};
  execute.foreign_keys = ForeignKeys::kCheckedAtEnd;
  state_machine::Command command;
  command.operation = execute;
  report_.level = state_machine::kLevelExpectations;
  Lead();
  const auto refused = Propose(command);
  EXPECT_EQ(refused->code(), StatusCode::kFailedPrecondition) << *refused;
  EXPECT_EQ(refused->outcome(), Outcome::kNotApplied);
  EXPECT_NE(refused->message().find("foreign keys that are off"), std::string::npos) << *refused;
  report_.level = state_machine::kLevelDataPlatform;
  core_->OnApplied(report_);
  const auto taken = Propose(command);
  Settle();
  EXPECT_TRUE(taken->ok()) << *taken;
}

TEST_F(ProposalLevelTest, AreRefusedWithALongTextUntilTheLevelHasRisen) {
  const state_machine::Statement statement = {
      "INSERT INTO t VALUES ('" + std::string(state_machine::kSqlBytesMax, 'x') + "')", {}, {}};
  state_machine::Execute execute;
  execute.statements = {statement};
  state_machine::Prepare prepare;
  prepare.tx_id = "t";
  prepare.statement = statement;
  state_machine::Execute literal;
  literal.statements = {{"INSERT INTO t VALUES (x'" + std::string(10'000, 'a') + "')", {}, {}}};
  state_machine::Command commands[3];
  commands[0].operation = execute;
  commands[1].operation = prepare;
  commands[2].operation = literal;
  report_.level = state_machine::kLevelExpectations;
  Lead();
  for (const state_machine::Command& command : commands) {
    const auto refused = Propose(command);
    EXPECT_EQ(refused->code(), StatusCode::kFailedPrecondition) << *refused;
    EXPECT_NE(refused->message().find("1 MiB of text"), std::string::npos) << *refused;
  }
}

// A long queue of heavy ones is refused in one go, and takes no more of the stack than one.
TEST_F(ProposalLevelTest, AreRefusedHoweverManyHeavyOnesWait) {
  Lead();
  AppliedReport learned = report_;
  learned.costs = {{TraitsOf(Expecting()), options_.request_steps_max / 2}};
  core_->OnApplied(learned);
  std::vector<std::shared_ptr<Status>> outcomes;
  for (int i = 0; i < 200'000; ++i) {
    outcomes.push_back(std::make_shared<Status>(StatusCode::kUnknown, "pending"));
    core_->Propose(std::make_shared<PendingCommand>(
        state_machine::EncodeCommand(Expecting()), clock_.SteadyNow() + std::chrono::seconds(10),
        [outcome = outcomes.back()](const Result<state_machine::CommandResult>& result) {
          *outcome = result.status();
        },
        TraitsOf(Expecting())));
  }
  core_->Flush();
  for (const auto& outcome : outcomes) {
    ASSERT_NE(outcome->code(), StatusCode::kUnknown);
    ASSERT_EQ(outcome->outcome(), Outcome::kNotApplied) << *outcome;
  }
}

// The raise may lie in the log of a leader that has not applied it yet. "Not applied" would be false
// of a retry: the first try was applied, behind the raise.
TEST_F(ProposalLevelTest, WaitForANewLeaderToKnowTheLevel) {
  StartMember({1});
  for (int i = 0; i < 100 && !core_->is_leader(); ++i) {
    Tick();
    Sync();
  }
  ASSERT_TRUE(core_->is_leader());
  const auto outcome = Propose(Expecting());
  EXPECT_EQ(outcome->message(), "pending");
  report_.level = state_machine::kLevelExpectations;
  Settle();
  Tick();
  Settle();
  EXPECT_TRUE(outcome->ok()) << *outcome;
}

}  // namespace
}  // namespace cairn::node
