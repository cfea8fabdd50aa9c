#include "state_machine/sqlite/checkpointer.h"

#include "state_machine/sqlite/internal_sql.h"

namespace cairn::state_machine {

Status Checkpointer::Install(sqlite3* db) {
  db_ = db;
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, "PRAGMA page_size"));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  if (row) page_bytes_ = read.Uint(0);
  sqlite3_wal_hook(db, &OnCommit, this);
  return OkStatus();
}

int Checkpointer::OnCommit(void* self, sqlite3* /*db*/, const char* /*schema*/, int frames) {
  auto* const checkpointer = static_cast<Checkpointer*>(self);
  constexpr uint64_t kFrameHeaderBytes = 24;
  checkpointer->wal_bytes_.store(
      static_cast<uint64_t>(frames) * (checkpointer->page_bytes_ + kFrameHeaderBytes),
      std::memory_order_relaxed);
  return SQLITE_OK;
}

Result<bool> Checkpointer::Checkpoint() {
  int frames = 0;
  int moved = 0;
  const int rc =
      sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved);
  if (rc == SQLITE_BUSY) return false;
  if (rc != SQLITE_OK) return SqliteTrouble(db_, rc, "checkpoint");
  if (frames != moved) return false;
  wal_bytes_.store(0, std::memory_order_relaxed);
  return true;
}

}  // namespace cairn::state_machine
