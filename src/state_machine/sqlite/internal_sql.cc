#include "state_machine/sqlite/internal_sql.h"

#include <cerrno>
#include <cstring>

namespace cairn::state_machine {

Status SqliteTrouble(sqlite3* db, int rc, std::string_view doing) {
  std::string message(doing);
  message += std::string(": ") + sqlite3_errmsg(db) + " (SQLite code " + std::to_string(rc);
  const int error = sqlite3_system_errno(db);
  if (error != 0) message += std::string(", ") + std::strerror(error);
  message += ")";
  switch (rc & 0xff) {
    // SQLite reports SQLITE_FULL only for writes to the database and the WAL. If the shared memory
    // can not grow, SQLite reports an I/O error. If this were taken for an I/O error, the node
    // would ask for a snapshot, which needs even more space.
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      return error == ENOSPC || error == EDQUOT ? ResourceExhausted(std::move(message))
                                                : Internal(std::move(message));
    case SQLITE_FULL:
    case SQLITE_NOMEM: return ResourceExhausted(std::move(message));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return DataLoss(std::move(message));
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return Unavailable(std::move(message));
    default: return Internal(std::move(message));
  }
}

Status ExecInternal(sqlite3* db, const char* sql) {
  const int rc = sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? OkStatus() : SqliteTrouble(db, rc, sql);
}

Status CheckPages(sqlite3* db) {
  sqlite3_stmt* raw = nullptr;
  int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check", -1, &raw, nullptr);
  const StatementPtr check(raw);
  if (rc != SQLITE_OK) return SqliteTrouble(db, rc, "quick_check");
  // The pages come first, then the rows.
  while ((rc = sqlite3_step(raw)) == SQLITE_ROW) {
    const Value found = ColumnValue(raw, 0);
    const auto* const text = std::get_if<std::string>(&found);
    if (text == nullptr) return DataLoss("quick_check gave no verdict");
    const bool of_a_row = text->starts_with("CHECK constraint failed in ") ||
                          text->starts_with("NULL value in ") ||
                          (text->starts_with("non-") && text->find(" value in ") < text->size());
    if (*text != "ok" && !of_a_row) return DataLoss(*text);
  }
  switch (rc & 0xff) {
    case SQLITE_DONE:
    // An expression of a row could not be computed.
    case SQLITE_ERROR:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG: return OkStatus();
    default: return SqliteTrouble(db, rc, "quick_check");
  }
}

Status InternalStatement::Prepare(sqlite3* db, std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  const int rc = sqlite3_prepare_v3(db, sql.data(), static_cast<int>(sql.size()),
                                    SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  stmt_.reset(raw);
  return rc == SQLITE_OK ? OkStatus() : SqliteTrouble(db, rc, sql);
}

InternalStatement& InternalStatement::Bind(int number, int64_t value) {
  sqlite3_bind_int64(stmt_.get(), number, value);
  return *this;
}
InternalStatement& InternalStatement::BindText(int number, std::string_view value) {
  sqlite3_bind_text64(stmt_.get(), number, value.data(), value.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}
InternalStatement& InternalStatement::BindBlob(int number, std::string_view value) {
  // A null pointer would bind NULL, not the empty blob.
  const char* const data = value.empty() ? "" : value.data();
  sqlite3_bind_blob64(stmt_.get(), number, data, value.size(), SQLITE_STATIC);
  return *this;
}
InternalStatement& InternalStatement::BindNull(int number) {
  sqlite3_bind_null(stmt_.get(), number);
  return *this;
}

Status InternalStatement::Run() {
  Result<bool> row = Next();
  Reset();
  return row.ok() ? OkStatus() : row.status();
}

Result<bool> InternalStatement::Next() {
  const int rc = sqlite3_step(stmt_.get());
  if (rc == SQLITE_ROW) return true;
  if (rc != SQLITE_DONE) {
    Status trouble = Trouble(rc);
    Reset();
    return trouble;
  }
  Reset();
  return false;
}

void InternalStatement::Reset() { sqlite3_reset(stmt_.get()); }

std::string_view InternalStatement::Bytes(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(stmt_.get(), column));
  const int size = sqlite3_column_bytes(stmt_.get(), column);
  return bytes == nullptr ? std::string_view() : std::string_view(bytes, static_cast<size_t>(size));
}

Status InternalStatement::Trouble(int rc) const {
  return SqliteTrouble(sqlite3_db_handle(stmt_.get()), rc, sqlite3_sql(stmt_.get()));
}

}  // namespace cairn::state_machine
