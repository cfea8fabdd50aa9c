// Replicas that come, go, lose their disks and fall behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "node/replica.h"
#include "node/replica_test_util.h"

namespace cairn::node {
namespace {

using namespace std::chrono_literals;  // NOLINT
using Change = Replica::MembershipChange;

std::map<uint64_t, std::string> Listed(uint64_t n) {
  std::map<uint64_t, std::string> listed;
  for (uint64_t id = 1; id <= n; ++id) listed[id] = TestCluster::Address(id);
  return listed;
}

TEST(ReplicaMembership, AWipedNodeIsLetInAgainUnderANewMemberId) {
  TestCluster cluster(3);
  cluster.StartAll();
  for (int i = 0; i < 20; ++i) cluster.Write(std::to_string(i));
  const uint64_t wiped = cluster.AwaitLeader() % 3 + 1;
  cluster.Kill(wiped);
  cluster.Wipe(wiped);
  ASSERT_TRUE(cluster.Start(wiped).ok());
  EXPECT_TRUE(Eventually([&] { return cluster.node(wiped).state->items().size() == 20; }));
  EXPECT_TRUE(Eventually([&] {
    const raft::Configuration config = cluster.replica(wiped).status().core.config;
    return config.voters ==
               std::set{MemberId(4), MemberId(wiped % 3 + 1), MemberId((wiped + 1) % 3 + 1)} &&
           !config.joint();
  }));
  EXPECT_EQ(cluster.replica(wiped).status().core.self, MemberId(4));
  cluster.Write("after");
  EXPECT_TRUE(Eventually([&] { return cluster.node(wiped).state->items().size() == 21; }));
  // The node knows who it is after a restart.
  cluster.Kill(wiped);
  ASSERT_TRUE(cluster.Start(wiped).ok());
  cluster.Write("again");
  EXPECT_TRUE(Eventually([&] { return cluster.node(wiped).state->items().size() == 22; }));
}

TEST(ReplicaMembership, TheNextLeaderGoesOnLettingAWipedNodeIn) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t leader = cluster.AwaitLeader();
  const uint64_t wiped = leader % 3 + 1;
  const uint64_t other = 6 - leader - wiped;
  cluster.Kill(wiped);
  cluster.Wipe(wiped);
  cluster.node(wiped).log->BlockSync(true);  // the node must not catch up
  ASSERT_TRUE(cluster.Start(wiped).ok());
  ASSERT_TRUE(Eventually(
      [&] { return cluster.replica(other).status().core.config.learners.contains(MemberId(4)); }));
  ASSERT_TRUE(cluster.Transfer(leader, other).ok());
  cluster.node(wiped).log->BlockSync(false);
  EXPECT_TRUE(Eventually([&] {
    const raft::Configuration config = cluster.replica(other).status().core.config;
    return config.voters == std::set{MemberId(leader), MemberId(other), MemberId(4)} &&
           !config.joint();
  }));
}

TEST(ReplicaMembership, AWipedNodeDoesNotVoteBeforeItIsLetIn) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t leader = cluster.AwaitLeader();
  const uint64_t wiped = leader % 3 + 1;
  const uint64_t other = 6 - leader - wiped;
  // What only the leader and `wiped` have acknowledged must survive: the wiped node must not elect
  // `other`, which lacks it.
  cluster.Kill(other);
  cluster.Write("only on two");
  cluster.Kill(leader);
  cluster.Kill(wiped);
  cluster.Wipe(wiped);
  ASSERT_TRUE(cluster.Start(other).ok());
  ASSERT_TRUE(cluster.Start(wiped).ok());
  EXPECT_FALSE(Eventually(
      [&] { return cluster.replica(other).is_leader() || cluster.replica(wiped).is_leader(); },
      1500ms));
  EXPECT_EQ(cluster.replica(wiped).status().stage, transport::LifeStage::kEmpty);
  EXPECT_FALSE(cluster.replica(wiped).status().waiting_for.empty());
  ASSERT_TRUE(cluster.Start(leader).ok());
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_TRUE(Eventually([&] {
      return cluster.node(id).state->items() == std::vector<std::string>({"a", "only on two"});
    })) << id;
  }
}

