#include "raft/raft_log.h"

#include <gtest/gtest.h>

#include "raft/cluster_test_util.h"

namespace cairn::raft {
namespace {

Entry MakeEntry(uint64_t index, uint64_t term, std::string bytes = "x") {
  return {Term(term), LogIndex(index), EntryType::kNormal, MakePayload(std::move(bytes))};
}

RaftLog MakeLog(const std::vector<uint64_t>& terms, uint64_t snapshot_index = 0,
                uint64_t snapshot_term = 0, size_t cache_bytes_max = 1 << 20) {
  std::vector<Entry> entries;
  entries.reserve(terms.size());
  for (uint64_t term : terms) {
    entries.push_back(MakeEntry(snapshot_index + entries.size() + 1, term));
  }
  return RaftLog(LogIndex(snapshot_index), Term(snapshot_term), std::move(entries),
                 cache_bytes_max);
}

AppendTicket Write(RaftLog* log, uint64_t sequence) {
  log->TakeUnwritten();
  const AppendTicket ticket{sequence, log->last_term(), log->last()};
  log->BeginWrite(ticket);
  return ticket;
}

TEST(RaftLog, AMissingTermIsNotATerm) {
  RaftLog log = MakeLog({3, 3, 5}, /*snapshot_index=*/10, /*snapshot_term=*/2);
  EXPECT_EQ(log.TermAt(LogIndex(9)), std::nullopt);
  EXPECT_EQ(log.TermAt(LogIndex(10)), Term(2));
  EXPECT_EQ(log.TermAt(LogIndex(13)), Term(5));
  EXPECT_EQ(log.TermAt(LogIndex(14)), std::nullopt);
  EXPECT_FALSE(log.Matches(LogIndex(9), Term()));
  log.Compact(LogIndex(12));
  EXPECT_EQ(log.TermAt(LogIndex(11)), std::nullopt);
  EXPECT_EQ(log.TermAt(LogIndex(12)), Term(3));
}

TEST(RaftLog, AFullyCompactedLogComparesByItsBoundary) {
  RaftLog log = MakeLog({1, 4});
  log.Compact(LogIndex(2));
  EXPECT_EQ(log.last_term(), Term(4));
  EXPECT_FALSE(log.IsUpToDate(LogIndex(9), Term(3)));
  EXPECT_FALSE(log.IsUpToDate(LogIndex(1), Term(4)));
  EXPECT_TRUE(log.IsUpToDate(LogIndex(2), Term(4)));
}

TEST(RaftLog, SkipsWholeTermsThatTheOtherSideLacks) {
  RaftLog log = MakeLog({1, 1, 4, 4, 6});
  EXPECT_EQ(log.LastNotAbove(LogIndex(9), Term(6)), LogIndex(5));
  EXPECT_EQ(log.LastNotAbove(LogIndex(5), Term(5)), LogIndex(4));
  EXPECT_EQ(log.LastNotAbove(LogIndex(4), Term(3)), LogIndex(2));
  EXPECT_EQ(log.LastNotAbove(LogIndex(1), Term(0)), LogIndex(0));
}

TEST(RaftLog, TruncationOfUnwrittenEntriesNeverReachesTheDisk) {
  RaftLog log = MakeLog({1});
  log.Append(MakeEntry(2, 1));
  log.Append(MakeEntry(3, 1));
  log.TruncateFrom(LogIndex(3));
  log.Append(MakeEntry(3, 2));
  RaftLog::Unwritten unwritten = log.TakeUnwritten();
  EXPECT_EQ(unwritten.truncate_from, std::nullopt);
  ASSERT_EQ(unwritten.entries.size(), 2u);
  EXPECT_EQ(unwritten.entries[1].term, Term(2));
  log.TruncateFrom(LogIndex(2));
  EXPECT_EQ(log.TakeUnwritten().truncate_from, LogIndex(2));
}

TEST(RaftLog, AReportOfAnOverwrittenWriteMarksNothingDurable) {
  RaftLog log = MakeLog({1});
  log.Append(MakeEntry(2, 1));
  log.Append(MakeEntry(3, 1));
  const AppendTicket old_write = Write(&log, 1);
  log.TruncateFrom(LogIndex(3));
  log.Append(MakeEntry(3, 2));
  const AppendTicket new_write = Write(&log, 2);
  EXPECT_TRUE(log.FinishWrite(old_write));
  EXPECT_EQ(log.durable(), LogIndex(2));
  EXPECT_FALSE(log.FinishWrite(old_write));
  AppendTicket forged = new_write;
  forged.leader_term = Term(9);
  EXPECT_FALSE(log.FinishWrite(forged));
  EXPECT_TRUE(log.FinishWrite(new_write));
  EXPECT_EQ(log.durable(), LogIndex(3));
}

TEST(RaftLog, RestoreKeepsAMatchingTailAndDropsAConflictingOne) {
  RaftLog log = MakeLog({1, 1, 2, 2});
  EXPECT_FALSE(log.Restore(LogIndex(3), Term(2)));
  EXPECT_EQ(log.last(), LogIndex(4));
  EXPECT_TRUE(log.Restore(LogIndex(3), Term(3)));
  EXPECT_EQ(log.last(), LogIndex(3));
  EXPECT_EQ(log.last_term(), Term(3));
  EXPECT_EQ(log.durable(), LogIndex());
  EXPECT_TRUE(log.FinishWrite(Write(&log, 1)));
  EXPECT_EQ(log.durable(), LogIndex(3));
}

TEST(RaftLog, EvictsOnlyWhatIsDurableAndKeepsItsLimit) {
  RaftLog log = MakeLog({}, 0, 0, /*cache_bytes_max=*/200);
  for (uint64_t i = 1; i <= 10; ++i) log.Append(MakeEntry(i, 1, std::string(68, 'x')));  // 100 each
  log.Evict(LogIndex(10));
  EXPECT_EQ(log.cache_first(), LogIndex(1)) << "nothing is durable yet";
  ASSERT_TRUE(log.FinishWrite(Write(&log, 1)));
  log.Evict(LogIndex(0));
  EXPECT_EQ(log.cache_bytes(), 800u) << "the hard limit, because nothing was handed out";
  log.Evict(LogIndex(10));
  EXPECT_EQ(log.cache_bytes(), 200u);
  EXPECT_EQ(log.cache_first(), LogIndex(9));
  EXPECT_FALSE(log.Cached(LogIndex(8)));
  EXPECT_EQ(log.TermAt(LogIndex(8)), Term(1));
}

TEST(RaftLog, ASliceHoldsAtLeastOneEntry) {
  RaftLog log = MakeLog({1, 1, 1});
  EXPECT_EQ(log.Slice(LogIndex(1), LogIndex(4), 1, 10).size(), 1u);
  EXPECT_EQ(log.Slice(LogIndex(1), LogIndex(4), 66, 10).size(), 2u);
  EXPECT_EQ(log.Slice(LogIndex(2), LogIndex(4), 1000, 1).size(), 1u);
}

TEST(RaftLog, EntriesWithoutPayloadAreKnownByTermAlone) {
  std::vector<Entry> entries = {MakeEntry(1, 1), MakeEntry(2, 1), MakeEntry(3, 2)};
  entries[1].payload = nullptr;
  RaftLog log(LogIndex(0), Term(0), std::move(entries), 1000);
  EXPECT_FALSE(log.Cached(LogIndex(2)));
  EXPECT_TRUE(log.Cached(LogIndex(3)));
  EXPECT_EQ(log.TermAt(LogIndex(1)), Term(1));
}

}  // namespace
}  // namespace cairn::raft
