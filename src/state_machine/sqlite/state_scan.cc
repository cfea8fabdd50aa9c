#include "state_machine/sqlite/state_scan.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "state_machine/sqlite/internal_sql.h"

namespace cairn::state_machine {
namespace {

using Sums = std::map<std::string, RowSum>;

// How long a scan may keep the WAL from being restarted. The scan also ends when the WAL is too
// large (wal_bound.h).
constexpr SteadyTime kPinMax = std::chrono::minutes(2);
constexpr int kRowsBetweenLooks = 64;
constexpr const char* kScanPragmas = "PRAGMA cache_size = -1024; PRAGMA query_only = ON; BEGIN";

Status ScanTrouble(sqlite3* db, int rc, const std::string& table) {
  if ((rc & 0xff) == SQLITE_INTERRUPT) return Cancelled("the database is being closed");
  return SqliteTrouble(db, rc, "read table " + table);
}

// The whole schema except the places of pages. The row of the table of sums is left out, because
// that table may be younger on one node than on another.
Result<RowSum> SumOfSchema(sqlite3* db) {
  TableShape schema;
  schema.name = "sqlite_schema";
  for (const char* name : {"type", "name", "tbl_name", "sql"}) {
    ShapeColumn column;
    column.name = name;
    schema.columns.push_back(std::move(column));
  }
  const std::string sql = schema.ScanSql() + " WHERE tbl_name <> '" + kSumsTable + "'";
  sqlite3_stmt* raw = nullptr;
  int rc = sqlite3_prepare_v2(db, sql.c_str(), -1, &raw, nullptr);
  const StatementPtr stmt(raw);
  RowSum sum;
  while (rc == SQLITE_OK || rc == SQLITE_ROW) {
    rc = sqlite3_step(raw);
    if (rc == SQLITE_ROW) sum.Add(schema.HashOf(raw));
  }
  if (rc != SQLITE_DONE) return ScanTrouble(db, rc, schema.name);
  return sum;
}

Status Differs(const std::string& table) {
  return DataLoss("table " + table +
                  ": the rows in the file are not those that were written to it");
}

// Reads the sums in the file.
Result<Sums> ReadSums(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, "SELECT name, a, b FROM _cairn_digest"));
  Sums sums;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return sums;
    sums[std::string(read.Bytes(0))] = RowSum{read.Uint(1), read.Uint(2)};
  }
}

// DATA_LOSS if there are sums of tables that the schema does not have.
Status CheckNoneIsLost(Sums sums, const std::vector<TableShape>& shapes) {
  for (const TableShape& shape : shapes) sums.erase(shape.name);
  if (sums.empty()) return OkStatus();
  return DataLoss("table " + sums.begin()->first + ": it had rows, and is not there");
}

}  // namespace

// ---- ScanConnection -----------------------------------------------------------------------------

Status ScanConnection::Open(const char* vfs, const std::string& path, LogIndex index) {
  MutexLock lock(mutex);
  const int rc =
      sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, vfs);
  if (rc != SQLITE_OK) return SqliteTrouble(db, rc, "open " + path + " for a scan");
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, 1000);
  sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  RETURN_IF_ERROR(ExecInternal(db, kScanPragmas));
  // BEGIN alone is deferred: this read pins the state.
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, "SELECT applied_index FROM _cairn_state"));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  if (!row || LogIndex(read.Uint(0)) != index) {
    return Internal("the database is at another index than its writer");
  }
  read.Finalize();
  MutexLock interrupting(interrupt_mutex_);
  interruptible_ = db;
  return OkStatus();
}

// When a read in a transaction fails, SQLite ends the transaction by itself. The next read would
// see a later state, and the scan would take that for damage.
Status ScanConnection::CheckPinned() const {
  if (cut_off_) return Aborted("the WAL has grown too large meanwhile");
  if (db == nullptr) return Cancelled("the database was closed");
  if (sqlite3_get_autocommit(db) != 0) return Aborted("the state was let go after a failed read");
  return OkStatus();
}

