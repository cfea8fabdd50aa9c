// The promises of every LogStore, tested on the store on files and the store in memory.
#include <gtest/gtest.h>

#include "log_store/log_store_test_util.h"
#include "testing/memory_log.h"

namespace cairn::log_store {
namespace {

// A store that can lose power: writes that were not synced are lost.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual LogStore& store() = 0;
  virtual void PowerCut() = 0;
};

class FileSubject final : public Subject {
 public:
  FileSubject() : fs_(1), store_(MustOpen(fs_)) {}
  LogStore& store() override { return *store_; }
  void PowerCut() override {
    store_.reset();
    fs_.Crash(FaultFileSystem::Unsynced::kDrop);
    store_ = MustOpen(fs_);
  }

 private:
  FaultFileSystem fs_;
  std::unique_ptr<LogStore> store_;
};

class MemorySubject final : public Subject {
 public:
  LogStore& store() override { return *store_; }
  void PowerCut() override { store_->Crash(); }

 private:
  std::unique_ptr<MemoryLog> store_ = NewMemoryLog();
};

using Factory = std::unique_ptr<Subject> (*)();

class LogStoreContract : public testing::TestWithParam<Factory> {
 protected:
  LogStore& store() { return subject_->store(); }
  void PowerCut() { subject_->PowerCut(); }
  void WriteAndSync(const std::vector<GroupWrite>& writes) {
    ASSERT_OK(store().Write(writes));
    ASSERT_OK(store().Sync());
  }

