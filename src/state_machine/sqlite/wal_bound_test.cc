#include "state_machine/sqlite/wal_bound.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kRestart = 64;
constexpr uint64_t kMax = 256;

TEST(WalBound, ASmallWalDisturbsNobody) {
  WalBound bound(kRestart);
  const WalBound::Step step = bound.Next(seconds(1), kRestart, kMax, /*held_back=*/true);
  EXPECT_FALSE(step.hold || step.move || step.end_readers);
  EXPECT_EQ(step.again, SteadyTime::max());
}

TEST(WalBound, ALargeWalIsMovedAsSoonAsNobodyHoldsItBack) {
  WalBound bound(kRestart);
  EXPECT_TRUE(bound.Next(seconds(1), kRestart + 1, kMax, true).hold);
  EXPECT_TRUE(bound.Next(seconds(1) + milliseconds(99), kRestart + 1, kMax, true).hold);
  const WalBound::Step step = bound.Next(seconds(1) + milliseconds(99), kRestart + 1, kMax, false);
  EXPECT_TRUE(step.move);
  EXPECT_FALSE(step.hold || step.end_readers);
}

TEST(WalBound, NewViewsWaitForATenthOfTheTimeAtMost) {
  WalBound bound(kRestart);
  int held = 0;
  for (int ms = 0; ms < 10'000; ++ms) {
    const WalBound::Step step = bound.Next(milliseconds(ms), kRestart + 1, kMax, true);
    EXPECT_FALSE(step.end_readers);
    held += step.hold ? 1 : 0;
  }
  EXPECT_GT(held, 0);
  EXPECT_LE(held, 1'000);
}

TEST(WalBound, AWalTooLargeEndsWhoeverIsLeftAfterTheWait) {
  WalBound bound(kRestart);
  EXPECT_TRUE(bound.Next(seconds(1), kMax + 1, kMax, true).hold);
  EXPECT_FALSE(bound.Next(seconds(1), kMax + 1, kMax, true).end_readers);
  const WalBound::Step step = bound.Next(seconds(1) + kViewHoldMax, kMax + 1, kMax, true);
  EXPECT_TRUE(step.end_readers && step.move);
  EXPECT_TRUE(bound.Next(seconds(1) + kViewHoldMax, kMax + 1, kMax, true).hold) << "once more";
}

// ---- On a real database

class WalBoundTest : public testing::Test {
 protected:
  static constexpr uint64_t kRestartBytes = 256 << 10;
  static constexpr uint64_t kBytesMax = 1 << 20;

  WalBoundTest() {
    SqliteOptions options;
    options.path = path();
    options.snapshot_directory = directory_ / "snapshot";
    options.clock = &clock_;
    options.wal_restart_bytes = kRestartBytes;
    options.wal_bytes_max = kBytesMax;
    Result<std::unique_ptr<StateMachine>> opened =
        OpenSqliteStateMachine(options, TestConfiguration());
    EXPECT_TRUE(opened.ok()) << opened.status();
    machine_ = std::move(opened).value();
    Write("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
    Write("INSERT INTO t VALUES(1, zeroblob(20000))");
  }
  std::string path() const { return directory_ / "test.db"; }

  // Applies one entry, then does what the node does afterwards. Time passes with the writes.
  void Write(const std::string& sql) {
    const raft::Entry entry = MakeEntry(LogIndex(++index_), {}, {ExecuteCommand(sql)});
    const Status applied = machine_->Apply(std::span(&entry, 1), TestConfiguration(), LogIndex(),
                                           [](const EntryResults&) {});
    ASSERT_TRUE(applied.ok()) << applied;
    clock_.Advance(milliseconds(10));
    const Result<SteadyTime> again = machine_->BoundWal();
    ASSERT_TRUE(again.ok()) << again.status();
  }
  // While new views wait, the node looks again a moment later.
  void LookAgain() {
    clock_.Advance(milliseconds(5));
    ASSERT_TRUE(machine_->BoundWal().ok());
  }
  void Change() { Write("UPDATE t SET body = zeroblob(20000 + " + std::to_string(index_) + ")"); }
  std::unique_ptr<ReadView> View() {
    Result<std::unique_ptr<ReadView>> view = machine_->OpenReadView(seconds(10));
    EXPECT_TRUE(view.ok()) << view.status();
    return std::move(view).value();
  }
  static Status Ask(ReadView& view) {
    RowCollector rows;
    return view.Query({"SELECT count(*) FROM t", {}, {}}, {}, &rows);
  }
  uint64_t WalFileBytes() const { return std::filesystem::file_size(path() + "-wal"); }

  ManualClock clock_;
  TemporaryDirectory directory_;
  std::unique_ptr<StateMachine> machine_;
  uint64_t index_ = 0;
};

// Two readers took turns, each beginning before the other ended, and held the WAL back for ever: it
// had 111 MB after 40 s of writes to a database of 3.8 MB.
TEST_F(WalBoundTest, ReadersThatOverlapDoNotLetTheWalGrowWithoutEnd) {
  std::unique_ptr<ReadView> older = View();
  std::unique_ptr<ReadView> younger;
  uint64_t most = 0;
  int ended = 0;
  for (int write = 0; write < 600; ++write) {
    Change();
    most = std::max(most, WalFileBytes());
    if (write % 20 != 10) continue;
    younger = View();
    ended += Ask(*older).code() == StatusCode::kAborted ? 1 : 0;
    older = std::move(younger);
  }
  EXPECT_LT(most, kBytesMax + (kBytesMax >> 1)) << "of 600 writes of 24 KiB, 14 MiB";
  EXPECT_GT(ended, 0);
}

TEST_F(WalBoundTest, AViewThatIsEndedForItIsToldWhyAndWhatToDo) {
  const std::unique_ptr<ReadView> view = View();
  for (int write = 0; write < 100; ++write) Change();
  const Status status = Ask(*view);
  EXPECT_EQ(status.code(), StatusCode::kAborted);
  EXPECT_NE(status.message().find("write-ahead log"), std::string::npos) << status;
  EXPECT_NE(status.message().find("ask again"), std::string::npos) << status;
  EXPECT_TRUE(Ask(*View()).ok());
}

// No reader is ended if a moment without readers is enough.
TEST_F(WalBoundTest, AViewThatEndsInTimeLetsTheWalBeginAnew) {
  uint64_t most = 0;
  for (int write = 0; write < 200; ++write) {
    std::unique_ptr<ReadView> view = View();
    Change();
    EXPECT_TRUE(Ask(*view).ok());
    most = std::max(most, WalFileBytes());
    view.reset();
    LookAgain();
  }
  EXPECT_LT(most, kBytesMax + (kBytesMax >> 1))
      << "the WAL begins anew once a second, and past this";
}

TEST_F(WalBoundTest, AScanIsCutOffLikeAView) {
  Result<std::unique_ptr<StateScan>> scan = machine_->BeginScan();
  ASSERT_TRUE(scan.ok());
  for (int write = 0; write < 200; ++write) Change();
  EXPECT_LT(WalFileBytes(), 2 * kBytesMax);
  EXPECT_EQ((*scan)->Scrub(seconds(1)).status().code(), StatusCode::kAborted);
  EXPECT_TRUE((*scan)->hurry()) << "the next one does not pause";
}

// The copy is ended only when more bytes have been written than it has to read. Otherwise the WAL
// of a busy database would pass its bound before any copy is made.
TEST_F(WalBoundTest, ACopyForASnapshotIsGivenUpWhenMoreIsWrittenThanItReads) {
  Write("CREATE TABLE big(body)");
  for (int i = 0; i < 8; ++i) Write("INSERT INTO big VALUES(zeroblob(300000))");
  ASSERT_TRUE(machine_->Checkpoint().ok());
  auto copy = machine_->OpenSnapshot(LogIndex());
  ASSERT_TRUE(copy.ok()) << copy.status();
  const uint64_t size = (*copy)->size_bytes();
  ASSERT_GT(size, 2 * kBytesMax);
  while (machine_->WalBytes() < size) Change();
  EXPECT_GT(machine_->WalBytes(), kBytesMax) << "it may go on for so long";
  for (int write = 0; write < 20; ++write) Change();
  EXPECT_LT(machine_->WalBytes(), kBytesMax);
  EXPECT_EQ((*copy)->Complete([] { return true; }).code(), StatusCode::kAborted);
  copy = machine_->OpenSnapshot(LogIndex());
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_TRUE((*copy)->Complete([] { return true; }).ok());
}

}  // namespace
}  // namespace cairn::state_machine