void ScanConnection::Close() {
  {
    MutexLock lock(interrupt_mutex_);
    if (interruptible_ != nullptr) sqlite3_interrupt(std::exchange(interruptible_, nullptr));
  }
  MutexLock lock(mutex);
  rows.reset();
  sqlite3_close(std::exchange(db, nullptr));
}

void ScanConnection::CutOff() {
  cut_off_ = true;
  {
    MutexLock lock(interrupt_mutex_);
    if (interruptible_ != nullptr) sqlite3_interrupt(interruptible_);
  }
  if (!mutex.TryLock()) return;
  rows.reset();
  {
    MutexLock interrupting(interrupt_mutex_);
    sqlite3_close(std::exchange(db, nullptr));
    interruptible_ = nullptr;
  }
  mutex.Unlock();
}

bool ScanConnection::is_open() {
  MutexLock lock(interrupt_mutex_);
  return interruptible_ != nullptr;
}

// ---- DataScan -----------------------------------------------------------------------------------

void OpenScans::Add(const std::shared_ptr<ScanConnection>& scan) {
  std::erase_if(scans_, [](const auto& each) { return each.expired(); });
  scans_.push_back(scan);
}

bool OpenScans::any_open() const {
  return std::any_of(scans_.begin(), scans_.end(), [](const auto& each) {
    const std::shared_ptr<ScanConnection> scan = each.lock();
    return scan != nullptr && scan->is_open();
  });
}

void OpenScans::CutOff() {
  for (const auto& each : scans_) {
    if (const std::shared_ptr<ScanConnection> scan = each.lock()) scan->CutOff();
  }
}

void OpenScans::Close() {
  for (const auto& each : scans_) {
    if (const std::shared_ptr<ScanConnection> scan = each.lock()) scan->Close();
  }
  scans_.clear();
}

DataScan::DataScan(ScanSetup setup, std::shared_ptr<ScanConnection> connection)
    : setup_(std::move(setup)),
      connection_(std::move(connection)),
      began_(setup_.clock->SteadyNow()) {}

bool DataScan::hurry() const {
  MutexLock lock(setup_.progress->mutex);
  return setup_.progress->hurry;
}

Result<StateDigest> DataScan::Digest() {
  MutexLock lock(connection_->mutex);
  RETURN_IF_ERROR(connection_->CheckPinned());
  sqlite3* const db = connection_->db;
  std::map<std::string, RowSum> all = setup_.sums;
  ASSIGN_OR_RETURN(all["sqlite_schema"], SumOfSchema(db));
  ASSIGN_OR_RETURN(const std::vector<TableShape> shapes, ReadShapes(db, {}, /*internal=*/true));
  for (const TableShape& shape : shapes) {
    ASSIGN_OR_RETURN(all[shape.name], SumOfTable(db, shape));
  }
  StateDigest digest{kDigestSeed, ~kDigestSeed};
  for (const auto& [name, sum] : all) {
    if (sum.is_zero()) continue;
    for (uint64_t* word : {&digest.a, &digest.b}) {
      *word = MixBytes(*word, name.data(), name.size());
      *word = MixWord(MixWord(*word, sum.a), sum.b);
    }
  }
  return digest;
}

Result<bool> DataScan::Scrub(SteadyTime budget) {
  Result<bool> read = Aborted("");
  {
    MutexLock lock(connection_->mutex);
    read = ReadTables(budget);
    if (read.ok() || !connection_->is_cut_off()) return read;
    if (read.status().code() == StatusCode::kDataLoss) return read;
  }
  connection_->CutOff();  // it could not close the handle that was in use here
  return GiveUp(Aborted("the WAL has grown too large meanwhile"));
}

Result<bool> DataScan::ReadTables(SteadyTime budget) {
  RETURN_IF_ERROR(connection_->CheckPinned());
  if (!tables_known_) RETURN_IF_ERROR(BeginTables());
  RETURN_IF_ERROR(CheckAge());
  const SteadyTime until = setup_.clock->SteadyNow() + budget;
  while (at_ < shapes_.size()) {
    if (connection_->rows == nullptr) RETURN_IF_ERROR(NextTable());
    ASSIGN_OR_RETURN(const bool read_whole, ReadRows(until));
    if (!read_whole) return false;
    RETURN_IF_ERROR(Compare());
  }
  ScrubProgress& progress = *setup_.progress;
  MutexLock lock(progress.mutex);
  progress.next_table.clear();
  return true;
}

