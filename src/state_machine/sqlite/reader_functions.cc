#include "state_machine/sqlite/reader_functions.h"

#include <cstdint>

#include "base/check.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/linear_functions.h"

namespace cairn::state_machine {
namespace {

// SQLite's mark on the results of its JSON functions.
constexpr unsigned kJsonSubtype = 'J';

uint64_t BytesOf(sqlite3_value* value) { return static_cast<uint64_t>(sqlite3_value_bytes(value)); }

}  // namespace

ReaderFunctions::~ReaderFunctions() {
  patch_.reset();
  const int rc = sqlite3_close(delegate_);
  CHECK(rc == SQLITE_OK) << "a statement outlived its function: " << rc;
}

Status ReaderFunctions::Install(sqlite3* db, const char* vfs) {
  vfs_ = vfs;
  RETURN_IF_ERROR(InstallLinearFunctions(db, nullptr));
  RETURN_IF_ERROR(full_text_.Install(db));
  constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
  const int rc = sqlite3_create_function_v2(db, "json_patch", 2, kFlags, this, &Patch, nullptr,
                                            nullptr, nullptr);
  return rc == SQLITE_OK ? OkStatus() : SqliteTrouble(db, rc, "create function");
}

sqlite3_stmt* ReaderFunctions::Delegate() {
  if (patch_ != nullptr) return patch_.get();
  sqlite3* opened = nullptr;
  const int rc = sqlite3_open_v2(
      ":memory:", &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX, vfs_);
  sqlite3_close(delegate_);
  delegate_ = opened;
  if (rc != SQLITE_OK) return nullptr;
  sqlite3_stmt* stmt = nullptr;
  sqlite3_prepare_v3(delegate_, "SELECT json_patch(?1, ?2)", -1, SQLITE_PREPARE_PERSISTENT, &stmt,
                     nullptr);
  patch_.reset(stmt);
  return stmt;
}

void ReaderFunctions::Patch(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  if (BytesOf(argv[0]) * BytesOf(argv[1]) > kPatchProductMax) {
    return sqlite3_result_error(
        context, "json_patch() of two values that are so long takes too long in a query", -1);
  }
  auto* const self = static_cast<ReaderFunctions*>(sqlite3_user_data(context));
  sqlite3_stmt* const stmt = self->Delegate();
  if (stmt == nullptr) return sqlite3_result_error_nomem(context);
  int rc = sqlite3_bind_value(stmt, 1, argv[0]);
  if (rc == SQLITE_OK) rc = sqlite3_bind_value(stmt, 2, argv[1]);
  if (rc == SQLITE_OK) rc = sqlite3_step(stmt);
  if (rc == SQLITE_ROW) {
    sqlite3_value* const result = sqlite3_column_value(stmt, 0);
    sqlite3_result_value(context, result);
    if (sqlite3_value_type(result) == SQLITE_TEXT) {
      sqlite3_result_subtype(context, kJsonSubtype);
    }
  } else {
    FailAsDelegate(context, self->delegate_, rc);
  }
  sqlite3_reset(stmt);
  sqlite3_clear_bindings(stmt);
}

}  // namespace cairn::state_machine