 private:
  std::unique_ptr<Subject> subject_ = GetParam()();
};

TEST_P(LogStoreContract, AnEmptyStoreHasNoGroups) {
  EXPECT_TRUE(store().Groups().empty());
  EXPECT_TRUE(store().Read(kGroup, LogIndex(1), LogIndex(2), 100).value().empty());
  EXPECT_TRUE(store().LoadIndex(kGroup).value().empty());
  ASSERT_OK(store().Write({}));
  ASSERT_OK(store().Sync());
  EXPECT_TRUE(store().Groups().empty());
}

TEST_P(LogStoreContract, WhatIsSyncedSurvivesAndWhatIsNotIsLost) {
  WriteAndSync({Append(1, 3, 1), Vote(1, 2)});
  ASSERT_OK(store().Write({Append(3, 4, 1), Vote(2, 3)}));
  EXPECT_EQ(Dump(store()), "1@1:e1t1 2@1:e2t1 3@1:e3t1") << "readable before the sync";
  PowerCut();
  EXPECT_EQ(Dump(store()), "1@1:e1t1 2@1:e2t1");
  EXPECT_EQ(StateOf(store()), "term=1 vote=2 commit=0 snapshot=0@0 last=2");
}

TEST_P(LogStoreContract, AVoteAloneIsKept) {
  WriteAndSync({Vote(5, 3)});
  PowerCut();
  EXPECT_EQ(StateOf(store()), "term=5 vote=3 commit=0 snapshot=0@0 last=0");
}

TEST_P(LogStoreContract, ATruncatedSuffixDoesNotComeBack) {
  WriteAndSync({Append(1, 6, 1)});
  GroupWrite replace = Append(3, 5, 2);
  replace.truncate_from = LogIndex(3);
  WriteAndSync({replace});
  EXPECT_EQ(Dump(store()), "1@1:e1t1 2@1:e2t1 3@2:e3t2 4@2:e4t2");
  PowerCut();
  EXPECT_EQ(Dump(store()), "1@1:e1t1 2@1:e2t1 3@2:e3t2 4@2:e4t2");
  WriteAndSync({Truncate(1)});
  PowerCut();
  EXPECT_EQ(Dump(store()), "");
  EXPECT_EQ(StateOf(store()), "term=0 vote=0 commit=0 snapshot=0@0 last=0");
}

TEST_P(LogStoreContract, TruncationPastTheEndChangesNothing) {
  WriteAndSync({Append(1, 3, 1)});
  WriteAndSync({Truncate(3)});
  WriteAndSync({Truncate(9)});
  PowerCut();
  EXPECT_EQ(Dump(store()), "1@1:e1t1 2@1:e2t1");
}

TEST_P(LogStoreContract, CompactionMovesTheStartOfTheLog) {
  WriteAndSync({Append(1, 4, 1), Append(4, 6, 2)});
  ASSERT_OK(store().Compact(kGroup, LogIndex(3), Term(1)));
  EXPECT_EQ(Dump(store()), "4@2:e4t2 5@2:e5t2");
  EXPECT_TRUE(store().Read(kGroup, LogIndex(3), LogIndex(5), 100).value().empty());
  ASSERT_OK(store().Sync());
  ASSERT_OK(store().Compact(kGroup, LogIndex(2), Term(1)));  // an older index: does nothing
  PowerCut();
  EXPECT_EQ(StateOf(store()), "term=0 vote=0 commit=0 snapshot=3@1 last=5");
  ASSERT_OK(store().Compact(kGroup, LogIndex(5), Term(2)));
  WriteAndSync({Append(6, 7, 3)});
  PowerCut();
  EXPECT_EQ(StateOf(store()), "term=0 vote=0 commit=0 snapshot=5@2 last=6");
  EXPECT_EQ(Dump(store()), "6@3:e6t3");
}

TEST_P(LogStoreContract, ACompactionNotSyncedLosesNothing) {
  WriteAndSync({Append(1, 4, 1)});
  ASSERT_OK(store().Compact(kGroup, LogIndex(2), Term(1)));
  PowerCut();
  EXPECT_EQ(Dump(store()), "1@1:e1t1 2@1:e2t1 3@1:e3t1");
}

TEST_P(LogStoreContract, ResetTruncateAppendInThatOrder) {
  WriteAndSync({Append(1, 4, 1)});
  GroupWrite write = Reset(10, 4);
  write.entries = Append(11, 13, 5).entries;
  write.truncate_from = LogIndex(11);
  write.hard_state = raft::HardState{.term = Term(5), .vote = MemberId(), .commit = LogIndex(10)};
  WriteAndSync({write});
  PowerCut();
  EXPECT_EQ(StateOf(store()), "term=5 vote=0 commit=10 snapshot=10@4 last=12");
  EXPECT_EQ(Dump(store()), "11@5:e11t5 12@5:e12t5");
}

TEST_P(LogStoreContract, GroupsAreApart) {
  const GroupId other(7);
  WriteAndSync({Append(1, 3, 1), Append(1, 2, 9, other), Vote(9, 1, 0, other)});
  WriteAndSync({Truncate(2)});
  ASSERT_OK(store().Compact(other, LogIndex(1), Term(9)));
  ASSERT_OK(store().Sync());
  PowerCut();
  EXPECT_EQ(store().Groups().size(), 2U);
  EXPECT_EQ(Dump(store()), "1@1:e1t1");
  EXPECT_EQ(StateOf(store(), other), "term=9 vote=1 commit=0 snapshot=1@9 last=1");
}

TEST_P(LogStoreContract, OneGroupMayComeTwiceInABatch) {
  WriteAndSync({Append(1, 2, 1), Append(2, 3, 1), Vote(1, 1), Truncate(2), Vote(2, 0)});
  PowerCut();
  EXPECT_EQ(Dump(store()), "1@1:e1t1");
  EXPECT_EQ(StateOf(store()), "term=2 vote=0 commit=0 snapshot=0@0 last=1");
}

TEST_P(LogStoreContract, ReadIsBoundedInBytesButGivesAtLeastOne) {
  GroupWrite write{.group = kGroup};
  for (uint64_t i = 1; i <= 10; ++i)
    write.entries.push_back(MakeEntry(i, 1, std::string(100, 'x')));
  WriteAndSync({write});
  const auto count = [&](uint64_t from, uint64_t to, size_t bytes_max) {
    return store().Read(kGroup, LogIndex(from), LogIndex(to), bytes_max).value().size();
  };
  EXPECT_EQ(count(1, 11, 0), 1U);
  EXPECT_EQ(count(1, 11, 100), 1U);
  EXPECT_EQ(count(1, 11, 299), 2U);
  EXPECT_EQ(count(1, 11, 300), 3U);
  EXPECT_EQ(count(1, 11, 1 << 20), 10U);
  EXPECT_EQ(count(3, 5, 1 << 20), 2U);
  EXPECT_EQ(count(9, 99, 1 << 20), 2U);
  EXPECT_EQ(count(11, 12, 1 << 20), 0U);
  EXPECT_EQ(count(5, 5, 1 << 20), 0U);
}

TEST_P(LogStoreContract, LoadIndexGivesTermsTypesAndConfigurations) {
  GroupWrite write = Append(1, 4, 1);
  write.entries[1].type = raft::EntryType::kConfig;
  write.entries[2].type = raft::EntryType::kNoop;
  write.entries[2].term = Term(2);
  WriteAndSync({write});
  PowerCut();
  const std::vector<raft::Entry> index = store().LoadIndex(kGroup).value();
  ASSERT_EQ(index.size(), 3U);
  EXPECT_EQ(index[0].payload, nullptr);
  EXPECT_EQ(index[1].type, raft::EntryType::kConfig);
  ASSERT_NE(index[1].payload, nullptr);
  EXPECT_EQ(*index[1].payload, "e2t1");
  EXPECT_EQ(index[2].type, raft::EntryType::kNoop);
  EXPECT_EQ(index[2].term, Term(2));
  EXPECT_EQ(index[2].index, LogIndex(3));
}

TEST_P(LogStoreContract, PayloadsMayBeEmptyOrHoldAnyByte) {
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  GroupWrite write{.group = kGroup, .entries = {MakeEntry(1, 1, ""), MakeEntry(2, 1, all)}};
  WriteAndSync({write});
  PowerCut();
  const auto entries = store().Read(kGroup, LogIndex(1), LogIndex(3), 1 << 20).value();
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(*entries[0].payload, "");
  EXPECT_EQ(*entries[1].payload, all);
}

TEST_P(LogStoreContract, SealingAnIdleLogKeepsItAndMakesItDurable) {
  ASSERT_OK(store().Write({Append(1, 3, 1)}));
  ASSERT_OK(store().SealIdle());
  ASSERT_OK(store().SealIdle());
  PowerCut();
  WriteAndSync({Append(3, 4, 1)});
  PowerCut();
  EXPECT_EQ(Dump(store()), "1@1:e1t1 2@1:e2t1 3@1:e3t1");
}

TEST_P(LogStoreContract, ALongHistoryIsTheSameAfterEveryPowerCut) {
  for (uint64_t i = 1; i <= 400; ++i) {
    GroupWrite write{.group = kGroup,
                     .entries = {MakeEntry(i, 1 + i / 100, std::string(150, 'p'))}};
    write.hard_state =
        raft::HardState{.term = Term(1 + i / 100), .vote = MemberId(1), .commit = LogIndex(i - 1)};
    WriteAndSync({write});
    if (i % 50 == 0) {
      ASSERT_OK(store().Compact(kGroup, LogIndex(i - 20), Term(1 + (i - 20) / 100)));
      ASSERT_OK(store().Sync());
      const std::string state = StateOf(store()), entries = Dump(store());
      PowerCut();
      ASSERT_EQ(StateOf(store()), state);
      ASSERT_EQ(Dump(store()), entries);
    }
  }
  EXPECT_LT(store().SizeBytes(), 4U * 8192U) << "what was compacted takes no space";
}

TEST_P(LogStoreContract, AHoleInTheLogIsNeverWritten) {
  WriteAndSync({Append(1, 3, 1)});
  EXPECT_DEATH((void)store().Write({Append(4, 5, 1)}), "appends 4 after 2");
  ASSERT_OK(store().Compact(kGroup, LogIndex(2), Term(1)));
  EXPECT_DEATH((void)store().Write({Truncate(2)}), "truncates from 2");
}

INSTANTIATE_TEST_SUITE_P(Stores, LogStoreContract,
                         testing::Values(Factory([]() -> std::unique_ptr<Subject> {
                                           return std::make_unique<FileSubject>();
                                         }),
                                         Factory([]() -> std::unique_ptr<Subject> {
                                           return std::make_unique<MemorySubject>();
                                         })),
                         [](const testing::TestParamInfo<Factory>& param) {
                           return std::string(param.index == 0 ? "SegmentLog" : "MemoryLog");
                         });

}  // namespace
}  // namespace cairn::log_store
