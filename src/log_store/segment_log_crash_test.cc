// For every k, the k-th operation of a scripted life of a log fails, or the power fails at that
// operation.
#include <gtest/gtest.h>

#include <functional>

#include "base/rng.h"
#include "log_store/log_store_test_util.h"
#include "testing/memory_log.h"
#include "testing/sanitized.h"

namespace cairn::log_store {
namespace {

using Fault = FaultFileSystem::Fault;
using Unsynced = FaultFileSystem::Unsynced;

constexpr GroupId kOther{2};

std::string Picture(LogStore& store) {
  return StateOf(store) + " [" + Dump(store) + "] / " + StateOf(store, kOther) + " [" +
         Dump(store, kOther) + "]";
}

// Runs the script on a log on files, and on a log in memory that provides the expected results.
// Keeps a picture of the log after each batch. After a crash the log must equal one of these
// pictures, and none older than the last acknowledged sync. That covers the prefix property, votes
// that are never taken back, no hole, no truncated suffix that returns, and no half batch.
class Life {
 public:
  explicit Life(FaultFileSystem& fs) : fs_(fs), pictures_{Picture(*model_)} {}

  // The first error, or OK when the script ran to its end.
  Status Run() {
    RETURN_IF_ERROR(Open());
    RETURN_IF_ERROR(Elect());
    RETURN_IF_ERROR(FillSegments());
    RETURN_IF_ERROR(Open());
    RETURN_IF_ERROR(CompactAndTruncate());
    RETURN_IF_ERROR(InstallSnapshot());
    RETURN_IF_ERROR(Open());
    RETURN_IF_ERROR(Write({Append(61, 64, 9), Vote(9, 2, 60)}));
    return Sync();
  }

  // Runs changes drawn by `rng` instead of the script, until an error occurs.
  Status RunRandom(Rng& rng, int changes) {
    RETURN_IF_ERROR(Open());
    for (int i = 0; i < changes; ++i) RETURN_IF_ERROR(RandomChange(rng));
    return OkStatus();
  }

  void ExpectIsAllowed(LogStore& store) const {
    const std::string picture = Picture(store);
    for (size_t i = promised_; i < pictures_.size(); ++i) {
      if (pictures_[i] == picture) return;
    }
    ADD_FAILURE() << "the log is\n  " << picture << "\nbut it had promised\n  "
                  << pictures_[promised_];
  }

  // The process would have aborted. If it does not, every call returns the same error for ever.
  void ExpectPoisoned(const Status& error) {
    if (store_ == nullptr) return;
    EXPECT_EQ(store_->Write({Vote(99, 1)}), error);
    EXPECT_EQ(store_->Sync(), error);
    EXPECT_EQ(store_->SealIdle(), error);
    EXPECT_EQ(store_->Compact(kGroup, LogIndex(1), Term(1)), error);
    EXPECT_EQ(store_->Read(kGroup, LogIndex(1), LogIndex(2), 1).status(), error);
  }

 private:
  Status Open() {
    store_.reset();
    ASSIGN_OR_RETURN(store_, OpenSegmentLog(fs_, kDirectory, TestOptions(4096)));
    EXPECT_EQ(Picture(*store_), pictures_.back());
    promised_ = pictures_.size() - 1;
    return OkStatus();
  }
  Status Change(const std::function<Status(LogStore&)>& change) {
    EXPECT_TRUE(change(*model_).ok());
    pictures_.push_back(Picture(*model_));
    RETURN_IF_ERROR(change(*store_));
    EXPECT_EQ(Picture(*store_), pictures_.back());
    return OkStatus();
  }
  Status Write(const std::vector<GroupWrite>& writes) {
    return Change([&](LogStore& store) { return store.Write(writes); });
  }
  Status Compact(uint64_t index, uint64_t term, GroupId group = kGroup) {
    return Change(
        [&](LogStore& store) { return store.Compact(group, LogIndex(index), Term(term)); });
  }
  Status Sync() {
    RETURN_IF_ERROR(store_->Sync());
    promised_ = pictures_.size() - 1;
    return OkStatus();
  }

