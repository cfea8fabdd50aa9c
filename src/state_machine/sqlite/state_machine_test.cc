// The state machine as the node uses it: opening, crashing, checkpoints, snapshots.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "raft/configuration_codec.h"
#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

// A copy of the file and its WAL, as a kill leaves them.
void CopyAsIfKilled(const std::string& from, const std::string& to) {
  for (const char* suffix : {"", "-wal"}) {
    std::filesystem::copy_file(from + suffix, to + suffix,
                               std::filesystem::copy_options::overwrite_existing);
  }
  std::filesystem::remove(to + "-shm");
}

Result<std::unique_ptr<StateMachine>> OpenAt(const TemporaryDirectory& directory) {
  SqliteOptions options;
  options.path = directory / "test.db";
  options.snapshot_directory = directory / "snapshot";
  return OpenSqliteStateMachine(options, TestConfiguration());
}

TEST(SqliteStateMachine, NobodyElseMayReadTheFiles) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  for (const char* suffix : {"", "-wal", "-shm"}) {
    const auto mode = std::filesystem::status(replicas.first().path() + suffix).permissions();
    EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << suffix;
  }
}

TEST(SqliteStateMachine, AKillBetweenBatchesNeverAppliesTwice) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  std::vector<std::unique_ptr<TemporaryDirectory>> killed;
  for (int i = 0; i < 4; ++i) {
    replicas.DoAll(
        {ExecuteCommand("INSERT INTO t VALUES(random())"),
         WithId(ExecuteCommand("INSERT INTO t VALUES(1)"), "s", static_cast<uint64_t>(i) + 1)});
    killed.push_back(std::make_unique<TemporaryDirectory>());
    CopyAsIfKilled(replicas.first().path(), *killed.back() / "test.db");
  }
  const std::string dump = replicas.first().Dump();
  for (size_t i = 0; i < killed.size(); ++i) {
    auto machine = OpenAt(*killed[i]);
    ASSERT_TRUE(machine.ok()) << machine.status();
    EXPECT_EQ((*machine)->applied_index(), LogIndex(i + 2));
    EXPECT_EQ((*machine)->durable_index(), LogIndex(i + 2));
    // Applies the whole log again, like a node that does not trust its commit index.
    const Status status = (*machine)->Apply(replicas.log(), TestConfiguration(), LogIndex(),
                                            [](const EntryResults&) {});
    EXPECT_TRUE(status.ok()) << status;
    machine->reset();
    EXPECT_EQ(DumpFile(*killed[i] / "test.db"), dump);
  }
}

TEST(SqliteStateMachine, DurableIndexMovesOnlyWithACheckpoint) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("INSERT INTO t VALUES(1)");
  StateMachine& machine = replicas.first().machine();
  EXPECT_EQ(machine.applied_index(), LogIndex(2));
  EXPECT_EQ(machine.durable_index(), LogIndex(0));
  EXPECT_GT(machine.WalBytes(), 0u);
  EXPECT_TRUE(machine.Checkpoint().ok());
  EXPECT_EQ(machine.durable_index(), LogIndex(2));
  EXPECT_EQ(machine.WalBytes(), 0u);
}

TEST(SqliteStateMachine, AnOldReaderDoesNotHoldTheDurableIndexBack) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  auto view = replicas.first().machine().OpenReadView(std::chrono::seconds(1));
  ASSERT_TRUE(view.ok());
  replicas.Must("INSERT INTO t VALUES(1)");
  EXPECT_TRUE(replicas.first().machine().Checkpoint().ok());
  EXPECT_EQ(replicas.first().machine().durable_index(), LogIndex(2));
  EXPECT_EQ((*view)->applied(), LogIndex(1));
  EXPECT_EQ((*view)->Version("t").value(), 1);
}

