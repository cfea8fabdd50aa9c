// A backup takes the place of the database of a running cluster.
#include "state_machine/sqlite/restore_into.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "state_machine/change_ring.h"
#include "state_machine/sqlite/file_system_vfs.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/restore_into_test_util.h"
#include "state_machine/sqlite/retention_test_util.h"
#include "testing/sanitized.h"

namespace cairn::state_machine {
namespace {

using ::testing::HasSubstr;

TEST_F(RestoreIntoTest, EveryReplicaHoldsTheBackupAndGoesOnFromThere) {
  cluster_.Must("CREATE TABLE t(id INTEGER PRIMARY KEY, text)");
  cluster_.Must("INSERT INTO t VALUES(1, 'kept'), (2, 'kept')");
  const std::string backup = Backup();
  cluster_.Must("DELETE FROM t WHERE id = 1");
  cluster_.Must("CREATE TABLE later(id)");
  cluster_.Must("INSERT INTO later VALUES(1)");
  RestoreAll("r", backup);
  EXPECT_EQ(cluster_.Query("SELECT id, text FROM t ORDER BY id"), "1|kept 2|kept");
  EXPECT_FALSE(cluster_.Execute("INSERT INTO later VALUES(2)").status.ok());
  cluster_.Must("INSERT INTO t VALUES(3, 'new')");
  cluster_.Check();
}

TEST_F(RestoreIntoTest, VersionsAreTheGreaterOfBothPlusOne) {
  cluster_.Must("CREATE TABLE both(id)");
  cluster_.Must("CREATE TABLE dropped(id)");
  cluster_.Must("INSERT INTO dropped VALUES(1)");
  const std::string backup = Backup();
  for (int i = 0; i < 3; ++i) cluster_.Must("INSERT INTO both VALUES(1)");
  for (int i = 0; i < 3; ++i) cluster_.Must("INSERT INTO dropped VALUES(1)");
  const int64_t dropped = cluster_.Version("dropped");
  cluster_.Must("DROP TABLE dropped");
  cluster_.Must("CREATE TABLE later(id)");
  for (int i = 0; i < 20; ++i) cluster_.Must("INSERT INTO later VALUES(1)");
  const int64_t both = cluster_.Version("both");
  const int64_t later = cluster_.Version("later");
  const int64_t all = cluster_.Version("");
  RestoreAll("r", backup);
  EXPECT_EQ(cluster_.Version(""), all + 1);
  EXPECT_EQ(cluster_.Version("both"), both + 1);
  EXPECT_GT(cluster_.Version("dropped"), dropped);
  // The table of this name is another one than before.
  cluster_.Must("CREATE TABLE later(id)");
  EXPECT_GT(cluster_.Version("later"), later);
  // The backup may also be of a cluster that has gone further.
  cluster_.Check();
}

TEST_F(RestoreIntoTest, ABackupOfAnotherClusterBringsItsVersionsAndNotItsIndex) {
  Replicas other(/*restarts=*/false);
  other.Must("CREATE TABLE t(id)");
  for (int i = 0; i < 40; ++i) other.Must("INSERT INTO t VALUES(1)");
  other.header.lease_ms += 3'600'000;
  other.Must("INSERT INTO t VALUES(2)");
  const int64_t version = other.Version("t");
  const AppliedState before = cluster_.first().machine().applied_state();
  RestoreAll("r", BackupOf(other.first().machine()));
  EXPECT_EQ(cluster_.Version("t"), version + 1);
  const AppliedState after = cluster_.first().machine().applied_state();
  EXPECT_EQ(after.index.value(), cluster_.log().size());
  EXPECT_EQ(after.lease_ms, before.lease_ms);
  EXPECT_EQ(after.level, kLevelDataPlatform);
  EXPECT_EQ(after.config, before.config);
  cluster_.Check();
}

// The client holds the answers to requests whose effects are gone.
TEST_F(RestoreIntoTest, RequestsFromBeforeAreRefusedAndTheOutcomeIsUnknown) {
  cluster_.Must("CREATE TABLE t(id)");
  const std::string backup = Backup();
  const Command sent = WithId(ExecuteCommand("INSERT INTO t VALUES(1)"), "s", 1);
  const Command bare = WithId(ExecuteCommand("INSERT INTO t VALUES(1)"), "bare", 0);
  EXPECT_TRUE(cluster_.Do(sent).status.ok());
  EXPECT_TRUE(cluster_.Do(bare).status.ok());
  RestoreAll("r", backup);
  for (const Command& each : {sent, bare, WithId(ExecuteCommand("INSERT INTO t VALUES(2)"), "s", 2),
                              WithId(ExecuteCommand("INSERT INTO t VALUES(2)"), "s", 1'000'000)}) {
    const CommandResult refused = cluster_.Do(each);
    EXPECT_EQ(refused.status.code(), StatusCode::kFailedPrecondition) << refused.status;
    EXPECT_EQ(refused.status.outcome(), Outcome::kUnknown) << refused.status;
    const Reason wanted = each.id.bare() ? Reason::kNone : Reason::kSessionExpired;
    EXPECT_EQ(refused.status.reason(), wanted) << refused.status;
  }
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM t"), "0");
  EXPECT_TRUE(cluster_.Do(WithId(ExecuteCommand("INSERT INTO t VALUES(3)"), "new", 1)).status.ok());
  EXPECT_TRUE(
      cluster_.Do(WithId(ExecuteCommand("INSERT INTO t VALUES(3)"), "free", 0)).status.ok());
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM t"), "2");
  cluster_.Check();
}

TEST_F(RestoreIntoTest, PreparedTransactionsAreRolledBackAndEndedOnesRemembered) {
  cluster_.Must("CREATE TABLE t(id)");
  const auto prepare = [&](const std::string& tx) {
    Command command;
    command.operation = Prepare{tx, {"INSERT INTO t VALUES(1)", {}, {}}, 60'000, 0};
    return cluster_.Do(command).status;
  };
  const auto commit = [&](const std::string& tx) {
    Command command;
    command.operation = Commit{tx, 0};
    return cluster_.Do(command).status;
  };
  EXPECT_TRUE(prepare("in the backup").ok());
  const std::string backup = Backup();
  EXPECT_TRUE(commit("in the backup").ok());
  EXPECT_TRUE(prepare("open").ok());
  RestoreAll("r", backup);
  EXPECT_EQ(commit("open").code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(cluster_.Transaction("open").state, TxState::kRolledBack);
  EXPECT_EQ(cluster_.Transaction("in the backup").state, TxState::kCommitted);
  EXPECT_TRUE(prepare("new").ok());
  EXPECT_TRUE(commit("new").ok());
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM t"), "1");
  cluster_.Check();
}

TEST_F(RestoreIntoTest, AStepThatIsRepeatedHasTheSameEffect) {
  cluster_.Must("CREATE TABLE t(id)");
  const std::string backup = Backup();
  for (const Command& each : StagingOf("r", backup)) {
    EXPECT_TRUE(cluster_.Do(each).status.ok());
    EXPECT_TRUE(cluster_.Do(each).status.ok());
  }
  const CommandResult done = Finish("r");
  EXPECT_TRUE(done.status.ok());
  const LogIndex at = cluster_.first().machine().changes()->restored_at();
  EXPECT_EQ(at.value(), cluster_.log().size());
  cluster_.Must("INSERT INTO t VALUES(1)");
  const CommandResult again = Finish("r");
  EXPECT_EQ(again.statements, done.statements) << "the retry has another answer";
  ASSERT_EQ(done.statements.size(), 1u);
  EXPECT_EQ(done.statements[0].rows,
            (std::vector<Row>{{Value(int64_t{1}), Value(static_cast<int64_t>(at.value()))}}));
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM t"), "1") << "the database was restored twice";
  EXPECT_EQ(Do({Step::kBegin, "r", backup.size(), SumOf(backup)}).status.code(),
            StatusCode::kFailedPrecondition);
  EXPECT_EQ(InFile("SELECT restores || '|' || last_index FROM _cairn_restore"),
            "1|" + std::to_string(at.value()));
  RestoreAll("again", backup);
  EXPECT_EQ(InFile("SELECT restores FROM _cairn_restore"), "2");
  cluster_.Check();
}

TEST_F(RestoreIntoTest, StepsOutOfOrderAreRefused) {
  cluster_.Must("CREATE TABLE t(id)");
  const std::string backup = Backup();
  EXPECT_EQ(Finish("r").status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Do({Step::kPiece, "r", 0, "x"}).status.code(), StatusCode::kFailedPrecondition);
  const std::string sum = SumOf(backup);
  EXPECT_TRUE(Do({Step::kBegin, "r", backup.size(), sum}).status.ok());
  EXPECT_THAT(Do({Step::kBegin, "other", backup.size(), sum}).status.message(),
              HasSubstr("another restore is under way"));
  EXPECT_EQ(Do({Step::kPiece, "r", 1, "x"}).status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(Finish("r").status.message(), HasSubstr("only 0 of"));
  EXPECT_TRUE(Do({Step::kPiece, "r", 0, backup.substr(0, 100)}).status.ok());
  EXPECT_TRUE(Do({Step::kAbort, "r", 0, ""}).status.ok());
  EXPECT_EQ(Do({Step::kPiece, "r", 100, "x"}).status.code(), StatusCode::kFailedPrecondition);
  RestoreAll("other", backup);
  cluster_.Check();
}

TEST_F(RestoreIntoTest, AFinishBesideOtherCommandsIsNotApplied) {
  cluster_.Must("CREATE TABLE t(id)");
  Stage("r", Backup());
  const auto results = cluster_.DoAll(
      {ExecuteCommand("INSERT INTO t VALUES(1)"), StepCommand({Step::kFinish, "r", 0, ""})});
  EXPECT_TRUE(results[0].status.ok());
  EXPECT_EQ(results[1].status.code(), StatusCode::kAborted);
  EXPECT_EQ(results[1].status.outcome(), Outcome::kNotApplied);
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM t"), "1");
  EXPECT_TRUE(Finish("r").status.ok());
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM t"), "0");
  cluster_.Check();
}

TEST_F(RestoreIntoTest, ARestoreThatSendsNothingIsGivenUpAndLeavesNoPieces) {
  cluster_.Must("CREATE TABLE t(id)");
  const std::string backup = Backup();
  Stage("r", backup);
  EXPECT_NE(InFile("SELECT count(*) FROM _cairn_restore_pieces"), "0");
  auto deadline = cluster_.first().machine().NextDeadlineLeaseMs();
  ASSERT_TRUE(deadline.has_value());
  EXPECT_EQ(*deadline, cluster_.header.lease_ms + kRestoreIdleMs);
  cluster_.header.lease_ms += kRestoreIdleMs;
  Command lease;
  lease.operation = AdvanceLease{};
  EXPECT_TRUE(cluster_.Do(lease).status.ok());
  EXPECT_EQ(InFile("SELECT count(*) FROM _cairn_restore_pieces"), "0");
  EXPECT_EQ(cluster_.first().machine().NextDeadlineLeaseMs(), std::nullopt);
  EXPECT_EQ(Finish("r").status.code(), StatusCode::kFailedPrecondition);
  RestoreAll("next", backup);
  cluster_.Check();
}

TEST(RestoreIntoLevel, IsRefusedAtALowerLevel) {
  Replicas cluster;
  cluster.Must("CREATE TABLE t(id)");
  Command begin = StepCommand({Step::kBegin, "r", 10, std::string(64, '0')});
  EXPECT_EQ(cluster.Do(begin).status.code(), StatusCode::kFailedPrecondition);
  cluster.Check();
}

// A backup that was made while another one was being staged, with retained changes.
TEST_F(RestoreIntoTest, PositionsFromBeforeAreNotHeld) {
  cluster_.Must("CREATE TABLE t(id)");
  EXPECT_TRUE(cluster_.Do(RetainCommand("t", kDayMs)).status.ok());
  cluster_.Must("INSERT INTO t VALUES(1)");
  Stage("other", std::string(40'000, 'x'));
  const std::string backup = Backup();
  cluster_.Must("INSERT INTO t VALUES(2)");
  EXPECT_TRUE(Do({Step::kAbort, "other", 0, ""}).status.ok());
  const auto ring = cluster_.first().machine().changes();
  const auto member = ring->Join();
  cluster_.Must("INSERT INTO t VALUES(3)");
  const ChangePosition before = ring->newest();
  EXPECT_TRUE(ring->After(before, 1 << 20).ok());
  RestoreAll("r", backup);
  const auto refused = ring->After(before, 1 << 20);
  EXPECT_EQ(refused.status().code(), StatusCode::kOutOfRange);
  EXPECT_THAT(refused.status().message(), HasSubstr("restored from a backup"));
  const uint64_t next = cluster_.log().size() + 1;
  EXPECT_EQ(
      InFile("SELECT since_index || '|' || since_ordinal || '|' || bytes FROM _cairn_retention"),
      std::to_string(next) + "|0|0");
  EXPECT_EQ(InFile("SELECT count(*) FROM _cairn_changes"), "0");
  cluster_.Must("INSERT INTO t VALUES(4)");
  EXPECT_EQ(InFile("SELECT count(*) FROM _cairn_changes"), "1");
  cluster_.Check();
}

// ---- Power cuts ---------------------------------------------------------------------------------

constexpr char kPath[] = "/hub/test.db";

Result<std::unique_ptr<StateMachine>> OpenOn(FaultFileSystem& fs) {
  SqliteOptions options;
  options.path = kPath;
  options.snapshot_directory = "/hub/snapshot";
  options.file_system = &fs;
  return OpenSqliteStateMachine(options, TestConfiguration());
}

Status ApplyAll(StateMachine& machine, const std::vector<raft::Entry>& log) {
  return machine.Apply(log, TestConfiguration(), LogIndex(), [](const EntryResults&) {});
}

std::string DumpOf(FaultFileSystem& fs) {
  FileSystemVfs vfs(fs, SystemClock(), 1);
  return DumpFile(kPath, vfs.name());
}

class RestorePowerCuts : public testing::TestWithParam<FaultFileSystem::Unsynced> {};

TEST_P(RestorePowerCuts, LeaveTheOldDatabaseOrTheNewOne) {
  Replicas cluster(/*restarts=*/false);
  Command raise;
  raise.operation = RaiseLevel{kLevelDataPlatform};
  cluster.Do(raise);
  cluster.Must("CREATE TABLE t(id INTEGER PRIMARY KEY, text)");
  cluster.Must("INSERT INTO t VALUES(1, 'backup')");
  const std::string backup = BackupOf(cluster.first().machine());
  cluster.Must("UPDATE t SET text = 'lost'");
  cluster.DoAll(StagingOf("r", backup));
  const std::vector<raft::Entry> before = cluster.log();
  EXPECT_TRUE(cluster.Do(StepCommand({Step::kFinish, "r", 0, ""})).status.ok());
  cluster.Must("INSERT INTO t VALUES(2, 'after')");
  const std::vector<raft::Entry> log = cluster.log();
  std::string wanted;
  uint64_t first = 0;
  uint64_t last = 0;
  {
    FaultFileSystem fs(1);
    ASSERT_TRUE(fs.CreateDirectories("/hub/snapshot").ok());
    auto machine = OpenOn(fs);
    ASSERT_TRUE(ApplyAll(**machine, before).ok() && (*machine)->Checkpoint().ok());
    first = fs.operations();
    ASSERT_TRUE(ApplyAll(**machine, log).ok());
    last = fs.operations();
    machine->reset();
    wanted = DumpOf(fs);
  }
  for (uint64_t k = first + 1; k <= last && !HasFatalFailure(); k += Stride(1)) {
    SCOPED_TRACE("power cut at operation " + std::to_string(k));
    FaultFileSystem fs(k);
    ASSERT_TRUE(fs.CreateDirectories("/hub/snapshot").ok());
    uint64_t durable = 0;
    {
      auto machine = OpenOn(fs);
      ASSERT_TRUE(ApplyAll(**machine, before).ok() && (*machine)->Checkpoint().ok());
      fs.Inject(k - first, FaultFileSystem::Fault::kPowerCut);
      (void)ApplyAll(**machine, log);
      durable = (*machine)->durable_index().value();
    }
    fs.Crash(GetParam());
    auto machine = OpenOn(fs);
    ASSERT_TRUE(machine.ok()) << machine.status();
    EXPECT_GE((*machine)->applied_index().value(), std::max<uint64_t>(durable, before.size()));
    const Status rest = ApplyAll(**machine, log);
    ASSERT_TRUE(rest.ok()) << rest;
    machine->reset();
    ASSERT_EQ(DumpOf(fs), wanted);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RestorePowerCuts,
                         testing::Values(FaultFileSystem::Unsynced::kDrop,
                                         FaultFileSystem::Unsynced::kTorn,
                                         FaultFileSystem::Unsynced::kKeepAll));

}  // namespace
}  // namespace cairn::state_machine
