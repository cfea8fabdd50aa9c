#include "vectors/top_k.h"

#include <string>
#include <vector>

#include "vectors/index_search.h"

namespace cairn::vectors {
namespace {

constexpr char kName[] = "vector_top_k";
constexpr int kColumnId = 3;  // behind the arguments

// What the searches of a connection share.
struct Shared {
  WorkGate gate;
  Uncounted uncounted;
  FindCandidates candidates;
  size_t rows_held = 0;  // by all open cursors
};

struct Table {
  sqlite3_vtab base = {};
  sqlite3* db = nullptr;
  Shared* shared = nullptr;
};

struct Cursor {
  sqlite3_vtab_cursor base = {};
  std::vector<Neighbor> rows;
  // Frees the rows.
  void Clear() {
    reinterpret_cast<Table*>(base.pVtab)->shared->rows_held -= rows.size();
    rows = {};
    at = 0;
  }
  size_t at = 0;
};

int Connect(sqlite3* db, void* shared, int /*argc*/, const char* const* /*argv*/,
            sqlite3_vtab** out, char** /*error*/) {
  const int rc = sqlite3_declare_vtab(
      db, "CREATE TABLE x(index_name HIDDEN, vector HIDDEN, k HIDDEN, id INTEGER)");
  if (rc != SQLITE_OK) return rc;
  sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
  auto* const table = new Table;
  table->db = db;
  table->shared = static_cast<Shared*>(shared);
  *out = &table->base;
  return SQLITE_OK;
}

int Disconnect(sqlite3_vtab* table) {
  delete reinterpret_cast<Table*>(table);
  return SQLITE_OK;
}

int BestIndex(sqlite3_vtab* table, sqlite3_index_info* info) {
  int found = 0;
  for (int i = 0; i < info->nConstraint; ++i) {
    const auto& constraint = info->aConstraint[i];
    if (constraint.iColumn >= kColumnId || constraint.iColumn < 0 ||
        constraint.op != SQLITE_INDEX_CONSTRAINT_EQ) {
      continue;
    }
    // The arguments may come from another table of the join, which then must come first.
    if (constraint.usable == 0) return SQLITE_CONSTRAINT;
    info->aConstraintUsage[i].argvIndex = constraint.iColumn + 1;
    info->aConstraintUsage[i].omit = 1;
    found |= 1 << constraint.iColumn;
  }
  if (found != (1 << kColumnId) - 1) {
    sqlite3_free(table->zErrMsg);
    table->zErrMsg = sqlite3_mprintf(
        "vector_top_k() takes three arguments: the name of a vector index, a vector, and the "
        "number of rows");
    return SQLITE_ERROR;
  }
  info->estimatedCost = 100'000;
  info->estimatedRows = 100;
  return SQLITE_OK;
}

int Open(sqlite3_vtab* /*table*/, sqlite3_vtab_cursor** out) {
  *out = &(new Cursor)->base;
  return SQLITE_OK;
}

int Close(sqlite3_vtab_cursor* base) {
  auto* const cursor = reinterpret_cast<Cursor*>(base);
  cursor->Clear();
  delete cursor;
  return SQLITE_OK;
}

std::string_view TextOfValue(sqlite3_value* value) {
  const auto* const text = reinterpret_cast<const char*>(sqlite3_value_text(value));
  return {text == nullptr ? "" : text, static_cast<size_t>(sqlite3_value_bytes(value))};
}

SearchEnd Search(const Table& table, sqlite3_value** argv, std::vector<Neighbor>* rows) {
  // As with every table-valued function, an argument that is not known gives no row.
  for (int i = 0; i < kColumnId; ++i) {
    if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return {};
  }
  const int64_t k = sqlite3_value_int64(argv[2]);
  if (sqlite3_value_numeric_type(argv[2]) != SQLITE_INTEGER || k < 1 || k > kRowsMax) {
    return {SQLITE_ERROR,
            "the number of rows of vector_top_k() is 1 to " + std::to_string(kRowsMax)};
  }
  const Shared& shared = *table.shared;
  IndexDefinition index;
  SearchEnd end = FindIndex(table.db, TextOfValue(argv[0]), shared.gate, shared.uncounted, &index);
  if (end.rc != SQLITE_OK) return end;
  if (shared.gate && !shared.gate(StepsToConvert(argv[1]))) return {SQLITE_ERROR, kNotAllowed};
  const Result<std::string> query = EncodeQuery(argv[1], *index.parameters.column);
  if (!query.ok()) return {SQLITE_ERROR, query.status().message()};
  const Result<View> view = ViewOf(*query);
  if (!view.ok()) return {SQLITE_ERROR, view.status().message()};
  const RowBounds bounds = {static_cast<size_t>(k),
                            static_cast<size_t>(kRowsMax) - shared.rows_held};
  if (shared.candidates) {
    const auto candidates = shared.candidates(index, *view, bounds.k);
    if (candidates.has_value()) {
      end = SearchAmong(table.db, index, *view, bounds, *candidates, rows);
      if (end.rc != SQLITE_OK || rows->size() == bounds.k) return end;
    }
  }
  return SearchAll(table.db, index, *view, bounds, shared.gate, rows);
}

int Filter(sqlite3_vtab_cursor* base, int /*number*/, const char* /*text*/, int /*argc*/,
           sqlite3_value** argv) {
  auto* const cursor = reinterpret_cast<Cursor*>(base);
  auto* const table = reinterpret_cast<Table*>(base->pVtab);
  cursor->Clear();
  const SearchEnd end = Search(*table, argv, &cursor->rows);
  table->shared->rows_held += cursor->rows.size();
  if (end.rc == SQLITE_OK) return SQLITE_OK;
  sqlite3_free(table->base.zErrMsg);
  table->base.zErrMsg = sqlite3_mprintf("%s", end.message.c_str());
  return end.rc;
}

int Next(sqlite3_vtab_cursor* cursor) {
  ++reinterpret_cast<Cursor*>(cursor)->at;
  return SQLITE_OK;
}

int Eof(sqlite3_vtab_cursor* base) {
  const auto* const cursor = reinterpret_cast<Cursor*>(base);
  return cursor->at >= cursor->rows.size() ? 1 : 0;
}

// The arguments are not told again: SQLite keeps them.
int ColumnOf(sqlite3_vtab_cursor* base, sqlite3_context* context, int column) {
  const auto* const cursor = reinterpret_cast<Cursor*>(base);
  if (column == kColumnId) sqlite3_result_int64(context, cursor->rows[cursor->at].rowid);
  return SQLITE_OK;
}

int Rowid(sqlite3_vtab_cursor* base, sqlite3_int64* rowid) {
  const auto* const cursor = reinterpret_cast<Cursor*>(base);
  *rowid = cursor->rows[cursor->at].rowid;
  return SQLITE_OK;
}

// Without xCreate the module makes no table but the one of its own name.
sqlite3_module MakeModule() {
  sqlite3_module module = {};
  module.xConnect = &Connect;
  module.xBestIndex = &BestIndex;
  module.xDisconnect = &Disconnect;
  module.xOpen = &Open;
  module.xClose = &Close;
  module.xFilter = &Filter;
  module.xNext = &Next;
  module.xEof = &Eof;
  module.xColumn = &ColumnOf;
  module.xRowid = &Rowid;
  return module;
}

}  // namespace

Status AddTopK(sqlite3* db, const WorkGate& gate, const Uncounted& uncounted,
               const FindCandidates& candidates) {
  static const sqlite3_module kModule = MakeModule();
  auto* const owned =
      new Shared{gate, uncounted, candidates};  // SQLite deletes it, also if the call fails
  const int rc = sqlite3_create_module_v2(db, kName, &kModule, owned,
                                          [](void* old) { delete static_cast<Shared*>(old); });
  return rc == SQLITE_OK ? OkStatus() : Internal(std::string(kName) + ": " + sqlite3_errmsg(db));
}

Status RemoveTopK(sqlite3* db) {
  const int rc = sqlite3_create_module_v2(db, kName, nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? OkStatus() : Internal(std::string(kName) + ": " + sqlite3_errmsg(db));
}

}  // namespace cairn::vectors
