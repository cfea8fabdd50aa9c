// The parts that ReplicaCore is made of: tracker, read barriers, log extent, identity
// file.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/fault_file_system.h"
#include "node/identity_file.h"
#include "node/log_extent.h"
#include "node/proposal_tracker.h"
#include "node/read_barriers.h"

namespace cairn::node {
namespace {

using state_machine::CommandResult;

struct Answer {
  int calls = 0;
  Status status;
};

PendingCommandPtr Command(Answer* answer, size_t bytes = 10, int64_t deadline = 1000) {
  return std::make_shared<PendingCommand>(std::string(bytes, 'x'), SteadyTime(deadline),
                                          [answer](const Result<CommandResult>& r) {
                                            ++answer->calls;
                                            answer->status = r.status();
                                          });
}

PendingRead Read(Answer* answer, LogIndex index_min = LogIndex(), int64_t deadline = 1000) {
  return {index_min, SteadyTime(deadline), [answer](const Result<LogIndex>& r) {
            ++answer->calls;
            answer->status = r.status();
          }};
}

const Status kLost = Unavailable("lost").With(Outcome::kNotApplied);

TEST(PendingCommand, IsAnsweredExactlyOnceAlsoWhenDropped) {
  Answer answer;
  {
    const PendingCommandPtr command = Command(&answer);
    command->Finish(CommandResult{});
    command->Finish(kLost);
  }
  EXPECT_EQ(answer.calls, 1);
  EXPECT_TRUE(answer.status.ok());
  Answer dropped;
  Command(&dropped).reset();
  EXPECT_EQ(dropped.calls, 1);
  EXPECT_EQ(dropped.status.outcome(), Outcome::kUnknown);
}

TEST(ProposalTracker, AnotherEntryCommittedInItsPlaceMeansNotApplied) {
  Answer old_term, new_term;
  ProposalTracker tracker;
  tracker.Add(LogIndex(5), Term(2), {Command(&old_term)});
  tracker.Add(LogIndex(5), Term(4), {Command(&new_term)});
  const auto winners = tracker.TakeCommitted(LogIndex(5), Term(4), kLost);
  ASSERT_EQ(winners.size(), 1u);
  EXPECT_EQ(old_term.status.outcome(), Outcome::kNotApplied);
  EXPECT_EQ(new_term.calls, 0);
  EXPECT_EQ(tracker.entries(), 0u);
}

TEST(ProposalTracker, AtTheDeadlineTheOutcomeIsUnknownAndResultsStayInTheirPlaces) {
  Answer early, late;
  ProposalTracker tracker;
  tracker.Add(LogIndex(5), Term(2), {Command(&early, 10, 5), Command(&late, 10, 50)});
  tracker.Expire(SteadyTime(10));
  EXPECT_EQ(early.status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(early.status.outcome(), Outcome::kUnknown);
  EXPECT_EQ(late.calls, 0);
  const auto winners = tracker.TakeCommitted(LogIndex(5), Term(2), kLost);
  ASSERT_EQ(winners.size(), 2u);
  winners[1]->Finish(CommandResult{});
  EXPECT_TRUE(late.status.ok());
}

// Apply may be busy for long with what is ahead of the command.
TEST(ProposalTracker, ACommittedCommandIsAnsweredAtItsDeadlineToo) {
  Answer late;
  ProposalTracker tracker;
  tracker.Add(LogIndex(5), Term(2), {Command(&late, 10, 5)});
  const auto winners = tracker.TakeCommitted(LogIndex(5), Term(2), kLost);
  tracker.Expire(SteadyTime(4));
  EXPECT_EQ(late.calls, 0);
  tracker.Expire(SteadyTime(10));
  EXPECT_EQ(late.status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(late.status.outcome(), Outcome::kUnknown);
  winners[0]->Finish(CommandResult{});
  EXPECT_EQ(late.calls, 1);
}

TEST(ProposalTracker, ASnapshotOverPendingEntriesMakesThemUnknown) {
  Answer covered, beyond;
  ProposalTracker tracker;
  tracker.Add(LogIndex(5), Term(2), {Command(&covered)});
  tracker.Add(LogIndex(9), Term(2), {Command(&beyond)});
  tracker.FailUpTo(LogIndex(7), Unavailable("snapshot").With(Outcome::kUnknown));
  EXPECT_EQ(covered.status.outcome(), Outcome::kUnknown);
  EXPECT_EQ(beyond.calls, 0);
}

TEST(ReadBarriers, ARoundServesOnlyReadsThatCameBeforeIt) {
  Answer first, second;
  ReadBarriers reads(10);
  reads.AddLinearizable(Read(&first));
  EXPECT_TRUE(reads.BeginRound(1));
  reads.AddLinearizable(Read(&second));
  reads.OnGranted(1, LogIndex(3), LogIndex(3));
  EXPECT_EQ(first.calls, 1);
  EXPECT_EQ(second.calls, 0);
  EXPECT_TRUE(reads.BeginRound(2));
  EXPECT_FALSE(reads.BeginRound(3)) << "nothing waits";
}

TEST(ReadBarriers, AGrantedReadWaitsUntilTheIndexIsApplied) {
  Answer read, own;
  ReadBarriers reads(10);
  reads.AddLinearizable(Read(&read));
  reads.AddLinearizable(Read(&own, LogIndex(8)));
  reads.BeginRound(1);
  reads.OnGranted(1, LogIndex(5), LogIndex(4));
  EXPECT_EQ(read.calls, 0);
  reads.OnApplied(LogIndex(5));
  EXPECT_EQ(read.calls, 1);
  EXPECT_EQ(own.calls, 0);
  reads.OnApplied(LogIndex(9));
  EXPECT_TRUE(own.status.ok());
  EXPECT_EQ(own.calls, 1);
  EXPECT_EQ(reads.size(), 0u);
}

TEST(ReadBarriers, ReadsOfALostRoundJoinTheNextAndTooManyAreRefused) {
  Answer a, b, c;
  ReadBarriers reads(2);
  reads.AddLinearizable(Read(&a));
  reads.BeginRound(1);
  reads.OnRefused(1);
  reads.OnGranted(1, LogIndex(5), LogIndex(5));
  EXPECT_EQ(a.calls, 0);
  reads.AddLinearizable(Read(&b));
  reads.AddLinearizable(Read(&c));
  EXPECT_EQ(c.status.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(reads.BeginRound(2));
  reads.OnGranted(2, LogIndex(5), LogIndex(5));
  EXPECT_EQ(a.calls + b.calls, 2);
}

TEST(ReadBarriers, ExpiresWhereverAReadWaits) {
  Answer gathering, asked, applying;
  ReadBarriers reads(10);
  reads.AddLocal(Read(&applying, LogIndex(9), 5), LogIndex(1));
  reads.AddLinearizable(Read(&asked, LogIndex(), 5));
  reads.BeginRound(1);
  reads.AddLinearizable(Read(&gathering, LogIndex(), 5));
  reads.Expire(SteadyTime(6), Unavailable("no leader"), DeadlineExceeded("not applied"));
  EXPECT_EQ(gathering.status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(asked.status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(applying.status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(reads.size(), 0u);
}

std::vector<raft::Entry> Entries(uint64_t from, uint64_t to, size_t bytes) {
  std::vector<raft::Entry> entries;
  for (uint64_t i = from; i <= to; ++i) {
    entries.push_back({Term(1), LogIndex(i), raft::EntryType::kNormal,
                       std::make_shared<const std::string>(bytes, 'x')});
  }
  return entries;
}

TEST(LogExtent, CompactsToWhatKeepsATailAndNeverPastWhatIsDurable) {
  LogExtent extent(64 << 20);
  extent.Append(Entries(1, 100, 64 << 10));
  const auto all = extent.PointLeaving(0, LogIndex(1000));
  ASSERT_TRUE(all);
  EXPECT_EQ(all->index, LogIndex(100));
  const auto tail = extent.PointLeaving(10 * (64 << 10), LogIndex(1000));
  ASSERT_TRUE(tail);
  EXPECT_GE(tail->index, LogIndex(85));
  EXPECT_LE(tail->index, LogIndex(90));
  const auto durable = extent.PointLeaving(0, LogIndex(50));
  ASSERT_TRUE(durable);
  EXPECT_LE(durable->index, LogIndex(50));
  EXPECT_FALSE(extent.PointLeaving(0, LogIndex(0)));
  const uint64_t before = extent.bytes();
  extent.CompactTo(tail->index);
  EXPECT_LT(extent.bytes(), before / 5);
  extent.TruncateFrom(LogIndex(1));
  EXPECT_EQ(extent.bytes(), 0u);
}

// If the points were always 64 KiB apart, a log with a limit of 4 KiB would grow to 64 KiB.
TEST(LogExtent, AShortLogIsKeptNearItsLimit) {
  constexpr uint64_t kLimit = 4 << 10;
  LogExtent extent(kLimit);
  for (uint64_t i = 1; i <= 1000; ++i) {
    extent.Append(Entries(i, i, 200));
    if (extent.bytes() <= kLimit) continue;
    const auto point = extent.PointLeaving(kLimit / 2, LogIndex(i));
    ASSERT_TRUE(point) << i;
    extent.CompactTo(point->index);
    EXPECT_GE(extent.bytes(), kLimit / 2);
    EXPECT_LE(extent.bytes(), kLimit);
  }
}

TEST(IdentityFile, IsReadBackAndOneFlippedBitIsRefused) {
  IdentityRecord record;
  record.node_id = 3;
  record.nonce = 77;
  record.stage = transport::LifeStage::kStarted;
  record.cluster_id = 99;
  record.member = MemberId(4);
  record.config.voters = {MemberId(4)};
  record.config.info[MemberId(4)] = {3, "host:1", 77};
  record.config.next_member_id = 5;
  const std::string bytes = EncodeIdentity(record);
  const auto read = DecodeIdentity(bytes);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, record);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    EXPECT_FALSE(DecodeIdentity(damaged).ok()) << i;
    EXPECT_FALSE(DecodeIdentity(bytes.substr(0, i)).ok()) << i;
  }
}

TEST(IdentityFile, ANewDirectoryGetsANonceThatStays) {
  std::string path = std::filesystem::temp_directory_path() / "cairn_identity_test_XXXXXX";
  ASSERT_NE(::mkdtemp(path.data()), nullptr);
  const std::string directory = path + "/data";
  const auto made = LoadOrCreateIdentity(PosixFileSystem(), directory, 2, 55);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->stage, transport::LifeStage::kEmpty);
  const auto again = LoadOrCreateIdentity(PosixFileSystem(), directory, 2, 66);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->nonce, 55u);
  EXPECT_FALSE(LoadOrCreateIdentity(PosixFileSystem(), directory, 1, 66).ok());
  std::filesystem::remove_all(path);
}

// The process is killed between the rename and the sync of the directory. A new process reads the
// new record and takes part. Then the power goes.
TEST(IdentityFile, WhatAProcessHasReadIsStillThereAfterAPowerCut) {
  FaultFileSystem disk(1);
  auto record = LoadOrCreateIdentity(disk, "/data", 2, 55);
  ASSERT_TRUE(record.ok()) << record.status();
  record->stage = transport::LifeStage::kStarted;
  record->cluster_id = 7;
  // The operations are create, truncate, write, sync and rename. The sixth one is the sync of the
  // directory.
  disk.Inject(6, FaultFileSystem::Fault::kFailOnce);
  ASSERT_FALSE(SaveIdentity(disk, "/data", *record).ok());
  disk.KillProcess();
  const auto read = LoadOrCreateIdentity(disk, "/data", 2, 66);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->stage, transport::LifeStage::kStarted);
  disk.Crash(FaultFileSystem::Unsynced::kDrop);
  const auto after = LoadOrCreateIdentity(disk, "/data", 2, 77);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(*after, *read);
}

}  // namespace
}  // namespace cairn::node
