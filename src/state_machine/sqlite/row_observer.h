// RowObserver: is told of each row that a statement changes, and of what becomes of the change.
//
// A row is told just before it changes. The change may still be undone: with its command, or with
// its batch (one SQLite transaction). An observer holds back what it was told until the batch is
// committed, and drops what is undone. The calls come in this order:
//
//     batch   = BatchBegun command* ( BatchCommitted | BatchUndone )
//     command = CommandBegun OnRow* ( CommandKept | CommandUndone )
//
// A command that takes the whole transaction down with it has no last call: BatchUndone follows.
// The engine then runs commands of that batch again, and tells their rows again. A statement that
// fails is not told of, because its command fails with it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::state_machine {

struct RowChange {
  int operation = 0;  // SQLITE_INSERT, SQLITE_UPDATE or SQLITE_DELETE
  const char* table = nullptr;
  int64_t old_rowid = 0;
  int64_t new_rowid = 0;
};

// Called by the engine, on its thread. The engine is in the middle of a statement: an observer may
// read, but it writes nothing to the database.
class RowObserver {
 public:
  virtual ~RowObserver() = default;

  virtual void BatchBegun() {}
  virtual void BatchCommitted() = 0;
  virtual void BatchUndone() = 0;

  virtual void CommandBegun() {}
  virtual void CommandKept() {}
  virtual void CommandUndone() = 0;

  // From the preupdate hook, so that sqlite3_preupdate_old() and sqlite3_preupdate_new() give the
  // row's values. Rows of internal tables may be told as well, also between commands: an observer
  // passes over them (IsInternalTable).
  //
  // Gives how many bytes of the row it has worked on. They are charged to the command, so the
  // number is the same on every node. An observer that not every node has gives 0.
  virtual size_t OnRow(const RowChange& change) = 0;
};

}  // namespace cairn::state_machine
