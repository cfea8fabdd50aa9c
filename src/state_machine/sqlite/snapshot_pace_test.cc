// When the state of a snapshot is copied, and when readers read the state itself.
#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/snapshot_file.h"

namespace cairn::state_machine {
namespace {

class SnapshotPaceTest : public testing::Test {
 protected:
  SnapshotPaceTest() : writer_(directory_ / "db") {
    writer_.MakeCairn();
    writer_.Run("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
    writer_.Run("INSERT INTO t VALUES(1, 'one'), (2, zeroblob(3000000))");
    writer_.SetApplied(10, 3);
    SnapshotStoreOptions options;
    options.db_path = directory_ / "db";
    options.directory = directory_ / "snapshot";
    options.read_meta = ReadTestMeta;
    options.free_bytes_reserve = 0;
    Result<std::unique_ptr<SnapshotStore>> store = SnapshotStore::Open(fs_, options);
    EXPECT_TRUE(store.ok()) << store.status();
    store_ = std::move(store).value();
    maker_ = Acquire();
    reader_ = Acquire();
  }
  std::shared_ptr<SnapshotReader> Acquire() {
    Result<std::shared_ptr<SnapshotReader>> reader = store_->Acquire(LogIndex(0));
    EXPECT_TRUE(reader.ok()) << reader.status();
    return std::move(reader).value();
  }
  Status Make() {
    return maker_->Complete([] { return true; });
  }
  // Reads everything in chunks. The bytes must have the promised CRC, and be a sound database.
  void ReadAll(SnapshotReader& reader) {
    constexpr size_t kChunk = 100'007;
    std::string all;
    while (all.size() < reader.size_bytes()) all += reader.Read(all.size(), kChunk).value();
    EXPECT_EQ(all.size(), reader.size_bytes());
    EXPECT_EQ(Crc32c(all), reader.Crc().value());
    const std::string path = directory_ / "received";
    std::ofstream(path, std::ios::binary) << all;
    TestDatabase copy(path);
    EXPECT_EQ(copy.Text("PRAGMA integrity_check"), "ok");
    EXPECT_EQ(copy.Number("SELECT count(*) FROM t"), 2);
  }
  std::vector<std::string> Files() { return fs_.List(directory_ / "snapshot").value(); }

  TemporaryDirectory directory_;
  TestDatabase writer_;
  ForwardingFileSystem fs_;
  std::unique_ptr<SnapshotStore> store_;
  std::shared_ptr<SnapshotReader> maker_;
  std::shared_ptr<SnapshotReader> reader_;
};

TEST_F(SnapshotPaceTest, AReaderThatKeepsPaceReadsTheStateItselfAndNothingIsCopied) {
  auto made = std::async(std::launch::async, [&] { return Make(); });
  ReadAll(*reader_);
  EXPECT_TRUE(Files().empty());
  store_->DropKept();
  EXPECT_TRUE(made.get().ok());
  EXPECT_EQ(store_->copying_bytes(), 0u) << "the database is let go";
  EXPECT_TRUE(Files().empty());
}

// A broken transfer resumes from the copy, also if it began on the state itself.
TEST_F(SnapshotPaceTest, AReaderThatBreaksOffHasTheCopyMade) {
  constexpr size_t kRead = 1'234'567;
  const std::string first = reader_->Read(0, kRead).value();
  EXPECT_TRUE(Files().empty());
  reader_.reset();
  EXPECT_TRUE(Make().ok());
  EXPECT_EQ(Files(), (std::vector<std::string>{"outgoing-1.db"}));
  EXPECT_EQ(store_->copying_bytes(), 0u);
  const auto next = Acquire();
  EXPECT_EQ(next->Read(0, kRead).value(), first);
  ReadAll(*next);
}

// The reader has not read the earlier bytes, so it cannot know the CRC of the whole.
TEST_F(SnapshotPaceTest, AReaderThatBeginsInTheMiddleGetsTheCrcFromTheCopy) {
  EXPECT_EQ(reader_->Read(5000, 3000)->size(), 3000u);
  auto made = std::async(std::launch::async, [&] { return Make(); });
  const Result<uint32_t> crc = reader_->Crc();
  ASSERT_TRUE(crc.ok()) << crc.status();
  EXPECT_TRUE(made.get().ok());
  EXPECT_EQ(*crc, Crc32c(reader_->Read(0, reader_->size_bytes()).value()));
}

// Two wiped nodes. The pace is judged until both have all bytes.
TEST_F(SnapshotPaceTest, TwoReadersReadOneStateAtTheSameTime) {
  const auto second = Acquire();
  EXPECT_EQ(second->copy_id(), reader_->copy_id());
  auto made = std::async(std::launch::async, [&] { return Make(); });
  const std::string half = second->Read(0, second->size_bytes() / 2).value();
  ReadAll(*reader_);
  reader_.reset();
  ReadAll(*second);
  EXPECT_EQ(half, second->Read(0, half.size()).value());
  EXPECT_TRUE(Files().empty());
  store_->DropKept();
  EXPECT_TRUE(made.get().ok());
  EXPECT_TRUE(Files().empty());
}

// While one peer is being sent a state, another one asks for a later state. A third one still gets
// the state that is there.
TEST_F(SnapshotPaceTest, WhoeverAsksForALaterStateWaitsAndTakesNoStateAway) {
  const auto later = store_->Acquire(LogIndex(11));
  EXPECT_EQ(later.status().code(), StatusCode::kUnavailable) << later.status();
  EXPECT_EQ(Acquire()->copy_id(), reader_->copy_id());
}

TEST_F(SnapshotPaceTest, AGrowingWalHasTheCopyMadeBesideAReader) {
  EXPECT_EQ(reader_->Read(0, 100)->size(), 100u);
  store_->Hurry();
  EXPECT_TRUE(Make().ok());
  EXPECT_EQ(Files().size(), 1u);
}

}  // namespace
}  // namespace cairn::state_machine
