// The feature level of a new cluster.
#include "node/new_cluster_level.h"

#include <gtest/gtest.h>

#include <utility>
#include <variant>

#include "node/replica_core_test_util.h"

namespace cairn::node {
namespace {

class NewClusterLevelTest : public ReplicaCoreTest {
 protected:
  NewClusterLevelTest() {
    options_.level_max = 2;
    report_.level = 1;
    report_.wall_ms = 0;
  }
  // The raises that the state machine has been given.
  int Raises() {
    int raises = 0;
    Sync();
    Sync();
    for (const ApplyJob& job : effects_.applies) {
      for (const raft::Entry& entry : job.batch.entries) {
        if (entry.type != raft::EntryType::kNormal) continue;
        const auto batch = state_machine::DecodeBatch(*entry.payload);
        for (const auto& command : batch->commands) {
          if (std::holds_alternative<state_machine::RaiseLevel>(command.operation)) ++raises;
        }
      }
    }
    return raises;
  }
  void AnswerProbe(uint64_t level_max) {
    ASSERT_EQ(effects_.probes.size(), 1u);
    transport::ProbeReply reply;
    reply.identity.cluster_id = 9;
    reply.identity.member = MemberId(2);
    reply.identity.level_max = level_max;
    std::exchange(effects_.probes, {})[0](reply);
    core_->Flush();
  }
};

TEST_F(NewClusterLevelTest, IsRaisedByItsLeaderOnce) {
  Lead();
  Tick();
  EXPECT_EQ(Raises(), 1);
  report_.level = 2;
  ApplyAll();
  Tick(200);
  EXPECT_EQ(Raises(), 0);
}

TEST_F(NewClusterLevelTest, WaitsForAMemberThatDoesNotAnswerYet) {
  LeadWithMember2();
  ASSERT_EQ(effects_.probes.size(), 1u);
  std::exchange(effects_.probes, {})[0](Unavailable("it does not listen yet"));
  core_->Flush();
  for (int i = 0; i < 1000 && effects_.probes.empty(); ++i) {
    Tick();
    SendAfterSync();
    AnswerAsMember2();
  }
  AnswerProbe(/*level_max=*/2);
  SendAfterSync();
  AnswerAsMember2();
  EXPECT_EQ(Raises(), 1);
}

// A founder of the old build would apply nothing any more.
TEST_F(NewClusterLevelTest, IsNotRaisedPastAFounderThatCannotFollow) {
  LeadWithMember2();
  int asked = 0;
  for (int i = 0; i < 5000; ++i) {
    if (!effects_.probes.empty()) {
      AnswerProbe(/*level_max=*/1);
      ++asked;
    }
    Tick();
    SendAfterSync();
    AnswerAsMember2();
    ASSERT_EQ(Raises(), 0);
  }
  EXPECT_GT(asked, 1);
  EXPECT_LE(asked, 100) << "it asks for ever";
}

// Its operator may want to go back to the old build.
TEST_F(NewClusterLevelTest, OfAClusterThatHasAppliedACommandIsLeftToTheOperator) {
  report_.wall_ms = 1'700'000'000'000;
  Lead();
  Tick(200);
  EXPECT_EQ(Raises(), 0);
}

}  // namespace
}  // namespace cairn::node
