#include "timeseries/sqlite/rollup_table.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/sql_name.h"
#include "timeseries/sqlite/bucket.h"
#include "timeseries/sqlite/plan.h"
#include "timeseries/sqlite/rollup.h"
#include "timeseries/sqlite/scan.h"
#include "timeseries/sqlite/table.h"

namespace cairn::timeseries {
namespace {

// A connected rollup.
struct Rollup : sqlite3_vtab {
  Rollup(TimeSeriesModule* its_module, sqlite3* db, const char* schema, const std::string& name,
         const std::string& owner, Declaration points, Declaration rows, int64_t width)
      : sqlite3_vtab(),
        module(*its_module),
        points_declaration(std::move(points)),
        declaration(std::move(rows)),
        points_storage(db, schema, owner, &points_declaration),
        storage(db, schema, name, &declaration, Storage::Of::kRollup),
        source{&points_storage, name.substr(owner.size()), width} {}

  TimeSeriesModule& module;
  const Declaration points_declaration;
  const Declaration declaration;
  Storage points_storage;
  Storage storage;
  const RollupSource source;
};

Rollup* Of(sqlite3_vtab* table) { return static_cast<Rollup*>(table); }

struct Cursor : sqlite3_vtab_cursor {
  explicit Cursor(Rollup* rollup)
      : sqlite3_vtab_cursor(),
        module(rollup->module),
        scan(&rollup->storage, &rollup->module.charge(), &rollup->source),
        reader(&rollup->points_storage) {
    module.AddReader(&reader);
  }
  ~Cursor() { module.RemoveReader(&reader); }
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;

  TimeSeriesModule& module;
  Scan scan;
  RollupReader reader;
};

Cursor* Of(sqlite3_vtab_cursor* cursor) { return static_cast<Cursor*>(cursor); }

// True while a statement on the time series of the rollup runs.
bool IsWithin(Rollup* rollup) { return rollup->module.changes_rollups(); }

// A plain table would be read as it was when the statement began.
int RefuseStale(Rollup* rollup) {
  return Report(&rollup->zErrMsg,
                "the statement reads the rollup " + rollup->storage.name() +
                    " while it writes the time series: read it first, WITH r AS MATERIALIZED "
                    "(SELECT ... FROM " +
                    rollup->storage.name() + ")");
}

int Exec(sqlite3* db, const std::string& sql) {
  return sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr);
}

// ---- What SQLite calls --------------------------------------------------------------------------

int Connect(sqlite3* db, void* data, int argc, const char* const* argv, sqlite3_vtab** table,
            char** error, bool create) {
  auto* const module = static_cast<TimeSeriesModule*>(data);
  const std::string name = argv[2];
  const std::string quoted = argc > 3 ? argv[3] : "";
  const std::string width_name = quoted.size() > 2 ? quoted.substr(1, quoted.size() - 2) : "";
  const std::string suffix = "_" + width_name;
  int64_t width_ms = 0;
  if (!name.ends_with(suffix) || !ParseRollupWidth(width_name, &width_ms).ok() ||
      (create && !module->changes_rollups())) {
    return Report(error,
                  "a rollup is declared with its time series: CREATE VIRTUAL TABLE m USING "
                  "timeseries(..., rollups='1m')");
  }
  Result<Declaration> points = ParseDeclaration({argv + 4, argv + argc});
  if (!points.ok()) return Report(error, points.status().message());
  Result<Declaration> rows = RollupDeclaration(*points);
  if (!rows.ok()) return Report(error, rows.status().message());
  int rc = sqlite3_declare_vtab(db, SqlOfDeclaration(*rows, name).c_str());
  if (rc != SQLITE_OK) return rc;
  sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
  const int64_t width = points->Units(width_ms);
  auto made = std::make_unique<Rollup>(module, db, argv[1], name,
                                       name.substr(0, name.size() - suffix.size()),
                                       std::move(points).value(), std::move(rows).value(), width);
  if (create) {
    const Status fits = made->storage.CheckName(name);
    if (!fits.ok()) return Report(error, fits.message());
  }
  if (create && (rc = made->storage.Create()) != SQLITE_OK) {
    Report(error, sqlite3_errmsg(db));
    return rc;
  }
  *table = made.release();
  return SQLITE_OK;
}

int OnCreate(sqlite3* db, void* module, int argc, const char* const* argv, sqlite3_vtab** table,
             char** error) {
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
  if (!IsWithin(Of(table))) return SQLITE_CONSTRAINT;  // it goes with its time series
  const int rc = Of(table)->storage.Drop();
  if (rc == SQLITE_OK) delete Of(table);
  return rc;
}

int OnBestIndex(sqlite3_vtab* table, sqlite3_index_info* info) {
  return ChoosePlan(Of(table)->declaration, info);
}

int OnOpen(sqlite3_vtab* table, sqlite3_vtab_cursor** cursor) {
  if (Of(table)->module.HasStaleReader(Of(table)->points_storage)) return RefuseStale(Of(table));
  *cursor = new Cursor(Of(table));
  return SQLITE_OK;
}

int OnClose(sqlite3_vtab_cursor* cursor) {
  delete Of(cursor);
  return SQLITE_OK;
}

int OnFilter(sqlite3_vtab_cursor* cursor, int number, const char* wanted, int /*argc*/,
             sqlite3_value** argv) {
  if (Of(cursor)->reader.stale) return RefuseStale(Of(cursor->pVtab));
  int rc = Of(cursor->pVtab)->module.FlushWithin();
  if (rc == SQLITE_OK) rc = Of(cursor)->scan.Begin(Plan::Of(number, wanted), argv);
  if (rc == SQLITE_RANGE) Report(&cursor->pVtab->zErrMsg, kTooManyMerged);
  return rc;
}

int OnNext(sqlite3_vtab_cursor* cursor) {
  if (Of(cursor)->reader.stale) return RefuseStale(Of(cursor->pVtab));
  return Of(cursor)->scan.Next();
}

int OnEof(sqlite3_vtab_cursor* cursor) { return Of(cursor)->scan.at_end() ? 1 : 0; }

int OnColumn(sqlite3_vtab_cursor* cursor, sqlite3_context* context, int column) {
  const Declaration& declaration = Of(cursor->pVtab)->declaration;
  Scan& scan = Of(cursor)->scan;
  const auto place = static_cast<size_t>(column);
  if (place < declaration.columns.size()) scan.Result(context, declaration.columns[place]);
  if (place != declaration.is_last_column()) return SQLITE_OK;
  bool is_last = false;
  const int rc = scan.now().IsLast(&is_last);
  if (rc == SQLITE_OK) sqlite3_result_int(context, is_last ? 1 : 0);
  return rc;
}

int OnRowid(sqlite3_vtab_cursor* cursor, sqlite3_int64* rowid) {
  return Of(cursor)->scan.now().Number(rowid);
}

int OnRename(sqlite3_vtab* table, const char* name) {
  if (IsWithin(Of(table))) {
    const Status fits = Of(table)->storage.CheckName(name);
    return fits.ok() ? Of(table)->storage.Rename(name) : Report(&table->zErrMsg, fits.message());
  }
  return Report(&table->zErrMsg, "a rollup has the name of its time series: rename that");
}

int OnShadowName(const char* name) {
  return sqlite3_stricmp(name, "tail") == 0 || sqlite3_stricmp(name, "blocks") == 0 ? 1 : 0;
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
    .xUpdate = nullptr,
    .xBegin = nullptr,
    .xSync = nullptr,
    .xCommit = nullptr,
    .xRollback = nullptr,
    .xFindFunction = nullptr,
    .xRename = OnRename,
    .xSavepoint = nullptr,
    .xRelease = nullptr,
    .xRollbackTo = nullptr,
    .xShadowName = OnShadowName,
};

std::string NameOf(std::string_view schema, std::string_view table, const RollupOption& rollup) {
  return QuotedName(schema) + "." + QuotedName(std::string(table) + "_" + rollup.name);
}

}  // namespace

