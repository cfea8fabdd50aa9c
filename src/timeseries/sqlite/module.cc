#include "timeseries/sqlite/module.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "timeseries/sqlite/functions.h"
#include "timeseries/sqlite/plan.h"
#include "timeseries/sqlite/scan.h"

namespace cairn::timeseries {

namespace {

// The rows that one UPDATE or DELETE may change: 64 MiB of numbers.
constexpr size_t kRowsMax = 4 << 20;

int Report(char** error, const std::string& message) {
  sqlite3_free(*error);
  *error = sqlite3_mprintf("%s", message.c_str());
  return SQLITE_ERROR;
}

OnConflict ConflictRule(sqlite3* db) {
  switch (sqlite3_vtab_on_conflict(db)) {
    case SQLITE_REPLACE: return OnConflict::kReplace;
    case SQLITE_IGNORE: return OnConflict::kIgnore;
    default: return OnConflict::kFail;
  }
}

}  // namespace

// A connected table.
class Table : public sqlite3_vtab {
 public:
  Table(TimeSeriesModule* module, sqlite3* db, Declaration parsed, const char* schema,
        const char* name)
      : sqlite3_vtab(),
        module_(*module),
        declaration_(std::move(parsed)),
        storage_(db, schema, name, &declaration_),
        writer_(&storage_, &module->options_.charge) {
    module_.connected_.insert(this);
  }
  ~Table() { module_.connected_.erase(this); }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  const Declaration& declaration() const { return declaration_; }
  Storage& storage() { return storage_; }
  Writer& writer() { return writer_; }
  const ChargeWork& charge() const { return module_.options_.charge; }
  bool writes() const { return module_.options_.writes; }
  bool only_writer() const { return module_.options_.only_writer; }

  int Update(int argc, sqlite3_value** argv);
  // A number for a row that an UPDATE or a DELETE has found. It holds until no cursor is open and
  // the next one opens.
  int NumberOf(int64_t series, int64_t time, sqlite3_int64* number);
  int OpenCursor();
  void CloseCursor() { --cursors_; }

  int Flush() { return Told(writer_.Flush()); }
  int Told(int rc) {
    if (rc != SQLITE_OK && !writer_.error().empty()) Report(&zErrMsg, writer_.error());
    return rc;
  }
  int Refuse(const Status& status) { return Report(&zErrMsg, status.message()); }

 private:
  struct Place {
    int64_t series;
    int64_t time;
  };

  int InsertRow(sqlite3_value** columns);
  int UpdateRow(const Place& old, sqlite3_value** columns);
  Status ReadTags(sqlite3_value** columns, PointValues* tags) const;
  Status ReadValues(sqlite3_value** columns, PointValues* values) const;
  Status CheckHidden(sqlite3_value** columns, bool* is_block) const;

