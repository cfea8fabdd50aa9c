#include "state_machine/sqlite/restore_into.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "base/path.h"
#include "base/sha256.h"
#include "state_machine/feature_level.h"
#include "state_machine/sqlite/new_history.h"
#include "state_machine/sqlite/restored_file.h"
#include "state_machine/sqlite/table_shape.h"

namespace cairn::state_machine {
namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr uint64_t kRoomBesideBytes = 64 << 20;

std::string NextLink(const std::string& chain, std::string_view piece) {
  Sha256 sum;
  sum.Add(chain);
  sum.Add(piece);
  return sum.Hex();
}

Result<std::string> SumOfFile(FileSystem& fs, const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.Open(path, /*create=*/false));
  Sha256 sum;
  for (uint64_t at = 0;;) {
    ASSIGN_OR_RETURN(const std::string piece, file->ReadAt(at, kReadBytes));
    if (piece.empty()) return sum.Hex();
    sum.Add(piece);
    at += piece.size();
  }
}

std::string Quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
  return out + "'";
}

bool IsPlainText(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

// No room, or a file that is in use, is this node's trouble. Everything else is taken for the file's,
// once its bytes are known to be those that the log brought. The bad schedule otherwise: SQLite finds
// something in the file that nobody has thought of. All nodes take it for trouble of their own, and
// stop at this entry for ever.
bool IsOfThisNode(const Status& status) {
  switch (status.code()) {
    case StatusCode::kResourceExhausted:
    case StatusCode::kUnavailable:
    case StatusCode::kCancelled:
    case StatusCode::kNotFound: return true;
    default: return false;
  }
}

}  // namespace

const char* const RestoreInto::kSchema =
    "CREATE TABLE _cairn_restore(id INTEGER PRIMARY KEY CHECK (id = 1), restores INTEGER NOT NULL,"
    " last_name TEXT NOT NULL, last_index INTEGER NOT NULL, name TEXT NOT NULL,"
    " size INTEGER NOT NULL, sha256 TEXT NOT NULL, received INTEGER NOT NULL, chain TEXT NOT NULL,"
    " oldest INTEGER NOT NULL, first INTEGER NOT NULL, next INTEGER NOT NULL,"
    " lease_ms INTEGER NOT NULL);"
    "CREATE TABLE _cairn_restore_pieces(number INTEGER PRIMARY KEY, bytes BLOB NOT NULL);";

Status RestoreInto::CheckRoom(FileSystem& fs, const std::string& db_path, const Command& command) {
  const auto* restore = std::get_if<Restore>(&command.operation);
  if (restore == nullptr || restore->step != Restore::Step::kBegin) return OkStatus();
  if (restore->number > kRestoreBytesMax) return OkStatus();  // apply refuses it
  const uint64_t wanted = 3 * restore->number + kRoomBesideBytes;
  ASSIGN_OR_RETURN(const uint64_t free, fs.FreeBytes(ParentOf(db_path)));
  if (free >= wanted) return OkStatus();
  return ResourceExhausted("to restore the backup a node needs " + std::to_string(wanted) +
                           " bytes, and only " + std::to_string(free) + " are free here")
      .With(Outcome::kNotApplied);
}

// ---- Opening ------------------------------------------------------------------------------------

Status RestoreInto::Open(const Storage& storage, const std::string& db_path, Engine* engine) {
  storage_.emplace(storage);
  engine_ = engine;
  file_ = db_path + "-restored";
  RETURN_IF_ERROR(storage.fs.Remove(file_));
  if (!engine->catalog().HasTable("_cairn_restore")) return OkStatus();
  RETURN_IF_ERROR(OpenTables());
  return Load();
}

void RestoreInto::Close() {
  for (InternalStatement* each : {&insert_piece_, &remove_pieces_, &write_state_}) each->Finalize();
}

Status RestoreInto::OpenTables() {
  sqlite3* const db = engine_->db();
  has_tables_ = true;
  RETURN_IF_ERROR(
      insert_piece_.Prepare(db, "INSERT INTO _cairn_restore_pieces(number, bytes) VALUES(?1, ?2)"));
  RETURN_IF_ERROR(remove_pieces_.Prepare(
      db, "DELETE FROM _cairn_restore_pieces WHERE number >= ?1 AND number < ?2"));
  return write_state_.Prepare(
      db,
      "REPLACE INTO _cairn_restore(id, restores, last_name, last_index, name, size, sha256,"
      " received, chain, oldest, first, next, lease_ms)"
      " VALUES(1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)");
}

