// Members that run other builds: with another engine, or with other feature levels.
#include <gtest/gtest.h>

#include <future>

#include "node/replica_test_util.h"

namespace cairn::node {
namespace {

using namespace std::chrono_literals;

// Node `id` runs the new build of the engine, the others the old one.
class MixedCluster : public TestCluster {
 public:
  explicit MixedCluster(int count = 3) : TestCluster(count), count_(count) {
    for (int id = 1; id <= count; ++id)
      node(static_cast<uint64_t>(id)).options.engine.build = "old";
  }
  // Upgrades a node, the leader or another one, to a build that may give wrong results.
  uint64_t Upgrade(bool leader, bool miscounts) {
    const uint64_t leads = AwaitLeader();
    const uint64_t id = leader ? leads : leads % static_cast<uint64_t>(count_) + 1;
    Stop(id);
    node(id).options.engine.build = "new";
    node(id).state->Miscount(miscounts);
    EXPECT_TRUE(Start(id).ok());
    if (leader) {
      EXPECT_TRUE(
          Eventually([&] { return Transfer(AwaitLeader(), id).ok() && AwaitLeader() == id; }));
    }
    return id;
  }
  bool Compares(uint64_t id) { return replica(id).compares_results(); }

 private:
  const int count_;
};

TEST(MixedBuilds, NothingIsComparedOnceMembersOfOneBuildHaveStarted) {
  MixedCluster cluster;
  cluster.StartAll();
  cluster.Write("a");
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_TRUE(Eventually([&] { return !cluster.Compares(id); })) << id;
  }
}

TEST(MixedBuilds, MembersWithDifferentBuildsWorkTogetherAndAllCompare) {
  MixedCluster cluster;
  cluster.StartAll();
  cluster.Write("a");
  for (const bool leader : {false, true}) {
    cluster.Upgrade(leader, /*miscounts=*/false);
    for (int i = 0; i < 10; ++i) cluster.Write(std::to_string(i));
    for (uint64_t id = 1; id <= 3; ++id) {
      EXPECT_TRUE(Eventually([&] { return cluster.Compares(id); })) << id;
      EXPECT_TRUE(cluster.Barrier(id).ok()) << id;
      EXPECT_TRUE(cluster.replica(id).status().trouble.ok())
          << cluster.replica(id).status().trouble;
    }
  }
}

TEST(MixedBuilds, AnOutvotedLeaderAnswersUnknownStandsDownAndIsRebuilt) {
  MixedCluster cluster;
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t wrong = cluster.Upgrade(/*leader=*/true, /*miscounts=*/true);
  const auto outcome = cluster.Propose(wrong, "b");
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.status().outcome(), Outcome::kUnknown) << outcome.status();
  cluster.node(wrong).state->Miscount(false);
  ASSERT_TRUE(Eventually([&] { return cluster.node(wrong).state->installs() > 0; }));
  EXPECT_TRUE(Eventually([&] { return cluster.replica(wrong).status().trouble.ok(); }));
  cluster.Write("c");
  EXPECT_TRUE(Eventually([&] {
    return cluster.node(wrong).state->items() == cluster.node(wrong % 3 + 1).state->items();
  }));
  EXPECT_EQ(cluster.node(wrong).state->items().back(), "c");
}

TEST(MixedBuilds, AFollowerThatGivesOtherResultsAnswersNoReadAndIsRebuilt) {
  MixedCluster cluster;
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t wrong = cluster.Upgrade(/*leader=*/false, /*miscounts=*/true);
  cluster.Write("b");
  EXPECT_FALSE(cluster.Barrier(wrong, {}, 2s).ok());
  cluster.node(wrong).state->Miscount(false);
  ASSERT_TRUE(Eventually([&] { return cluster.node(wrong).state->installs() > 0; }));
  EXPECT_TRUE(Eventually([&] { return cluster.Barrier(wrong, {}, 1s).ok(); }));
}