  TimeSeriesModule& module_;
  const Declaration declaration_;
  Storage storage_;
  Writer writer_;
  int cursors_ = 0;
  std::vector<Place> rows_;
};

namespace {

Table* Of(sqlite3_vtab* table) { return static_cast<Table*>(table); }

struct Cursor : sqlite3_vtab_cursor {
  explicit Cursor(Table* table)
      : sqlite3_vtab_cursor(), scan(&table->storage(), &table->charge()) {}
  Scan scan;
};

Cursor* Of(sqlite3_vtab_cursor* cursor) { return static_cast<Cursor*>(cursor); }

}  // namespace

// ---- Writing ------------------------------------------------------------------------------------

int Table::NumberOf(int64_t series, int64_t time, sqlite3_int64* number) {
  if (!writes()) {
    *number = 0;
    return SQLITE_OK;
  }
  if (rows_.size() >= kRowsMax) {
    Report(&zErrMsg,
           "a statement changes at most 4194304 points of a time series: name a shorter range of "
           "times");
    return SQLITE_TOOBIG;
  }
  rows_.push_back({series, time});
  *number = static_cast<sqlite3_int64>(rows_.size());
  return SQLITE_OK;
}

int Table::OpenCursor() {
  if (cursors_++ == 0) rows_.clear();
  return SQLITE_OK;
}

Status Table::ReadTags(sqlite3_value** columns, PointValues* tags) const {
  tags->resize(declaration_.tags.size());
  for (size_t i = 0; i < tags->size(); ++i) {
    RETURN_IF_ERROR(ReadDatum(declaration_.Tag(i), columns[declaration_.tags[i]], &(*tags)[i]));
  }
  return OkStatus();
}

Status Table::ReadValues(sqlite3_value** columns, PointValues* values) const {
  values->resize(declaration_.values.size());
  for (size_t i = 0; i < values->size(); ++i) {
    RETURN_IF_ERROR(
        ReadDatum(declaration_.Value(i), columns[declaration_.values[i]], &(*values)[i]));
  }
  return OkStatus();
}

Status Table::CheckHidden(sqlite3_value** columns, bool* is_block) const {
  sqlite3_value* const is_last = columns[declaration_.is_last_column()];
  if (sqlite3_value_type(is_last) != SQLITE_NULL && sqlite3_value_nochange(is_last) == 0) {
    return InvalidArgument("is_last cannot be written: it tells the last point of each series");
  }
  sqlite3_value* const block = columns[declaration_.block_column()];
  *is_block = sqlite3_value_type(block) != SQLITE_NULL;
  if (!*is_block) return OkStatus();
  bool alone = sqlite3_value_type(columns[declaration_.time]) == SQLITE_NULL;
  for (const size_t value : declaration_.values) {
    alone = alone && sqlite3_value_type(columns[value]) == SQLITE_NULL;
  }
  if (sqlite3_value_type(block) == SQLITE_BLOB && alone) return OkStatus();
  return InvalidArgument("a block comes as a blob, with tags and without times and values");
}

int Table::InsertRow(sqlite3_value** columns) {
  bool is_block = false;
  PointValues tags;
  PointValues values;
  int64_t time = 0;
  Status read = CheckHidden(columns, &is_block);
  if (read.ok()) read = ReadTags(columns, &tags);
  if (read.ok() && !is_block) read = ReadTime(declaration_, columns[declaration_.time], &time);
  if (read.ok() && !is_block) read = ReadValues(columns, &values);
  if (!read.ok()) return Refuse(read);
  int64_t series = 0;
  const int rc = writer_.FindSeries(tags, &series);
  if (rc != SQLITE_OK) return Told(rc);
  const OnConflict rule = ConflictRule(storage_.db());
  if (!is_block) return Told(writer_.Insert(series, time, values, rule));
  sqlite3_value* const block = columns[declaration_.block_column()];
  const auto* const bytes = static_cast<const char*>(sqlite3_value_blob(block));
  const auto count = static_cast<size_t>(sqlite3_value_bytes(block));
  return Told(writer_.InsertBlock(series, {bytes, bytes == nullptr ? 0 : count}, rule));
}

int Table::UpdateRow(const Place& old, sqlite3_value** columns) {
  bool is_block = false;
  PointValues tags;
  PointValues values;
  int64_t time = 0;
  Status read = CheckHidden(columns, &is_block);
  if (read.ok() && is_block) read = InvalidArgument("UPDATE sets no block of a time series");
  if (read.ok()) read = ReadTags(columns, &tags);
  if (read.ok()) read = ReadTime(declaration_, columns[declaration_.time], &time);
  if (read.ok()) read = ReadValues(columns, &values);
  if (!read.ok()) return Refuse(read);
  int64_t series = 0;
  int rc = writer_.FindSeries(tags, &series);
  if (rc != SQLITE_OK) return Told(rc);
  if (series == old.series && time == old.time) {
    return Told(writer_.Insert(series, time, values, OnConflict::kReplace));
  }
  const OnConflict rule = ConflictRule(storage_.db());
  if (rule != OnConflict::kReplace) {
    bool exists = false;
    rc = writer_.Exists(series, time, &exists);
    // This insert fails, or does nothing, and the old point stays.
    if (rc == SQLITE_OK && exists) rc = writer_.Insert(series, time, values, rule);
    if (rc != SQLITE_OK || exists) return Told(rc);
  }
  rc = writer_.Delete(old.series, old.time);
  if (rc == SQLITE_OK) rc = writer_.Insert(series, time, values, OnConflict::kReplace);
  return Told(rc);
}

int Table::Update(int argc, sqlite3_value** argv) {
  constexpr int kStepsOfACall = 10;
  if (charge() && !charge()(kStepsOfACall)) return SQLITE_INTERRUPT;
  const sqlite3_int64 rowid = sqlite3_last_insert_rowid(storage_.db());
  int rc = SQLITE_OK;
  if (sqlite3_value_type(argv[0]) == SQLITE_NULL) {
    if (sqlite3_value_type(argv[1]) != SQLITE_NULL) {
      return Refuse(InvalidArgument("a time series has no rowids"));
    }
    rc = InsertRow(argv + 2);
  } else {
    const sqlite3_int64 number = sqlite3_value_int64(argv[0]);
    if (number < 1 || static_cast<size_t>(number) > rows_.size()) {
      return Refuse(InvalidArgument("a time series has no rowids"));
    }
    const Place place = rows_[static_cast<size_t>(number) - 1];
    rc = argc == 1 ? Told(writer_.Delete(place.series, place.time)) : UpdateRow(place, argv + 2);
  }
  // The rows of the storage are no rows of the client.
  sqlite3_set_last_insert_rowid(storage_.db(), rowid);
  return rc;
}

// ---- What SQLite calls --------------------------------------------------------------------------

namespace {

int Connect(sqlite3* db, void* module, int argc, const char* const* argv, sqlite3_vtab** table,
            char** error, bool create) {
  const std::vector<std::string_view> arguments(argv + 3, argv + argc);
  Result<Declaration> declaration = ParseDeclaration(arguments);
  if (!declaration.ok()) return Report(error, declaration.status().message());
  int rc = sqlite3_declare_vtab(db, SqlOfDeclaration(*declaration).c_str());
  if (rc != SQLITE_OK) return rc;
  sqlite3_vtab_config(db, SQLITE_VTAB_CONSTRAINT_SUPPORT, 1);
  // What it reads and writes is its own.
  sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
  auto made = std::make_unique<Table>(static_cast<TimeSeriesModule*>(module), db,
                                      std::move(declaration).value(), argv[1], argv[2]);
  if (create && (rc = made->storage().Create()) != SQLITE_OK) {
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
  Of(table)->writer().Discard();
  const int rc = Of(table)->storage().Drop();
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
  const int rc = Of(cursor->pVtab)->Flush();
  return rc == SQLITE_OK ? Of(cursor)->scan.Begin(Plan::Of(number, wanted), argv) : rc;
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
  const int rc = scan.IsLast(&is_last);
  if (rc == SQLITE_OK) sqlite3_result_int(context, is_last ? 1 : 0);
  return rc;
}

int OnRowid(sqlite3_vtab_cursor* cursor, sqlite3_int64* rowid) {
  const Scan& scan = Of(cursor)->scan;
  return Of(cursor->pVtab)->NumberOf(scan.series(), scan.time(), rowid);
}

int OnUpdate(sqlite3_vtab* table, int argc, sqlite3_value** argv, sqlite3_int64* rowid) {
  *rowid = 0;
  return Of(table)->Update(argc, argv);
}

int OnBegin(sqlite3_vtab* table) {
  if (!Of(table)->only_writer()) Of(table)->writer().Forget();
  return SQLITE_OK;
}

int OnSync(sqlite3_vtab* table) { return Of(table)->Flush(); }

int OnCommit(sqlite3_vtab* /*table*/) { return SQLITE_OK; }

int OnRollback(sqlite3_vtab* table) {
  Of(table)->writer().Discard();
  return SQLITE_OK;
}

int OnSavepoint(sqlite3_vtab* table, int /*savepoint*/) { return Of(table)->Flush(); }

int OnRollbackTo(sqlite3_vtab* table, int /*savepoint*/) { return OnRollback(table); }

int OnRename(sqlite3_vtab* table, const char* name) {
  const int rc = Of(table)->Flush();
  return rc == SQLITE_OK ? Of(table)->storage().Rename(name) : rc;
}

int OnShadowName(const char* name) {
  for (const char* each : {"series", "tail", "blocks"}) {
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
  return AddFunctions(db, &options_.charge);
}

Status TimeSeriesModule::Remove(sqlite3* db) {
  const int rc = sqlite3_create_module_v2(db, "timeseries", nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return Internal("remove the module timeseries: " + std::to_string(rc));
  return RemoveFunctions(db);
}

int TimeSeriesModule::Flush() {
  for (Table* table : connected_) {
    if (!table->writer().has_changes()) continue;
    const ShadowsWritable writable(table->storage().db());
    const int rc = table->Flush();
    if (rc != SQLITE_OK) return rc;
  }
  return SQLITE_OK;
}

}  // namespace cairn::timeseries