TEST(SqliteStateMachine, NoopAndConfigurationEntriesMoveTheAppliedIndex) {
  TestReplica replica;
  raft::Configuration config = TestConfiguration();
  config.learners.insert(MemberId(2));
  config.info[MemberId(2)] = {2, "localhost:2", 9};
  config.next_member_id = 3;
  auto payload = std::make_shared<const std::string>(raft::EncodeConfiguration(config));
  auto empty = std::make_shared<const std::string>();
  const std::vector<raft::Entry> entries = {
      {Term(1), LogIndex(1), raft::EntryType::kNoop, empty},
      {Term(2), LogIndex(2), raft::EntryType::kConfig, payload}};
  std::vector<uint64_t> seen;
  EXPECT_TRUE(replica.machine()
                  .Apply(entries, config, LogIndex(2),
                         [&](const EntryResults& each) {
                           EXPECT_TRUE(each.results.empty());
                           seen.push_back(each.index.value());
                         })
                  .ok());
  EXPECT_EQ(seen, (std::vector<uint64_t>{1, 2}));
  replica.Restart();
  const AppliedState state = replica.machine().applied_state();
  EXPECT_EQ(state.index, LogIndex(2));
  EXPECT_EQ(state.term, Term(2));
  EXPECT_EQ(state.config, config);
  EXPECT_EQ(state.config_index, LogIndex(2));
}

TEST(SqliteStateMachine, AGapInTheLogIsRefused) {
  TestReplica replica;
  const raft::Entry entry = MakeEntry(LogIndex(2), {}, {ExecuteCommand("CREATE TABLE t(x)")});
  EXPECT_FALSE(
      replica.machine()
          .Apply(std::span(&entry, 1), TestConfiguration(), LogIndex(), [](const EntryResults&) {})
          .ok());
  EXPECT_EQ(replica.machine().applied_index(), LogIndex(0));
}

TEST(SqliteStateMachine, AFileThatIsNotCairnsIsRefusedAndNotTouched) {
  TemporaryDirectory directory;
  const std::string path = directory / "test.db";
  { std::ofstream(path) << std::string(8192, 'x'); }
  EXPECT_EQ(OpenAt(directory).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::filesystem::file_size(path), 8192u);
  std::filesystem::remove(path);
  { TestDatabase(path).Run("PRAGMA journal_mode = WAL; CREATE TABLE users(name)"); }
  const auto read = [&] {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const std::string before = read();
  EXPECT_EQ(OpenAt(directory).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(read(), before);
  EXPECT_FALSE(std::filesystem::exists(path + "-wal"));
}

TEST(SqliteStateMachine, AFileOfAnotherFormatIsRefused) {
  for (const std::string format : {"1", "99"}) {
    TemporaryDirectory directory;
    ASSERT_TRUE(OpenAt(directory).ok());
    TestDatabase(directory / "test.db").Run("UPDATE _cairn_state SET format = " + format);
    const Status status = OpenAt(directory).status();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_NE(status.message().find("it has format " + format), std::string::npos) << status;
  }
}

TEST(SqliteStateMachine, AStoppedNodesFileOpensInTheStockShell) {
  if (!std::filesystem::exists("/usr/bin/sqlite3")) GTEST_SKIP() << "no sqlite3 shell";
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x, at DEFAULT CURRENT_TIMESTAMP)");
  replicas.Must("INSERT INTO t(x) VALUES(41), (1)");
  replicas.first().Close();
  const std::string command = "/usr/bin/sqlite3 '" + replicas.first().path() +
                              "' 'PRAGMA integrity_check; SELECT sum(x) FROM t' > '" +
                              (replicas.first().directory() / "out") + "'";
  ASSERT_EQ(std::system(command.c_str()), 0);
  std::ifstream in(replicas.first().directory() / "out");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "ok\n42\n");
}