// All builds are the same, so the leader compares nothing and has not noticed that its state is
// wrong. A member with the right one restarts, and asked it alone: it was rebuilt with the wrong one.
TEST(MixedBuilds, ALeaderThatDoesNotCompareIsNoMajorityForAMemberThatRestarts) {
  MixedCluster cluster;
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t leader = cluster.AwaitLeader();
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(Eventually([&] { return !cluster.Compares(id); })) << id;
  }
  cluster.node(leader).state->Miscount(true);
  cluster.Write("b");
  cluster.node(leader).state->Miscount(false);
  const uint64_t right = leader % 3 + 1;
  ASSERT_TRUE(Eventually([&] {
    return cluster.replica(right).status().core.applied >=
           cluster.replica(leader).status().core.applied;
  }));
  cluster.Stop(right);
  ASSERT_TRUE(cluster.Start(right).ok());
  EXPECT_TRUE(Eventually([&] { return cluster.node(leader).state->installs() > 0; }));
  EXPECT_EQ(cluster.node(right).state->installs(), 0);
  EXPECT_TRUE(Eventually([&] { return cluster.replica(leader).status().trouble.ok(); }));
  cluster.Write("c");
  EXPECT_TRUE(Eventually(
      [&] { return cluster.node(leader).state->items() == cluster.node(right).state->items(); }));
}

// The entry was given to apply while all builds were the same, and is applied when the leader knows
// that a majority has another build. The write was acknowledged, and the leader was then rebuilt.
TEST(MixedBuilds, AWriteThatWaitedForApplyWhileBuildsChangedIsNotAnsweredWithoutAgreement) {
  MixedCluster cluster;
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t leader = cluster.AwaitLeader();
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(Eventually([&] { return !cluster.Compares(id); })) << id;
  }
  for (uint64_t id = 1; id <= 3; ++id) cluster.node(id).state->BlockApply(true);
  auto write = std::async(std::launch::async, [&cluster, leader] {
    return cluster.Propose(leader, "b", std::chrono::minutes(1));
  });
  ASSERT_TRUE(Eventually([&] {
    const raft::CoreStatus core = cluster.replica(leader).status().core;
    return core.commit > core.applied;
  }));
  for (uint64_t id = 1; id <= 3; ++id) {
    if (id == leader) continue;
    const LogIndex last = cluster.replica(leader).status().core.commit;
    ASSERT_TRUE(Eventually([&] { return cluster.replica(id).status().core.durable >= last; }));
    cluster.Kill(id);
    cluster.node(id).options.engine.build = "new";
    cluster.node(id).state->Miscount(true);
    ASSERT_TRUE(cluster.Start(id).ok());
    ASSERT_TRUE(Eventually([&] { return cluster.Compares(leader); }));
    ASSERT_TRUE(Eventually([&] { return cluster.replica(id).status().core.applied >= last; }));
  }
  ASSERT_EQ(cluster.AwaitLeader(), leader);
  cluster.node(leader).state->BlockApply(false);
  const auto outcome = write.get();
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.status().outcome(), Outcome::kUnknown) << outcome.status();
  EXPECT_TRUE(Eventually([&] { return cluster.node(leader).state->installs() > 0; }));
}

// One voter is down, and one acknowledges the log and does not apply. What the leader holds back grew
// for as long as patient clients wrote.
TEST(MixedBuilds, ResultsThatAreHeldAreBoundedInBytes) {
  MixedCluster cluster;
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t leader = cluster.AwaitLeader();
  cluster.node(leader).options.held_results_bytes_max = 250'000;
  ASSERT_EQ(cluster.Upgrade(/*leader=*/true, /*miscounts=*/false), leader);
  cluster.Write("b");
  const uint64_t other = leader % 3 + 1;
  cluster.Kill(6 - leader - other);
  for (uint64_t id : {leader, other}) cluster.node(id).state->ReturnBytes(100'000);
  cluster.node(other).state->BlockApply(true);
  std::vector<std::future<Result<state_machine::CommandResult>>> writes;
  for (size_t i = 1; i <= 4; ++i) {
    writes.push_back(std::async(std::launch::async, [&cluster, leader] {
      return cluster.Propose(leader, "c", std::chrono::minutes(1));
    }));
    ASSERT_TRUE(Eventually([&] { return cluster.node(leader).state->items().size() == 2 + i; }));
  }
  cluster.node(other).state->BlockApply(false);
  size_t gone = 0;
  for (auto& write : writes) {
    const Result<state_machine::CommandResult> result = write.get();
    ASSERT_TRUE(result.ok()) << result.status();
    gone += result->result_gone ? 1 : 0;
  }
  EXPECT_EQ(gone, 2u);
}

TEST(MixedBuilds, WithoutAMajorityOfOneMindNothingIsAnswered) {
  MixedCluster cluster;
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t wrong = cluster.Upgrade(/*leader=*/false, /*miscounts=*/true);
  const uint64_t leader = cluster.AwaitLeader();
  cluster.Kill(6 - wrong - leader);
  const auto outcome = cluster.Propose(leader, "b", 1s);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.status().outcome(), Outcome::kUnknown) << outcome.status();
  EXPECT_FALSE(cluster.Barrier(leader, {}, 500ms).ok());
  // A reader with a view asks this to know whether it may show what the view holds.
  ReadOptions applied;
  applied.level = ReadLevel::kStale;
  applied.index_min = cluster.replica(leader).status().core.applied;
  EXPECT_FALSE(cluster.Barrier(leader, applied, 500ms).ok());
  applied.index_min = LogIndex();
  EXPECT_TRUE(cluster.Barrier(leader, applied, 500ms).ok());
  // The third decides.
  ASSERT_TRUE(cluster.Start(6 - wrong - leader).ok());
  EXPECT_TRUE(Eventually([&] { return cluster.Barrier(leader, {}, 1s).ok(); }));
  cluster.node(wrong).state->Miscount(false);
  EXPECT_TRUE(Eventually([&] { return cluster.node(wrong).state->installs() > 0; }));
}

