// The whole state machine on a disk that loses power, fails and fills up, at every step. Afterwards
// the state is always that of some prefix of the log, and never less than was vouched for.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "state_machine/sqlite/file_system_vfs.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "testing/sanitized.h"

namespace cairn::state_machine {
namespace {

using Fault = FaultFileSystem::Fault;
using Unsynced = FaultFileSystem::Unsynced;

constexpr char kPath[] = "/hub/test.db";
constexpr size_t kEntriesPerApply = 3;
constexpr size_t kAppliesPerCheckpoint = 4;
constexpr uint64_t kStride = Stride(3);

std::vector<raft::Entry> MakeLog() {
  std::vector<raft::Entry> log;
  BatchHeader header{1'700'000'000'000, 1, 1'000, 50'000'000};
  for (const std::vector<Command>& commands : MixedWorkload()) {
    header.wall_ms += 1000;
    header.random_seed += 1;
    log.push_back(MakeEntry(LogIndex(log.size() + 1), header, commands));
  }
  return log;
}

Result<std::unique_ptr<StateMachine>> OpenOn(FaultFileSystem& fs) {
  SqliteOptions options;
  options.path = kPath;
  options.snapshot_directory = "/hub/snapshot";
  options.file_system = &fs;
  options.cache_bytes = 16 << 10;  // pages are read again and again, and spilled
  return OpenSqliteStateMachine(options, TestConfiguration());
}

// The rows of every table that a closed machine has left. Fails the test on damage.
std::string DumpOf(FaultFileSystem& fs) {
  FileSystemVfs vfs(fs, SystemClock(), 1);
  {
    TestDatabase db(kPath, "", vfs.name());
    EXPECT_EQ(db.Text("PRAGMA integrity_check"), "ok");
  }
  return DumpFile(kPath, vfs.name());
}

class DiskFaults : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    log_ = new std::vector<raft::Entry>(MakeLog());
    auto* const dumps = new std::vector<std::string>;
    dumps_ = dumps;
    FaultFileSystem fs(1);
    Prepare(&fs);
    for (size_t i = 0; i <= log_->size(); ++i) {
      auto machine = OpenOn(fs);
      ASSERT_TRUE(machine.ok()) << machine.status();
      const Status status = Apply(**machine, std::span(*log_).first(i));
      ASSERT_TRUE(status.ok()) << status;
      machine->reset();
      dumps->push_back(DumpOf(fs));
    }
  }
  static void TearDownTestSuite() {
    delete log_;
    delete dumps_;
  }

  static void Prepare(FaultFileSystem* fs) {
    ASSERT_TRUE(fs->CreateDirectories("/hub/snapshot").ok());
  }
  static Status Apply(StateMachine& machine, std::span<const raft::Entry> entries) {
    return machine.Apply(entries, TestConfiguration(), LogIndex(), [](const EntryResults&) {});
  }
  // Applies the rest of the log, with checkpoints, until the end or the first trouble.
  static Status ApplyRest(StateMachine& machine) {
    for (size_t applies = 1; machine.applied_index().value() < log_->size(); ++applies) {
      const auto rest = std::span(*log_).subspan(machine.applied_index().value());
      RETURN_IF_ERROR(Apply(machine, rest.first(std::min(rest.size(), kEntriesPerApply))));
      if (applies % kAppliesPerCheckpoint == 0) RETURN_IF_ERROR(machine.Checkpoint());
    }
    return machine.Checkpoint();
  }
  // The number of operations and reads of a run without faults.
  static FaultFileSystem& Measured() {
    static FaultFileSystem* const kMeasured = [] {
      auto* const made = new FaultFileSystem(1);
      Prepare(made);
      auto machine = OpenOn(*made);
      EXPECT_TRUE(machine.ok() && ApplyRest(**machine).ok());
      return made;
    }();
    return *kMeasured;
  }

