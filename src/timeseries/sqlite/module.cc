#include "timeseries/sqlite/module.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "timeseries/sqlite/functions.h"
#include "timeseries/sqlite/plan.h"
#include "timeseries/sqlite/rollup_table.h"
#include "timeseries/sqlite/scan.h"
#include "timeseries/sqlite/table.h"

namespace cairn::timeseries {

namespace {

Table* Of(sqlite3_vtab* table) { return static_cast<Table*>(table); }

struct Cursor : sqlite3_vtab_cursor {
  explicit Cursor(Table* table)
      : sqlite3_vtab_cursor(), scan(&table->storage(), &table->charge()) {}
  Scan scan;
};

Cursor* Of(sqlite3_vtab_cursor* cursor) { return static_cast<Cursor*>(cursor); }

}  // namespace

// ---- What SQLite calls --------------------------------------------------------------------------

namespace {

int Connect(sqlite3* db, void* module, int argc, const char* const* argv, sqlite3_vtab** table,
            char** error, bool create) {
  const std::vector<std::string_view> arguments(argv + 3, argv + argc);
  Result<Declaration> declaration = ParseDeclaration(arguments);
  Status fits = declaration.status();
  if (fits.ok()) fits = CheckTableName(*declaration, argv[2]);
  if (fits.ok() && !declaration->rollups.empty()) fits = RollupDeclaration(*declaration).status();
  if (!fits.ok()) return Report(error, fits.message());
  int rc = sqlite3_declare_vtab(db, SqlOfDeclaration(*declaration, argv[2]).c_str());
  if (rc != SQLITE_OK) return rc;
  sqlite3_vtab_config(db, SQLITE_VTAB_CONSTRAINT_SUPPORT, 1);
  // What it reads and writes is its own.
  sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
  auto made = std::make_unique<Table>(static_cast<TimeSeriesModule*>(module), db,
                                      std::move(declaration).value(), argv[1], argv[2]);
  if (create) {
    fits = made->storage().CheckName(argv[2]);
    if (!fits.ok()) return Report(error, fits.message());
    rc = made->storage().Create();
  }
  if (create && rc == SQLITE_OK) rc = made->BeginRetention();
  if (create && rc == SQLITE_OK) rc = made->CreateItsRollups(arguments);
  if (rc != SQLITE_OK) {
    Report(error, sqlite3_errmsg(db));
    return rc;
  }
  *table = made.release();
  return SQLITE_OK;
}

int OnCreate(sqlite3* db, void* module, int argc, const char* const* argv, sqlite3_vtab** table,
             char** error) {
  if (!static_cast<TimeSeriesModule*>(module)->writes()) return RefuseWrite(error);
  return Connect(db, module, argc, argv, table, error, /*create=*/true);
}

int OnConnect(sqlite3* db, void* module, int argc, const char* const* argv, sqlite3_vtab** table,
              char** error) {
  return Connect(db, module, argc, argv, table, error, /*create=*/false);
}

int OnDisconnect(sqlite3_vtab* table) {
  delete Of(table);
  return SQLITE_OK;
}

int OnDestroy(sqlite3_vtab* table) {
  if (!Of(table)->writes()) return RefuseWrite(&table->zErrMsg);
  Of(table)->Discard();
  int rc = Of(table)->DropItsRollups();
  if (rc == SQLITE_OK) rc = Of(table)->storage().Drop();
  if (rc == SQLITE_OK) delete Of(table);
  return rc;
}

int OnBestIndex(sqlite3_vtab* table, sqlite3_index_info* info) {
  for (int i = 0; i < info->nConstraint; ++i) {
    const auto& constraint = info->aConstraint[i];
    const bool compares = constraint.op != SQLITE_INDEX_CONSTRAINT_LIMIT &&
                          constraint.op != SQLITE_INDEX_CONSTRAINT_OFFSET;
    if (constraint.iColumn >= 0 || !compares) continue;
    return Of(table)->Refuse(
        InvalidArgument("a time series has no rowids: name points by tags and time"));
  }
  return ChoosePlan(Of(table)->declaration(), info);
}

int OnOpen(sqlite3_vtab* table, sqlite3_vtab_cursor** cursor) {
  *cursor = new Cursor(Of(table));
  return Of(table)->OpenCursor();
}

int OnClose(sqlite3_vtab_cursor* cursor) {
  Of(cursor->pVtab)->CloseCursor();
  delete Of(cursor);
  return SQLITE_OK;
}

int OnFilter(sqlite3_vtab_cursor* cursor, int number, const char* wanted, int /*argc*/,
             sqlite3_value** argv) {
  int rc = Of(cursor->pVtab)->Flush();
  if (rc == SQLITE_OK) rc = Of(cursor)->scan.Begin(Plan::Of(number, wanted), argv);
  if (rc == SQLITE_RANGE) Report(&cursor->pVtab->zErrMsg, kTooManyMerged);
  return rc;
}

int OnNext(sqlite3_vtab_cursor* cursor) { return Of(cursor)->scan.Next(); }

int OnEof(sqlite3_vtab_cursor* cursor) { return Of(cursor)->scan.at_end() ? 1 : 0; }

int OnColumn(sqlite3_vtab_cursor* cursor, sqlite3_context* context, int column) {
  const Declaration& declaration = Of(cursor->pVtab)->declaration();
  Scan& scan = Of(cursor)->scan;
  const auto place = static_cast<size_t>(column);
  if (place < declaration.columns.size()) {
    scan.Result(context, declaration.columns[place]);
    return SQLITE_OK;
  }
  if (place != declaration.is_last_column() || sqlite3_vtab_nochange(context) != 0) {
    return SQLITE_OK;
  }
  bool is_last = false;
  const int rc = scan.now().IsLast(&is_last);
  if (rc == SQLITE_OK) sqlite3_result_int(context, is_last ? 1 : 0);
  return rc;
}

int OnRowid(sqlite3_vtab_cursor* cursor, sqlite3_int64* rowid) {
  Scan& scan = Of(cursor)->scan;
  if (!Of(cursor->pVtab)->writes()) return scan.now().Number(rowid);
  return Of(cursor->pVtab)->NumberOf(scan.now().series(), scan.now().time(), rowid);
}

int OnUpdate(sqlite3_vtab* table, int argc, sqlite3_value** argv, sqlite3_int64* rowid) {
  *rowid = 0;
  if (!Of(table)->writes()) return RefuseWrite(&table->zErrMsg);
  return Of(table)->Update(argc, argv);
}

int OnBegin(sqlite3_vtab* table) {
  if (!Of(table)->only_writer()) Of(table)->Forget();
  return SQLITE_OK;
}

int OnSync(sqlite3_vtab* table) { return Of(table)->Flush(); }

int OnCommit(sqlite3_vtab* /*table*/) { return SQLITE_OK; }

int OnRollback(sqlite3_vtab* table) {
  Of(table)->Discard();
  return SQLITE_OK;
}

int OnSavepoint(sqlite3_vtab* table, int /*savepoint*/) { return Of(table)->Flush(); }

int OnRollbackTo(sqlite3_vtab* table, int /*savepoint*/) { return OnRollback(table); }

int OnRename(sqlite3_vtab* table, const char* name) {
  if (!Of(table)->writes()) return RefuseWrite(&table->zErrMsg);
  Status fits = CheckTableName(Of(table)->declaration(), name);
  if (fits.ok()) fits = Of(table)->storage().CheckName(name);
  if (!fits.ok()) return Of(table)->Refuse(fits);
  const int rc = Of(table)->Flush();
  if (rc != SQLITE_OK) return rc;
  const int renamed = Of(table)->RenameWithRollups(name);
  if (renamed == SQLITE_OK) return renamed;
  // A statement within this one says why.
  Report(&table->zErrMsg, sqlite3_errmsg(Of(table)->storage().db()));
  return renamed;
}

int OnShadowName(const char* name) {
  for (const char* each : kStorageWords) {
    if (sqlite3_stricmp(name, each) == 0) return 1;
  }
  return 0;
}

constexpr sqlite3_module kModule = {
    .iVersion = 3,
    .xCreate = OnCreate,
    .xConnect = OnConnect,
    .xBestIndex = OnBestIndex,
    .xDisconnect = OnDisconnect,
    .xDestroy = OnDestroy,
    .xOpen = OnOpen,
    .xClose = OnClose,
    .xFilter = OnFilter,
    .xNext = OnNext,
    .xEof = OnEof,
    .xColumn = OnColumn,
    .xRowid = OnRowid,
    .xUpdate = OnUpdate,
    .xBegin = OnBegin,
    .xSync = OnSync,
    .xCommit = OnCommit,
    .xRollback = OnRollback,
    .xFindFunction = nullptr,
    .xRename = OnRename,
    .xSavepoint = OnSavepoint,
    .xRelease = OnSavepoint,
    .xRollbackTo = OnRollbackTo,
    .xShadowName = OnShadowName,
};

}  // namespace

// ---- The module ---------------------------------------------------------------------------------

Status TimeSeriesModule::Install(sqlite3* db) {
  const int rc = sqlite3_create_module_v2(db, "timeseries", &kModule, this, nullptr);
  if (rc != SQLITE_OK) return Internal("create the module timeseries: " + std::to_string(rc));
  RETURN_IF_ERROR(AddRollups(db, this));
  return AddFunctions(db, &options_.charge);
}

Status TimeSeriesModule::Remove(sqlite3* db) {
  const int rc = sqlite3_create_module_v2(db, "timeseries", nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return Internal("remove the module timeseries: " + std::to_string(rc));
  RETURN_IF_ERROR(RemoveRollups(db));
  return RemoveFunctions(db);
}

int TimeSeriesModule::FlushWithin() {
  for (Table* table : connected_) {
    const int rc = table->has_changes() ? table->Flush() : SQLITE_OK;
    if (rc != SQLITE_OK) return rc;
  }
  return SQLITE_OK;
}

int TimeSeriesModule::Flush() {
  // In an order that all nodes share: if two tables fail, the first one gives the error.
  std::map<std::string, Table*> changed;
  for (Table* table : connected_) {
    if (table->has_changes()) changed.emplace(table->storage().name(), table);
  }
  for (const auto& [name, table] : changed) {
    const ShadowsWritable writable(table->storage().db());
    const int rc = table->Flush();
    if (rc != SQLITE_OK) return rc;
  }
  return SQLITE_OK;
}

bool RollupReader::IsOf(const Storage& other) const {
  return series.schema() == other.schema() && series.name() == other.name();
}

bool TimeSeriesModule::HasStaleReader(const Storage& series) const {
  return std::any_of(rollup_readers_.begin(), rollup_readers_.end(),
                     [&](const auto* reader) { return reader->stale && reader->IsOf(series); });
}

void TimeSeriesModule::NoteWrite(const Storage& series) {
  for (RollupReader* reader : rollup_readers_) {
    if (reader->IsOf(series)) reader->stale = true;
  }
}

}  // namespace cairn::timeseries
