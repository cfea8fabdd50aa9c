// SqliteStateMachine: connects the parts that apply, read and copy.
#include "state_machine/sqlite/sqlite_state_machine.h"

#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/path.h"
#include "state_machine/change_ring.h"
#include "state_machine/sqlite/applier.h"
#include "state_machine/sqlite/change_recorder.h"
#include "state_machine/sqlite/data_conversion.h"
#include "state_machine/sqlite/data_file.h"
#include "state_machine/sqlite/file_system_vfs.h"
#include "state_machine/sqlite/proposal_check.h"
#include "state_machine/sqlite/read_pool.h"
#include "state_machine/sqlite/snapshot_file.h"
#include "state_machine/sqlite/snapshot_install.h"
#include "state_machine/sqlite/sound_copy.h"
#include "state_machine/sqlite/sqlite_read_view.h"
#include "state_machine/sqlite/state_scan.h"
#include "state_machine/sqlite/vector_graphs.h"
#include "state_machine/sqlite/wal_bound.h"

namespace cairn::state_machine {
namespace {

constexpr SteadyTime kViewAgeMax = std::chrono::seconds(60);

class SqliteStateMachine final : public StateMachine {
 public:
  static Result<std::unique_ptr<StateMachine>> Open(const SqliteOptions& options,
                                                    const raft::Configuration& founding);
  ~SqliteStateMachine() override {
    if (graphs_ != nullptr) graphs_->Stop();
    // Null when opening failed.
    if (snapshots_ != nullptr) snapshots_->Stop();
    if (backups_ != nullptr) backups_->Stop();
    digest_scan_.reset();
    scans_.Close();
    CloseWriter();
  }

  std::shared_ptr<ChangeRing> changes() override { return changes_; }

  AppliedState applied_state() const override {
    MutexLock lock(state_mutex_);
    return state_;
  }
  LogIndex applied_index() const override { return LogIndex(applied_index_.load()); }
  LogIndex durable_index() const override { return LogIndex(durable_index_.load()); }
  uint64_t WalBytes() const override { return wal_bytes_.load(); }
  std::optional<uint64_t> NextDeadlineLeaseMs() const override {
    MutexLock lock(state_mutex_);
    return next_deadline_;
  }
  TimeSeriesUpkeep time_series() const override {
    MutexLock lock(state_mutex_);
    return time_series_;
  }
  StateFigures figures() const override {
    MutexLock lock(state_mutex_);
    StateFigures figures = figures_;
    lock.Unlock();
    graphs_->AddTo(&figures);
    return figures;
  }
  AccessRightsPtr access() const override {
    MutexLock lock(state_mutex_);
    return access_;
  }
  std::optional<ApplyingCommand> Applying() const override { return progress_.Now(); }
  Status CheckProposal(const Command& command) override {
    RETURN_IF_ERROR(checker_.Check(command));
    return RestoreInto::CheckRoom(storage_.fs, options_.path, command);
  }

  Status Apply(std::span<const raft::Entry> entries, const raft::Configuration& config,
               LogIndex config_index, const std::function<void(EntryResults)>& on_results) override;
  Result<std::unique_ptr<ReadView>> OpenReadView(SteadyTime timeout) override;
  std::unique_ptr<StateScan> TakeScan() override { return std::move(digest_scan_); }
  Result<std::unique_ptr<StateScan>> BeginScan() override {
    return ScanFrom(/*is_digest_entry=*/false);
  }
  Status Checkpoint() override;
  Status Reopen() override;
  Result<SteadyTime> BoundWal() override;
  Result<std::shared_ptr<SnapshotReader>> OpenSnapshot(LogIndex index_min) override {
    return snapshots_->Acquire(index_min);
  }
  void DropSnapshot() override { snapshots_->DropKept(); }
  Result<std::shared_ptr<SnapshotReader>> OpenBackup(LogIndex index_min) override {
    return backups_->Acquire(index_min);
  }
  void DropBackup() override { backups_->DropKept(); }
  Status CheckSnapshot(const std::string& path, const raft::SnapshotMeta& meta,
                       const std::function<bool()>& proceed) override;
  Status InstallSnapshot(const std::string& path, const raft::SnapshotMeta& meta) override;