TEST(ReplicaMembership, AFourthNodeIsAddedAsLearnerCatchesUpAndVotes) {
  TestCluster cluster(3);
  cluster.StartAll();
  for (int i = 0; i < 20; ++i) cluster.Write(std::to_string(i));
  cluster.AddNode(4, Listed(4));
  ASSERT_TRUE(cluster.Start(4).ok());
  EXPECT_TRUE(Eventually([&] {
    return cluster.replica(4).status().waiting_for.find("member add") != std::string::npos;
  }));
  const uint64_t leader = cluster.AwaitLeader();
  const Status added = cluster.Change(leader, {Change::Kind::kAdd, 4, TestCluster::Address(4)});
  ASSERT_TRUE(added.ok()) << added;
  EXPECT_TRUE(Eventually([&] { return cluster.node(4).state->items().size() == 20; }));
  EXPECT_EQ(cluster.replica(leader).status().core.config.voters.size(), 4u);
  // A second call gives the same answer.
  EXPECT_TRUE(cluster.Change(leader, {Change::Kind::kAdd, 4, TestCluster::Address(4)}).ok());
}

// The node knows no address of the new leader except the one in the leader's hello.
TEST(ReplicaMembership, ANodeThatWasAwayCatchesUpWithALeaderThatJoinedMeanwhile) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("before");
  const uint64_t leader = cluster.AwaitLeader();
  const uint64_t away = leader % 3 + 1;
  cluster.Kill(away);
  cluster.AddNode(4, Listed(4));
  ASSERT_TRUE(cluster.Start(4).ok());
  ASSERT_TRUE(cluster.Change(leader, {Change::Kind::kAdd, 4, TestCluster::Address(4)}).ok());
  ASSERT_TRUE(cluster.Transfer(leader, 4).ok());
  cluster.Write("after");
  ASSERT_TRUE(cluster.Start(away).ok());
  EXPECT_TRUE(Eventually([&] { return cluster.node(away).state->items().size() == 2; }));
}

TEST(ReplicaMembership, ANodeThatLostItsDiskIsReplacedAtAnotherAddress) {
  TestCluster cluster(3);
  cluster.StartAll();
  for (int i = 0; i < 20; ++i) cluster.Write(std::to_string(i));
  const uint64_t lost = cluster.AwaitLeader() % 3 + 1;
  cluster.Kill(lost);
  cluster.Wipe(lost);
  TestNode& node = cluster.node(lost);
  node.options.address = node.options.listed_peers[lost] = "elsewhere";
  ASSERT_TRUE(cluster.Start(lost).ok());
  Status replaced;
  EXPECT_TRUE(Eventually([&] {
    replaced = cluster.Change(cluster.AwaitLeader(), {Change::Kind::kReplace, lost, "elsewhere"});
    // For a while after its end the leader takes the old process for alive, and refuses.
    return replaced.message().find("is alive") == std::string::npos;
  }));
  ASSERT_TRUE(replaced.ok()) << replaced;
  EXPECT_TRUE(Eventually([&] { return node.state->items().size() == 20; }));
  const uint64_t leader = cluster.AwaitLeader();
  const raft::Configuration config = cluster.replica(leader).status().core.config;
  EXPECT_EQ(config.voters.size(), 3u);
  EXPECT_FALSE(config.Contains(MemberId(lost))) << "its old self has no vote any more";
  ASSERT_TRUE(config.voters.contains(MemberId(4)));
  EXPECT_EQ(config.info.at(MemberId(4)).address, "elsewhere");
  EXPECT_EQ(config.info.at(MemberId(4)).node_id, lost);
  // The node counts: with the other follower dead, writes need it.
  cluster.Kill(6 - leader - lost);
  cluster.Write("after");
  const Status unknown = cluster.Change(leader, {Change::Kind::kReplace, 7, "node7"});
  EXPECT_EQ(unknown.code(), StatusCode::kNotFound) << unknown;
}

