#include "state_machine/sqlite/audit_tables.h"

#include <utility>

namespace cairn::state_machine {
const char* const AuditTables::kSchema =
    "CREATE TABLE _cairn_audit(id INTEGER PRIMARY KEY, wall_ms INTEGER NOT NULL,"
    " lease_ms INTEGER NOT NULL, entry INTEGER NOT NULL, kind TEXT NOT NULL,"
    " principal TEXT NOT NULL, address TEXT NOT NULL, text TEXT NOT NULL,"
    " count INTEGER NOT NULL, hash TEXT NOT NULL);"
    "CREATE TABLE _cairn_audit_heads(id INTEGER PRIMARY KEY, rows INTEGER NOT NULL,"
    " hash TEXT NOT NULL, cut INTEGER NOT NULL, cut_hash TEXT NOT NULL, bytes INTEGER NOT NULL)";

Result<bool> AuditTables::IsIn(sqlite3* db) {
  InternalStatement find;
  RETURN_IF_ERROR(
      find.Prepare(db, "SELECT 1 FROM sqlite_schema WHERE name = '_cairn_audit_heads'"));
  return find.Next();
}

Status AuditTables::Open(Engine* engine) {
  engine_ = engine;
  if (!engine->catalog().HasTable("_cairn_audit")) return OkStatus();
  RETURN_IF_ERROR(OpenTables());
  return Load();
}

void AuditTables::Close() {
  for (InternalStatement* each : {&insert_, &oldest_, &remove_, &write_head_}) each->Finalize();
}

Status AuditTables::OpenTables() {
  sqlite3* const db = engine_->db();
  has_tables_ = true;
  RETURN_IF_ERROR(insert_.Prepare(
      db,
      "INSERT INTO _cairn_audit(id, wall_ms, lease_ms, entry, kind, principal, address, text,"
      " count, hash) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"));
  RETURN_IF_ERROR(oldest_.Prepare(
      db, "SELECT lease_ms, hash, kind, principal, address, text FROM _cairn_audit WHERE id = ?1"));
  RETURN_IF_ERROR(remove_.Prepare(db, "DELETE FROM _cairn_audit WHERE id = ?1"));
  return write_head_.Prepare(db,
                             "REPLACE INTO _cairn_audit_heads(id, rows, hash, cut, cut_hash, bytes)"
                             " VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
}

Status AuditTables::Load() {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(
      engine_->db(), "SELECT id, rows, hash, cut, cut_hash, bytes FROM _cairn_audit_heads"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    if (read.Uint(0) >= chains_.size()) continue;
    Chain& chain = chains_.at(read.Uint(0));
    chain.head = {read.Uint(1), std::string(read.Bytes(2)), read.Uint(3),
                  std::string(read.Bytes(4))};
    chain.bytes = read.Uint(5);
  }
}

Status AuditTables::Add(AuditNote note, const Time& time) {
  CutTexts(&note);
  if (!has_tables_) {
    RETURN_IF_ERROR(engine_->CreateOwnTables(kSchema));
    RETURN_IF_ERROR(OpenTables());
  }
  if (!before_) before_ = chains_;
  Chain& chain = chains_.at(static_cast<size_t>(ChainOf(note)));
  AuditRow row{chain.head.rows + 1, time.wall_ms,    time.lease_ms,
               time.entry.value(),  std::move(note), ""};
  row.hash = HashOf(chain.head.hash, row);
  chain.head.rows = row.number;
  chain.head.hash = row.hash;
  chain.bytes += BytesOf(row.note);
  added_.push_back(std::move(row));
  return OkStatus();
}

Status AuditTables::Flush() {
  if (!before_) return OkStatus();
  std::array<std::optional<uint64_t>, kAuditChains.size()> last_ms;
  for (const AuditRow& row : added_) {
    const AuditChain chain = ChainOf(row.note);
    last_ms.at(static_cast<size_t>(chain)) = row.lease_ms;
    RETURN_IF_ERROR(insert_.Bind(1, ChainOffset(chain) + row.number)
                        .Bind(2, row.wall_ms)
                        .Bind(3, row.lease_ms)
                        .Bind(4, row.entry)
                        .BindText(5, row.note.kind)
                        .BindText(6, row.note.principal)
                        .BindText(7, row.note.address)
                        .BindText(8, row.note.text)
                        .Bind(9, row.note.count)
                        .BindText(10, row.hash)
                        .Run());
  }
  for (const AuditChain chain : kAuditChains) {
    const auto place = static_cast<size_t>(chain);
    if (!last_ms.at(place)) continue;
    RETURN_IF_ERROR(Cut(chain, *last_ms.at(place)));
    const auto& [head, bytes] = chains_.at(place);
    RETURN_IF_ERROR(write_head_.Bind(1, static_cast<uint64_t>(place))
                        .Bind(2, head.rows)
                        .BindText(3, head.hash)
                        .Bind(4, head.cut)
                        .BindText(5, head.cut_hash)
                        .Bind(6, bytes)
                        .Run());
  }
  return OkStatus();
}

Status AuditTables::Cut(AuditChain chain, uint64_t lease_ms) {
  auto& [head, bytes] = chains_.at(static_cast<size_t>(chain));
  while (head.rows - head.cut > 1) {
    const uint64_t id = ChainOffset(chain) + head.cut + 1;
    ASSIGN_OR_RETURN(const bool found, oldest_.Bind(1, id).Next());
    if (!found) return DataLoss("row " + std::to_string(head.cut + 1) + " of the audit is missing");
    const bool old = oldest_.Uint(0) + bounds_.age_ms_max < lease_ms;
    if (!old && bytes <= bounds_.bytes_max && head.rows - head.cut <= bounds_.rows_max) {
      oldest_.Reset();
      return OkStatus();
    }
    const AuditNote note{std::string(oldest_.Bytes(2)), std::string(oldest_.Bytes(3)),
                         std::string(oldest_.Bytes(4)), std::string(oldest_.Bytes(5))};
    ++head.cut;
    head.cut_hash = oldest_.Bytes(1);
    bytes -= BytesOf(note);
    oldest_.Reset();
    RETURN_IF_ERROR(remove_.Bind(1, id).Run());
  }
  return OkStatus();
}

void AuditTables::BatchCommitted() {
  before_.reset();
  added_.clear();
}

void AuditTables::BatchUndone() {
  added_.clear();
  if (!before_) return;
  chains_ = *std::exchange(before_, std::nullopt);
  // The tables may have been created in the batch.
  has_tables_ = engine_->catalog().HasTable("_cairn_audit");
}

}  // namespace cairn::state_machine
