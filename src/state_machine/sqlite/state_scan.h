// DataScan: one state of the database, held by a read transaction. A DataScan computes the digest
// of the state, and compares the rows in the file with the sums that were kept as rows were
// written.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/status.h"
#include "state_machine/sqlite/row_sum.h"
#include "state_machine/sqlite/statement.h"
#include "state_machine/sqlite/table_shape.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

// How far the scrub has come in the tables. The value survives from one scan to the next.
struct ScrubProgress {
  Mutex mutex;
  std::string next_table CAIRN_GUARDED_BY(mutex);  // tables before it were read; empty: a new round
  bool hurry CAIRN_GUARDED_BY(mutex) = false;      // the last scan was given up within next_table
};

// The handle of a scan. Another thread can close it, because the file cannot be replaced while the
// handle is open.
class ScanConnection {
 public:
  ~ScanConnection() { Close(); }
  // Pins the present state, which must be that of `index`.
  Status Open(const char* vfs, const std::string& path, LogIndex index);
  // ABORTED if the handle no longer reads the pinned state.
  Status CheckPinned() const CAIRN_REQUIRES(mutex);
  // Ends the work on the handle, and closes it.
  void Close();
  // Ends the scan because the WAL has grown too large. Does not wait: the thread that uses the
  // handle closes it.
  void CutOff();
  // True if the handle may still hold the WAL back. Needs no lock.
  bool is_open();
  bool is_cut_off() const { return cut_off_; }

  mutable Mutex mutex;                            // held while SQLite works on the handle
  sqlite3* db CAIRN_GUARDED_BY(mutex) = nullptr;  // null: closed
  StatementPtr rows CAIRN_GUARDED_BY(mutex);      // of the current table

 private:
  std::atomic<bool> cut_off_{false};
  Mutex interrupt_mutex_;
  sqlite3* interruptible_ CAIRN_GUARDED_BY(interrupt_mutex_) = nullptr;
};

// The connections of all scans, which others may end. The apply thread's.
class OpenScans {
 public:
  void Add(const std::shared_ptr<ScanConnection>& scan);
  bool any_open() const;
  void CutOff();
  // Closes all, and forgets them.
  void Close();

 private:
  std::vector<std::weak_ptr<ScanConnection>> scans_;
};

struct ScanSetup {
  LogIndex index;
  bool is_digest_entry = false;
  std::map<std::string, RowSum> sums;  // at `index`
  std::shared_ptr<ScrubProgress> progress;
  Clock* clock = nullptr;
};

class DataScan final : public StateScan {
 public:
  DataScan(ScanSetup setup, std::shared_ptr<ScanConnection> connection);

  LogIndex index() const override { return setup_.index; }
  bool is_digest_entry() const override { return setup_.is_digest_entry; }
  bool hurry() const override;
  Result<StateDigest> Digest() override;
  Result<bool> Scrub(SteadyTime budget) override;

 private:
  Status BeginTables() CAIRN_REQUIRES(connection_->mutex);
  Result<bool> ReadTables(SteadyTime budget) CAIRN_REQUIRES(connection_->mutex);
  Status CheckAge();
  Status NextTable() CAIRN_REQUIRES(connection_->mutex);
  Result<bool> ReadRows(SteadyTime until) CAIRN_REQUIRES(connection_->mutex);
  Status Compare() CAIRN_REQUIRES(connection_->mutex);
  Status GiveUp(Status why);

  const ScanSetup setup_;
  const std::shared_ptr<ScanConnection> connection_;
  const SteadyTime began_;
  bool tables_known_ = false;
  std::vector<TableShape> shapes_;
  size_t at_ = 0;  // in shapes_
  RowSum sum_;     // of the rows of shapes_[at_] read so far
};

// DATA_LOSS if the rows of clients' tables differ from their sums. A file that is older than the
// sums passes.
Status CheckSums(sqlite3* db);

}  // namespace cairn::state_machine