TEST(ReplicaMembership, AFollowerIsRemovedAndThenTheLeaderItself) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  uint64_t leader = cluster.AwaitLeader();
  const uint64_t removed = leader % 3 + 1;
  Status status = cluster.Change(leader, {Change::Kind::kRemove, removed, ""});
  ASSERT_TRUE(status.ok()) << status;
  cluster.Kill(removed);
  cluster.Write("b");
  leader = cluster.AwaitLeader();
  status = cluster.Change(leader, {Change::Kind::kRemove, leader, ""});
  ASSERT_TRUE(status.ok()) << status;
  const uint64_t last = 6 - leader - removed;
  ASSERT_TRUE(Eventually([&] { return cluster.replica(last).is_leader(); }));
  EXPECT_TRUE(cluster.Propose(last, "c").ok());
  EXPECT_EQ(cluster.Change(last, {Change::Kind::kRemove, last, ""}).code(),
            StatusCode::kFailedPrecondition);
}

TEST(ReplicaMembership, RemovingTheNodeThatMakesTheMajorityIsRefused) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t leader = cluster.AwaitLeader();
  const uint64_t dead = leader % 3 + 1;
  const uint64_t alive = 6 - leader - dead;
  cluster.Kill(dead);
  // This comes at once: the leader heard from the dead node a moment ago.
  const Status status = cluster.Change(leader, {Change::Kind::kRemove, alive, ""});
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
  EXPECT_TRUE(cluster.Change(leader, {Change::Kind::kRemove, dead, ""}).ok());
}

TEST(ReplicaMembership, ALeaderThatStopsJustAfterAFollowerDiedHandsOverToTheOther) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t leader = cluster.AwaitLeader();
  // The leader would choose this node first, as both hold the same log.
  const uint64_t dead = leader == 1 ? 2 : 1;
  cluster.Kill(dead);
  const SteadyTime before = SystemClock().SteadyNow();
  cluster.Stop(leader);
  EXPECT_LT(SystemClock().SteadyNow() - before, SteadyTime(4s * kSlowness));  // Stop allows 5 s
}

TEST(ReplicaMembership, AChangeThatCannotFinishSaysWhatStateItLeft) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t leader = cluster.AwaitLeader();
  Status status = cluster.Change(leader, {Change::Kind::kAdd, 9, TestCluster::Address(9)}, 2s);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;  // no process answers there
  const uint64_t follower = leader % 3 + 1;
  status = cluster.Change(follower, {Change::Kind::kRemove, leader, ""});
  ASSERT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(status.leader_hint()->node_id, leader);
}

// The node answers a probe, and asks nobody of this cluster to be let in: its --peers are wrong.
// The command that added it blocked all changes for a day.
TEST(ReplicaMembership, AnAddThatDoesNotGoOnGivesWayToOtherChanges) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t leader = cluster.AwaitLeader();
  cluster.AddNode(4, {{4, TestCluster::Address(4)}, {9, "nowhere"}});
  ASSERT_TRUE(cluster.Start(4).ok());
  struct Ask {
    std::promise<void> silent;
    std::promise<Status> done;
  };
  const auto add = [&](std::shared_ptr<const std::atomic<bool>> gone) {
    const auto ask = std::make_shared<Ask>();
    const auto told = std::make_shared<std::atomic<bool>>(false);
    cluster.replica(leader).ChangeMembership(
        {Change::Kind::kAdd, 4, TestCluster::Address(4), std::move(gone)},
        SystemClock().SteadyNow() + std::chrono::hours(24),
        [ask, told](const std::string& line) {
          if (line.find("has not been heard from yet") == std::string::npos) return;
          if (!told->exchange(true)) ask->silent.set_value();
        },
        [ask](const Status& status) { ask->done.set_value(status); });
    ask->silent.get_future().wait();
    return ask;
  };
  const auto first = add(nullptr);
  const auto second = add(nullptr);  // the operator asks again
  EXPECT_EQ(first->done.get_future().get().code(), StatusCode::kAborted);
  Status status = cluster.Change(leader, {Change::Kind::kAdd, 9, TestCluster::Address(9)});
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
  status = cluster.Change(leader, {Change::Kind::kRemove, 4, ""});
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(second->done.get_future().get().code(), StatusCode::kAborted);
  // Nobody waits for it any more.
  const auto gone = std::make_shared<std::atomic<bool>>(false);
  const auto third = add(gone);
  *gone = true;
  status = cluster.Change(leader, {Change::Kind::kAdd, 9, TestCluster::Address(9)});
  EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status;  // no process answers there
  EXPECT_EQ(third->done.get_future().get().code(), StatusCode::kAborted);
}

