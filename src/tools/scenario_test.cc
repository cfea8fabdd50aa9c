#include "tools/scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "testing/sanitized.h"
#include "tools/fake_cluster_test_util.h"

namespace cairn::tools {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

class ScenarioVerdict : public testing::Test {
 protected:
  ScenarioVerdict() {
    for (int i = 0; i < 3; ++i) nodes_.push_back(std::make_unique<FakeNode>(database_));
  }

  int Run(const std::string& name, CommitMode mode = CommitMode::kQuorum) {
    ScenarioOptions options;
    for (const auto& address : addresses_) options.addresses.push_back(address);
    if (addresses_.empty()) {
      for (const auto& node : nodes_) options.addresses.push_back(node->address());
    }
    options.mode = mode;
    options.call_timeout = milliseconds(1000) * kSlowness;
    options.retry_timeout = milliseconds(500) * kSlowness;
    out_.str("");
    return RunScenario(name, options, &out_);
  }
  std::string out() const { return out_.str(); }

  const std::shared_ptr<FakeDatabase> database_ = std::make_shared<FakeDatabase>();
  std::vector<std::unique_ptr<FakeNode>> nodes_;
  std::vector<std::string> addresses_;
  std::ostringstream out_;
};

TEST_F(ScenarioVerdict, PassesOnAHealthyCluster) {
  EXPECT_EQ(Run("full"), 0) << out();
  EXPECT_THAT(out(), HasSubstr("versions are equal on 3 of 3 nodes"));
  EXPECT_THAT(out(), HasSubstr("PASS full"));
  EXPECT_EQ(Run("full", CommitMode::kStrong), 0) << out();
  EXPECT_EQ(Run("verify-only"), 0) << out();
}

TEST_F(ScenarioVerdict, OfBatchesPassesOnAHealthyClusterAndWithALostAnswer) {
  EXPECT_EQ(Run("batch_commit_and_rollback"), 0) << out();
  EXPECT_THAT(out(), HasSubstr("PASS batch_commit_and_rollback"));
  nodes_[0]->lose_next_answer = true;
  EXPECT_EQ(Run("batch_commit_and_rollback"), 0) << out();
}

TEST_F(ScenarioVerdict, OfBatchesFailsIfAFailedBatchLeavesSomething) {
  for (const auto& node : nodes_) node->keeps_failed_batches = true;
  EXPECT_EQ(Run("batch_commit_and_rollback"), 1);
  EXPECT_THAT(out(), HasSubstr("but it should have grown by 0"));
}

TEST_F(ScenarioVerdict, AMinorityThatIsGoneIsNoFailure) {
  addresses_ = {nodes_[0]->address(), nodes_[1]->address(), "127.0.0.1:1"};
  EXPECT_EQ(Run("full"), 0) << out();
  EXPECT_THAT(out(), HasSubstr("versions are equal on 2 of 3 nodes"));
}

TEST_F(ScenarioVerdict, AnswersAlsoWhenThePreferredNodeIsGone) {
  addresses_ = {"127.0.0.1:1", nodes_[0]->address(), nodes_[1]->address()};
  EXPECT_EQ(Run("full"), 0) << out();
}

TEST_F(ScenarioVerdict, FewerThanAMajorityFails) {
  addresses_ = {nodes_[0]->address(), "127.0.0.1:1", "127.0.0.1:2"};
  EXPECT_EQ(Run("full"), 1);
  EXPECT_THAT(out(), HasSubstr("only 1 of 3 nodes can be reached"));
}

TEST_F(ScenarioVerdict, AVersionOf0ForWantOfALeaderCountsAsUnreachable) {
  ASSERT_EQ(Run("full"), 0) << out();
  nodes_[0]->has_leader = false;
  EXPECT_EQ(Run("verify-only"), 0) << out();
  EXPECT_THAT(out(), HasSubstr("answered version 0 for want of a leader"));
  nodes_[1]->has_leader = false;
  EXPECT_EQ(Run("verify-only"), 1);
  EXPECT_THAT(out(), HasSubstr("only 1 of 3 nodes can be reached"));
}

TEST_F(ScenarioVerdict, AnEmptyDatabaseHasVersion0EverywhereAndThatIsEqual) {
  EXPECT_EQ(Run("verify-only"), 0) << out();
}

TEST_F(ScenarioVerdict, DifferentVersionsFail) {
  ASSERT_EQ(Run("full"), 0) << out();
  nodes_[2]->version_skew = 1;
  EXPECT_EQ(Run("verify-only"), 1);
  EXPECT_THAT(out(), HasSubstr("the nodes differ"));
}

TEST_F(ScenarioVerdict, AVersionThatGrowsByTheWrongNumberFails) {
  for (const int64_t growth : {0, 2}) {
    database_->growth = growth;
    EXPECT_EQ(Run("full"), 1) << out();
  }
  EXPECT_THAT(out(), HasSubstr("but it should have grown by 1"));
}

TEST_F(ScenarioVerdict, ALostAnswerIsRepeatedUnderTheSameRequestId) {
  nodes_[0]->lose_next_answer = true;
  nodes_[1]->lose_next_answer = true;
  EXPECT_EQ(Run("full"), 0) << out();
  EXPECT_THAT(out(), HasSubstr("connection lost"));
}

TEST_F(ScenarioVerdict, StrongModeRollsBackWhatANodeDoesNotHold) {
  nodes_[1]->holds_transactions = false;
  EXPECT_EQ(Run("full", CommitMode::kStrong), 1);
  EXPECT_THAT(out(),
              HasSubstr("not every node holds the prepared transaction: " + nodes_[1]->address()));
  EXPECT_THAT(out(), HasSubstr("rolled back: OK"));
  std::lock_guard lock(database_->mutex);
  for (const auto& [id, transaction] : database_->transactions) {
    EXPECT_EQ(transaction.state, v1::TRANSACTION_STATE_ROLLED_BACK) << id;
  }
}

TEST_F(ScenarioVerdict, QuorumModeDoesNotAskEveryNode) {
  nodes_[1]->holds_transactions = false;
  EXPECT_EQ(Run("full"), 0) << out();
  EXPECT_THAT(out(), Not(HasSubstr("every node holds")));
}

}  // namespace
}  // namespace cairn::tools
