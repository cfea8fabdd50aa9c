// Replicas whose disk, state machine or identity fails.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "node/data_lock.h"
#include "node/replica.h"
#include "node/replica_test_util.h"

namespace cairn::node {
namespace {

using namespace std::chrono_literals;  // NOLINT

std::string Last(const std::vector<std::string>& items) {
  return items.empty() ? "" : items.back();
}

TEST(ReplicaFaults, ALeaderWhoseDiskHangsStepsDownAndTheOthersGoOn) {
  TestCluster cluster(3);
  for (uint64_t id = 1; id <= 3; ++id) cluster.node(id).options.disk_stall_max = 200ms;
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t stalled = cluster.AwaitLeader();
  cluster.node(stalled).log->BlockSync(true);
  // The leader has nothing on its way to the disk until somebody writes.
  std::promise<Outcome> outcome;
  state_machine::Command command;
  command.id = {"stalled", 1};
  command.operation = state_machine::Execute{{state_machine::Statement{"b", {}, {}}}};
  const auto done = [&](const Result<state_machine::CommandResult>& r) {
    outcome.set_value(r.status().outcome());
  };
  cluster.replica(stalled).Propose(command, SystemClock().SteadyNow() + 20s, done, nullptr);
  ASSERT_TRUE(Eventually([&] {
    for (uint64_t id = 1; id <= 3; ++id) {
      if (id != stalled && cluster.replica(id).is_leader()) return cluster.Propose(id, "c").ok();
    }
    return false;
  }));
  EXPECT_FALSE(cluster.replica(stalled).is_leader());
  cluster.node(stalled).log->BlockSync(false);
  outcome.get_future().get();
  cluster.Write("d");
  EXPECT_TRUE(Eventually([&] {
    return cluster.node(1).state->items() == cluster.node(2).state->items() &&
           cluster.node(2).state->items() == cluster.node(3).state->items() &&
           Last(cluster.node(1).state->items()) == "d";
  }));
}

TEST(ReplicaFaults, AFullLogDiskRefusesWritesAndResumesByItself) {
  TestCluster cluster(1);
  cluster.StartAll();
  cluster.Write("a");
  cluster.node(1).log->SetFull(true);
  // The first write meets the full disk and waits in the log. The next writes are refused.
  std::promise<Status> first;
  state_machine::Command command;
  command.id = {"full", 1};
  command.operation = state_machine::Execute{{state_machine::Statement{"b", {}, {}}}};
  cluster.replica(1).Propose(
      command, SystemClock().SteadyNow() + 20s,
      [&](const Result<state_machine::CommandResult>& r) { first.set_value(r.status()); }, nullptr);
  ASSERT_TRUE(Eventually([&] {
    const auto r = cluster.Propose(1, "refused", 50ms);
    return r.status().code() == StatusCode::kResourceExhausted &&
           r.status().outcome() == Outcome::kNotApplied;
  }));
  EXPECT_TRUE(Eventually([&] { return !cluster.replica(1).status().trouble.ok(); }));
  cluster.node(1).log->SetFull(false);
  EXPECT_TRUE(first.get_future().get().ok());
  ASSERT_TRUE(Eventually([&] { return cluster.Propose(1, "c").ok(); }));
  EXPECT_EQ(Last(cluster.node(1).state->items()), "c");
}

TEST(ReplicaFaults, TooLittleFreeSpaceRefusesWritesHandsOverAndResumes) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t full = cluster.AwaitLeader();
  cluster.node(full).fs.SetFreeBytes(1 << 20);
  ASSERT_TRUE(Eventually([&] { return !cluster.replica(full).is_leader(); }));
  cluster.Write("b");
  const auto refused = cluster.Propose(full, "x");
  EXPECT_EQ(refused.status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.status().outcome(), Outcome::kNotApplied);
  EXPECT_TRUE(cluster.Barrier(full).ok()) << "reads go on";
  EXPECT_TRUE(Eventually([&] { return cluster.node(full).state->items().size() == 2; }));
  cluster.node(full).fs.SetFreeBytes(uint64_t{1} << 40);
  EXPECT_TRUE(Eventually([&] { return cluster.replica(full).status().trouble.ok(); }));
}

// A disk that is full to the last byte before the node notices fails the database first. The answer
// must say so: UNAVAILABLE would be tried again until the time is over.
TEST(ReplicaFaults, ADatabaseOnAFullDiskRefusesWritesWithTheReason) {
  TestCluster cluster(1);
  cluster.StartAll();
  cluster.Write("a");
  cluster.node(1).state->FailApply(ResourceExhausted("database or disk is full"));
  EXPECT_EQ(cluster.Propose(1, "b").status().outcome(), Outcome::kUnknown);
  ASSERT_TRUE(Eventually([&] {
    const Status refused = cluster.Propose(1, "refused").status();
    return refused.code() == StatusCode::kResourceExhausted &&
           refused.outcome() == Outcome::kNotApplied &&
           refused.message().find("disk is full") != std::string::npos;
  }));
  cluster.node(1).state->FailApply(OkStatus());
  ASSERT_TRUE(Eventually([&] { return cluster.Propose(1, "c").ok(); }));
  EXPECT_EQ(Last(cluster.node(1).state->items()), "c");
}

TEST(ReplicaFaults, WhoWaitsForALeaderThatAFullDiskPreventsIsToldSo) {
  TestCluster cluster(1);
  cluster.StartAll();
  cluster.Write("a");
  cluster.node(1).log->SetFull(true);
  (void)cluster.Propose(1, "b", 50ms);
  ASSERT_TRUE(Eventually([&] { return !cluster.replica(1).leader_hint().has_value(); }));
  std::promise<Status> waited;
  cluster.replica(1).AwaitLeader(
      SystemClock().SteadyNow() + 100ms,
      [&](const Result<LeaderHint>& leader) { waited.set_value(leader.status()); });
  const Status status = waited.get_future().get();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status;
  cluster.node(1).log->SetFull(false);
  ASSERT_TRUE(Eventually([&] { return cluster.Propose(1, "c").ok(); }));
}

TEST(ReplicaFaults, ANodeThatCannotApplyIsOutOfServiceLeadsNoMoreAndRecoversByItself) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t sick = cluster.AwaitLeader();
  cluster.node(sick).state->FailApply(ResourceExhausted("database or disk is full"));
  const auto result = cluster.Propose(sick, "b");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().outcome(), Outcome::kUnknown);
  ASSERT_TRUE(Eventually([&] { return cluster.replica(sick).status().apply_stopped; }));
  EXPECT_NE(cluster.replica(sick).status().trouble.message().find("disk is full"),
            std::string::npos);
  ASSERT_TRUE(Eventually([&] { return !cluster.replica(sick).is_leader(); }));
  cluster.Write("c");
  EXPECT_EQ(cluster.Barrier(sick, {}, 200ms).status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(cluster.Barrier(sick, {ReadLevel::kStale}, 200ms).status().code(),
            StatusCode::kUnavailable);
  // The node tries again and again, but never fast.
  const SteadyTime from = SystemClock().SteadyNow();
  EXPECT_TRUE(Eventually([&] { return cluster.node(sick).state->reopens() >= 3; }));
  EXPECT_GT(SystemClock().SteadyNow() - from, 500ms);
  EXPECT_TRUE(cluster.replica(sick).status().apply_stopped);
  cluster.node(sick).state->FailApply(OkStatus());
  ASSERT_TRUE(Eventually([&] { return cluster.replica(sick).status().trouble.ok(); }));
  EXPECT_TRUE(cluster.Barrier(sick).ok());
  const uint64_t other = sick % 3 + 1;
  EXPECT_TRUE(Eventually(
      [&] { return cluster.node(sick).state->items() == cluster.node(other).state->items(); }));
  EXPECT_EQ(Last(cluster.node(sick).state->items()), "c");
  EXPECT_EQ(cluster.node(sick).state->installs(), 0) << "the log was enough";
}

