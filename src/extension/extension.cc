// What a stock SQLite loads to read the file of a stopped node, or a backup: time series with their
// rollups and functions, and vectors. It reads only (docs/operations/stopped-files.md).
//
// Everything that a connection gets lives until the connection is closed.
#include <memory>
#include <string>

#include "base/sqlite_api.h"
#include "base/status.h"
#include "timeseries/sqlite/module.h"
#include "vectors/functions.h"
#include "vectors/index_definition.h"
#include "vectors/top_k.h"

SQLITE_EXTENSION_INIT1

namespace cairn {
namespace {

bool IsWriting(sqlite3* db) {
  for (sqlite3_stmt* each = sqlite3_next_stmt(db, nullptr); each != nullptr;
       each = sqlite3_next_stmt(db, each)) {
    if (sqlite3_stmt_busy(each) != 0 && sqlite3_stmt_readonly(each) == 0) return true;
  }
  return false;
}

// The expression of a vector index. PRAGMA integrity_check asks for its value, which is always NULL.
void IndexFunction(sqlite3_context* context, int /*argc*/, sqlite3_value** /*argv*/) {
  if (!IsWriting(sqlite3_context_db_handle(context))) return;
  sqlite3_result_error(context,
                       "cairn_sqlite reads only: a table with a vector index is written through a "
                       "running node",
                       -1);
}

void VersionFunction(sqlite3_context* context, int /*argc*/, sqlite3_value** /*argv*/) {
  sqlite3_result_text(context, CAIRN_VERSION, -1, SQLITE_STATIC);
}

Status AddFunction(sqlite3* db, const char* name, int args,
                   void (*function)(sqlite3_context*, int, sqlite3_value**)) {
  constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
  const int rc = sqlite3_create_function_v2(db, name, args, kFlags, nullptr, function, nullptr,
                                            nullptr, nullptr);
  return rc == SQLITE_OK ? OkStatus() : Internal("add the function " + std::string(name));
}

// SQLite destroys what its functions own when the connection is closed, and the tables before.
Status GiveTo(sqlite3* db, std::unique_ptr<timeseries::TimeSeriesModule> module) {
  const auto destroy = [](void* owned) {
    delete static_cast<timeseries::TimeSeriesModule*>(owned);
  };
  // If this fails, SQLite has destroyed the module.
  const int rc =
      sqlite3_create_function_v2(db, "cairn_sqlite_version", 0, SQLITE_UTF8, module.release(),
                                 &VersionFunction, nullptr, nullptr, destroy);
  return rc == SQLITE_OK ? OkStatus() : Internal("add the function cairn_sqlite_version");
}

Status Install(sqlite3* db) {
  auto owned = std::make_unique<timeseries::TimeSeriesModule>(
      timeseries::ModuleOptions{.charge = nullptr, .writes = false});
  timeseries::TimeSeriesModule* const module = owned.get();
  // Ordinary tables must not be written, either. Whoever knows better can say PRAGMA query_only = OFF.
  const int rc = sqlite3_exec(db, "PRAGMA query_only = ON", nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return Internal("PRAGMA query_only: " + std::to_string(rc));
  RETURN_IF_ERROR(GiveTo(db, std::move(owned)));
  RETURN_IF_ERROR(module->Install(db));
  RETURN_IF_ERROR(vectors::AddFunctions(db, /*gate=*/{}));
  RETURN_IF_ERROR(vectors::AddTopK(db, /*gate=*/{}, /*uncounted=*/{}, /*candidates=*/{}));
  return AddFunction(db, vectors::kIndexFunction, -1, &IndexFunction);
}

}  // namespace
}  // namespace cairn

// SQLite looks for this name first, whatever the file is called.
extern "C" __attribute__((visibility("default"))) int sqlite3_extension_init(
    sqlite3* db, char** error, const sqlite3_api_routines* api) {
  SQLITE_EXTENSION_INIT2(api);
  // sqlite3_vtab_in and its kin.
  constexpr int kOldest = 3038000;
  if (sqlite3_libversion_number() < kOldest) {
    *error = sqlite3_mprintf("cairn_sqlite needs SQLite 3.38.0 or later, and this is %s",
                             sqlite3_libversion());
    return SQLITE_ERROR;
  }
  const cairn::Status installed = cairn::Install(db);
  if (installed.ok()) return SQLITE_OK;
  *error = sqlite3_mprintf("%s", installed.message().c_str());
  return SQLITE_ERROR;
}