// Nothing decides between two nodes. Both were named nowhere: the status said that builds differ, and
// to bring other members up, of which there are none.
TEST(MixedBuilds, TwoNodesThatDifferAreNamedWithTheEntryAndAnOperatorDecides) {
  MixedCluster cluster(2);
  cluster.StartAll();
  const LogIndex agreed = cluster.Write("a");
  for (uint64_t id = 1; id <= 2; ++id) {
    ASSERT_TRUE(Eventually([&] { return cluster.replica(id).status().core.applied >= agreed; }));
  }
  const uint64_t wrong = cluster.Upgrade(/*leader=*/false, /*miscounts=*/true);
  const uint64_t leader = 3 - wrong;
  // The leader may step down: it has not heard the restarted node for a while.
  const auto right_one_leads = [&] {
    return cluster.AwaitLeader() == leader || (void(cluster.Transfer(wrong, leader)), false);
  };
  Status outcome;
  ASSERT_TRUE(Eventually([&] {
    if (!right_one_leads()) return false;
    outcome = cluster.Propose(leader, "b", 1s).status();
    return outcome.ok() || outcome.outcome() != Outcome::kNotApplied;
  }));
  EXPECT_EQ(outcome.outcome(), Outcome::kUnknown) << outcome;
  ASSERT_TRUE(Eventually([&] {
    return right_one_leads() && !cluster.replica(leader).status().digests.doubt.empty();
  }));
  const std::string doubt = cluster.replica(leader).status().digests.doubt;
  const std::string at = "different results at entry ";
  ASSERT_NE(doubt.find(at), std::string::npos) << doubt;
  EXPECT_GT(std::stoull(doubt.substr(doubt.find(at) + at.size())), agreed.value()) << doubt;
  EXPECT_NE(doubt.find("node 1; node 2"), std::string::npos) << doubt;
  EXPECT_NE(doubt.find("cairn member remove"), std::string::npos) << doubt;
  Replica::MembershipChange remove;
  remove.kind = Replica::MembershipChange::Kind::kRemove;
  remove.node_id = wrong;
  const Status removed = cluster.Change(leader, remove);
  ASSERT_TRUE(removed.ok()) << removed;
  EXPECT_TRUE(Eventually([&] { return cluster.replica(leader).status().digests.doubt.empty(); }));
  EXPECT_GT(cluster.Write("c"), agreed);
  EXPECT_TRUE(cluster.Barrier(leader).ok());
}

// ---- Feature levels -----------------------------------------------------------------------------