TEST(ReplicaFaults, ARestartIsAWayOutForANodeThatCannotApply) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t sick = cluster.AwaitLeader() % 3 + 1;
  cluster.node(sick).state->FailApply(ResourceExhausted("database or disk is full"));
  cluster.Write("b");
  ASSERT_TRUE(Eventually([&] { return cluster.replica(sick).status().apply_stopped; }));
  cluster.Kill(sick);  // which also ends the failure
  ASSERT_TRUE(cluster.Start(sick).ok());
  EXPECT_TRUE(Eventually([&] { return Last(cluster.node(sick).state->items()) == "b"; }));
}

// What a reopened file no longer holds is in the log, which is kept from where the file is durable.
TEST(ReplicaFaults, ADatabaseThatLostItsTailIsBroughtForwardFromTheLog) {
  TestCluster cluster(1);
  cluster.StartAll();
  for (int i = 0; i < 10; ++i) cluster.Write(std::to_string(i));
  cluster.node(1).state->LoseTailOnReopen();
  cluster.node(1).state->FailApply(Internal("disk I/O error"));
  EXPECT_FALSE(cluster.Propose(1, "10").ok());
  ASSERT_TRUE(Eventually([&] { return cluster.node(1).state->reopens() > 0; }));
  cluster.node(1).state->FailApply(OkStatus());
  ASSERT_TRUE(Eventually([&] { return cluster.replica(1).status().trouble.ok(); }));
  cluster.Write("11");
  std::vector<std::string> all;
  for (int i = 0; i <= 11; ++i) all.push_back(std::to_string(i));
  EXPECT_EQ(cluster.node(1).state->items(), all);
}

