#include "state_machine/sqlite/snapshot_install.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "state_machine/sqlite/database_test_util.h"

namespace cairn::state_machine {
namespace {

namespace fs = std::filesystem;

constexpr InstallStep kSteps[] = {
    InstallStep::kVerified,   InstallStep::kClosed,        InstallStep::kCheckpointed,
    InstallStep::kWalRemoved, InstallStep::kShmRemoved,    InstallStep::kRemovalsDurable,
    InstallStep::kRenamed,    InstallStep::kRenameDurable,
};

// Records what happens to the names of files, in order.
class RecordingFileSystem final : public ForwardingFileSystem {
 public:
  Status Rename(const std::string& from, const std::string& to) override {
    calls.push_back("rename " + fs::path(to).filename().string());
    return ForwardingFileSystem::Rename(from, to);
  }
  Status Remove(const std::string& path) override {
    calls.push_back("remove " + fs::path(path).filename().string());
    return ForwardingFileSystem::Remove(path);
  }
  Status SyncDirectory(const std::string& directory) override {
    calls.push_back("sync directory");
    return ForwardingFileSystem::SyncDirectory(directory);
  }
  std::vector<std::string> calls;
};

class SnapshotInstallTest : public testing::Test {
 protected:
  SnapshotInstallTest() {
    db_ = directory_ / "db";
    copy_ = directory_ / "incoming";
    MakeCopy();
    MakeOld();
    install_.copy_path = copy_;
    install_.db_path = db_;
    install_.meta.index = LogIndex(50);
    install_.meta.term = Term(4);
    install_.read_meta = ReadTestMeta;
    install_.close_connections = [this] {
      ++closed_;
      return OkStatus();
    };
  }

  // The file of the new database, in WAL mode as a copy of a live database is. Nothing lies beside
  // it.
  void MakeCopy() {
    TestDatabase made(copy_);
    made.MakeCairn();
    made.Run("CREATE TABLE t(name); INSERT INTO t VALUES('new')");
    made.SetApplied(50, 4);
  }
  // The old database, most of it still in its WAL. Closing the last connection would empty the WAL,
  // so the writer's files are copied while the connection is open, as kill -9 leaves them.
  void MakeOld() {
    const std::string live = directory_ / "live";
    TestDatabase old(live);
    old.MakeCairn();
    old.Run("CREATE TABLE t(name); INSERT INTO t VALUES('old')");
    old.SetApplied(20, 3);
    for (const char* suffix : {"", "-wal", "-shm"}) fs::copy_file(live + suffix, db_ + suffix);
    EXPECT_GT(fs::file_size(db_ + "-wal"), 0u);
  }

  // What a process that starts on these files finds: "old" or "new", nothing in between.
  static std::string Reopened(const std::string& path) {
    TestDatabase db(path);
    EXPECT_EQ(db.Text("PRAGMA integrity_check"), "ok");
    std::string name = db.Text("SELECT group_concat(name) FROM t");
    EXPECT_EQ(db.Number("SELECT applied FROM _cairn_meta"), name == "new" ? 50 : 20);
    return name;
  }
  // The files as they would be if the process died at this moment.
  std::string ImageOfNow() {
    const std::string image = directory_ / ("image" + std::to_string(++images_));
    fs::create_directory(image);
    for (const char* suffix : {"", "-wal", "-shm"}) {
      if (fs::exists(db_ + suffix)) fs::copy_file(db_ + suffix, image + "/db" + suffix);
    }
    return image + "/db";
  }