TEST(ReplicaMembership, LeadershipMovesToTheNodeThatWasNamed) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t leader = cluster.AwaitLeader();
  const uint64_t target = leader % 3 + 1;
  std::promise<Status> done;
  std::optional<LeaderHint> told;
  cluster.replica(leader).TransferLeadership(target, SystemClock().SteadyNow() + 5s, [&](Status s) {
    told = cluster.replica(leader).leader_hint();
    done.set_value(std::move(s));
  });
  EXPECT_TRUE(done.get_future().get().ok());
  ASSERT_TRUE(told);
  EXPECT_EQ(told->node_id, target);
  EXPECT_TRUE(Eventually([&] { return cluster.replica(target).is_leader(); }));
}

TEST(ReplicaMembership, ANodeBehindTheLogGetsASnapshotAndTheLogStaysBounded) {
  TestCluster cluster(3);
  for (uint64_t id = 1; id <= 3; ++id) {
    cluster.node(id).options.log_bytes_max = 128 << 10;
    cluster.node(id).options.batch_bytes_max = 8 << 10;
  }
  cluster.StartAll();
  cluster.Write("first");
  const uint64_t behind = cluster.AwaitLeader() % 3 + 1;
  const LogIndex known = cluster.node(behind).state->applied_index();
  cluster.Kill(behind);
  size_t writes = 1;
  ASSERT_TRUE(Eventually([&] {
    cluster.Write(std::string(8 << 10, 'x'));
    ++writes;
    const uint64_t leader = cluster.AwaitLeader();
    return cluster.node(leader).log->first() > known + 10 &&
           cluster.node(6 - leader - behind).log->first() > known + 10;
  }));
  ASSERT_TRUE(cluster.Start(behind).ok());
  EXPECT_TRUE(Eventually([&] { return cluster.node(behind).state->items().size() == writes; }));
  EXPECT_EQ(cluster.node(behind).state->installs(), 1);
  for (int i = 0; i < 10; ++i, ++writes) cluster.Write("more");
  EXPECT_TRUE(Eventually([&] { return cluster.node(behind).state->items().size() == writes; }));
  EXPECT_TRUE(Eventually([&] {
    return cluster.replica(cluster.AwaitLeader()).status().log_bytes <= (128u << 10) + (64u << 10);
  }));
  // The node is still whole after a restart.
  cluster.Kill(behind);
  ASSERT_TRUE(cluster.Start(behind).ok());
  EXPECT_TRUE(Eventually([&] { return cluster.node(behind).state->items().size() == writes; }));
}