  // The machine must open, hold what the entries up to its applied index make, which is at least
  // `index_min`, and come to the right end.
  static void ExpectSound(FaultFileSystem& fs, uint64_t index_min, const std::string& what) {
    SCOPED_TRACE(what);
    uint64_t applied = 0;
    {
      auto machine = OpenOn(fs);
      ASSERT_TRUE(machine.ok()) << machine.status();
      applied = (*machine)->applied_index().value();
      EXPECT_EQ((*machine)->durable_index().value(), applied);
    }
    ASSERT_GE(applied, index_min);
    ASSERT_LE(applied, log_->size());
    ASSERT_EQ(DumpOf(fs), dumps_->at(applied)) << "applied " << applied;
    auto machine = OpenOn(fs);
    ASSERT_TRUE(machine.ok()) << machine.status();
    const Status rest = ApplyRest(**machine);
    ASSERT_TRUE(rest.ok()) << rest;
    machine->reset();
    ASSERT_EQ(DumpOf(fs), dumps_->back());
  }

  static const std::vector<raft::Entry>* log_;
  static const std::vector<std::string>* dumps_;  // by applied index
};

const std::vector<raft::Entry>* DiskFaults::log_ = nullptr;
const std::vector<std::string>* DiskFaults::dumps_ = nullptr;

class PowerCuts : public DiskFaults, public testing::WithParamInterface<Unsynced> {};

TEST_P(PowerCuts, AtEveryOperationLeaveAPrefixOfTheLogThatIsNoShorterThanTheDurableIndex) {
  const uint64_t operations = Measured().operations();
  ASSERT_GT(operations, 300u);
  std::set<uint64_t> durable_seen;
  // The four kinds of loss share the operations: all four at each operation would take minutes.
  const uint64_t first = 1 + static_cast<uint64_t>(GetParam());
  for (uint64_t k = first; k <= operations && !HasFatalFailure(); k += Stride(4)) {
    FaultFileSystem fs(k);
    Prepare(&fs);
    fs.Inject(k, Fault::kPowerCut);
    uint64_t durable = 0;
    if (auto machine = OpenOn(fs); machine.ok()) {
      EXPECT_FALSE(ApplyRest(**machine).ok());
      durable = (*machine)->durable_index().value();
    }
    durable_seen.insert(durable);
    fs.Crash(GetParam());
    ExpectSound(fs, durable, "power cut at operation " + std::to_string(k));
  }
  EXPECT_GE(durable_seen.size(), 3u) << "the test did not reach the checkpoints";
}

TEST_P(PowerCuts, WhileTheWalOfACrashIsTakenInLeaveAllThatWasThere) {
  // The files of a process that was killed before its first checkpoint.
  const auto killed = [](uint64_t seed) {
    auto fs = std::make_unique<FaultFileSystem>(seed);
    Prepare(fs.get());
    auto machine = OpenOn(*fs);
    EXPECT_TRUE(Apply(**machine, *log_).ok());
    EXPECT_TRUE((*machine)->Checkpoint().ok());
    machine->reset();
    machine = OpenOn(*fs);
    return fs;
  };
  for (uint64_t k = 1;; k += Stride(1)) {
    auto fs = killed(k);
    fs->KillProcess();
    fs->Inject(k, Fault::kPowerCut);
    const bool opened = OpenOn(*fs).ok();
    fs->Crash(GetParam());
    ExpectSound(*fs, log_->size(), "power cut at operation " + std::to_string(k));
    if (opened || HasFatalFailure()) break;
  }
}

std::string NameOf(const testing::TestParamInfo<Unsynced>& info) {
  switch (info.param) {
    case Unsynced::kDrop: return "Drop";
    case Unsynced::kKeepRandom: return "KeepRandom";
    case Unsynced::kTorn: return "Torn";
    case Unsynced::kKeepAll: return "KeepAll";
  }
  return "Other";
}

INSTANTIATE_TEST_SUITE_P(All, PowerCuts,
                         testing::Values(Unsynced::kDrop, Unsynced::kKeepRandom, Unsynced::kTorn,
                                         Unsynced::kKeepAll),
                         &NameOf);

TEST_F(DiskFaults, AnErrorAtEveryOperationIsTroubleAndNeverAHalfAppliedEntry) {
  const uint64_t operations = Measured().operations();
  uint64_t troubles = 0;
  uint64_t tried = 0;
  for (uint64_t k = 1; k <= operations && !HasFatalFailure(); k += Stride(1), ++tried) {
    FaultFileSystem fs(k);
    Prepare(&fs);
    fs.Inject(k, Fault::kFailOnce);
    uint64_t durable = 0;
    if (auto machine = OpenOn(fs); machine.ok()) {
      const Status status = ApplyRest(**machine);
      troubles += status.ok() ? 0 : 1;
      durable = (*machine)->durable_index().value();
    } else {
      ++troubles;
    }
    fs.ClearFaults();
    ExpectSound(fs, durable, "error at operation " + std::to_string(k));
  }
  EXPECT_GE(troubles * 10, tried * 9);
}

// If a statement within a statement of a full-text table fails, the table remembers counts of the
// undone transaction, and would write them with the next one.
TEST_F(DiskFaults, AfterTroubleNothingIsAppliedUntilTheFileIsOpenedAnew) {
  const uint64_t operations = Measured().operations();
  uint64_t troubles = 0;
  for (uint64_t k = 1; k <= operations && !HasFatalFailure(); k += kStride) {
    FaultFileSystem fs(k);
    Prepare(&fs);
    auto machine = OpenOn(fs);
    ASSERT_TRUE(machine.ok()) << machine.status();
    fs.Inject(k, Fault::kFailOnce);
    const Status status = ApplyRest(**machine);
    if (!status.ok()) {
      ++troubles;
      const uint64_t durable = (*machine)->durable_index().value();
      EXPECT_EQ(Apply(**machine, *log_), status);
      EXPECT_EQ((*machine)->Checkpoint(), status);
      EXPECT_EQ((*machine)->durable_index().value(), durable);
      const Status reopened = (*machine)->Reopen();
      ASSERT_TRUE(reopened.ok()) << reopened;
      EXPECT_GE((*machine)->durable_index().value(), durable);
      const Status rest = ApplyRest(**machine);
      ASSERT_TRUE(rest.ok()) << rest;
      fs.Crash(Unsynced::kDrop);
    }
    machine->reset();
    fs.ClearFaults();
    ExpectSound(fs, status.ok() ? 0 : log_->size(), "error at operation " + std::to_string(k));
  }
  EXPECT_GT(troubles * kStride, 150u);
}

TEST_F(DiskFaults, AFailedSyncIsNotHealedByALaterOneThatSucceeds) {
  // The machine must not vouch for what a failed sync may have lost, whatever comes after it. The
  // power goes at every operation of the process that opens the files next.
  const uint64_t operations = Measured().operations();
  for (uint64_t k = 1; k <= operations && !HasFatalFailure(); k += kStride) {
    FaultFileSystem fs(k);
    Prepare(&fs);
    auto machine = OpenOn(fs);
    ASSERT_TRUE(machine.ok()) << machine.status();
    fs.Inject(k, Fault::kFailOnce);
    if (ApplyRest(**machine).ok()) continue;
    uint64_t durable = (*machine)->durable_index().value();
    machine->reset();
    fs.KillProcess();
    const uint64_t then = 1 + k / kStride % 12;
    fs.Inject(then, Fault::kPowerCut);
    machine = OpenOn(fs);
    if (machine.ok()) durable = (*machine)->durable_index().value();
    machine = Internal("closed");
    fs.Crash(Unsynced::kKeepRandom);
    ExpectSound(fs, durable,
                "error at " + std::to_string(k) + ", power cut at " + std::to_string(then));
  }
}

// The system shows pages that the failed sync did not store, and the next sync takes them for
// stored.
TEST_F(DiskFaults, AWalThatAFailedSyncLostIsStoredBeforeTheFileIsTouched) {
  for (uint64_t then = 1;; ++then) {
    FaultFileSystem fs(then);
    Prepare(&fs);
    auto machine = OpenOn(fs);
    ASSERT_TRUE(machine.ok()) << machine.status();
    ASSERT_TRUE(Apply(**machine, *log_).ok());
    fs.Inject(1, Fault::kFailOnce);
    EXPECT_FALSE((*machine)->Checkpoint().ok());
    bool opened = false;
    if (then % 2 == 0) {
      fs.Inject(then, Fault::kPowerCut);
      opened = (*machine)->Reopen().ok();
    } else {
      machine->reset();
      fs.KillProcess();
      fs.Inject(then, Fault::kPowerCut);
      machine = OpenOn(fs);
      opened = machine.ok();
    }
    machine = Internal("closed");
    fs.Crash(Unsynced::kKeepRandom);
    ExpectSound(fs, opened ? log_->size() : 0, "power cut at operation " + std::to_string(then));
    if (opened || HasFatalFailure()) break;
  }
}

// The core that has begun with a snapshot waits for its install. So another call must continue
// wherever the disk failed, also after the rename, when the copy is gone.
TEST_F(DiskFaults, AnInstallThatFailedAtAnyOperationIsFinishedByTheNext) {
  FaultFileSystem other(1);
  Prepare(&other);
  auto leader = OpenOn(other);
  ASSERT_TRUE(leader.ok() && Apply(**leader, *log_).ok());
  auto snapshot = (*leader)->OpenSnapshot(LogIndex(1));
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  ASSERT_TRUE((*snapshot)->Complete([] { return true; }).ok());
  const raft::SnapshotMeta meta = (*snapshot)->meta();
  const std::string bytes = (*snapshot)->Read(0, (*snapshot)->size_bytes()).value();
  uint64_t failed = 0;
  for (uint64_t k = 1; !HasFatalFailure(); k += kStride) {
    SCOPED_TRACE(k);
    FaultFileSystem fs(k);
    Prepare(&fs);
    auto machine = OpenOn(fs);
    ASSERT_TRUE(machine.ok() && Apply(**machine, std::span(*log_).first(5)).ok());
    fs.SetContents("/hub/incoming", bytes);
    fs.Inject(k, Fault::kFailOnce);
    const uint64_t before = fs.operations();
    const Status first = (*machine)->InstallSnapshot("/hub/incoming", meta);
    const uint64_t operations = fs.operations() - before;
    fs.ClearFaults();
    if (!first.ok()) {
      ++failed;
      EXPECT_NE(first.code(), StatusCode::kDataLoss) << first;
      EXPECT_NE(first.code(), StatusCode::kFailedPrecondition) << first;
      const Status second = (*machine)->InstallSnapshot("/hub/incoming", meta);
      ASSERT_TRUE(second.ok()) << second << " after " << first;
    }
    EXPECT_EQ((*machine)->applied_index().value(), log_->size());
    EXPECT_EQ((*machine)->durable_index().value(), log_->size());
    machine->reset();
    fs.Crash(Unsynced::kDrop);
    EXPECT_EQ(DumpOf(fs), dumps_->back());
    if (k > operations) break;
  }
  EXPECT_GT(failed, 10 / kStride);
}

// Votes and acknowledgements wait for the install, so its time must not depend on the size of the
// file. The whole file is read once, before the install.
TEST_F(DiskFaults, AnInstallDoesNotReadTheCopyAgainThatWasLookedThrough) {
  FaultFileSystem other(1);
  Prepare(&other);
  auto leader = OpenOn(other);
  ASSERT_TRUE(leader.ok());
  BatchHeader header{1'700'000'000'000, 1, 1'000, 50'000'000};
  ASSERT_TRUE(Apply(**leader,
                    std::vector<raft::Entry>{
                        MakeEntry(LogIndex(1), header, {ExecuteCommand("CREATE TABLE t(x)")}),
                        MakeEntry(LogIndex(2), header,
                                  {ExecuteCommand("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
                                                  " SELECT i + 1 FROM n WHERE i < 999)"
                                                  " INSERT INTO t SELECT zeroblob(9999) FROM n")})})
                  .ok());
  auto snapshot = (*leader)->OpenSnapshot(LogIndex(1));
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  ASSERT_TRUE((*snapshot)->Complete([] { return true; }).ok());
  FaultFileSystem fs(2);
  Prepare(&fs);
  auto machine = OpenOn(fs);
  ASSERT_TRUE(machine.ok());
  fs.SetContents("/hub/incoming", (*snapshot)->Read(0, (*snapshot)->size_bytes()).value());
  const uint64_t before = fs.reads();
  ASSERT_TRUE((*machine)->CheckSnapshot("/hub/incoming", (*snapshot)->meta(), {}).ok());
  const uint64_t looked_through = fs.reads();
  EXPECT_GT(looked_through - before, 200u);
  ASSERT_TRUE((*machine)->InstallSnapshot("/hub/incoming", (*snapshot)->meta()).ok());
  EXPECT_LT(fs.reads() - looked_through, 100u);
  EXPECT_EQ((*machine)->applied_index(), LogIndex(2));
}

TEST_F(DiskFaults, AnErrorAtEveryReadIsTroubleAndNeverAResult) {
  const uint64_t reads = Measured().reads();
  ASSERT_GT(reads, 100u);
  for (uint64_t k = 1; k <= reads && !HasFatalFailure(); k += Stride(1)) {
    FaultFileSystem fs(k);
    Prepare(&fs);
    fs.InjectRead(k);
    if (auto machine = OpenOn(fs); machine.ok()) ApplyRest(**machine).ok();
    fs.ClearFaults();
    ExpectSound(fs, 0, "error at read " + std::to_string(k));
  }
}

TEST_F(DiskFaults, AFullDiskStopsTheApplyUntilThereIsSpace) {
  FaultFileSystem empty(1);
  Prepare(&empty);
  const uint64_t capacity = empty.FreeBytes(kPath).value();
  const uint64_t most = capacity - Measured().FreeBytes(kPath).value();
  uint64_t full = 0;
  for (uint64_t room = 0; room < most && !HasFatalFailure(); room += 1500) {
    FaultFileSystem fs(room);
    Prepare(&fs);
    fs.SetCapacity(room);
    auto machine = OpenOn(fs);
    if (machine.ok()) {
      const Status status = ApplyRest(**machine);
      if (!status.ok()) {
        EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status;
        ++full;
      }
      machine->reset();
    }
    fs.SetCapacity(capacity);
    ExpectSound(fs, 0, "room for " + std::to_string(room) + " bytes");
  }
  EXPECT_GT(full, 20u);
}

// The WAL of a killed process has no room in the file. The node must come up to say so, and go on
// by itself when there is room.
TEST_F(DiskFaults, ADatabaseWhoseCheckpointFindsNoRoomIsOpenedInTrouble) {
  FaultFileSystem fs(1);
  Prepare(&fs);
  const uint64_t capacity = fs.FreeBytes(kPath).value();
  auto machine = OpenOn(fs);
  ASSERT_TRUE(machine.ok() && Apply(**machine, *log_).ok());
  machine->reset();
  fs.KillProcess();
  fs.SetCapacity(0);
  machine = OpenOn(fs);
  ASSERT_TRUE(machine.ok()) << machine.status();
  EXPECT_EQ((*machine)->applied_index().value(), log_->size());
  EXPECT_EQ((*machine)->durable_index().value(), 0u);
  EXPECT_EQ(Apply(**machine, {}).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ((*machine)->Checkpoint().code(), StatusCode::kResourceExhausted);
  fs.SetCapacity(capacity);
  ASSERT_TRUE((*machine)->Reopen().ok());
  EXPECT_TRUE(Apply(**machine, {}).ok());
  EXPECT_EQ((*machine)->durable_index().value(), log_->size());
  machine->reset();
  EXPECT_EQ(DumpOf(fs), dumps_->back());
}

// A VFS that can open nothing because there is no space. SQLite does not call this SQLITE_FULL.
TEST(SqliteTroubleTest, WantOfSpaceIsAFullDiskWhateverSqliteCallsIt) {
  sqlite3_vfs vfs = *sqlite3_vfs_find(nullptr);
  vfs.zName = "nothing_opens";
  static int error;
  vfs.xOpen = [](sqlite3_vfs*, const char*, sqlite3_file* file, int, int*) {
    file->pMethods = nullptr;
    return SQLITE_CANTOPEN;
  };
  vfs.xGetLastError = [](sqlite3_vfs*, int, char*) { return error; };
  ASSERT_EQ(sqlite3_vfs_register(&vfs, 0), SQLITE_OK);
  for (const auto& [given, code] :
       {std::pair{ENOSPC, StatusCode::kResourceExhausted},
        std::pair{EDQUOT, StatusCode::kResourceExhausted}, std::pair{EIO, StatusCode::kInternal}}) {
    error = given;
    sqlite3* db = nullptr;
    const int rc = sqlite3_open_v2("x.db", &db, SQLITE_OPEN_READWRITE, "nothing_opens");
    EXPECT_EQ(SqliteTrouble(db, rc, "open").code(), code) << sqlite3_system_errno(db);
    sqlite3_close(db);
  }
  sqlite3_vfs_unregister(&vfs);
}

}  // namespace
}  // namespace cairn::state_machine
