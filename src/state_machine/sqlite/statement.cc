#include "state_machine/sqlite/statement.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/text.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/window_count.h"

namespace cairn::state_machine {
namespace {

bool IsContinuation(unsigned char c) { return (c & 0xc0) == 0x80; }

// The length of the well-formed sequence at `p`, which starts with a byte past ASCII. 0 if it is
// ill-formed.
size_t SequenceLength(const unsigned char* p, size_t left) {
  const unsigned char lead = p[0];
  if (lead >= 0xc2 && lead <= 0xdf) return left >= 2 && IsContinuation(p[1]) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    if (left < 3 || !IsContinuation(p[1]) || !IsContinuation(p[2])) return 0;
    if (lead == 0xe0 && p[1] < 0xa0) return 0;  // overlong
    if (lead == 0xed && p[1] > 0x9f) return 0;  // a surrogate
    return 3;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    if (left < 4 || !IsContinuation(p[1]) || !IsContinuation(p[2]) || !IsContinuation(p[3]))
      return 0;
    if (lead == 0xf0 && p[1] < 0x90) return 0;  // overlong
    if (lead == 0xf4 && p[1] > 0x8f) return 0;  // past U+10FFFF
    return 4;
  }
  return 0;
}

std::string ParameterName(sqlite3_stmt* stmt, int number) {
  const char* name = sqlite3_bind_parameter_name(stmt, number);
  return name != nullptr ? name : "?" + std::to_string(number);
}

Status BindValue(sqlite3_stmt* stmt, int number, const Value& value) {
  const auto* const text = std::get_if<std::string>(&value);
  if (text != nullptr && !IsValidUtf8(*text)) {
    return InvalidArgument("the value of parameter " + ParameterName(stmt, number) +
                           " is not valid UTF-8; bytes belong in a blob");
  }
  const int rc = BindAsStored(stmt, number, value);
  return rc == SQLITE_OK ? OkStatus() : StatusFromSqlite(sqlite3_db_handle(stmt), rc);
}

}  // namespace

bool IsValidUtf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  size_t left = text.size();
  while (left > 0) {
    if (left >= 8) {
      uint64_t word;
      std::memcpy(&word, p, sizeof word);
      if ((word & 0x8080808080808080ULL) == 0) {
        p += 8;
        left -= 8;
        continue;
      }
    }
    const size_t length = *p < 0x80 ? 1 : SequenceLength(p, left);
    if (length == 0) return false;
    p += length;
    left -= length;
  }
  return true;
}

Status CheckSqlText(std::string_view sql, LongLiterals literals) {
  if (sql.size() > kSqlBytesMax) {
    const bool free = literals == LongLiterals::kAreFree && WritesRows(sql);
    const size_t bytes = free ? BytesBesideLongLiterals(sql) : sql.size();
    if (bytes > kSqlBytesMax) {
      return InvalidArgument("the statement has " + std::to_string(bytes) + " bytes of text" +
                             (free ? " beside its long literals" : "") + "; at most " +
                             std::to_string(kSqlBytesMax) +
                             " are allowed (large values belong in parameters)");
    }
  }
  if (sql.find('\0') != std::string_view::npos) {
    return InvalidArgument("the statement has a NUL byte in its text");
  }
  if (!IsValidUtf8(sql)) return InvalidArgument("the text of the statement is not valid UTF-8");
  // A window function takes more than four bytes of text.
  if (sql.size() > 4 * kWindowsMax && CountWindows(sql) > kWindowsMax) {
    return InvalidArgument("the statement calls more than " + std::to_string(kWindowsMax) +
                           " window functions");
  }
  return OkStatus();
}

Result<StatementPtr> PrepareSingle(sqlite3* db, std::string_view sql, unsigned flags) {
  const char* const end = sql.data() + sql.size();
  const char* tail = nullptr;
  sqlite3_stmt* raw = nullptr;
  int rc = sqlite3_prepare_v3(db, sql.data(), static_cast<int>(sql.size()), flags, &raw, &tail);
  StatementPtr stmt(raw);
  if (rc != SQLITE_OK) return StatusFromSqlite(db, rc);
  if (stmt == nullptr) return InvalidArgument("the text holds no statement");
  while (tail < end) {
    const char* next = nullptr;
    rc = sqlite3_prepare_v3(db, tail, static_cast<int>(end - tail), 0, &raw, &next);
    const StatementPtr second(raw);
    if (rc != SQLITE_OK || second != nullptr) {
      return InvalidArgument("the text holds more than one statement");
    }
    if (next <= tail) break;
    tail = next;
  }
  return stmt;
}