TEST(SqliteStateMachine, ASnapshotTakesThePlaceOfTheDatabase) {
  Replicas leader(/*restarts=*/false);
  leader.Must("CREATE TABLE t(x)");
  leader.Do(WithId(ExecuteCommand("INSERT INTO t VALUES(7)"), "s", 1));
  auto snapshot = leader.first().machine().OpenSnapshot(LogIndex(2));
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  ASSERT_TRUE((*snapshot)->Complete([] { return true; }).ok());
  TestReplica behind;
  behind.Apply(std::span(leader.log()).subspan(0, 1));
  const std::string copy = behind.directory() / "incoming";
  auto bytes = (*snapshot)->Read(0, (*snapshot)->size_bytes());
  ASSERT_TRUE(bytes.ok());
  { std::ofstream(copy, std::ios::binary) << *bytes; }
  const Status installed = behind.machine().InstallSnapshot(copy, (*snapshot)->meta());
  ASSERT_TRUE(installed.ok()) << installed;
  EXPECT_EQ(behind.machine().applied_index(), LogIndex(2));
  EXPECT_EQ(behind.machine().durable_index(), LogIndex(2));
  // The session came with the snapshot.
  leader.Do(WithId(ExecuteCommand("INSERT INTO t VALUES(7)"), "s", 1));
  leader.Must("INSERT INTO t VALUES(8)");
  behind.Apply(std::span(leader.log()).subspan(2));
  EXPECT_EQ(behind.Dump(), leader.first().Dump());
}

TEST(SqliteStateMachine, ADamagedSnapshotChangesNothing) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  const std::string copy = replicas.first().directory() / "incoming";
  { std::ofstream(copy) << "not a database"; }
  raft::SnapshotMeta meta;
  meta.index = LogIndex(9);
  EXPECT_FALSE(replicas.first().machine().InstallSnapshot(copy, meta).ok());
  replicas.Must("INSERT INTO t VALUES(1)");
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "1");
}

TEST(SqliteStateMachine, ReopeningEndsReadersAndMakesAllThatWasAppliedDurable) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("INSERT INTO t VALUES(1)");
  StateMachine& machine = replicas.first().machine();
  auto view = machine.OpenReadView(std::chrono::seconds(1));
  ASSERT_TRUE(view.ok());
  ASSERT_TRUE(machine.Reopen().ok());
  EXPECT_FALSE((*view)->Version("t").ok());
  view->reset();
  EXPECT_EQ(machine.applied_index(), LogIndex(2));
  EXPECT_EQ(machine.durable_index(), LogIndex(2));
  replicas.Must("INSERT INTO t VALUES(2)");
  EXPECT_EQ(replicas.Query("SELECT sum(x) FROM t"), "3");
}