Status RestoreInto::Load() {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(engine_->db(),
                               "SELECT restores, last_name, last_index, name, size, sha256,"
                               " received, chain, oldest, first, next, lease_ms"
                               " FROM _cairn_restore"));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  if (!row) return OkStatus();
  state_.restores = read.Uint(0);
  state_.last_id = read.Bytes(1);
  state_.last_index = read.Uint(2);
  state_.id = read.Bytes(3);
  state_.size = read.Uint(4);
  state_.sha256 = read.Bytes(5);
  state_.received = read.Uint(6);
  state_.chain = read.Bytes(7);
  state_.oldest = read.Int(8);
  state_.first = read.Int(9);
  state_.next = read.Int(10);
  state_.lease_ms = read.Uint(11);
  return OkStatus();
}

// ---- Batches ------------------------------------------------------------------------------------

RestoreInto::State& RestoreInto::Change() {
  if (!before_.has_value()) before_ = state_;
  return state_;
}

Status RestoreInto::Flush() {
  if (!before_.has_value() || *before_ == state_ || !has_tables_) return OkStatus();
  return write_state_.Bind(1, state_.restores)
      .BindText(2, state_.last_id)
      .Bind(3, state_.last_index)
      .BindText(4, state_.id)
      .Bind(5, state_.size)
      .BindText(6, state_.sha256)
      .Bind(7, state_.received)
      .BindText(8, state_.chain)
      .Bind(9, state_.oldest)
      .Bind(10, state_.first)
      .Bind(11, state_.next)
      .Bind(12, state_.lease_ms)
      .Run();
}

void RestoreInto::BatchUndone() {
  ready_ = false;
  if (!before_.has_value()) return;
  state_ = *std::exchange(before_, std::nullopt);
  // The tables may have been created in the batch.
  has_tables_ = engine_->catalog().HasTable("_cairn_restore");
}

// ---- Entries ------------------------------------------------------------------------------------

void RestoreInto::EndStaging() {
  State& state = Change();
  state.id.clear();
  state.sha256.clear();
  state.chain.clear();
  state.size = state.received = 0;
  state.first = state.next;
}

Status RestoreInto::Trim(uint64_t lease_ms, int64_t pieces) {
  if (!state_.id.empty() && lease_ms >= state_.lease_ms + kRestoreIdleMs) EndStaging();
  if (state_.oldest == state_.first) return OkStatus();
  const int64_t end = std::min(state_.first, state_.oldest + pieces);
  RETURN_IF_ERROR(remove_pieces_.Bind(1, state_.oldest).Bind(2, end).Run());
  Change().oldest = end;
  return OkStatus();
}

std::optional<uint64_t> RestoreInto::NextDeadlineLeaseMs() const {
  if (state_.oldest != state_.first) return 0;
  if (state_.id.empty()) return std::nullopt;
  return state_.lease_ms + kRestoreIdleMs;
}

Status RestoreInto::Apply(const Restore& command, const Scene& scene, CommandResult* result) {
  Status* const verdict = &result->status;
  if (scene.level < kLevelDataPlatform) {
    *verdict = FailedPrecondition(
        "a backup is restored into a running cluster from feature level 3 on: run 'cairn member "
        "upgrade' when all nodes run this version");
    return OkStatus();
  }
  switch (command.step) {
    case Restore::Step::kBegin: return Begin(command, scene, verdict);
    case Restore::Step::kPiece: return Piece(command, scene, verdict);
    case Restore::Step::kFinish: return Finish(command, scene, result);
    case Restore::Step::kAbort: return Abort(command, verdict);
  }
  return OkStatus();
}

