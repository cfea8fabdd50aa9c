// Raising the feature level beside changes of membership.
#include "node/level_raise.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "node/replica_core_test_util.h"

namespace cairn::node {
namespace {

using std::chrono::seconds;

// A leader that knows level 2, of a cluster at level 1. It has no other members yet.
class LevelRaiseTest : public ReplicaCoreTest {
 protected:
  void LeadAtLevel1() {
    options_.level_max = 2;
    options_.engine = {"machine", "build"};
    report_.level = 1;
    Lead();
  }
  std::shared_ptr<Result<uint64_t>> Raise() {
    auto said = std::make_shared<Result<uint64_t>>(Status(StatusCode::kUnknown, "pending"));
    core_->RaiseLevel(clock_.SteadyNow() + seconds(1),
                      [said](Result<uint64_t> level) { *said = std::move(level); });
    core_->Flush();
    return said;
  }
  // The leader asks node 4 who it is.
  std::shared_ptr<Status> BeginAdding() {
    auto said = std::make_shared<Status>(StatusCode::kUnknown, "pending");
    core_->ChangeMembership(
        {Replica::MembershipChange::Kind::kAdd, 4, "node4"}, clock_.SteadyNow() + seconds(1000),
        [](const std::string&) {}, [said](const Status& status) { *said = status; });
    core_->Flush();
    return said;
  }
  void AnswerAsEmptyNode4(uint64_t level_max) {
    ASSERT_EQ(effects_.probes.size(), 1u);
    transport::ProbeReply reply;
    reply.identity.node_id = 4;
    reply.identity.nonce = 44;
    reply.identity.address = "node4";
    reply.identity.engine = options_.engine;
    reply.identity.level_max = level_max;
    reply.stage = transport::LifeStage::kEmpty;
    std::exchange(effects_.probes, {})[0](reply);
    core_->Flush();
  }
  bool HasLearner() { return !core_->status().core.config.learners.empty(); }
};

// Nobody asks the node whether it can follow, and its admission does not ask for the new level.
TEST_F(LevelRaiseTest, ARaiseIsRefusedWhileANodeIsBeingLetIn) {
  LeadAtLevel1();
  const auto added = BeginAdding();
  const auto refused = Raise();
  ASSERT_EQ(refused->status().code(), StatusCode::kFailedPrecondition) << refused->status();
  EXPECT_NE(refused->status().message().find("node 4"), std::string::npos) << refused->status();
  AnswerAsEmptyNode4(/*level_max=*/1);
  Settle();
  EXPECT_TRUE(HasLearner()) << *added;
  EXPECT_EQ(Raise()->status().code(), StatusCode::kFailedPrecondition) << "it catches up";
}

// The command is in the log and not applied. By the applied level the node was let in behind the
// command, and could apply nothing. "Unknown" is an answer to the caller, and changes nothing.
TEST_F(LevelRaiseTest, NoNodeIsLetInByTheOldLevelWhileARaiseMayBeInTheLog) {
  LeadAtLevel1();
  const auto raised = Raise();
  Sync();
  Sync();
  ASSERT_EQ(effects_.applies.size(), 1u);
  const auto added = BeginAdding();
  EXPECT_TRUE(effects_.probes.empty()) << "the change waits";
  clock_.Advance(seconds(2));
  Tick();
  ASSERT_EQ(raised->status().outcome(), Outcome::kUnknown) << raised->status();
  Tick();
  EXPECT_TRUE(effects_.probes.empty());
  EXPECT_EQ(added->message(), "pending");
  report_.level = 2;
  ApplyAll();
  Tick();
  AnswerAsEmptyNode4(/*level_max=*/1);
  Settle();
  EXPECT_FALSE(HasLearner());
  EXPECT_EQ(added->code(), StatusCode::kFailedPrecondition) << *added;
  EXPECT_NE(added->message().find("knows feature levels up to 1"), std::string::npos) << *added;
}

TEST_F(LevelRaiseTest, ANodeThatKnowsTheNewLevelIsLetInAfterTheRaise) {
  LeadAtLevel1();
  const auto raised = Raise();
  const auto added = BeginAdding();
  report_.level = 2;
  Settle();
  ASSERT_TRUE(raised->ok()) << raised->status();
  Tick();
  AnswerAsEmptyNode4(/*level_max=*/2);
  Settle();
  EXPECT_TRUE(HasLearner()) << *added;
}

// A member whose answer is still on its way has not agreed yet.
TEST_F(LevelRaiseTest, NoNodeIsLetInWhileMembersAreAsked) {
  options_.level_max = 2;
  options_.engine = {"machine", "build"};
  report_.level = 1;
  LeadWithMember2();
  const auto raised = Raise();
  ASSERT_EQ(effects_.probes.size(), 1u);
  const auto asked = std::exchange(effects_.probes, {});
  const auto added = BeginAdding();
  EXPECT_TRUE(effects_.probes.empty()) << "the change waits";
  asked[0](Unavailable("no answer"));
  core_->Flush();
  EXPECT_EQ(raised->status().code(), StatusCode::kFailedPrecondition) << raised->status();
  Tick();
  EXPECT_EQ(effects_.probes.size(), 1u);
}

// The raise may come from the leader before, and lie in the log before this leader's own entries.
TEST_F(LevelRaiseTest, ANewLeaderLetsNobodyInBeforeItHasAppliedAnEntryOfItsOwnTerm) {
  options_.engine = {"machine", "build"};
  StartMember({1});
  for (int i = 0; i < 100 && !core_->status().core.leader_ready; ++i) {
    Tick();
    Sync();
  }
  Sync();
  ASSERT_FALSE(core_->status().core.config_in_progress);
  const auto added = BeginAdding();
  EXPECT_TRUE(effects_.probes.empty()) << *added;
  for (int i = 0; i < 2; ++i) {  // with the first tick the founding configuration goes into the log
    Settle();
    Tick();
  }
  EXPECT_EQ(effects_.probes.size(), 1u) << *added;
}

}  // namespace
}  // namespace cairn::node
