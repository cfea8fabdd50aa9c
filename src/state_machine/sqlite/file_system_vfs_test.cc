#include "state_machine/sqlite/file_system_vfs.h"

#include <gtest/gtest.h>

#include "base/fault_file_system.h"
#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

class FileSystemVfsTest : public testing::Test {
 protected:
  FileSystemVfsTest() { EXPECT_TRUE(fs_.CreateDirectories("/d").ok()); }

  FaultFileSystem fs_{1};
  ManualClock clock_;
  FileSystemVfs vfs_{fs_, clock_, 1};
};

TEST_F(FileSystemVfsTest, ConnectionsShareLocksAndTheIndexOfTheWal) {
  TestDatabase writer("/d/f", "", vfs_.name());
  TestDatabase other("/d/f", "", vfs_.name());
  writer.Run("PRAGMA journal_mode = WAL; CREATE TABLE t(x); BEGIN IMMEDIATE");
  EXPECT_EQ(sqlite3_exec(other.handle(), "BEGIN IMMEDIATE", nullptr, nullptr, nullptr),
            SQLITE_BUSY);
  other.Run("BEGIN; SELECT * FROM t");
  writer.Run("INSERT INTO t VALUES(1); COMMIT");
  EXPECT_EQ(other.Number("SELECT count(*) FROM t"), 0);
  EXPECT_EQ(writer.Number("PRAGMA wal_checkpoint(TRUNCATE)"), 1) << "a reader is in the way";
  other.Run("COMMIT");
  EXPECT_EQ(other.Number("SELECT count(*) FROM t"), 1);
  EXPECT_EQ(writer.Number("PRAGMA wal_checkpoint(TRUNCATE)"), 0);
  EXPECT_EQ(fs_.Contents("/d/f-wal"), "");
  EXPECT_FALSE(fs_.Exists("/d/f-shm").value());
}

TEST_F(FileSystemVfsTest, ARollbackJournalMendsATransactionThatWasCut) {
  {
    TestDatabase db("/d/f", "", vfs_.name());
    db.Run("PRAGMA cache_size = 2; CREATE TABLE t(x); INSERT INTO t VALUES(1)");
    EXPECT_TRUE(fs_.SyncDirectory("/d").ok());
    db.Run(
        "BEGIN; UPDATE t SET x = 2; CREATE TABLE big(x);"
        "INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 99)"
        " SELECT zeroblob(5000) FROM n");
    EXPECT_TRUE(fs_.Exists("/d/f-journal").value());
    fs_.Crash(FaultFileSystem::Unsynced::kKeepAll);
  }
  FileSystemVfs after(fs_, clock_, 1);
  TestDatabase db("/d/f", "", after.name());
  EXPECT_EQ(db.Number("SELECT x FROM t"), 1);
  EXPECT_EQ(db.Text("PRAGMA integrity_check"), "ok");
}

TEST_F(FileSystemVfsTest, TimeAndBytesComeFromWhatIsInjected) {
  const auto run = [this](const std::string& path) {
    FileSystemVfs::SeedSqlite(7);
    TestDatabase db(path, "", vfs_.name());
    db.Run("PRAGMA journal_mode = WAL; CREATE TABLE t(x); INSERT INTO t VALUES(random())");
    EXPECT_EQ(db.Text("SELECT datetime('now')"), "2023-11-14 22:13:20");
    return fs_.Contents(path + "-wal");
  };
  EXPECT_EQ(run("/d/f"), run("/d/g"));
}

TEST(VirtualDisk, ReplicasOnItEndUpAsOnARealOne) {
  Replicas real;
  Replicas on_virtual(/*restarts=*/true, Disk::kVirtual);
  for (const std::vector<Command>& commands : MixedWorkload()) {
    const std::vector<CommandResult> a = real.DoAll(commands);
    const std::vector<CommandResult> b = on_virtual.DoAll(commands);
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(EncodeCommandResult(a[i]), EncodeCommandResult(b[i]));
    }
  }
  EXPECT_EQ(on_virtual.Query("SELECT count(*) FROM journal"),
            real.Query("SELECT count(*) FROM journal"));
  real.Check();
  on_virtual.Check();
  EXPECT_EQ(real.first().Dump(), on_virtual.first().Dump());
}

TEST(VirtualDisk, ASnapshotIsMadeReadAndInstalledOnIt) {
  FaultFileSystem fs(1);
  const auto open = [&fs](const std::string& directory) {
    EXPECT_TRUE(fs.CreateDirectories(directory).ok());
    SqliteOptions options;
    options.path = directory + "/test.db";
    options.snapshot_directory = directory + "/snapshot";
    options.file_system = &fs;
    auto machine = OpenSqliteStateMachine(options, TestConfiguration());
    EXPECT_TRUE(machine.ok()) << machine.status();
    return std::move(machine).value();
  };
  auto leader = open("/a");
  std::vector<raft::Entry> log;
  log.push_back(MakeEntry(LogIndex(1), {}, {ExecuteCommand("CREATE TABLE t(x)")}));
  log.push_back(MakeEntry(LogIndex(2), {}, {ExecuteCommand("INSERT INTO t VALUES(7)")}));
  const auto ignore = [](const EntryResults&) {};
  ASSERT_TRUE(leader->Apply(log, TestConfiguration(), LogIndex(), ignore).ok());
  auto snapshot = leader->OpenSnapshot(LogIndex(2));
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  ASSERT_TRUE((*snapshot)->Complete([] { return true; }).ok());
  const auto bytes = (*snapshot)->Read(0, (*snapshot)->size_bytes());
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  auto behind = open("/b");
  fs.SetContents("/b/incoming", *bytes);
  const Status installed = behind->InstallSnapshot("/b/incoming", (*snapshot)->meta());
  ASSERT_TRUE(installed.ok()) << installed;
  behind.reset();
  fs.Crash(FaultFileSystem::Unsynced::kDrop);
  behind = open("/b");
  EXPECT_EQ(behind->applied_index(), LogIndex(2));
  auto view = behind->OpenReadView(SteadyTime(0));
  ASSERT_TRUE(view.ok()) << view.status();
  RowCollector rows;
  ASSERT_TRUE((*view)->Query({"SELECT x FROM t", {}, {}}, QueryLimits{}, &rows).ok());
  ASSERT_EQ(rows.rows.size(), 1u);
  EXPECT_EQ(rows.rows[0].at(0), Value(int64_t{7}));
}

}  // namespace
}  // namespace cairn::state_machine
