#include "server/readiness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/fake_replica_test_util.h"

namespace cairn::server {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

node::ReplicaStatus Sound() {
  node::ReplicaStatus status;
  status.stage = transport::LifeStage::kStarted;
  status.age = std::chrono::milliseconds(40);
  return status;
}

const std::optional<LeaderHint> kLeader = LeaderHint{2, "node2:50051"};

TEST(Readiness, ANodeThatServesIsReady) { EXPECT_THAT(WhyNotReady(Sound(), kLeader), IsEmpty()); }

// After a restart nothing is proved until the node has applied what was committed by then. With a long
// backlog that takes minutes, and linearizable reads fail meanwhile.
TEST(Readiness, ANodeThatHasProvedNothingYetIsNotReady) {
  node::ReplicaStatus young = Sound();
  young.age.reset();
  EXPECT_THAT(WhyNotReady(young, kLeader), ElementsAre(HasSubstr("has not proved yet")));
}

TEST(Readiness, WithoutALeaderItIsNotReady) {
  EXPECT_THAT(WhyNotReady(Sound(), std::nullopt), ElementsAre(HasSubstr("no leader is known")));
  EXPECT_THAT(WhyNotReady(Sound(), LeaderHint{}), ElementsAre(HasSubstr("no leader is known")));
}

TEST(Readiness, ANodeThatTakesNoPartSaysWhatItWaitsFor) {
  node::ReplicaStatus status;
  EXPECT_THAT(WhyNotReady(status, std::nullopt), ElementsAre(HasSubstr("does not take part")));
  status.waiting_for = "node 3 at node3:50051 does not answer";
  EXPECT_THAT(WhyNotReady(status, std::nullopt), ElementsAre(status.waiting_for));
}

TEST(Readiness, TroubleIsToldOnceAlthoughItIsWhyNothingIsShownToo) {
  node::ReplicaStatus status = Sound();
  status.fenced = status.apply_stopped = true;
  status.trouble = Unavailable("this node has stopped applying: disk I/O error");
  status.not_serving = "this node has stopped applying: disk I/O error";
  EXPECT_THAT(WhyNotReady(status, kLeader), ElementsAre(HasSubstr("disk I/O error")));
}

TEST(Readiness, ANodeThatCatchesUpIsNotReady) {
  node::ReplicaStatus status = Sound();
  status.age = std::chrono::seconds(75);
  EXPECT_THAT(WhyNotReady(status, kLeader), ElementsAre(HasSubstr("up to 75 s old")));
  status = Sound();
  status.not_serving = "this node was let into the cluster, and still catches up to that point";
  EXPECT_THAT(WhyNotReady(status, kLeader), ElementsAre(status.not_serving));
}

TEST(Readiness, ItsHealthIsOneLine) {
  FakeReplica replica(&SystemClock());
  replica.SetTurnedAgo(std::chrono::seconds(3));
  ServerHealth health = HealthOf(replica, SystemClock());
  EXPECT_GE(health.turned_ago, std::chrono::seconds(3));
  replica.SetAge(std::chrono::milliseconds(20));
  EXPECT_THAT(HealthOf(replica, SystemClock()).words, HasSubstr("leader, members: "));
  replica.SetLeader(false, LeaderHint{7, "node7:50051"});
  EXPECT_THAT(HealthOf(replica, SystemClock()).words, HasSubstr("follower of node 7, members: "));
  replica.SetLeader(false, std::nullopt);
  replica.SetAge(std::nullopt);
  EXPECT_THAT(
      HealthOf(replica, SystemClock()).words,
      AllOf(HasSubstr("not ready: no leader is known"), HasSubstr("; this node catches up")));
}

}  // namespace
}  // namespace cairn::server