class LevelCluster : public TestCluster {
 public:
  // Founded by a build that knows level 1 alone, then upgraded.
  explicit LevelCluster(std::vector<uint64_t> levels) : TestCluster(3) {
    for (uint64_t id = 1; id <= 3; ++id) node(id).options.level_max = 1;
    StartAll();
    Write("a");
    // The founding configuration is still on its way into the log.
    EXPECT_TRUE(Eventually([&] {
      return !replica(AwaitLeader()).status().core.config_in_progress && Write("b") > LogIndex(3);
    }));
    for (uint64_t id = 1; id <= 3; ++id) {
      Stop(id);
      node(id).options.level_max = levels[id - 1];
      const Status started = Start(id);
      EXPECT_TRUE(started.ok()) << started;
      Write("c");
    }
  }
  Result<uint64_t> Raise(uint64_t id) {
    auto answer = std::make_shared<std::promise<Result<uint64_t>>>();
    replica(id).RaiseLevel(SystemClock().SteadyNow() + 10s, [answer](Result<uint64_t> level) {
      answer->set_value(std::move(level));
    });
    return answer->get_future().get();
  }
  uint64_t level(uint64_t id) { return replica(id).status().level; }
  // Starts a follower again with the build that knows no level above 1: gives which.
  uint64_t SetBackAFollower() {
    const uint64_t old = AwaitLeader() % 3 + 1;
    Stop(old);
    node(old).options.level_max = 1;
    const Status started = Start(old);
    EXPECT_TRUE(started.ok()) << started;
    return old;
  }
  // A restarted node may be elected, as any other.
  uint64_t AwaitLeaderOtherThan(uint64_t id) {
    uint64_t leader = 0;
    EXPECT_TRUE(Eventually([&] {
      leader = AwaitLeader();
      if (leader != id) return true;
      const uint64_t next = id % 3 + 1;
      (void)Transfer(id, node(next).replica ? next : next % 3 + 1);
      return false;
    }));
    return leader;
  }
};

TEST(FeatureLevel, OfANewClusterRisesByItself) {
  TestCluster cluster(3);
  for (uint64_t id = 1; id <= 3; ++id) cluster.node(id).options.level_max = 2;
  cluster.StartAll();
  cluster.Write("a");
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_TRUE(Eventually([&] { return cluster.replica(id).status().level == 2; })) << id;
  }
}

TEST(FeatureLevel, RisesWhenAnOperatorSaysSoAndAllCanFollow) {
  LevelCluster cluster({2, 2, 2});
  const uint64_t leader = cluster.AwaitLeader();
  EXPECT_EQ(cluster.level(leader), 1u);
  EXPECT_EQ(cluster.Raise(leader % 3 + 1).status().code(), StatusCode::kUnavailable);
  const auto level = cluster.Raise(leader);
  ASSERT_TRUE(level.ok()) << level.status();
  EXPECT_EQ(*level, 2u);
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_TRUE(Eventually([&] { return cluster.level(id) == 2; })) << id;
  }
  EXPECT_EQ(*cluster.Raise(leader), 2u);
}

TEST(FeatureLevel, IsRefusedWithWhoCanNotFollow) {
  LevelCluster cluster({2, 2, 2});
  const uint64_t old = cluster.SetBackAFollower();
  // Two of three remain: the leader must hear the other, or steps down, and either may lead then.
  const uint64_t leader = cluster.AwaitLeaderOtherThan(old);
  const uint64_t down = 6 - old - leader;
  cluster.Kill(down);
  ASSERT_EQ(cluster.AwaitLeaderOtherThan(old), leader);
  cluster.Write("b");
  const auto level = cluster.Raise(cluster.AwaitLeaderOtherThan(old));
  EXPECT_EQ(level.status().code(), StatusCode::kFailedPrecondition) << level.status();
  const std::string& words = level.status().message();
  const std::string behind =
      "node " + std::to_string(old) + " at " + TestCluster::Address(old) + " knows levels up to 1";
  const std::string silent =
      "node " + std::to_string(down) + " at " + TestCluster::Address(down) + " does not answer";
  EXPECT_NE(words.find(behind), std::string::npos) << words;
  EXPECT_NE(words.find(silent), std::string::npos) << words;
  EXPECT_EQ(cluster.level(cluster.AwaitLeader()), 1u);
}

// It has nothing to raise the level to, and the upgrade is not complete.
TEST(FeatureLevel, IsRefusedByALeaderThatRunsTheOldBuild) {
  LevelCluster cluster({2, 2, 2});
  const uint64_t old = cluster.SetBackAFollower();
  ASSERT_TRUE(Eventually([&] {
    return cluster.Transfer(cluster.AwaitLeader(), old).ok() && cluster.AwaitLeader() == old;
  }));
  Result<uint64_t> level = Unavailable("");
  ASSERT_TRUE(Eventually([&] {
    level = cluster.Raise(old);
    return level.status().code() != StatusCode::kUnavailable;
  }));
  EXPECT_EQ(level.status().code(), StatusCode::kFailedPrecondition) << level.status();
  const std::string& words = level.status().message();
  EXPECT_NE(words.find("this node leads and knows levels up to 1"), std::string::npos) << words;
  EXPECT_NE(words.find("up to 2: upgrade this node first"), std::string::npos) << words;
}

}  // namespace
}  // namespace cairn::node