TEST(ReplicaFaults, ADamagedDatabaseIsReplacedByASnapshotOfTheLeader) {
  for (const bool leads : {false, true}) {
    SCOPED_TRACE(leads);
    TestCluster cluster(3);
    cluster.StartAll();
    for (int i = 0; i < 10; ++i) cluster.Write(std::to_string(i));
    const uint64_t leader = cluster.AwaitLeader();
    const uint64_t sick = leads ? leader : leader % 3 + 1;
    cluster.node(sick).state->FailApply(DataLoss("database disk image is malformed"));
    (void)cluster.Propose(leader, "b");
    ASSERT_TRUE(Eventually([&] { return cluster.node(sick).state->installs() == 1; }));
    ASSERT_TRUE(Eventually([&] { return cluster.replica(sick).status().trouble.ok(); }));
    cluster.Write("after");
    EXPECT_TRUE(Eventually([&] {
      return Last(cluster.node(sick).state->items()) == "after" &&
             cluster.node(sick).state->items() == cluster.node(sick % 3 + 1).state->items();
    }));
    EXPECT_TRUE(cluster.Barrier(sick).ok());
    // A restart finds what the node has installed.
    cluster.Kill(sick);
    ASSERT_TRUE(cluster.Start(sick).ok());
    EXPECT_TRUE(Eventually([&] { return Last(cluster.node(sick).state->items()) == "after"; }));
  }
}

TEST(ReplicaFaults, AnEntryOfALaterVersionStopsANodeUntilThatVersionIsStartedAndHarmsNothing) {
  TestCluster cluster(3);
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t leader = cluster.AwaitLeader();
  const uint64_t old = leader % 3 + 1;
  cluster.node(old).state->FailApply(
      Unimplemented("entry 9: operation 99 is of a later version of Cairn than this node runs"));
  cluster.Write("b");
  ASSERT_TRUE(Eventually([&] { return !cluster.replica(old).status().trouble.ok(); }));
  const ReplicaStatus status = cluster.replica(old).status();
  EXPECT_NE(status.trouble.message().find("operation 99 is of a later version"), std::string::npos)
      << status.trouble;
  EXPECT_FALSE(cluster.Barrier(old).ok());
  // The others go on, and the vote and the disk of this node count.
  for (int i = 0; i < 20; ++i) cluster.Write(std::to_string(i));
  EXPECT_FALSE(cluster.replica(old).status().fenced);
  EXPECT_TRUE(Eventually([&] {
    return cluster.replica(old).status().core.last == cluster.replica(leader).status().core.last;
  }));
  EXPECT_EQ(cluster.node(old).state->reopens(), 0);
  EXPECT_EQ(cluster.node(old).state->installs(), 0);
  cluster.Kill(old);
  cluster.node(old).state->FailApply(OkStatus());
  ASSERT_TRUE(cluster.Start(old).ok());
  EXPECT_TRUE(Eventually([&] { return Last(cluster.node(old).state->items()) == "19"; }));
  EXPECT_EQ(cluster.node(old).state->items(), cluster.node(leader).state->items());
}

