// Replicas over a log and a network in memory: elections, writes, reads, restarts, lost quorums.
#include "node/replica.h"

#include <gtest/gtest.h>

#include <thread>

#include "node/replica_test_util.h"

namespace cairn::node {
namespace {

using namespace std::chrono_literals;  // NOLINT
using Items = std::vector<std::string>;

TEST(Replica, OneNodeAloneIsAClusterAtOnce) {
  TestCluster cluster(1);
  cluster.StartAll();
  const LogIndex index = cluster.Write("a");
  EXPECT_EQ(cluster.node(1).state->items(), Items({"a"}));
  const Result<LogIndex> read = cluster.Barrier(1);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_GE(*read, index);
}

TEST(Replica, ThreeEmptyNodesFoundAClusterAndReplicate) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.AwaitLeader();
  Items expected;
  for (int i = 0; i < 50; ++i) {
    expected.push_back("item" + std::to_string(i));
    cluster.Write(expected.back());
  }
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_TRUE(Eventually([&] { return cluster.node(id).state->items() == expected; })) << id;
    EXPECT_EQ(cluster.replica(id).status().cluster_id, cluster.replica(1).status().cluster_id);
  }
}

TEST(Replica, AReadOnAFollowerSeesEveryWriteAcknowledgedBefore) {
  TestCluster cluster(3);
  cluster.StartAll();
  for (int i = 0; i < 30; ++i) {
    cluster.Write("item" + std::to_string(i));
    for (uint64_t id = 1; id <= 3; ++id) {
      const Result<LogIndex> read = cluster.Barrier(id);
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_EQ(cluster.node(id).state->items().size(), static_cast<size_t>(i + 1)) << id;
    }
  }
}

TEST(Replica, NothingAcknowledgedIsLostWhenTheLeaderIsKilled) {
  TestCluster cluster(3);
  cluster.StartAll();
  Items expected;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 10; ++i) {
      expected.push_back(std::to_string(round) + "." + std::to_string(i));
      cluster.Write(expected.back());
    }
    const uint64_t leader = cluster.AwaitLeader();
    cluster.Kill(leader);
    expected.push_back("without " + std::to_string(leader));
    cluster.Write(expected.back());
    ASSERT_TRUE(cluster.Start(leader).ok());
  }
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_TRUE(Eventually([&] { return cluster.node(id).state->items() == expected; })) << id;
  }
}

TEST(Replica, AllNodesKilledAtOnceComeBackWithEverything) {
  TestCluster cluster(3);
  cluster.StartAll();
  for (int i = 0; i < 10; ++i) cluster.Write(std::to_string(i));
  for (uint64_t id = 1; id <= 3; ++id) cluster.Kill(id);
  cluster.StartAll();
  cluster.Write("after");
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_TRUE(Eventually([&] { return cluster.node(id).state->items().size() == 11; })) << id;
  }
}

TEST(Replica, AWriteOnAFollowerIsRefusedWithTheLeadersAddress) {
  TestCluster cluster(3);
  cluster.StartAll();
  const uint64_t leader = cluster.AwaitLeader();
  const uint64_t follower = leader % 3 + 1;
  const auto result = cluster.Propose(follower, "x");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(result.status().outcome(), Outcome::kNotApplied);
  ASSERT_TRUE(result.status().leader_hint());
  EXPECT_EQ(result.status().leader_hint()->node_id, leader);
}

TEST(Replica, WithoutAQuorumTheOutcomeIsUnknownAtTheDeadline) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t leader = cluster.AwaitLeader();
  cluster.Isolate(leader, true);
  const auto result = cluster.Propose(leader, "lost", 300ms);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(result.status().outcome(), Outcome::kUnknown);
}

TEST(Replica, AWriteOvertakenByAnotherLeaderIsNotApplied) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t old_leader = cluster.AwaitLeader();
  cluster.Isolate(old_leader, true);
  std::promise<Result<state_machine::CommandResult>> answer;
  state_machine::Command command;
  command.id = {"overtaken", 1};
  command.operation = state_machine::Execute{{state_machine::Statement{"lost", {}, {}}}};
  cluster.replica(old_leader)
      .Propose(
          command, SystemClock().SteadyNow() + 20s,
          [&](const Result<state_machine::CommandResult>& r) { answer.set_value(r); }, nullptr);
  ASSERT_TRUE(Eventually([&] {
    for (uint64_t id = 1; id <= 3; ++id) {
      if (id != old_leader && cluster.replica(id).is_leader()) {
        return cluster.Propose(id, "b").ok();
      }
    }
    return false;
  }));
  cluster.Isolate(old_leader, false);
  const auto result = answer.get_future().get();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().outcome(), Outcome::kNotApplied) << result.status();
  EXPECT_TRUE(Eventually([&] { return cluster.node(old_leader).state->items().size() == 2; }));
  EXPECT_EQ(cluster.node(old_leader).state->items(), Items({"a", "b"}));
}

TEST(Replica, ADeposedLeaderServesNoLinearizableRead) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t old_leader = cluster.AwaitLeader();
  cluster.Isolate(old_leader, true);
  ASSERT_TRUE(Eventually([&] {
    for (uint64_t id = 1; id <= 3; ++id) {
      if (id != old_leader && cluster.replica(id).is_leader()) {
        return cluster.Propose(id, "b").ok();
      }
    }
    return false;
  }));
  EXPECT_FALSE(cluster.Barrier(old_leader, {}, 300ms).ok());
  ReadOptions stale;
  stale.level = ReadLevel::kStale;
  EXPECT_TRUE(cluster.Barrier(old_leader, stale).ok());
  stale.staleness_max = 100ms;
  EXPECT_EQ(cluster.Barrier(old_leader, stale).status().code(), StatusCode::kFailedPrecondition);
}

TEST(Replica, ACleanStopHandsLeadershipOverAndLosesNothing) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t leader = cluster.AwaitLeader();
  cluster.Stop(leader);
  EXPECT_EQ(cluster.node(leader).state->durable_index(),
            cluster.node(leader).state->applied_index());
  cluster.Write("b");
  ASSERT_TRUE(cluster.Start(leader).ok());
  EXPECT_TRUE(Eventually([&] { return cluster.node(leader).state->items().size() == 2; }));
}

TEST(Replica, AllNodesStoppedAtOnceEndAtOnceAlsoWithWritesThatNobodyCanDecide) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t leader = cluster.AwaitLeader();
  std::promise<Outcome> outcome;
  cluster.Isolate(leader, true);
  state_machine::Command command;
  command.id = {"undecided", 1};
  command.operation = state_machine::Execute{{state_machine::Statement{"b", {}, {}}}};
  const LogIndex last = cluster.replica(leader).status().core.last;
  cluster.replica(leader).Propose(
      command, SystemClock().SteadyNow() + 20s,
      [&](const Result<state_machine::CommandResult>& r) {
        outcome.set_value(r.status().outcome());
      },
      nullptr);
  ASSERT_TRUE(Eventually([&] { return cluster.replica(leader).status().core.last > last; }));
  const SteadyTime from = SystemClock().SteadyNow();
  std::vector<std::thread> stops;
  for (uint64_t id = 1; id <= 3; ++id) stops.emplace_back([&, id] { cluster.Stop(id); });
  for (std::thread& stop : stops) stop.join();
  EXPECT_LT(SystemClock().SteadyNow() - from, 2s * kSlowness);
  EXPECT_EQ(outcome.get_future().get(), Outcome::kUnknown);
}

}  // namespace
}  // namespace cairn::node