 private:
  SqliteStateMachine(SqliteOptions options, raft::Configuration founding)
      : options_(std::move(options)),
        founding_(std::move(founding)),
        clock_(options_.clock == nullptr ? SystemClock() : *options_.clock),
        vfs_(options_.file_system == nullptr
                 ? nullptr
                 : std::make_unique<FileSystemVfs>(*options_.file_system, clock_, /*seed=*/0)),
        storage_(vfs_ == nullptr ? Storage{} : Storage{*options_.file_system, vfs_->name()}) {}
  Status OpenWriter();
  void CloseWriter() {
    recorder_.Close();
    vector_changes_.Close();
    applier_.reset();
  }
  Result<std::unique_ptr<StateScan>> ScanFrom(bool is_digest_entry);
  void BeginDigest();
  Status MoveWal();
  bool WalIsHeldBack();
  // The bytes of the largest state that is pinned for a copy.
  uint64_t CopyingBytes() const {
    return std::max(snapshots_->copying_bytes(), backups_->copying_bytes());
  }
  void EndWalReaders();
  Status FinishInstall(const raft::SnapshotMeta& meta);
  // Ends all readers, scans and copies.
  void CloseAll();
  void Publish();

  const SqliteOptions options_;
  const raft::Configuration founding_;
  Clock& clock_;
  const std::unique_ptr<FileSystemVfs> vfs_;  // null: SQLite's own
  const Storage storage_;
  ProposalChecker checker_;
  ApplyProgress progress_;
  const std::shared_ptr<ChangeRing> changes_ =
      std::make_shared<ChangeRing>(options_.change_ring_bytes, clock_);
  ChangeRecorder recorder_{changes_};  // the apply thread's
  std::unique_ptr<Applier> applier_;   // the apply thread's; null after a failed install
  Status trouble_;                     // the apply thread's; what Apply or Checkpoint met
  WalBound wal_bound_{options_.wal_restart_bytes};  // the apply thread's
  VectorChanges vector_changes_;                    // the apply thread's
  std::unique_ptr<VectorGraphs> graphs_;
  std::unique_ptr<ReadPool> reads_;
  std::unique_ptr<SnapshotStore> snapshots_;  // for peers
  std::unique_ptr<SnapshotStore> backups_;    // for clients
  // Scans, for the apply thread: the scan that waits to be taken, and the handles of all scans.
  std::unique_ptr<StateScan> digest_scan_;
  OpenScans scans_;
  const std::shared_ptr<ScrubProgress> scrub_progress_ = std::make_shared<ScrubProgress>();