// A node that needs a snapshot when it starts.
struct NodeThatNeedsASnapshot {
  NodeThatNeedsASnapshot() {
    for (uint64_t id = 1; id <= 3; ++id) {
      cluster.node(id).options.log_bytes_max = 64 << 10;
      cluster.node(id).options.batch_bytes_max = 8 << 10;
    }
    cluster.StartAll();
    cluster.Write("a");
    leader = cluster.AwaitLeader();
    behind = leader % 3 + 1;
    const LogIndex held = cluster.replica(behind).status().core.last;
    cluster.Kill(behind);
    EXPECT_TRUE(Eventually([&] {
      cluster.Write(std::string(8 << 10, 'x'));
      return cluster.node(leader).log->first() > held + 1;
    }));
  }
  ListStateMachine& state() { return *cluster.node(behind).state; }
  void ExpectItCatchesUp() {
    ASSERT_TRUE(Eventually([&] { return state().installs() == 1; }));
    cluster.Write("after");
    EXPECT_TRUE(Eventually([&] { return Last(state().items()) == "after"; }));
    EXPECT_TRUE(Eventually([&] { return cluster.replica(behind).status().trouble.ok(); }));
  }

  TestCluster cluster{3};
  uint64_t leader = 0;
  uint64_t behind = 0;
};

TEST(ReplicaFaults, AFailedInstallIsFollowedByAnother) {
  NodeThatNeedsASnapshot test;
  test.state().FailInstalls(2);
  ASSERT_TRUE(test.cluster.Start(test.behind).ok());
  test.ExpectItCatchesUp();
}

// The core cannot go back from a snapshot that it has begun with, and does not vote until the
// snapshot is in its place. So it does not begin with a damaged one.
TEST(ReplicaFaults, ADamagedSnapshotIsRefusedBeforeTheCoreHearsOfIt) {
  NodeThatNeedsASnapshot test;
  test.state().FailChecks(1000);
  ASSERT_TRUE(test.cluster.Start(test.behind).ok());
  ASSERT_TRUE(Eventually([&] { return test.state().failing_checks() < 999; }));
  EXPECT_TRUE(test.cluster.replica(test.behind).status().trouble.ok());
  // The node still votes: with the leader gone, its vote makes the other node leader.
  test.cluster.Kill(test.leader);
  const uint64_t next = test.cluster.AwaitLeader();
  EXPECT_NE(next, test.behind);
  test.state().FailChecks(0);
  test.ExpectItCatchesUp();
}

// The node needs no other leader when its disk fails: electing that leader may need its vote.
TEST(ReplicaFaults, AnInstallThatTheDiskFailedIsAttemptedAgainWithoutALeader) {
  NodeThatNeedsASnapshot test;
  test.state().FailInstalls(1000, Internal("input/output error"));
  ASSERT_TRUE(test.cluster.Start(test.behind).ok());
  ASSERT_TRUE(Eventually([&] { return test.state().failing_installs() < 999; }));
  EXPECT_NE(test.cluster.replica(test.behind).status().trouble.message().find("installed"),
            std::string::npos);
  test.cluster.Kill(test.leader);
  EXPECT_EQ(test.state().installs(), 0);
  test.state().FailInstalls(0);
  test.ExpectItCatchesUp();
}