Status DataScan::BeginTables() {
  ASSIGN_OR_RETURN(shapes_, ReadShapes(connection_->db, {}, /*internal=*/false));
  tables_known_ = true;
  RETURN_IF_ERROR(CheckNoneIsLost(setup_.sums, shapes_));
  ScrubProgress& progress = *setup_.progress;
  MutexLock lock(progress.mutex);
  while (at_ < shapes_.size() && shapes_[at_].name < progress.next_table) ++at_;
  return OkStatus();
}

Status DataScan::CheckAge() {
  if (setup_.clock->SteadyNow() - began_ <= kPinMax) return OkStatus();
  return GiveUp(Aborted("it has held the WAL for too long"));
}

// The next scan begins with this table and reads it without pauses. If that did not help either,
// the table is too large for the present rate of writes, and the other tables get their turn.
Status DataScan::GiveUp(Status why) {
  ScrubProgress& progress = *setup_.progress;
  MutexLock lock(progress.mutex);
  const bool again = progress.hurry && at_ < shapes_.size();
  if (again) {
    LOG_WARN("scrub: table {} cannot be read whole while so much is written; it is left out",
             shapes_[at_].name);
    ++at_;
  }
  progress.hurry = !again;
  progress.next_table = at_ < shapes_.size() ? shapes_[at_].name : std::string();
  return why;
}

Status DataScan::NextTable() {
  const std::string sql = shapes_[at_].ScanSql();
  sqlite3_stmt* raw = nullptr;
  const int rc =
      sqlite3_prepare_v2(connection_->db, sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
  connection_->rows.reset(raw);
  if (rc != SQLITE_OK) return ScanTrouble(connection_->db, rc, shapes_[at_].name);
  sum_ = RowSum{};
  return OkStatus();
}

Result<bool> DataScan::ReadRows(SteadyTime until) {
  sqlite3_stmt* const rows = connection_->rows.get();
  for (;;) {
    for (int i = 0; i < kRowsBetweenLooks; ++i) {
      const int rc = sqlite3_step(rows);
      if (rc == SQLITE_DONE) return true;
      if (rc != SQLITE_ROW) return ScanTrouble(connection_->db, rc, shapes_[at_].name);
      sum_.Add(shapes_[at_].HashOf(rows));
    }
    if (setup_.clock->SteadyNow() >= until) return false;
  }
}

Status DataScan::Compare() {
  connection_->rows.reset();
  const TableShape& shape = shapes_[at_++];
  const auto kept = setup_.sums.find(shape.name);
  if (sum_ != (kept == setup_.sums.end() ? RowSum{} : kept->second)) return Differs(shape.name);
  ScrubProgress& progress = *setup_.progress;
  MutexLock lock(progress.mutex);
  progress.hurry = false;
  progress.next_table = at_ < shapes_.size() ? shapes_[at_].name : std::string();
  return OkStatus();
}

// ---- A whole file -------------------------------------------------------------------------------

Status CheckSums(sqlite3* db) {
  InternalStatement find;
  RETURN_IF_ERROR(find.Prepare(db, "SELECT 1 FROM sqlite_schema WHERE name = '_cairn_digest'"));
  ASSIGN_OR_RETURN(const bool has_sums, find.Next());
  if (!has_sums) return OkStatus();
  ASSIGN_OR_RETURN(Sums sums, ReadSums(db));
  ASSIGN_OR_RETURN(const std::vector<TableShape> shapes, ReadShapes(db, {}, /*internal=*/false));
  RETURN_IF_ERROR(CheckNoneIsLost(sums, shapes));
  for (const TableShape& shape : shapes) {
    ASSIGN_OR_RETURN(const RowSum sum, SumOfTable(db, shape));
    if (sum != sums[shape.name]) return Differs(shape.name);
  }
  return OkStatus();
}

}  // namespace cairn::state_machine