  Status Elect() {
    RETURN_IF_ERROR(Write({Vote(1, 1)}));
    RETURN_IF_ERROR(Sync());
    RETURN_IF_ERROR(Write({Append(1, 4, 1), Vote(1, 1, 0, kOther)}));
    RETURN_IF_ERROR(Write({Append(4, 6, 1), Append(1, 9, 1, kOther)}));
    RETURN_IF_ERROR(Sync());
    RETURN_IF_ERROR(Write({Vote(2, 0)}));
    GroupWrite replace = Append(4, 7, 2);
    replace.truncate_from = LogIndex(4);
    replace.hard_state =
        raft::HardState{.term = Term(2), .vote = MemberId(3), .commit = LogIndex(3)};
    RETURN_IF_ERROR(Write({replace}));
    return Sync();
  }
  // Writes several segments, batches larger than a sector, and several batches per sync, also
  // across the end of a segment.
  Status FillSegments() {
    for (uint64_t i = 7; i < 31; i += 3) {
      GroupWrite write{.group = kGroup};
      for (uint64_t j = i; j < i + 3; ++j) {
        write.entries.push_back(MakeEntry(j, 3, std::string(300, static_cast<char>('a' + j % 26))));
      }
      RETURN_IF_ERROR(Write({write}));
      RETURN_IF_ERROR(Write({Vote(3 + i, 2, i - 1)}));
      if (i % 2 == 0) RETURN_IF_ERROR(Sync());
    }
    return store_->SealIdle();
  }
  Status CompactAndTruncate() {
    RETURN_IF_ERROR(Compact(20, 3));
    RETURN_IF_ERROR(Sync());
    RETURN_IF_ERROR(Compact(8, 1, kOther));
    RETURN_IF_ERROR(Write({Truncate(25)}));
    RETURN_IF_ERROR(Sync());  // frees segments
    RETURN_IF_ERROR(Write({Append(25, 40, 7)}));
    RETURN_IF_ERROR(Write({Truncate(30)}));
    return Sync();
  }
  Status InstallSnapshot() {
    GroupWrite install = Reset(60, 8);
    install.hard_state =
        raft::HardState{.term = Term(8), .vote = MemberId(), .commit = LogIndex(60)};
    RETURN_IF_ERROR(Write({install}));
    return Sync();  // frees all but the last segment
  }

  Status RandomChange(Rng& rng) {
    const GroupId group = rng.Below(3) == 0 ? kOther : kGroup;
    const auto groups = model_->Groups();
    const GroupState now = groups.contains(group) ? groups.at(group) : GroupState{};
    const uint64_t term = now.hard_state.term.value() + rng.Below(2);
    switch (rng.Below(10)) {
      case 0: return Open();
      case 1: RETURN_IF_ERROR(store_->SealIdle()); return Sync();
      case 2: return Write({Vote(term, rng.Below(4), now.last.value(), group)});
      case 3:
        if (rng.Below(4) != 0) return OkStatus();
        return Write(
            {Reset(now.last.value() + rng.Below(20), term, group), Vote(term, 0, 0, group)});
      case 4: {
        const std::vector<raft::Entry> index = model_->LoadIndex(group).value();
        if (index.empty()) return OkStatus();
        const raft::Entry& to = index[rng.Below(index.size())];
        return Compact(to.index.value(), to.term.value(), group);
      }
      case 5:
      case 6: return Sync();
      default: {
        GroupWrite write{.group = group};
        LogIndex last = now.last;
        if (rng.Below(4) == 0 && last > now.snapshot_index) {
          last = now.snapshot_index + rng.Below(last - now.snapshot_index);
          write.truncate_from = last + 1;
        }
        for (uint64_t n = rng.Below(4); n > 0; --n) {
          const std::string payload(rng.Below(900), static_cast<char>('a' + rng.Below(26)));
          write.entries.push_back(MakeEntry((++last).value(), term, payload));
        }
        if (rng.Below(2) == 0) write.hard_state = Vote(term, 1).hard_state;
        return Write({write});
      }
    }
  }

