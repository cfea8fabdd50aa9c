#include "state_machine/sqlite/error_judge.h"

#include <string>

#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/sqlite_memory.h"

namespace cairn::state_machine {
namespace {

Status VerdictOf(int rc, const char* message) {
  switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
      switch (rc) {
        case SQLITE_CONSTRAINT_UNIQUE:
        case SQLITE_CONSTRAINT_PRIMARYKEY:
        case SQLITE_CONSTRAINT_ROWID: return AlreadyExists(message);
        default: return FailedPrecondition(message);
      }
    case SQLITE_TOOBIG: return ResourceExhausted(message);
    case SQLITE_AUTH: return PermissionDenied(message);
    // Here only statements of this connection can lock one another: a virtual table is written
    // while the same statement scans it.
    case SQLITE_LOCKED:
    case SQLITE_CORRUPT: return FailedPrecondition(message);
    default: return InvalidArgument(message);
  }
}

}  // namespace

bool ErrorJudge::IsVerdict(int rc) {
  switch (rc & 0xff) {
    case SQLITE_ERROR:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
    case SQLITE_AUTH:
    case SQLITE_LOCKED: return true;
    // These codes mean that rows are wrong, not pages: a full-text index was given content that it
    // never had, or sqlite_sequence has the wrong form. Clients can cause both, on all nodes alike.
    case SQLITE_CORRUPT: return rc == SQLITE_CORRUPT_VTAB || rc == SQLITE_CORRUPT_SEQUENCE;
    default: return false;
  }
}

Status ErrorJudge::AtItsEnd() {
  return FailedPrecondition(
      "an AUTOINCREMENT sequence, or the segments of a full-text index, have come to their end");
}

Status ErrorJudge::Exhausted() const {
  return ResourceExhausted(
      "the command needs more than " + std::to_string(budget_->steps_max()) +
      " steps of work, which is the limit; do it in slices, or as maintenance");
}

Status ErrorJudge::Judge(int rc, std::string_view doing, Status* verdict) {
  const int kind = rc & 0xff;
  // A virtual table may report the interruption of its own statement under another code.
  if (budget_->exhausted() && (kind == SQLITE_INTERRUPT || kind == SQLITE_ABORT || IsVerdict(rc))) {
    *verdict = Exhausted();
    return OkStatus();
  }
  if (IsVerdict(rc)) {
    value_too_large_ = kind == SQLITE_TOOBIG;
    *verdict = VerdictOf(rc, sqlite3_errmsg(db_));
    return OkStatus();
  }
  if (IsAtItsEnd(rc)) {
    *verdict = AtItsEnd();
    return OkStatus();
  }
  if (rc == SQLITE_CORRUPT_INDEX || rc == SQLITE_CORRUPT) {
    ASSIGN_OR_RETURN(const bool stale, IndexMayBeStale(rc));
    if (!stale && rc == SQLITE_CORRUPT) return SqliteTrouble(db_, rc, doing);
    if (!stale) return DataLoss("an index lacks an entry (SQLite code 779)");
    read_all_pages_ = rc == SQLITE_CORRUPT;
    *verdict = FailedPrecondition(
        "an index over JSON lacks the entry of a row, or has one of no row; REINDEX mends it");
    // After this code SQLite allows the transaction no more writes.
    const bool ends_batch = rc == SQLITE_CORRUPT && sqlite3_get_autocommit(db_) == 0;
    return ends_batch ? ExecInternal(db_, "ROLLBACK") : OkStatus();
  }
  if (kind == SQLITE_NOMEM && !MemoryRanOut()) {
    // SQLite did not ask the machine for this memory. All nodes get this code at the same place.
    *verdict = ResourceExhausted("a value grew larger than SQLite can hold");
    return OkStatus();
  }
  return SqliteTrouble(db_, rc, doing);
}

// For example, an index over json_array(x) sees whether x came from json() while the row is
// written, but not when the row is read again. So the index does not find its entry when the row is
// deleted. In a partial index that no longer includes the row, the entry stays, and later leads to
// no row. SQLite reports both as damage, like damaged pages. A look at all pages tells the two
// apart.
Result<bool> ErrorJudge::IndexMayBeStale(int rc) {
  const WorkBudget::Pause pause(budget_);  // the statement does not pay for the look
  InternalStatement find;
  RETURN_IF_ERROR(find.Prepare(db_,
                               "SELECT 1 FROM sqlite_schema"
                               " WHERE sql LIKE '%json%' OR sql LIKE '%subtype%'"
                               " OR sql LIKE '%strftime%'"));
  ASSIGN_OR_RETURN(const bool sees_subtypes, find.Next());
  if (!sees_subtypes || rc == SQLITE_CORRUPT_INDEX) return sees_subtypes;
  const Status sound = CheckPages(db_);
  if (sound.code() == StatusCode::kDataLoss) return false;
  RETURN_IF_ERROR(sound);
  return true;
}

}  // namespace cairn::state_machine