  TemporaryDirectory directory_;
  std::string db_;
  std::string copy_;
  RecordingFileSystem fs_;
  SnapshotInstallation install_;
  int closed_ = 0;
  int images_ = 0;
};

TEST_F(SnapshotInstallTest, TheNewDatabaseTakesThePlaceOfTheOld) {
  ASSERT_TRUE(InstallSnapshotFile(fs_, install_).ok());
  EXPECT_EQ(Reopened(db_), "new");
  EXPECT_FALSE(fs::exists(copy_));
  EXPECT_EQ(closed_, 1);
}

TEST_F(SnapshotInstallTest, TheNewDatabaseHasTheModeOfTheOld) {
  const auto mode = fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read;
  fs::permissions(db_, mode);
  ASSERT_TRUE(InstallSnapshotFile(fs_, install_).ok());
  EXPECT_EQ(fs::status(db_).permissions(), mode);
}

TEST_F(SnapshotInstallTest, RemovalOfTheOldWalIsDurableBeforeTheNewFileAppears) {
  ASSERT_TRUE(InstallSnapshotFile(fs_, install_).ok());
  EXPECT_EQ(fs_.calls, (std::vector<std::string>{"remove db-wal", "remove db-shm", "sync directory",
                                                 "rename db", "sync directory"}));
}

TEST_F(SnapshotInstallTest, ACrashAfterAnyStepLeavesTheOldOrTheNewDatabase) {
  std::vector<InstallStep> seen;
  install_.after_step = [&](InstallStep step) {
    seen.push_back(step);
    EXPECT_EQ(Reopened(ImageOfNow()), step < InstallStep::kRenamed ? "old" : "new")
        << static_cast<int>(step);
    return OkStatus();
  };
  ASSERT_TRUE(InstallSnapshotFile(fs_, install_).ok());
  EXPECT_EQ(seen, std::vector<InstallStep>(std::begin(kSteps), std::end(kSteps)));
}

// From the checkpoint on, nothing in the old WAL is needed, whether or not its removal has reached
// the disk. From the rename on there is no old WAL.
TEST_F(SnapshotInstallTest, AfterTheCheckpointTheFileIsWholeWithoutItsWal) {
  install_.after_step = [&](InstallStep step) {
    if (step == InstallStep::kCheckpointed) {
      const std::string image = ImageOfNow();
      if (fs::exists(image + "-wal")) {
        EXPECT_EQ(fs::file_size(image + "-wal"), 0u);
        fs::remove(image + "-wal");
      }
      EXPECT_EQ(Reopened(image), "old");
    }
    if (step >= InstallStep::kRemovalsDurable) {
      EXPECT_FALSE(fs::exists(db_ + "-wal"));
      EXPECT_FALSE(fs::exists(db_ + "-shm"));
    }
    return OkStatus();
  };
  ASSERT_TRUE(InstallSnapshotFile(fs_, install_).ok());
}

TEST_F(SnapshotInstallTest, AnInstallThatStoppedAnywhereCanBeRepeated) {
  for (const InstallStep stop : kSteps) {
    SCOPED_TRACE(static_cast<int>(stop));
    for (const char* suffix : {"", "-wal", "-shm"}) {
      fs::remove(db_ + suffix);
      fs::remove(copy_ + suffix);
      fs::remove((directory_ / "live") + suffix);
    }
    MakeCopy();
    MakeOld();
    install_.after_step = [stop](InstallStep step) {
      return step == stop ? Internal("crash") : OkStatus();
    };
    EXPECT_EQ(InstallSnapshotFile(fs_, install_), Internal("crash"));
    install_.after_step = nullptr;
    if (fs::exists(copy_)) {
      EXPECT_EQ(Reopened(ImageOfNow()), "old");
      EXPECT_TRUE(InstallSnapshotFile(fs_, install_).ok());
    }
    EXPECT_EQ(Reopened(db_), "new");
  }
}

// Shows why the steps have their order: what would be read if the old WAL survived the rename.
TEST_F(SnapshotInstallTest, ANewFileBesideAnOldWalWouldReadAsTheOldData) {
  fs::rename(copy_, db_);
  TestDatabase db(db_);
  EXPECT_EQ(db.Text("PRAGMA integrity_check"), "ok");
  EXPECT_EQ(db.Text("SELECT group_concat(name) FROM t"), "old");
}

TEST_F(SnapshotInstallTest, ANodeWithoutADatabaseGetsOne) {
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(db_ + suffix);
  std::ofstream(db_ + "-wal") << "left over";
  ASSERT_TRUE(InstallSnapshotFile(fs_, install_).ok());
  EXPECT_EQ(Reopened(db_), "new");
}

TEST_F(SnapshotInstallTest, ADamagedOldDatabaseIsReplacedAndIsGoneBeforeItsWal) {
  fs::remove(db_ + "-wal");
  std::ofstream(db_) << std::string(8192, 'x');
  ASSERT_TRUE(InstallSnapshotFile(fs_, install_).ok());
  EXPECT_EQ(Reopened(db_), "new");
  EXPECT_EQ(fs_.calls, (std::vector<std::string>{"remove db", "sync directory", "remove db-wal",
                                                 "remove db-shm", "sync directory", "rename db",
                                                 "sync directory"}));
}

class SnapshotRefusalTest : public SnapshotInstallTest {
 protected:
  // The check of the whole copy, with and without a caller who waits for it.
  void ExpectFound(StatusCode code) {
    for (const bool asked : {false, true}) {
      const std::function<bool()> proceed = [] { return true; };
      const Status status =
          CheckSnapshotFile(nullptr, copy_, install_.meta, ReadTestMeta, asked ? proceed : nullptr);
      EXPECT_EQ(status.code(), code) << status;
    }
  }
  void ExpectRefused(StatusCode code) {
    ExpectFound(code);
    EXPECT_FALSE(InstallSnapshotFile(fs_, install_).ok());
    EXPECT_EQ(closed_, 0) << "refused before anything is closed";
    EXPECT_TRUE(fs_.calls.empty());
    EXPECT_EQ(Reopened(db_), "old");
  }
};

TEST_F(SnapshotRefusalTest, ASoundCopyIsNotAndIsNotChangedByTheLook) {
  ExpectFound(StatusCode::kOk);
  EXPECT_FALSE(fs::exists(copy_ + "-wal") || fs::exists(copy_ + "-shm"));
  ASSERT_TRUE(InstallSnapshotFile(fs_, install_).ok());
  EXPECT_EQ(Reopened(db_), "new");
}

TEST_F(SnapshotRefusalTest, ADamagedCopy) {
  std::fstream file(copy_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096 * 2);
  file << std::string(4096, '\x5a');
  file.close();
  ExpectFound(StatusCode::kDataLoss);
}

// The check ends long before it has read everything, which would take minutes in a large file on a
// slow disk.
TEST_F(SnapshotRefusalTest, ALookThatNobodyWaitsForAnyMoreEndsInTheMiddle) {
  TestDatabase(copy_).Run(
      "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300000)"
      " INSERT INTO t SELECT hex(x) FROM n");
  int asked = 0;
  const auto twice = [&asked] { return ++asked <= 2; };
  // Joins each row with all others, which takes hours unless it is interrupted.
  const auto for_ever = [](sqlite3* db) -> Result<raft::SnapshotMeta> {
    const int rc = sqlite3_exec(db, "SELECT count(*) FROM t a, t b", nullptr, nullptr, nullptr);
    EXPECT_EQ(rc, SQLITE_INTERRUPT);
    return ReadTestMeta(db);
  };
  const Status status = CheckSnapshotFile(nullptr, copy_, install_.meta, for_ever, twice);
  EXPECT_EQ(status.code(), StatusCode::kCancelled) << status;
  EXPECT_EQ(asked, 3);
}

TEST_F(SnapshotRefusalTest, ACopyCutShort) {
  fs::resize_file(copy_, fs::file_size(copy_) - 4096);
  ExpectRefused(StatusCode::kDataLoss);
}

TEST_F(SnapshotRefusalTest, AFileThatIsNoDatabase) {
  std::ofstream(copy_) << std::string(10'000, 'x');
  ExpectRefused(StatusCode::kDataLoss);
}

TEST_F(SnapshotRefusalTest, ADatabaseThatIsNotOfCairn) {
  fs::remove(copy_);
  TestDatabase(copy_).Run("CREATE TABLE t(name)");
  ExpectRefused(StatusCode::kFailedPrecondition);
}

TEST_F(SnapshotRefusalTest, AnEmptyFile) {
  fs::resize_file(copy_, 0);
  ExpectRefused(StatusCode::kFailedPrecondition);
}

TEST_F(SnapshotRefusalTest, ACopyOfAnotherIndexThanAnnounced) {
  install_.meta.index = LogIndex(51);
  ExpectRefused(StatusCode::kFailedPrecondition);
}

TEST_F(SnapshotRefusalTest, ACopyOfAnotherConfigurationThanAnnounced) {
  install_.meta.config.voters.insert(MemberId(1));
  ExpectRefused(StatusCode::kFailedPrecondition);
}

TEST_F(SnapshotRefusalTest, AMissingCopy) {
  fs::remove(copy_);
  const Status status = InstallSnapshotFile(fs_, install_);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(closed_, 0);
}

}  // namespace
}  // namespace cairn::state_machine