  FaultFileSystem& fs_;
  std::unique_ptr<LogStore> store_;
  std::unique_ptr<MemoryLog> model_ = NewMemoryLog();
  std::vector<std::string> pictures_;
  size_t promised_ = 0;
};

enum class Afterwards { kDrop, kKeepRandom, kTorn, kKeepAll, kOnlyTheProcessDies };

void Die(FaultFileSystem& fs, Afterwards afterwards) {
  switch (afterwards) {
    case Afterwards::kDrop: return fs.Crash(Unsynced::kDrop);
    case Afterwards::kKeepRandom: return fs.Crash(Unsynced::kKeepRandom);
    case Afterwards::kTorn: return fs.Crash(Unsynced::kTorn);
    case Afterwards::kKeepAll: return fs.Crash(Unsynced::kKeepAll);
    case Afterwards::kOnlyTheProcessDies: return fs.KillProcess();
  }
}

// Expects that what a restart finds is allowed, is durable at once, and can be appended to.
void ExpectRecovers(FaultFileSystem& fs, const Life& life, bool crash_at_once) {
  std::unique_ptr<LogStore> store = MustOpen(fs, TestOptions(4096));
  ASSERT_NE(store, nullptr);
  life.ExpectIsAllowed(*store);
  const std::string picture = Picture(*store);
  if (crash_at_once) {
    store.reset();
    fs.Crash(Unsynced::kDrop);
    store = MustOpen(fs, TestOptions(4096));
    ASSERT_NE(store, nullptr);
    ASSERT_EQ(Picture(*store), picture) << "what a restart has seen is lost in the next power cut";
  }
  const auto groups = store->Groups();
  const uint64_t last = groups.contains(kGroup) ? groups.at(kGroup).last.value() : 0;
  ASSERT_OK(store->Write({Append(last + 1, last + 20, 50), Vote(50, 1)}));
  ASSERT_OK(store->Sync());
  const std::string after = Picture(*store);
  store.reset();
  fs.Crash(Unsynced::kDrop);
  store = MustOpen(fs, TestOptions(4096));
  ASSERT_NE(store, nullptr);
  ASSERT_EQ(Picture(*store), after);
}

// The property under which each test reports how many crash points it tried, for the report of
// `make proof`.
constexpr char kCrashPoints[] = "crash_points";

class EveryOperation : public testing::TestWithParam<std::tuple<Fault, Afterwards>> {};

TEST_P(EveryOperation, MayFailOrBeTheLastAndNothingPromisedIsLost) {
  const auto [fault, afterwards] = GetParam();
  uint64_t operations = 0;
  {
    FaultFileSystem fs(1);
    ASSERT_OK(Life(fs).Run());
    operations = fs.operations();
  }
  ASSERT_GT(operations, 100U);
  const uint64_t seeds = Samples(4);
  RecordProperty(kCrashPoints, std::to_string(seeds * operations));
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    for (uint64_t k = 1; k <= operations; ++k) {
      SCOPED_TRACE("operation " + std::to_string(k) + " seed " + std::to_string(seed));
      FaultFileSystem fs(seed * 1000 + k);
      fs.Inject(k, fault);
      Life life(fs);
      const Status error = life.Run();
      if (!error.ok() && fault != Fault::kPowerCut) life.ExpectPoisoned(error);
      Die(fs, afterwards);
      ExpectRecovers(fs, life, seed % 2 == 1);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(SegmentLogRandom, AnyHistoryThatIsCutAnywhereRecoversToWhatWasPromised) {
  const uint64_t seeds = Samples(1500);
  testing::Test::RecordProperty(kCrashPoints, std::to_string(seeds));
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    FaultFileSystem fs(seed);
    Life life(fs);
    fs.Inject(rng.Between(1, 200), static_cast<Fault>(rng.Below(3)));
    (void)life.RunRandom(rng, 80);
    Die(fs, static_cast<Afterwards>(rng.Below(5)));
    ExpectRecovers(fs, life, seed % 2 == 1);
    if (testing::Test::HasFailure()) return;
  }
}

std::string CaseName(const testing::TestParamInfo<EveryOperation::ParamType>& param) {
  static constexpr const char* kFaults[] = {"FailsOnce", "FailsForever", "PowerCut"};
  static constexpr const char* kAfterwards[] = {"DropUnsynced", "KeepRandomSectors", "TornTail",
                                                "KeepAll", "OnlyTheProcessDies"};
  return std::string(kFaults[static_cast<int>(std::get<0>(param.param))]) +
         kAfterwards[static_cast<int>(std::get<1>(param.param))];
}

INSTANTIATE_TEST_SUITE_P(
    SegmentLog, EveryOperation,
    testing::Combine(testing::Values(Fault::kFailOnce, Fault::kFailForever, Fault::kPowerCut),
                     testing::Values(Afterwards::kDrop, Afterwards::kKeepRandom, Afterwards::kTorn,
                                     Afterwards::kKeepAll, Afterwards::kOnlyTheProcessDies)),
    CaseName);

}  // namespace
}  // namespace cairn::log_store