TEST(ReplicaFaults, TheLogOfANodeThatCannotApplyStopsGrowingAndTheOthersGoOn) {
  constexpr uint64_t kLimit = 64 << 10;
  TestCluster cluster(3);
  for (uint64_t id = 1; id <= 3; ++id) {
    cluster.node(id).options.log_bytes_max = kLimit;
    cluster.node(id).options.batch_bytes_max = 8 << 10;
  }
  cluster.StartAll();
  cluster.Write("a");
  const uint64_t sick = cluster.AwaitLeader() % 3 + 1;
  cluster.node(sick).state->FailApply(ResourceExhausted("database or disk is full"));
  cluster.Write("b");
  // A node that has not applied "b" yet takes what comes, as it should.
  ASSERT_TRUE(Eventually([&] { return cluster.replica(sick).status().apply_stopped; }));
  for (int i = 0; i < 300; ++i) cluster.Write(std::string(8 << 10, 'x'));
  EXPECT_TRUE(cluster.replica(sick).status().apply_stopped);
  EXPECT_LT(cluster.replica(sick).status().log_bytes, 8 * kLimit);
  cluster.node(sick).state->FailApply(OkStatus());
  cluster.Write("after");
  EXPECT_TRUE(Eventually([&] { return Last(cluster.node(sick).state->items()) == "after"; }));
  EXPECT_TRUE(Eventually([&] { return cluster.replica(sick).status().trouble.ok(); }));
}

TEST(ReplicaFaults, ADataDirectoryOfAnotherNodeIsRefused) {
  TestCluster cluster(1);
  cluster.StartAll();
  cluster.Write("a");
  cluster.Kill(1);
  cluster.node(1).options.node_id = 2;
  const Status status = cluster.Start(1);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("belongs to node 1"), std::string::npos) << status;
}

TEST(ReplicaFaults, DataWithoutItsIdentityIsRefused) {
  TestCluster cluster(1);
  cluster.StartAll();
  cluster.Write("a");
  cluster.Kill(1);
  std::filesystem::remove(cluster.node(1).options.data_directory + "/identity");
  EXPECT_EQ(cluster.Start(1).code(), StatusCode::kFailedPrecondition);
}

TEST(ReplicaFaults, ADatabaseOlderThanWhereTheLogBeginsIsRefused) {
  TestCluster cluster(1);
  cluster.node(1).options.log_bytes_max = 64 << 10;
  cluster.node(1).options.batch_bytes_max = 8 << 10;
  cluster.StartAll();
  ASSERT_TRUE(Eventually([&] {
    cluster.Write(std::string(8 << 10, 'x'));
    return cluster.node(1).log->first() > LogIndex(1);
  }));
  cluster.Stop(1);
  cluster.node(1).state = std::make_unique<ListStateMachine>("/tmp");
  const Status status = cluster.Start(1);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("log begins only after"), std::string::npos) << status;
}

TEST(ReplicaFaults, AStateWithoutAnyLogIsRefusedSinceItsVotesAreForgotten) {
  TestCluster cluster(1);
  cluster.StartAll();
  cluster.Write("a");
  cluster.Stop(1);
  cluster.node(1).log = std::make_unique<TestLog>();
  EXPECT_EQ(cluster.Start(1).code(), StatusCode::kFailedPrecondition);
}