// Leaves the WAL as a failed sync may leave it: pages that the kernel gave up are not on the disk.
TEST(SqliteStateMachine, AReopenedWalThatLostItsEndIsReadAsFarAsItIsWholeAndAppliedAnew) {
  Replicas replicas(/*restarts=*/false);
  TestReplica torn;
  replicas.Must("CREATE TABLE t(x)");
  torn.Apply(replicas.log());
  ASSERT_TRUE(torn.machine().Checkpoint().ok());
  replicas.Must("INSERT INTO t VALUES(1)");
  replicas.Must("INSERT INTO t VALUES(2)");
  torn.Apply(std::span(replicas.log()).subspan(1));
  // The last frame. Behind it the file has frames from before the checkpoint.
  const auto end = static_cast<std::streamoff>(torn.machine().WalBytes());
  const std::string wal = torn.path() + "-wal";
  {
    std::fstream file(wal, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(end - 3000);
    file << std::string(1000, 'x');
  }
  ASSERT_TRUE(torn.machine().Reopen().ok());
  const LogIndex left = torn.machine().applied_index();
  EXPECT_LT(left, LogIndex(3));
  EXPECT_GE(left, LogIndex(1)) << "never less than was durable";
  EXPECT_EQ(torn.machine().durable_index(), left);
  torn.Apply(std::span(replicas.log()).subspan(left.value()));
  EXPECT_EQ(torn.Dump(), replicas.first().Dump());
}

TEST(SqliteStateMachine, ASnapshotReplacesADatabaseThatCanNotBeReopened) {
  Replicas leader(/*restarts=*/false);
  leader.Must("CREATE TABLE t(x)");
  leader.Must("INSERT INTO t VALUES(7)");
  auto snapshot = leader.first().machine().OpenSnapshot(LogIndex(2));
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  ASSERT_TRUE((*snapshot)->Complete([] { return true; }).ok());
  TestReplica damaged;
  damaged.Apply(leader.log());
  ASSERT_TRUE(damaged.machine().Checkpoint().ok());
  { std::ofstream(damaged.path(), std::ios::binary) << std::string(8192, 'x'); }
  EXPECT_FALSE(damaged.machine().Reopen().ok());
  EXPECT_FALSE(damaged.machine().Reopen().ok());
  EXPECT_FALSE(damaged.machine().OpenReadView(SteadyTime(0)).ok());
  const std::string copy = damaged.directory() / "incoming";
  auto bytes = (*snapshot)->Read(0, (*snapshot)->size_bytes());
  ASSERT_TRUE(bytes.ok());
  { std::ofstream(copy, std::ios::binary) << *bytes; }
  const Status installed = damaged.machine().InstallSnapshot(copy, (*snapshot)->meta());
  ASSERT_TRUE(installed.ok()) << installed;
  leader.Must("INSERT INTO t VALUES(8)");
  damaged.Apply(std::span(leader.log()).subspan(2));
  EXPECT_EQ(damaged.Dump(), leader.first().Dump());
}

// A comparison with plain SQLite found that all of these were refused as "unsafe".
TEST(SqliteStateMachine, JsonAndFullTextMayBePartOfTheSchema) {
  Replicas replicas;
  replicas.Must(
      "CREATE TABLE t(id INTEGER PRIMARY KEY, doc TEXT CHECK(json_valid(doc)),"
      " k AS (doc ->> '$.k') STORED)");
  replicas.Must("CREATE INDEX t_k ON t(json_extract(doc, '$.k'))");
  replicas.Must("CREATE VIRTUAL TABLE words USING fts5(doc, content='t', content_rowid='id')");
  replicas.Must(
      "CREATE TRIGGER t_insert AFTER INSERT ON t BEGIN"
      " INSERT INTO words(rowid, doc) VALUES(new.id, new.doc); END");
  replicas.Must("CREATE VIEW found AS SELECT t.k FROM words('seven') JOIN t ON t.id = words.rowid");
  replicas.Must(R"(INSERT INTO t(doc) VALUES('{"k":"one"}'), ('{"k":"two seven"}'))");
  EXPECT_FALSE(replicas.Execute("INSERT INTO t(doc) VALUES('no json')").status.ok());
  EXPECT_EQ(replicas.Query("SELECT k FROM found"), "two seven");
  EXPECT_EQ(replicas.Query("SELECT id FROM t WHERE json_extract(doc, '$.k') = 'one'"), "1");
  // Functions that depend on the node are refused in a schema too.
  EXPECT_EQ(replicas.Execute("CREATE VIEW v AS SELECT sqlite_version()").status.code(),
            StatusCode::kOk);
  replicas.Must("CREATE TABLE target(x)");
  EXPECT_FALSE(replicas.Execute("INSERT INTO target SELECT * FROM v").status.ok());
  replicas.Check();
}

// A comparison with plain SQLite found that the second statement was refused, because it first
// deletes the rows of the first one.
TEST(SqliteStateMachine, OneTableMayBeAnalyzedAgain) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE)");
  replicas.Must("INSERT INTO t(b) VALUES(1), (2)");
  for (int i = 0; i < 2; ++i) replicas.Must("ANALYZE t");
  replicas.Must("DROP TABLE t");
  EXPECT_EQ(replicas.Execute("DELETE FROM sqlite_stat1").status.code(),
            StatusCode::kPermissionDenied);
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