// A cluster with small logs. One node is down, and the logs of the others no longer reach back to
// it.
struct BehindCluster {
  BehindCluster() : cluster(3) {
    for (uint64_t id = 1; id <= 3; ++id) {
      cluster.node(id).options.log_bytes_max = kLogBytesMax;
      cluster.node(id).options.batch_bytes_max = 8 << 10;
    }
    cluster.StartAll();
    cluster.Write("a");
    leader = cluster.AwaitLeader();
    behind = leader % 3 + 1;
    const LogIndex held = cluster.replica(behind).status().core.last;
    cluster.Kill(behind);
    while (cluster.node(leader).log->first() <= held + 1) cluster.Write(Big());
  }
  static std::string Big() { return std::string(8 << 10, 'x'); }
  state_machine::StateMachine& state(uint64_t id) { return *cluster.node(id).state; }

  static constexpr uint64_t kLogBytesMax = 64 << 10;
  TestCluster cluster;
  uint64_t leader = 0;
  uint64_t behind = 0;
};

TEST(ReplicaMembership, ASlowSnapshotIsStillOfUseWhenItArrivesUnderHeavyWrites) {
  BehindCluster test;
  TestCluster& cluster = test.cluster;
  cluster.node(test.leader).state->BlockCopies(true);
  ASSERT_TRUE(cluster.Start(test.behind).ok());
  ASSERT_TRUE(Eventually([&] { return cluster.node(test.leader).state->copies() == 1; }));
  // Far more than twice the limit of the log.
  for (int i = 0; i < 40; ++i) cluster.Write(BehindCluster::Big());
  cluster.node(test.leader).state->BlockCopies(false);
  cluster.Write("after");
  EXPECT_TRUE(Eventually([&] {
    return cluster.node(test.behind).state->items() == cluster.node(test.leader).state->items();
  }));
  EXPECT_EQ(cluster.node(test.behind).state->installs(), 1);
  EXPECT_EQ(cluster.node(test.leader).state->copies(), 1);
  // Then the log is dropped.
  EXPECT_TRUE(Eventually([&] {
    cluster.Write(BehindCluster::Big());
    return cluster.replica(test.leader).status().log_bytes <= 2 * BehindCluster::kLogBytesMax;
  }));
}

// The line broke. The next attempt must find in the log what follows the copy that is there.
TEST(ReplicaMembership, ASnapshotThatBrokeOffIsSentAgainFromTheSameCopyUnderHeavyWrites) {
  BehindCluster test;
  TestCluster& cluster = test.cluster;
  cluster.node(test.leader).state->BlockCopies(true);
  ASSERT_TRUE(cluster.Start(test.behind).ok());
  ASSERT_TRUE(Eventually([&] { return cluster.node(test.leader).state->copies() == 1; }));
  cluster.Isolate(test.behind, true);
  cluster.node(test.leader).state->BlockCopies(false);
  for (int i = 0; i < 40; ++i) cluster.Write(BehindCluster::Big());
  cluster.Isolate(test.behind, false);
  EXPECT_TRUE(Eventually([&] {
    return cluster.node(test.behind).state->items() == cluster.node(test.leader).state->items();
  }));
  EXPECT_EQ(cluster.node(test.leader).state->copies(), 1);
}

TEST(ReplicaMembership, ASnapshotThatGetsNowhereDoesNotHoldTheLogForEver) {
  BehindCluster test;
  TestCluster& cluster = test.cluster;
  cluster.node(test.leader).state->BlockCopies(true);
  ASSERT_TRUE(cluster.Start(test.behind).ok());
  ASSERT_TRUE(Eventually([&] { return cluster.node(test.leader).state->copies() == 1; }));
  for (int i = 0; i < 200; ++i) cluster.Write(BehindCluster::Big());
  EXPECT_TRUE(Eventually([&] {
    return cluster.replica(test.leader).status().log_bytes < 14 * BehindCluster::kLogBytesMax;
  }));
  cluster.node(test.leader).state->BlockCopies(false);
  cluster.Write("after");
  EXPECT_TRUE(Eventually([&] {
    return cluster.node(test.behind).state->items() == cluster.node(test.leader).state->items();
  }));
}