// The power goes after the file of a snapshot is in its place and before the log is reset.
TEST(ReplicaFaults, ADatabaseAheadOfTheLogIsAnInterruptedInstallAndIsCompleted) {
  TestCluster cluster(3);
  cluster.StartAll();
  for (int i = 0; i < 5; ++i) cluster.Write(std::to_string(i));
  const uint64_t behind = cluster.AwaitLeader() % 3 + 1;
  const uint64_t donor = 6 - behind - cluster.AwaitLeader();
  cluster.Kill(behind);
  for (int i = 5; i < 10; ++i) cluster.Write(std::to_string(i));
  ASSERT_TRUE(Eventually([&] { return cluster.node(donor).state->items().size() == 10; }));
  auto reader = cluster.node(donor).state->OpenSnapshot(LogIndex(1));
  ASSERT_TRUE(reader.ok());
  const std::string path = cluster.node(behind).options.data_directory + "/copy";
  const auto bytes = (*reader)->Read(0, (*reader)->size_bytes());
  ASSERT_TRUE(WriteFileAtomically(PosixFileSystem(), path, *bytes).ok());
  ASSERT_TRUE(cluster.node(behind).state->InstallSnapshot(path, (*reader)->meta()).ok());
  ASSERT_TRUE(cluster.Start(behind).ok());
  EXPECT_EQ(cluster.node(behind).log->Groups().begin()->second.snapshot_index,
            (*reader)->meta().index);
  cluster.Write("after");
  EXPECT_TRUE(Eventually([&] { return cluster.node(behind).state->items().size() == 11; }));
}

// As before, but the log holds an entry of a deposed leader where the snapshot ends.
TEST(ReplicaFaults, AnInterruptedInstallOverAConflictingTailIsCompleted) {
  TestCluster cluster(1);
  cluster.StartAll();
  for (int i = 0; i < 5; ++i) cluster.Write(std::to_string(i));
  auto reader = cluster.node(1).state->OpenSnapshot(LogIndex(1));
  ASSERT_TRUE(reader.ok());
  raft::SnapshotMeta meta = (*reader)->meta();
  cluster.Kill(1);
  log_store::GroupState group = cluster.node(1).log->Groups().begin()->second;
  const Term late(group.hard_state.term + 1);
  // The stale tail of this node, and the entries that a later leader committed in its place.
  log_store::GroupWrite tail;
  tail.group = cluster.node(1).options.group;
  tail.entries.push_back({group.hard_state.term, group.last + 1, raft::EntryType::kNoop,
                          std::make_shared<const std::string>()});
  ASSERT_TRUE(cluster.node(1).log->Write({tail}).ok());
  ASSERT_TRUE(cluster.node(1).log->Sync().ok());
  meta.index = group.last + 1;
  meta.term = late;
  const std::string path = cluster.node(1).options.data_directory + "/copy";
  const auto bytes = (*reader)->Read(0, (*reader)->size_bytes());
  ASSERT_TRUE(WriteFileAtomically(PosixFileSystem(), path, *bytes).ok());
  ASSERT_TRUE(cluster.node(1).state->InstallSnapshot(path, meta).ok());
  const Status started = cluster.Start(1);
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_EQ(cluster.node(1).log->Groups().begin()->second.snapshot_index, meta.index);
  cluster.Write("after");
  EXPECT_EQ(Last(cluster.node(1).state->items()), "after");
}

// A full disk gives back the blocks of a file only some time later. A node that had to write its
// name anew could not start on such a disk.
TEST(DataLock, IsTakenOnAFullDisk) {
  std::string path = std::filesystem::temp_directory_path() / "cairn_lock_test_XXXXXX";
  ASSERT_NE(::mkdtemp(path.data()), nullptr);
  ASSERT_EQ(::symlink("/dev/full", (path + "/LOCK").c_str()), 0);
  EXPECT_TRUE(DataLock::Acquire(path).ok());
  std::filesystem::remove_all(path);
}

TEST(DataLock, ASecondHolderIsRefusedUntilTheFirstIsGone) {
  std::string path = std::filesystem::temp_directory_path() / "cairn_lock_test_XXXXXX";
  ASSERT_NE(::mkdtemp(path.data()), nullptr);
  auto first = DataLock::Acquire(path);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = DataLock::Acquire(path);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(second.status().message().find("process " + std::to_string(::getpid())),
            std::string::npos)
      << second.status();
  { const auto dropped = std::move(first).value(); }
  EXPECT_TRUE(DataLock::Acquire(path).ok());
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace cairn::node