int FindParameter(sqlite3_stmt* stmt, const std::string& name) {
  if (name.empty() || name.find('\0') != std::string::npos) return 0;
  if (name[0] == ':' || name[0] == '@' || name[0] == '$') {
    return sqlite3_bind_parameter_index(stmt, name.c_str());
  }
  for (const char prefix : {':', '@', '$'}) {
    const int number = sqlite3_bind_parameter_index(stmt, (prefix + name).c_str());
    if (number != 0) return number;
  }
  return 0;
}

Status BindParameters(sqlite3_stmt* stmt, const Statement& statement) {
  const int count = sqlite3_bind_parameter_count(stmt);
  const size_t positional = statement.positional.size();
  if (positional > static_cast<size_t>(count)) {
    return InvalidArgument("the statement has " +
                           Counted(static_cast<uint64_t>(count), "parameter") + ", but " +
                           Counted(positional, "positional value") + " came with it");
  }
  for (size_t i = 0; i < positional; ++i) {
    RETURN_IF_ERROR(BindValue(stmt, static_cast<int>(i + 1), statement.positional[i]));
  }
  if (positional == static_cast<size_t>(count) && statement.named.empty()) return OkStatus();

  std::vector<bool> bound(static_cast<size_t>(count) + 1);
  for (size_t i = 1; i <= positional; ++i) bound[i] = true;
  for (const NamedValue& named : statement.named) {
    const int number = FindParameter(stmt, named.name);
    if (number == 0) {
      return InvalidArgument("the statement has no parameter named '" + named.name + "'");
    }
    if (bound[static_cast<size_t>(number)]) {
      return InvalidArgument("parameter " + ParameterName(stmt, number) + " was given two values");
    }
    bound[static_cast<size_t>(number)] = true;
    RETURN_IF_ERROR(BindValue(stmt, number, named.value));
  }
  for (int number = 1; number <= count; ++number) {
    if (bound[static_cast<size_t>(number)]) continue;
    return InvalidArgument("the statement has " +
                           Counted(static_cast<uint64_t>(count), "parameter") +
                           "; no value was given for " + ParameterName(stmt, number));
  }
  return OkStatus();
}

int BindAsStored(sqlite3_stmt* stmt, int number, const Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    return sqlite3_bind_int64(stmt, number, *integer);
  }
  if (const auto* real = std::get_if<double>(&value)) {
    return sqlite3_bind_double(stmt, number, *real);
  }
  if (const auto* text = std::get_if<std::string>(&value)) {
    return sqlite3_bind_text64(stmt, number, text->data(), text->size(), SQLITE_STATIC,
                               SQLITE_UTF8);
  }
  if (const auto* blob = std::get_if<Blob>(&value)) {
    return sqlite3_bind_blob64(stmt, number, blob->bytes.data(), blob->bytes.size(), SQLITE_STATIC);
  }
  return sqlite3_bind_null(stmt, number);
}

Value ColumnValue(sqlite3_stmt* stmt, int column) {
  switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER: return static_cast<int64_t>(sqlite3_column_int64(stmt, column));
    case SQLITE_FLOAT: return sqlite3_column_double(stmt, column);
    case SQLITE_TEXT: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(stmt, column));
      return std::string(text, static_cast<size_t>(sqlite3_column_bytes(stmt, column)));
    }
    case SQLITE_BLOB: {
      // An empty blob has a null pointer.
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(stmt, column));
      const auto size = static_cast<size_t>(sqlite3_column_bytes(stmt, column));
      return Blob{size == 0 ? std::string() : std::string(bytes, size)};
    }
    default: return {};
  }
}

Value ValueOf(sqlite3_value* value) {
  switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER: return static_cast<int64_t>(sqlite3_value_int64(value));
    case SQLITE_FLOAT: return sqlite3_value_double(value);
    case SQLITE_TEXT: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
      return std::string(text, static_cast<size_t>(sqlite3_value_bytes(value)));
    }
    case SQLITE_BLOB: {
      // An empty blob has a null pointer.
      const auto* bytes = static_cast<const char*>(sqlite3_value_blob(value));
      const auto size = static_cast<size_t>(sqlite3_value_bytes(value));
      return Blob{size == 0 ? std::string() : std::string(bytes, size)};
    }
    default: return {};
  }
}

Status StatusFromSqlite(sqlite3* db, int rc) {
  const char* message = sqlite3_errmsg(db);
  switch (rc & 0xff) {
    case SQLITE_ERROR:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT: return InvalidArgument(message);
    case SQLITE_AUTH:
    case SQLITE_READONLY: return PermissionDenied(message);
    case SQLITE_TOOBIG:
    case SQLITE_NOMEM:
    case SQLITE_FULL: return ResourceExhausted(message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return DataLoss(message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return Unavailable(message);
    case SQLITE_INTERRUPT: return Cancelled(message);
    default: return Internal(std::string(message) + " (SQLite code " + std::to_string(rc) + ")");
  }
}

}  // namespace cairn::state_machine
