// DataScan: one state of the database, held by a read transaction of its own, to make its digest
// and to compare what lies in the file with the sums that were kept while it was written.
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

// How far the scrub has come in the tables, from one scan to the next.
struct ScrubProgress {
  Mutex mutex;
  std::string next_table CAIRN_GUARDED_BY(mutex);  // those before it were read; empty: a new round
  bool hurry CAIRN_GUARDED_BY(mutex) = false;  // the last scan had to be given up within next_table
};

// The handle of a scan. It can be closed by another thread: while it lives, the file cannot be
// replaced.
class ScanConnection {
 public:
  ~ScanConnection() { Close(); }
  // Pins the state that is committed now; it must be that of `index`.
  Status Open(const char* vfs, const std::string& path, LogIndex index);
  // Whether what is read is still that state. ABORTED if it is not.
  Status CheckPinned() const CAIRN_REQUIRES(mutex);
  // Ends what is being done with it.
  void Close();
  // The same, since the WAL has grown too large. Waits for nobody: whoever uses the handle closes
  // it.
  void CutOff();
  // Whether the handle may still hold the WAL back. Needs no lock.
  bool is_open();
  bool is_cut_off() const { return cut_off_; }

  mutable Mutex mutex;                            // held by whoever lets SQLite work on the handle
  sqlite3* db CAIRN_GUARDED_BY(mutex) = nullptr;  // null: closed
  StatementPtr rows CAIRN_GUARDED_BY(mutex);      // of the table that is being read

 private:
  std::atomic<bool> cut_off_{false};
  Mutex interrupt_mutex_;
  sqlite3* interruptible_ CAIRN_GUARDED_BY(interrupt_mutex_) = nullptr;
};

struct ScanSetup {
  LogIndex index;
  bool is_digest_entry = false;
  std::map<std::string, RowSum> sums;  // as they were at `index`
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
  RowSum sum_;     // of the rows read of shapes_[at_]
};

// The rows of all the clients' tables of an open database are those that its sums say. DATA_LOSS
// if not. A file from before there were sums passes.
Status CheckSums(sqlite3* db);

}  // namespace cairn::state_machine
