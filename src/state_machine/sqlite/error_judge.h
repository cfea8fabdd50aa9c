// ErrorJudge: classifies a result code of SQLite on the writer's connection as a verdict or as
// trouble.
//
// A *verdict* is the statement's own failure. Only the statement and the database decide it, so it
// is the same on every node and becomes the command's result. *Trouble* is this node's: its disk,
// its memory, damage to its file. Trouble is the returned Status. It must never become a result,
// and a verdict must never be taken for trouble, because all nodes would then stop for good.
#pragma once

#include <sqlite3.h>

#include <string_view>

#include "base/result.h"
#include "base/status.h"
#include "state_machine/sqlite/deterministic_vfs.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {

// Owned by the engine, and used on its thread only. `vfs` and `budget` must outlive it.
class ErrorJudge {
 public:
  ErrorJudge(const DeterministicVfs* vfs, WorkBudget* budget) : vfs_(vfs), budget_(budget) {}

  // Called once, before all else.
  void Open(sqlite3* db) { db_ = db; }

  // True if a code is always a verdict.
  static bool IsVerdict(int rc);

  // Classifies `rc`, the last error of the connection. May end the SQLite transaction: after some
  // verdicts SQLite allows it no more writes.
  Status Judge(int rc, std::string_view doing, Status* verdict);
  // True if the judge has read all pages of the file since BeginStatement. That is work, which
  // cannot be counted in steps.
  void BeginStatement() { read_all_pages_ = value_too_large_ = false; }
  bool read_all_pages() const { return read_all_pages_; }
  // True if a verdict since BeginStatement was about the length of a value.
  bool value_too_large() const { return value_too_large_; }

  // SQLite reports a full disk, but no write has failed: a sequence of rowids or a full-text index
  // has come to its end.
  bool IsAtItsEnd(int rc) const { return (rc & 0xff) == SQLITE_FULL && !vfs_->write_failed(); }

  // ---- Verdicts
  static Status AtItsEnd();
  // The command's budget is exhausted.
  Status Exhausted() const;

 private:
  Result<bool> IndexMayBeStale(int rc);

  const DeterministicVfs* const vfs_;
  WorkBudget* const budget_;
  sqlite3* db_ = nullptr;
  bool read_all_pages_ = false;
  bool value_too_large_ = false;
};

}  // namespace cairn::state_machine