Status AddRollups(sqlite3* db, TimeSeriesModule* module) {
  const int rc = sqlite3_create_module_v2(db, "timeseries_rollup", &kModule, module, nullptr);
  return rc == SQLITE_OK ? OkStatus()
                         : Internal("the module timeseries_rollup: " + std::to_string(rc));
}

Status RemoveRollups(sqlite3* db) {
  const int rc = sqlite3_create_module_v2(db, "timeseries_rollup", nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? OkStatus()
                         : Internal("the module timeseries_rollup: " + std::to_string(rc));
}

int CreateRollups(sqlite3* db, std::string_view schema, std::string_view table,
                  const std::vector<std::string_view>& arguments, const Declaration& declaration) {
  std::string points;
  for (const std::string_view argument : arguments) points += ", " + std::string(argument);
  int rc = SQLITE_OK;
  for (const RollupOption& rollup : declaration.rollups) {
    if (rc != SQLITE_OK) break;
    rc = Exec(db, "CREATE VIRTUAL TABLE " + NameOf(schema, table, rollup) +
                      " USING timeseries_rollup('" + rollup.name + "'" + points + ")");
  }
  return rc;
}

int DropRollups(sqlite3* db, std::string_view schema, std::string_view table,
                const Declaration& declaration) {
  int rc = SQLITE_OK;
  for (const RollupOption& rollup : declaration.rollups) {
    if (rc == SQLITE_OK) rc = Exec(db, "DROP TABLE IF EXISTS " + NameOf(schema, table, rollup));
  }
  return rc;
}

int RenameRollups(sqlite3* db, std::string_view schema, std::string_view table,
                  std::string_view new_name, const Declaration& declaration) {
  int rc = SQLITE_OK;
  for (const RollupOption& rollup : declaration.rollups) {
    if (rc != SQLITE_OK) break;
    rc = Exec(db, "ALTER TABLE " + NameOf(schema, table, rollup) + " RENAME TO " +
                      QuotedName(std::string(new_name) + "_" + rollup.name));
  }
  return rc;
}

}  // namespace cairn::timeseries
