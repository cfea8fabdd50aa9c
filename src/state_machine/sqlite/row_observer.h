// RowObserver: learns of each row that a statement changes, and of what becomes of the change.
//
// OnRow is called just before a row changes. The change may still be undone, with its command or
// with its batch (one SQLite transaction). An observer keeps what it learned aside until the batch
// is committed, and drops what is undone. The calls come in this order:
//
//     batch     = BatchBegun entry* ( BatchCommitted | BatchUndone )
//     entry     = EntryBegun command*
//     command   = CommandBegun statement* ( CommandKept | CommandUndone )
//     statement = ( OnRow | OnPoints )* [ StatementEnded ] [ SchemaChanged ]
//
// Rows may also be reported at the end of a command, when full-text tables write what they delayed.
// A command that ends the whole transaction has no last call: BatchUndone follows. The engine then
// runs commands of that batch again, and reports their rows again. A failed statement is not
// reported, because its command fails with it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/ids.h"

namespace cairn::timeseries {
struct WrittenPoints;
}  // namespace cairn::timeseries

namespace cairn::state_machine {

struct RowChange {
  int operation = 0;  // SQLITE_INSERT, SQLITE_UPDATE or SQLITE_DELETE
  const char* table = nullptr;
  int64_t old_rowid = 0;
  int64_t new_rowid = 0;
};

// The engine calls the observer on its thread, in the middle of a statement. The observer may read
// the database, but never writes to it.
class RowObserver {
 public:
  virtual ~RowObserver() = default;

  virtual void BatchBegun() {}
  virtual void EntryBegun(LogIndex /*index*/) {}
  virtual void BatchCommitted() = 0;
  virtual void BatchUndone() = 0;

  virtual void CommandBegun() {}
  // The statement succeeded, and its rows are as it leaves them. Called before the next one begins.
  virtual void StatementEnded() {}
  // The statement changed the schema. The catalog is up to date. Returns bytes as OnRow does.
  virtual size_t SchemaChanged() { return 0; }
  virtual void CommandKept() {}
  virtual void CommandUndone() = 0;

  // Called in the preupdate hook, so sqlite3_preupdate_old() and sqlite3_preupdate_new() return the
  // row's values. Rows of internal tables may be reported too, also between commands: an observer
  // skips them (IsInternalTable).
  //
  // Returns how many bytes of the row it has worked on. The command is charged for them, so the
  // number must be the same on every node. An observer that not every node has returns 0.
  virtual size_t OnRow(const RowChange& change) = 0;

  // Called when a statement has written points of a time series, besides OnRow for the rows that hold
  // them. Returns bytes as OnRow does.
  virtual size_t OnPoints(const timeseries::WrittenPoints& /*points*/) { return 0; }
};

}  // namespace cairn::state_machine
