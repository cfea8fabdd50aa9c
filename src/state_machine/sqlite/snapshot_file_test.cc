#include "state_machine/sqlite/snapshot_file.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "base/crc32c.h"
#include "state_machine/sqlite/database_test_util.h"
#include "testing/sanitized.h"

namespace cairn::state_machine {
namespace {

class SnapshotFileTest : public testing::Test {
 protected:
  SnapshotFileTest() : writer_(directory_ / "db") {
    writer_.MakeCairn();
    writer_.Run("CREATE TABLE t(id INTEGER PRIMARY KEY, body)");
    writer_.Run("INSERT INTO t VALUES(1, 'one'), (2, 'two')");
    writer_.SetApplied(10, 3);
  }
  SnapshotStoreOptions Options() {
    SnapshotStoreOptions options;
    options.db_path = directory_ / "db";
    options.directory = directory_ / "snapshot";
    options.read_meta = ReadTestMeta;
    options.free_bytes_reserve = 0;
    return options;
  }
  std::unique_ptr<SnapshotStore> MustOpen() {
    Result<std::unique_ptr<SnapshotStore>> store = SnapshotStore::Open(fs_, Options());
    EXPECT_TRUE(store.ok()) << store.status();
    return std::move(store).value();
  }
  static std::shared_ptr<SnapshotReader> MustAcquire(SnapshotStore& store, uint64_t index_min) {
    Result<std::shared_ptr<SnapshotReader>> reader = store.Acquire(LogIndex(index_min));
    EXPECT_TRUE(reader.ok()) << reader.status();
    if (!reader.ok()) return nullptr;
    const Status made = Make(**reader);
    EXPECT_TRUE(made.ok()) << made;
    return std::move(reader).value();
  }
  static Status Make(SnapshotReader& reader) {
    return reader.Complete([] { return true; });
  }
  // Writes what a reader gives to a file, as a peer does, and returns the file's path.
  std::string Receive(SnapshotReader& reader, size_t chunk = 4096 * 3 + 7) {
    std::string path = directory_ / "received";
    std::filesystem::remove(path);
    std::ofstream out(path, std::ios::binary);
    std::string all;
    while (all.size() < reader.size_bytes()) {
      const Result<std::string> piece = reader.Read(all.size(), chunk);
      EXPECT_TRUE(piece.ok()) << piece.status();
      if (!piece.ok() || piece->empty()) break;
      all += *piece;
    }
    EXPECT_EQ(all.size(), reader.size_bytes());
    EXPECT_EQ(Crc32c(all), reader.Crc().value());
    out << all;
    return path;
  }
  std::vector<std::string> Files() {
    Result<std::vector<std::string>> names = fs_.List(directory_ / "snapshot");
    return names.ok() ? *names : std::vector<std::string>{};
  }