Status RestoreInto::Begin(const Restore& command, const Scene& scene, Status* verdict) {
  const bool same =
      command.id == state_.id && command.number == state_.size && command.bytes == state_.sha256;
  if (same) return OkStatus();
  if (!IsPlainText(command.id) || !IsPlainText(command.bytes) || command.bytes.size() != 64) {
    *verdict = InvalidArgument(
        "a restore has a name of printable ASCII, and a SHA-256 of 64 hexadecimal digits");
  } else if (command.number == 0 || command.number > kRestoreBytesMax) {
    *verdict = InvalidArgument("a backup that is restored into a cluster has at most " +
                               std::to_string(kRestoreBytesMax) + " bytes, and this one has " +
                               std::to_string(command.number));
  } else if (!state_.id.empty()) {
    *verdict =
        FailedPrecondition("another restore is under way: " + state_.id + ". It sent something " +
                           std::to_string((scene.lease_ms - state_.lease_ms) / 1000) +
                           " s ago. It gives way when it ends, when it is given up by its name "
                           "(--abort), or when it has "
                           "sent nothing for " +
                           std::to_string(kRestoreIdleMs / 60'000) + " minutes");
  } else if (command.id == state_.last_id) {
    *verdict = FailedPrecondition("the restore of this name has finished");
  }
  if (!verdict->ok()) return OkStatus();
  if (!has_tables_) {
    RETURN_IF_ERROR(engine_->CreateOwnTables(kSchema));
    RETURN_IF_ERROR(OpenTables());
  }
  State& state = Change();
  state.id = command.id;
  state.size = command.number;
  state.sha256 = command.bytes;
  state.lease_ms = scene.lease_ms;
  return OkStatus();
}

Status RestoreInto::CheckName(const std::string& id) const {
  if (!id.empty() && id == state_.id) return OkStatus();
  return FailedPrecondition(
      "no restore of this name is under way: it has ended, was given up, or has sent nothing for " +
      std::to_string(kRestoreIdleMs / 60'000) + " minutes");
}

Status RestoreInto::Piece(const Restore& command, const Scene& scene, Status* verdict) {
  const uint64_t end = command.number + command.bytes.size();
  *verdict = CheckName(command.id);
  if (!verdict->ok()) return OkStatus();
  // It is there already.
  if (command.number < state_.received && end <= state_.received) return OkStatus();
  if (command.number != state_.received || command.bytes.empty() || end > state_.size) {
    *verdict = InvalidArgument("the next piece begins at " + std::to_string(state_.received) +
                               " and ends by " + std::to_string(state_.size));
    return OkStatus();
  }
  RETURN_IF_ERROR(insert_piece_.Bind(1, state_.next).BindBlob(2, command.bytes).Run());
  State& state = Change();
  ++state.next;
  state.received = end;
  state.chain = NextLink(state.chain, command.bytes);
  state.lease_ms = scene.lease_ms;
  return OkStatus();
}

Status RestoreInto::Abort(const Restore& command, Status* verdict) {
  if (!command.id.empty() && command.id == state_.last_id) {
    *verdict = FailedPrecondition("this restore has finished, at index " +
                                  std::to_string(state_.last_index));
    return OkStatus();
  }
  *verdict = CheckName(command.id);
  if (verdict->ok()) EndStaging();
  return OkStatus();
}

// ---- The finish ---------------------------------------------------------------------------------

StatementResult RestoreInto::Finished() const {
  StatementResult result;
  result.columns = {{"restores", "INTEGER"}, {"log_index", "INTEGER"}};
  result.rows = {{Value(static_cast<int64_t>(state_.restores)),
                  Value(static_cast<int64_t>(state_.last_index))}};
  return result;
}

Status RestoreInto::Finish(const Restore& command, const Scene& scene, CommandResult* result) {
  if (!command.id.empty() && command.id == state_.last_id) {
    result->statements = {Finished()};
    return OkStatus();
  }
  Status* const verdict = &result->status;
  *verdict = CheckName(command.id);
  if (!verdict->ok()) return OkStatus();
  if (!scene.alone) {
    *verdict = Aborted("the end of a restore must be alone in its log entry: send it again")
                   .With(Outcome::kNotApplied);
  } else if (state_.received != state_.size) {
    *verdict = FailedPrecondition("only " + std::to_string(state_.received) + " of " +
                                  std::to_string(state_.size) + " bytes have come");
  }
  if (!verdict->ok()) return OkStatus();
  const Status judged = Judge(scene, verdict);
  // What is left of it would keep a full disk full.
  if (!judged.ok() || !verdict->ok()) RETURN_IF_ERROR(storage_->fs.Remove(file_));
  RETURN_IF_ERROR(judged);
  if (!verdict->ok()) {
    EndStaging();
    return OkStatus();
  }
  State& state = Change();
  ++state.restores;
  state.last_id = command.id;
  state.last_index = scene.index.value();
  EndStaging();
  result->statements = {Finished()};
  ready_ = true;
  return OkStatus();
}

Status RestoreInto::Judge(const Scene& scene, Status* verdict) {
  ASSIGN_OR_RETURN(const std::string sha256, Assemble());
  if (sha256 == state_.sha256) return Check(scene, verdict);
  *verdict = DataLoss("what has come is not the backup: its SHA-256 is " + sha256 + ", and " +
                      state_.sha256 + " was said");
  return OkStatus();
}

// A disk without room is left as it is: the log, which lies on it too, must go on.
Result<std::string> RestoreInto::Assemble() {
  ASSIGN_OR_RETURN(const uint64_t free, storage_->fs.FreeBytes(ParentOf(file_)));
  if (free < state_.size + kRoomBesideBytes) {
    return ResourceExhausted("the restore needs " + std::to_string(state_.size + kRoomBesideBytes) +
                             " bytes for the new database, and only " + std::to_string(free) +
                             " are free");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, storage_->fs.Open(file_, /*create=*/true));
  RETURN_IF_ERROR(file->Truncate(0));
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(engine_->db(),
                               "SELECT bytes FROM _cairn_restore_pieces"
                               " WHERE number >= ?1 AND number < ?2 ORDER BY number"));
  read.Bind(1, state_.first).Bind(2, state_.next);
  Sha256 sum;
  std::string chain;
  for (uint64_t at = 0;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) break;
    const std::string_view piece = read.Bytes(0);
    chain = NextLink(chain, piece);
    sum.Add(piece);
    RETURN_IF_ERROR(file->WriteAt(at, piece));
    file->StartSync(at, piece.size());
    at += piece.size();
  }
  if (chain != state_.chain) {
    return DataLoss("the pieces of the backup in the file are not those that were written to it");
  }
  RETURN_IF_ERROR(file->Sync());
  return sum.Hex();
}

// The bytes are those that the log brought, so what is wrong with them is wrong on every node. But
// the disk may have lost them since: then the file has another sum by now.
Status RestoreInto::Check(const Scene& scene, Status* verdict) {
  Status found = CheckHead(*storage_, file_);
  if (found.ok()) found = CheckOwnTables(*storage_, file_);
  if (found.ok()) found = CheckBackup(*storage_, file_, scene.level).status();
  if (!found.ok() && !IsOfThisNode(found)) {
    ASSIGN_OR_RETURN(const std::string sha256, SumOfFile(storage_->fs, file_));
    if (sha256 != state_.sha256) return DataLoss("the copy of the backup changed on the disk");
  }
  // The trial may change bytes of the file that mean nothing.
  if (found.ok()) {
    found = MakeRestoredFile(*storage_, file_, engine_->db(), OwnTablesSql(), Trial::kYes).status();
  }
  if (found.ok()) return OkStatus();
  if (IsOfThisNode(found)) return found;
  // The verdict is the same on all nodes, and so is its text.
  std::string why = found.message();
  if (why.starts_with(file_ + ": ")) why.erase(0, file_.size() + 2);
  *verdict = FailedPrecondition("the backup can not be restored: " + why);
  return OkStatus();
}

std::string RestoreInto::OwnTablesSql() const {
  return "DROP TABLE IF EXISTS _cairn_restore; DROP TABLE IF EXISTS _cairn_restore_pieces;"
         "DELETE FROM _cairn_digest WHERE name = " +
         Quoted(kRestorePiecesTable) + ";" + kSchema +
         "INSERT INTO _cairn_restore(id, restores, last_name, last_index, name, size, sha256,"
         " received, chain, oldest, first, next, lease_ms) VALUES(1, " +
         std::to_string(state_.restores) + ", " + Quoted(state_.last_id) + ", " +
         std::to_string(state_.last_index) + ", '', 0, '', 0, '', 1, 1, 1, " +
         std::to_string(state_.lease_ms) + ")";
}

Result<raft::SnapshotMeta> RestoreInto::Complete(const AppliedState& after) {
  ASSIGN_OR_RETURN(raft::SnapshotMeta meta,
                   MakeRestoredFile(*storage_, file_, engine_->db(), OwnTablesSql(), Trial::kNo));
  if (meta.index == after.index) return meta;
  return Internal("the restored database stands at index " + ToString(meta.index) + " and not " +
                  ToString(after.index));
}

}  // namespace cairn::state_machine
