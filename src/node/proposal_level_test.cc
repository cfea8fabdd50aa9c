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