  TemporaryDirectory directory_;
  TestDatabase writer_;
  ForwardingFileSystem fs_;
};

TEST_F(SnapshotFileTest, ACopyReadInChunksIsTheDatabaseAtItsIndex) {
  const auto store = MustOpen();
  const auto reader = MustAcquire(*store, 5);
  ASSERT_NE(reader, nullptr);
  EXPECT_EQ(reader->meta().index, LogIndex(10));
  EXPECT_EQ(reader->meta().term, Term(3));
  TestDatabase copy(Receive(*reader));
  EXPECT_EQ(copy.Text("PRAGMA integrity_check"), "ok");
  EXPECT_EQ(copy.Number("SELECT count(*) FROM t"), 2);
  EXPECT_EQ(copy.Number("SELECT applied FROM _cairn_meta"), 10);
}

TEST_F(SnapshotFileTest, ReadsPastTheEndAreEmptyAndLargeOnesAreCut) {
  const auto store = MustOpen();
  const auto reader = MustAcquire(*store, 0);
  ASSERT_NE(reader, nullptr);
  EXPECT_EQ(*reader->Read(reader->size_bytes(), 10), "");
  EXPECT_EQ(*reader->Read(~uint64_t{0}, 10), "");
  EXPECT_EQ(reader->Read(reader->size_bytes() - 3, ~size_t{0})->size(), 3u);
}

// Rows without an INTEGER PRIMARY KEY keep their rowids and the gaps between them: a later row must
// get the rowid that it gets on every other member.
TEST_F(SnapshotFileTest, RowidsSurvive) {
  writer_.Run("CREATE TABLE r(x); INSERT INTO r VALUES('a'), ('b'), ('c')");
  writer_.Run("DELETE FROM r WHERE x = 'a'");
  const auto store = MustOpen();
  TestDatabase copy(Receive(*MustAcquire(*store, 0)));
  EXPECT_EQ(copy.Text("SELECT group_concat(rowid || x) FROM r"), "2b,3c");
}

TEST_F(SnapshotFileTest, WritesGoOnDuringACopyWhichIsOfOneMoment) {
  writer_.Run("PRAGMA synchronous = OFF");
  writer_.Run(
      "WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n LIMIT 20000) "
      "INSERT INTO t SELECT i, hex(randomblob(200)) FROM n");
  SnapshotStoreOptions options = Options();
  options.step_bytes = 4096;  // many steps, so that many writes fall between them
  std::atomic<bool> copying{true};
  std::atomic<int> writes{0};
  writer_.Run("CREATE TABLE pair(a, b); INSERT INTO pair VALUES(10, 10)");
  std::thread writing([&] {
    // Each transaction keeps: applied = pair.a = pair.b.
    for (uint64_t i = 11; copying.load(); ++i) {
      const std::string n = std::to_string(i);
      writer_.Run("BEGIN; UPDATE pair SET a = " + n);
      writer_.Run("UPDATE t SET body = hex(randomblob(200)) WHERE id % 1000 = " +
                  std::to_string(i % 1000));
      writer_.Run("UPDATE pair SET b = " + n);
      writer_.SetApplied(i);
      writer_.Run("COMMIT");
      ++writes;
    }
  });
  while (writes.load() < 3) std::this_thread::yield();
  const auto store = SnapshotStore::Open(fs_, options);
  ASSERT_TRUE(store.ok());
  const int before = writes.load();
  const auto reader = MustAcquire(**store, 0);
  const int during = writes.load() - before;
  copying = false;
  writing.join();
  ASSERT_NE(reader, nullptr);
  EXPECT_GT(during, 0) << "the copy held writers up";
  TestDatabase copy(Receive(*reader, 1 << 20));
  EXPECT_EQ(copy.Text("PRAGMA integrity_check"), "ok");
  const auto index = static_cast<int64_t>(reader->meta().index.value());
  EXPECT_EQ(copy.Number("SELECT applied FROM _cairn_meta"), index);
  EXPECT_EQ(copy.Number("SELECT a FROM pair"), index);
  EXPECT_EQ(copy.Number("SELECT b FROM pair"), index);
  EXPECT_EQ(copy.Number("SELECT count(*) FROM t"), 20'002);
}

// The most that this process has had in memory since ForgetPeakMemory, in KiB (proc(5)). SQLite's
// own count is switched off.
int64_t PeakMemoryKiB() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stoll(line.substr(6));
  }
  ADD_FAILURE() << "no VmHWM in /proc/self/status";
  return 0;
}
void ForgetPeakMemory() { std::ofstream("/proc/self/clear_refs") << "5"; }

TEST_F(SnapshotFileTest, MemoryDoesNotGrowWithTheDatabase) {
  if (kSanitized) GTEST_SKIP() << "the sanitizers keep what was freed";
  writer_.Run("PRAGMA synchronous = OFF; PRAGMA cache_size = -1024");
  writer_.Run(
      "CREATE TABLE big(b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
      "LIMIT 64) INSERT INTO big SELECT zeroblob(1 << 20) FROM n");
  const auto store = MustOpen();
  ForgetPeakMemory();
  const int64_t before = PeakMemoryKiB();
  const auto reader = MustAcquire(*store, 0);
  ASSERT_NE(reader, nullptr);
  EXPECT_GT(reader->size_bytes(), 64u << 20);
  EXPECT_LT(PeakMemoryKiB() - before, 16 << 10);
}

TEST_F(SnapshotFileTest, ACopyIsSharedUntilANewerOneIsNeeded) {
  const auto store = MustOpen();
  const auto first = MustAcquire(*store, 10);
  writer_.Run("DELETE FROM t");
  writer_.SetApplied(11, 3);
  const auto shared = MustAcquire(*store, 10);
  EXPECT_EQ(shared->meta().index, LogIndex(10));
  EXPECT_EQ(Files().size(), 1u);
  const auto newer = MustAcquire(*store, 11);
  EXPECT_EQ(newer->meta().index, LogIndex(11));
  // The old copy is still being read.
  EXPECT_EQ(Files().size(), 2u);
  EXPECT_EQ(first->Read(0, 16)->substr(0, 15), "SQLite format 3");
}

TEST_F(SnapshotFileTest, TheLastReaderOfAReplacedCopyRemovesIt) {
  auto store = MustOpen();
  auto first = MustAcquire(*store, 10);
  auto also_first = MustAcquire(*store, 10);
  writer_.SetApplied(12, 3);
  auto second = MustAcquire(*store, 12);
  first.reset();
  EXPECT_EQ(Files().size(), 2u);
  also_first.reset();
  EXPECT_EQ(Files(), (std::vector<std::string>{"outgoing-2.db"}));
  store->DropKept();
  EXPECT_EQ(Files().size(), 1u) << "still read";
  store.reset();
  second.reset();
  EXPECT_TRUE(Files().empty());
}

TEST_F(SnapshotFileTest, ADroppedCopyIsMadeAnew) {
  const auto store = MustOpen();
  (void)MustAcquire(*store, 10);
  EXPECT_EQ(Files().size(), 1u);
  store->DropKept();
  EXPECT_TRUE(Files().empty());
  EXPECT_NE(MustAcquire(*store, 10), nullptr);
}

TEST_F(SnapshotFileTest, LeftoversAreRemovedAtTheStartAndOtherFilesAreNot) {
  std::filesystem::create_directories(directory_ / "snapshot");
  for (const char* name : {"outgoing-1.db", "outgoing-7.db.tmp", "incoming-3", "note"}) {
    std::ofstream(directory_ / ("snapshot/" + std::string(name))) << "x";
  }
  const auto store = MustOpen();
  EXPECT_EQ(Files(), (std::vector<std::string>{"incoming-3", "note"}));
}

TEST_F(SnapshotFileTest, NothingIsLeftBesideACopy) {
  const auto store = MustOpen();
  const auto reader = MustAcquire(*store, 0);
  EXPECT_EQ(Files(), (std::vector<std::string>{"outgoing-1.db"}));
}

TEST_F(SnapshotFileTest, WithoutSpaceNothingIsWritten) {
  class Full final : public ForwardingFileSystem {
   public:
    Result<uint64_t> FreeBytes(const std::string&) override { return uint64_t{8000}; }
  } full;
  const auto store = SnapshotStore::Open(full, Options());
  ASSERT_TRUE(store.ok());
  const auto reader = (*store)->Acquire(LogIndex(0));
  EXPECT_EQ(reader.status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Files().empty());
}

// The disk fills, or fails, while a copy is made: the copy's readers get the error, and its space
// is freed.
TEST_F(SnapshotFileTest, AWriteThatFailsEndsTheCopyAndItsFileGoesWithIt) {
  class FullFile final : public File {
   public:
    Result<std::string> ReadAt(uint64_t, size_t) const override { return std::string(); }
    Status WriteAt(uint64_t, std::string_view) override { return ResourceExhausted("no space"); }
    Status Sync() override { return OkStatus(); }
    Status Truncate(uint64_t) override { return OkStatus(); }
    Result<uint64_t> Size() const override { return uint64_t{0}; }
  };
  class FullDisk final : public ForwardingFileSystem {
   public:
    Result<std::unique_ptr<File>> Open(const std::string& path, bool create) override {
      if (!full) return ForwardingFileSystem::Open(path, create);
      RETURN_IF_ERROR(ForwardingFileSystem::Open(path, create).status());
      return std::unique_ptr<File>(std::make_unique<FullFile>());
    }
    bool full = true;
  } disk;
  const auto store = SnapshotStore::Open(disk, Options());
  ASSERT_TRUE(store.ok());
  auto reader = (*store)->Acquire(LogIndex(0));
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(Make(**reader).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ((*reader)->Read(0, 16).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ((*reader)->Crc().status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ((*store)->copying_bytes(), 0u) << "the database is let go";
  EXPECT_TRUE(Files().empty()) << "at once, because the disk is full";
  disk.full = false;
  EXPECT_NE(MustAcquire(**store, 0), nullptr);
}

TEST_F(SnapshotFileTest, NobodyElseMayReadACopy) {
  const auto store = MustOpen();
  const auto reader = MustAcquire(*store, 0);
  const auto mode = std::filesystem::status(directory_ / "snapshot/outgoing-1.db").permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

// A copy of pages that are in the file, in the WAL, in both, or are moved to the file before or
// while they are read.
TEST_F(SnapshotFileTest, ACopyIsRightWhereverItsPagesStand) {
  writer_.Run("PRAGMA synchronous = OFF");
  writer_.Run(
      "WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n LIMIT 500) "
      "INSERT INTO t SELECT i, hex(randomblob(500)) FROM n");
  const auto change = [&](int round) {
    writer_.Run("UPDATE t SET body = hex(randomblob(500)) WHERE id % 7 = " +
                std::to_string(round % 7));
  };
  SnapshotStoreOptions options = Options();
  options.step_bytes = 4096;
  const auto store = SnapshotStore::Open(fs_, options);
  ASSERT_TRUE(store.ok());
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE(round);
    if (round % 2 == 0) change(round);
    if (round % 3 == 0) writer_.Run("PRAGMA wal_checkpoint(PASSIVE)");
    if (round % 4 == 0) change(round + 1);
    if (round == 9) writer_.Run("DELETE FROM t WHERE id > 250; VACUUM");
    writer_.SetApplied(20 + static_cast<uint64_t>(round), 3);
    const std::string rows = "SELECT sum(id) || group_concat(body) FROM t";
    const std::string expected = writer_.Text(rows);
    auto reader = (*store)->Acquire(LogIndex(20 + static_cast<uint64_t>(round)));
    ASSERT_TRUE(reader.ok()) << reader.status();
    // Between any two reads of the copy there are a write and a checkpoint.
    int looks = 0;
    const Status made = (*reader)->Complete([&] {
      if (++looks % 50 == 0) {
        change(looks);
        writer_.Run("PRAGMA wal_checkpoint(PASSIVE)");
      }
      return true;
    });
    ASSERT_TRUE(made.ok()) << made;
    TestDatabase copy(Receive(**reader));
    EXPECT_EQ(copy.Text("PRAGMA integrity_check"), "ok");
    EXPECT_EQ(copy.Text(rows), expected);
  }
}

TEST_F(SnapshotFileTest, ACopyCanBeReadWhileItIsMade) {
  writer_.Run("INSERT INTO t VALUES(3, zeroblob(100000))");
  SnapshotStoreOptions options = Options();
  options.step_bytes = 4096;
  const auto store = SnapshotStore::Open(fs_, options);
  ASSERT_TRUE(store.ok());
  auto reader = (*store)->Acquire(LogIndex(0));
  ASSERT_TRUE(reader.ok());
  int looks = 0;
  const Status made = (*reader)->Complete([&] {
    if (++looks == 3) {
      EXPECT_EQ((*reader)->Read(0, 4096)->substr(0, 15), "SQLite format 3");
    }
    return true;
  });
  EXPECT_TRUE(made.ok()) << made;
  EXPECT_GT(looks, 3);
}

TEST_F(SnapshotFileTest, ACopyThatIsGivenUpLetsTheDatabaseGoAndSaysWhy) {
  const auto store = MustOpen();
  auto reader = store->Acquire(LogIndex(0));
  ASSERT_TRUE(reader.ok());
  EXPECT_GT(store->copying_bytes(), 0u);
  store->GiveUpCopy();
  EXPECT_EQ(store->copying_bytes(), 0u);
  EXPECT_EQ(Make(**reader).code(), StatusCode::kAborted);
  EXPECT_EQ((*reader)->Read(0, 1).status().code(), StatusCode::kAborted);
  EXPECT_NE(MustAcquire(*store, 0), nullptr) << "the next one is a new one";
}

TEST_F(SnapshotFileTest, AnIndexNotReachedIsRefusedWithoutCopying) {
  const auto store = MustOpen();
  EXPECT_EQ(store->Acquire(LogIndex(11)).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Files().empty());
}

TEST_F(SnapshotFileTest, AStoppedStoreMakesNoCopyAndLeavesNoPiece) {
  const auto store = MustOpen();
  store->Stop();
  EXPECT_EQ(store->Acquire(LogIndex(0)).status().code(), StatusCode::kCancelled);
  EXPECT_TRUE(Files().empty());
  store->Resume();
  auto reader = store->Acquire(LogIndex(0));
  ASSERT_TRUE(reader.ok());
  store->Stop();
  EXPECT_EQ(store->copying_bytes(), 0u);
  EXPECT_EQ(Make(**reader).code(), StatusCode::kCancelled);
}

TEST_F(SnapshotFileTest, SeveralAskersAtOnceShareOneCopy) {
  const auto store = MustOpen();
  std::vector<std::future<std::shared_ptr<SnapshotReader>>> askers(4);
  for (auto& asker : askers) {
    asker = std::async(std::launch::async, [&] { return MustAcquire(*store, 10); });
  }
  std::vector<std::shared_ptr<SnapshotReader>> readers;
  readers.reserve(askers.size());
  for (auto& asker : askers) readers.push_back(asker.get());
  EXPECT_EQ(Files(), (std::vector<std::string>{"outgoing-1.db"}));
}

TEST_F(SnapshotFileTest, PathsWithOddCharactersWork) {
  SnapshotStoreOptions options = Options();
  options.directory = directory_ / "sn?ap #1 100%";
  const auto store = SnapshotStore::Open(fs_, options);
  ASSERT_TRUE(store.ok()) << store.status();
  const auto reader = (*store)->Acquire(LogIndex(0));
  EXPECT_TRUE(reader.ok()) << reader.status();
}

}  // namespace
}  // namespace cairn::state_machine
