// RestoreInto: replaces the database of a running cluster by a backup, at one entry of the log.
//
// A restore has a name and goes in steps, each a command (Restore in command.h):
//
//   begin   says the size and the SHA-256 of the backup. One restore at a time
//   pieces  carry the backup, in order. They are kept in the database, so a member that was away
//           gets them as it gets everything: by the log, or in a snapshot
//   finish  checks the backup whole. Then a new database file takes the place of the old one
//           (restored_file.h), with the index of this entry
//   abort   gives it up. So does a time of kRestoreIdleMs (lease clock) without a step
//
// A step that is repeated has the same effect as one. A finish that is repeated is OK as long as no
// other restore has finished.
//
// What decides a verdict is replicated: the bytes of the pieces, and a chain of hashes over them that
// apply computes. What this node alone finds wrong (its disk has lost bytes, or is full) is trouble.
// Otherwise one member would keep the old database, and the others the new one.
//
//     _cairn_restore         one row: the restore under way, and how many there were
//     _cairn_restore_pieces  the pieces. A kept sum covers this table (table_sums.h). Those of a
//                            restore that is over go in bounded steps, some with each entry
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "base/status.h"
#include "raft/types.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/engine.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/storage.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

inline constexpr uint64_t kRestoreIdleMs = 10 * 60 * 1000;
inline constexpr uint64_t kRestoreBytesMax = uint64_t{64} << 30;

// Owned by the applier, and used on its thread.
class RestoreInto {
 public:
  static const char* const kSchema;

  struct Scene {
    LogIndex index;         // of the entry
    bool alone = false;     // the entry has no other command
    uint64_t lease_ms = 0;  // the lease clock
    uint64_t level = 0;     // feature level of the cluster
  };
  // How many pieces of restores that are over one entry removes, and an AdvanceLease.
  static constexpr int64_t kTrimPerEntry = 2;
  static constexpr int64_t kTrimPerAdvance = 32;

  RestoreInto() = default;
  ~RestoreInto() { Close(); }
  RestoreInto(const RestoreInto&) = delete;
  RestoreInto& operator=(const RestoreInto&) = delete;

  // Not OK, and not applied: the disk of `db_path` has no room for the restore that the command begins.
  // A restore takes room for the pieces in the database, for the log that brings them, and for the
  // new file. A node that has none stops applying until it has, so the node that is asked says so
  // before. Thread-safe.
  static Status CheckRoom(FileSystem& fs, const std::string& db_path, const Command& command);

  // Removes the file of a finish that was not completed. `db_path`: of the database.
  Status Open(const Storage& storage, const std::string& db_path, Engine* engine);
  // Before the engine is destroyed.
  void Close();

  // ---- For each entry
  // Gives up a restore that was idle for too long, and removes up to `pieces` pieces that nobody
  // needs.
  Status Trim(uint64_t lease_ms, int64_t pieces);
  // A finish that is OK gives one row: how many restores there were, and the entry of this one.
  Status Apply(const Restore& command, const Scene& scene, CommandResult* result);

  // ---- For each batch
  Status Flush();
  void BatchCommitted() { before_.reset(); }
  void BatchUndone();

  // ---- After a finish whose verdict is OK
  // The backup lies checked at file(), and has no name yet that counts.
  bool ready() const { return ready_; }
  const std::string& file() const { return file_; }
  // Makes the file the state after the entry. `after` is that state; the engine's tables of Cairn are
  // as of it, in the transaction that is not committed. Returns what the file says of itself.
  Result<raft::SnapshotMeta> Complete(const AppliedState& after);

  // The entry of the last restore; 0: there was none.
  LogIndex restored_at() const { return LogIndex(state_.last_index); }
  // When an entry is wanted for the sake of what is to be removed.
  std::optional<uint64_t> NextDeadlineLeaseMs() const;

 private:
  // The row of _cairn_restore.
  struct State {
    uint64_t restores = 0;    // that have finished
    std::string last_id;      // of the last of them
    uint64_t last_index = 0;  // the entry of its finish
    std::string id;           // of the restore under way; empty: none
    uint64_t size = 0;
    std::string sha256;
    uint64_t received = 0;  // bytes
    std::string chain;      // SHA-256 of the chain before the last piece, and that piece
    // Pieces have numbers that go on from restore to restore. Those from oldest to first are over.
    int64_t oldest = 1;
    int64_t first = 1;
    int64_t next = 1;
    uint64_t lease_ms = 0;  // of the last step
    bool operator==(const State&) const = default;
  };

  Status OpenTables();
  Status Load();
  State& Change();
  void EndStaging();
  Status Begin(const Restore& command, const Scene& scene, Status* verdict);
  Status Piece(const Restore& command, const Scene& scene, Status* verdict);
  Status Abort(const Restore& command, Status* verdict);
  Status Finish(const Restore& command, const Scene& scene, CommandResult* result);
  StatementResult Finished() const;
  Status CheckName(const std::string& id) const;
  // Writes the pieces into the file. Returns the file's SHA-256.
  Result<std::string> Assemble();
  // Whether what has come can be restored. Leaves it at file().
  Status Judge(const Scene& scene, Status* verdict);
  Status Check(const Scene& scene, Status* verdict);
  // What makes the tables of RestoreInto in the restored file.
  std::string OwnTablesSql() const;

  std::optional<Storage> storage_;
  std::string file_;
  Engine* engine_ = nullptr;
  bool has_tables_ = false;
  bool ready_ = false;
  State state_;
  std::optional<State> before_;  // the batch; none: it has changed nothing
  InternalStatement insert_piece_;
  InternalStatement remove_pieces_;
  InternalStatement write_state_;
};

}  // namespace cairn::state_machine