TEST(ReplicaMembership, ALeaderThatIsElectedAgainDoesNotSendASecondCopyBesideTheFirst) {
  BehindCluster test;
  TestCluster& cluster = test.cluster;
  const uint64_t other = 6 - test.leader - test.behind;
  // The other node's copies are blocked, too: it leads for a moment, in which its copy could
  // arrive.
  cluster.node(test.leader).state->BlockCopies(true);
  cluster.node(other).state->BlockCopies(true);
  ASSERT_TRUE(cluster.Start(test.behind).ok());
  ASSERT_TRUE(Eventually([&] { return cluster.node(test.leader).state->copies() == 1; }));
  ASSERT_TRUE(cluster.Transfer(test.leader, other).ok());
  ASSERT_TRUE(cluster.Transfer(other, test.leader).ok());
  cluster.Write("b");
  ASSERT_TRUE(Eventually([&] {
    const auto peers = cluster.replica(test.leader).status().core.peers;
    return std::any_of(peers.begin(), peers.end(), [](const auto& peer) {
      return peer.second.state == raft::PeerStatus::State::kSnapshot;
    });
  }));
  cluster.node(test.leader).state->BlockCopies(false);
  cluster.node(other).state->BlockCopies(false);
  EXPECT_TRUE(Eventually([&] {
    return cluster.node(test.behind).state->items() == cluster.node(test.leader).state->items();
  }));
  EXPECT_EQ(cluster.node(test.leader).state->copies(), 1);
}

TEST(ReplicaMembership, ANodeRemovedWhileItWasDownIsToldSoAndKeepsQuiet) {
  for (const bool replaced : {false, true}) {
    SCOPED_TRACE(replaced);
    TestCluster cluster(3);
    cluster.StartAll();
    cluster.Write("a");
    const uint64_t leader = cluster.AwaitLeader();
    const uint64_t gone = leader % 3 + 1;
    cluster.Kill(gone);
    if (replaced) {
      cluster.AddNode(9, Listed(3));
      cluster.node(9).options.node_id = gone;
      ASSERT_TRUE(cluster.Start(9).ok());
      // The change is refused until the old process has been silent for long enough.
      ASSERT_TRUE(Eventually([&] {
        return cluster.Change(leader, {Change::Kind::kReplace, gone, TestCluster::Address(9)}).ok();
      }));
    } else {
      ASSERT_TRUE(cluster.Change(leader, {Change::Kind::kRemove, gone, ""}).ok());
    }
    // Until the others have forgotten the node, they would tell it themselves.
    cluster.Isolate(gone, true);
    cluster.Write("b");
    ASSERT_TRUE(cluster.Start(gone).ok());
    ASSERT_TRUE(Eventually(
        [&] { return cluster.replica(gone).status().core.role != raft::Role::kFollower; }));
    EXPECT_TRUE(cluster.replica(gone).status().trouble.ok());
    std::this_thread::sleep_for(5s);
    cluster.Isolate(gone, false);
    ASSERT_TRUE(Eventually([&] { return !cluster.replica(gone).status().trouble.ok(); }));
    const std::string trouble = cluster.replica(gone).status().trouble.message();
    EXPECT_NE(trouble.find(replaced ? "was replaced by member 4 at node9" : "was removed"),
              std::string::npos)
        << trouble;
    EXPECT_NE(trouble.find(replaced ? "cairn member replace" : "cairn member add"),
              std::string::npos)
        << trouble;
    // The node does not campaign any more, and serves nothing that grows old.
    ASSERT_TRUE(Eventually(
        [&] { return cluster.replica(gone).status().core.role == raft::Role::kFollower; }));
    EXPECT_FALSE(Eventually(
        [&] { return cluster.replica(gone).status().core.role != raft::Role::kFollower; }, 1s));
    EXPECT_FALSE(cluster.Barrier(gone, {ReadLevel::kStale}, 1s).ok());
    cluster.Write("c");
  }
}

}  // namespace
}  // namespace cairn::node