  std::atomic<uint64_t> applied_index_{0};
  std::atomic<uint64_t> durable_index_{0};
  std::atomic<uint64_t> wal_bytes_{0};
  mutable Mutex state_mutex_;
  AppliedState state_ CAIRN_GUARDED_BY(state_mutex_);
  std::optional<uint64_t> next_deadline_ CAIRN_GUARDED_BY(state_mutex_);
  TimeSeriesUpkeep time_series_ CAIRN_GUARDED_BY(state_mutex_) = TimeSeriesUpkeep::kNone;
  StateFigures figures_ CAIRN_GUARDED_BY(state_mutex_);  // of what the applier holds
  AccessRightsPtr access_ CAIRN_GUARDED_BY(state_mutex_) = std::make_shared<const AccessRights>();
};

Result<std::unique_ptr<StateMachine>> SqliteStateMachine::Open(
    const SqliteOptions& options, const raft::Configuration& founding) {
  std::unique_ptr<SqliteStateMachine> machine(new SqliteStateMachine(options, founding));
  SnapshotStoreOptions snapshots;
  snapshots.vfs = machine->storage_.vfs;
  snapshots.db_path = options.path;
  snapshots.directory = options.snapshot_directory;
  snapshots.read_meta = &ReadMeta;
  RETURN_IF_ERROR(machine->OpenWriter());
  SnapshotStoreOptions backups = snapshots;
  backups.name_prefix = "backup-";
  ASSIGN_OR_RETURN(machine->snapshots_,
                   SnapshotStore::Open(machine->storage_.fs, std::move(snapshots)));
  ASSIGN_OR_RETURN(machine->backups_,
                   SnapshotStore::Open(machine->storage_.fs, std::move(backups)));
  ReadPoolOptions reads;
  reads.vfs = machine->storage_.vfs;
  reads.path = options.path;
  reads.readers_max = options.readers_max;
  reads.cache_bytes = options.cache_bytes / 8;
  reads.applied_sql = "SELECT applied_index, wall_ms, lease_ms FROM _cairn_state";
  VectorGraphOptions graphs{.file_system = &machine->storage_.fs,
                            .directory = options.vector_directory};
  graphs.bytes_max = options.vector_bytes_max;
  graphs.rows_min = options.vector_rows_min;
  graphs.clock = &machine->clock_;
  machine->graphs_ = std::make_unique<VectorGraphs>(std::move(graphs), &machine->vector_changes_);
  reads.candidates = [graphs = machine->graphs_.get()](LogIndex applied, const auto& index,
                                                       const auto& query, size_t k) {
    return graphs->Candidates(applied, index, query, k);
  };
  machine->reads_ = std::make_unique<ReadPool>(std::move(reads), machine->clock_);
  // SQLite syncs the directory for the WAL, but not for the file itself.
  RETURN_IF_ERROR(machine->storage_.fs.SyncDirectory(ParentOf(options.path)));
  // A crashed process may have left unsynced data in the WAL.
  RETURN_IF_ERROR(WriteWalAgain(machine->storage_.fs, options.path));
  const Status moved = machine->Checkpoint();
  // A full disk is trouble that the node survives and reports. Nothing is durable until it ends.
  if (!moved.ok() && moved.code() != StatusCode::kResourceExhausted) return moved;
  machine->graphs_->Start(machine->reads_.get());
  return std::unique_ptr<StateMachine>(std::move(machine));
}

Status SqliteStateMachine::OpenWriter() {
  ASSIGN_OR_RETURN(applier_, Applier::Open(storage_, options_.path, options_.cache_bytes, founding_,
                                           options_.level_max, options_.request_room_divisor));
  applier_->set_progress(&progress_);
  Engine& engine = applier_->engine();
  changes_->NoteRestore(applier_->restored_at());
  recorder_.Open(engine.db(), &engine.catalog(), applier_->applied().index);
  engine.AddObserver(&recorder_);
  vector_changes_.Open(applier_->applied().index);
  engine.AddObserver(&vector_changes_);
  trouble_ = OkStatus();
  Publish();
  return OkStatus();
}

void SqliteStateMachine::Publish() {
  const AppliedState& applied = applier_->applied();
  {
    MutexLock lock(state_mutex_);
    state_ = applied;
    state_.restored_at = applier_->restored_at();
    next_deadline_ = applier_->NextDeadlineLeaseMs();
    time_series_ = applier_->time_series();
    figures_ = applier_->figures();
    access_ = applier_->access();
  }
  applied_index_.store(applied.index.value());
  wal_bytes_.store(applier_->engine().wal_bytes());
}

Status SqliteStateMachine::Apply(std::span<const raft::Entry> entries,
                                 const raft::Configuration& config, LogIndex config_index,
                                 const std::function<void(EntryResults)>& on_results) {
  if (applier_ == nullptr) return FailedPrecondition("the database is not open");
  RETURN_IF_ERROR(trouble_);
  const auto deliver = [&](EntryResults results) {
    // The first result of a SQLite transaction comes right after its commit.
    if (results.index.value() > applied_index_.load()) {
      Publish();
      // Nobody writes now, so a reader finds the state that this entry asks about.
      if (applier_->digest_index() == applier_->applied().index) BeginDigest();
    }
    on_results(std::move(results));
  };
  Status status = applier_->Apply(entries, config, config_index, deliver);
  while (auto restored = status.ok() ? applier_->TakeReplacement() : std::nullopt) {
    // First, because watchers hear of it as soon as the old database is closed.
    changes_->NoteRestore(restored->meta.index);
    status = InstallSnapshot(restored->path, restored->meta);
    if (!status.ok()) break;
    on_results(std::move(restored->results));
    status = applier_->Apply(entries, config, config_index, deliver);
  }
  if (applier_ == nullptr) return status;
  Publish();
  // An entry of a later version was not begun, so checkpoints of the applied entries may go on.
  if (!status.ok() && status.code() != StatusCode::kUnimplemented) trouble_ = status;
  return status;
}

Result<std::unique_ptr<ReadView>> SqliteStateMachine::OpenReadView(SteadyTime timeout) {
  ASSIGN_OR_RETURN(std::unique_ptr<ReadTransaction> read, reads_->Open(timeout));
  return MakeReadView(std::move(read));
}

void SqliteStateMachine::BeginDigest() {
  Result<std::unique_ptr<StateScan>> scan = ScanFrom(/*is_digest_entry=*/true);
  if (scan.ok()) {
    digest_scan_ = std::move(scan).value();
  } else {
    LOG_WARN("no digest is made of this state: {}", scan.status().message());
  }
}

Result<std::unique_ptr<StateScan>> SqliteStateMachine::ScanFrom(bool is_digest_entry) {
  if (applier_ == nullptr) return FailedPrecondition("the database is not open");
  ScanSetup setup;
  setup.index = applier_->applied().index;
  setup.is_digest_entry = is_digest_entry;
  setup.sums = applier_->engine().sums().sums();
  setup.progress = scrub_progress_;
  setup.clock = &clock_;
  auto connection = std::make_shared<ScanConnection>();
  RETURN_IF_ERROR(connection->Open(storage_.vfs, options_.path, setup.index));
  scans_.Add(connection);
  return std::unique_ptr<StateScan>(
      std::make_unique<DataScan>(std::move(setup), std::move(connection)));
}

Status SqliteStateMachine::Checkpoint() {
  if (applier_ == nullptr) return FailedPrecondition("the database is not open");
  if (trouble_.ok()) trouble_ = MoveWal();
  return trouble_;
}

Status SqliteStateMachine::MoveWal() {
  // An idle view holds the WAL back as much as a busy one.
  reads_->EndViewsOlderThan(kViewAgeMax);
  const uint64_t index = applier_->applied().index.value();
  ASSIGN_OR_RETURN(const bool all_moved, applier_->engine().Checkpoint());
  if (!all_moved) {
    // A reader needs the old pages in the file, so the new pages stay in the WAL for now. After a
    // sync they are as safe there, and the log need not wait for the reader.
    ASSIGN_OR_RETURN(std::unique_ptr<File> wal,
                     storage_.fs.Open(options_.path + "-wal", /*create=*/false));
    RETURN_IF_ERROR(wal->Sync());
  }
  durable_index_.store(index);
  wal_bytes_.store(applier_->engine().wal_bytes());
  return OkStatus();
}

Result<SteadyTime> SqliteStateMachine::BoundWal() {
  if (applier_ == nullptr || !trouble_.ok()) return SteadyTime::max();
  // A copy may go on until as many bytes were written meanwhile as the copy has to read. The bad
  // schedule without this rule: the WAL of a busy database passes the bound before any copy is
  // made, and a member that needs a copy never comes back.
  const uint64_t copying_bytes = CopyingBytes();
  const uint64_t bytes_max = std::max(options_.wal_bytes_max, copying_bytes);
  if (copying_bytes > 0 && WalBytes() > options_.wal_restart_bytes) {
    snapshots_->Hurry();
    backups_->Hurry();
  }
  // While the copy goes on, it does not help if other readers give way.
  if (copying_bytes > 0 && WalBytes() <= bytes_max) {
    reads_->HoldNewViews(false);
    return SteadyTime::max();
  }
  const WalBound::Step step =
      wal_bound_.Next(clock_.SteadyNow(), WalBytes(), bytes_max, WalIsHeldBack());
  // A view that opens while the rest is moved would use the WAL again.
  reads_->HoldNewViews(step.hold || step.move);
  if (step.end_readers) EndWalReaders();
  Status moved = step.move ? Checkpoint() : OkStatus();
  if (!step.hold) reads_->HoldNewViews(false);
  RETURN_IF_ERROR(moved);
  return step.again;
}

bool SqliteStateMachine::WalIsHeldBack() {
  return reads_->holding_wal() > 0 || CopyingBytes() > 0 || scans_.any_open();
}

void SqliteStateMachine::EndWalReaders() {
  LOG_WARN("the WAL has {} bytes: the reads that hold its beginning are ended", WalBytes());
  reads_->EndViewsForWal();
  scans_.CutOff();
  snapshots_->GiveUpCopy();
  backups_->GiveUpCopy();
}

void SqliteStateMachine::CloseAll() {
  snapshots_->Stop();
  backups_->Stop();
  digest_scan_.reset();
  scans_.Close();
  CloseWriter();
  reads_->DrainAndClose();
}

// SQLite reads the WAL anew only when every connection of the process is closed, and then uses its
// intact part. A failed sync may have lost pages that the kernel now takes for clean. So they are
// written again, into the file, and synced there, before anything builds on them.
Status SqliteStateMachine::Reopen() {
  CloseAll();
  Status status = OpenWriter();
  if (status.ok()) status = WriteWalAgain(storage_.fs, options_.path);
  // A file may have taken this name, and the sync of that may have failed.
  if (status.ok()) status = storage_.fs.SyncDirectory(ParentOf(options_.path));
  if (status.ok()) {
    const Result<bool> all_moved = applier_->engine().Checkpoint();
    status = all_moved.status();
    if (status.ok() && !*all_moved) status = Unavailable("another process reads the database");
    if (status.ok()) durable_index_.store(applier_->applied().index.value());
  }
  if (status.ok()) {
    wal_bytes_.store(applier_->engine().wal_bytes());
    reads_->Reopen();
  } else {
    CloseWriter();
  }
  snapshots_->Resume();
  backups_->Resume();
  return status;
}

Status SqliteStateMachine::CheckSnapshot(const std::string& path, const raft::SnapshotMeta& meta,
                                         const std::function<bool()>& proceed) {
  ASSIGN_OR_RETURN(const int format, CheckDataFile(storage_, path, options_.level_max));
  return CheckSnapshotFile(storage_.vfs, path, meta,
                           format == kDataFormatOf01 ? &ReadMetaOfOld : &ReadMetaOfSound, proceed);
}

// Finishes an install whose earlier call renamed the file and failed afterwards.
Status SqliteStateMachine::FinishInstall(const raft::SnapshotMeta& meta) {
  RETURN_IF_ERROR(storage_.fs.SyncDirectory(ParentOf(options_.path)));
  RETURN_IF_ERROR(Reopen());
  if (applier_->applied().index != meta.index) {
    return FailedPrecondition("the snapshot at index " + ToString(meta.index) + " is gone");
  }
  snapshots_->DropKept();
  return OkStatus();
}

Status SqliteStateMachine::InstallSnapshot(const std::string& path,
                                           const raft::SnapshotMeta& meta) {
  ASSIGN_OR_RETURN(const bool exists, storage_.fs.Exists(path));
  if (!exists) return FinishInstall(meta);
  SnapshotInstallation install;
  install.vfs = storage_.vfs;
  install.copy_path = path;
  install.db_path = options_.path;
  install.meta = meta;
  install.read_meta = &ReadMeta;
  install.close_connections = [this] {
    CloseAll();
    return OkStatus();
  };
  Status status = InstallSnapshotFile(storage_.fs, install);
  if (applier_ == nullptr) {
    // The file that is there now, old or new, is whole.
    Status reopened = OpenWriter();
    if (status.ok()) status = std::move(reopened);
    if (applier_ != nullptr) reads_->Reopen();
    snapshots_->Resume();
    backups_->Resume();
  }
  RETURN_IF_ERROR(status);
  snapshots_->DropKept();
  return Checkpoint();
}

}  // namespace

Result<std::unique_ptr<StateMachine>> OpenSqliteStateMachine(const SqliteOptions& options,
                                                             const raft::Configuration& founding) {
  return SqliteStateMachine::Open(options, founding);
}

}  // namespace cairn::state_machine
