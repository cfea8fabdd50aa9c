#include "vectors/index_search.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <set>
#include <utility>

#include "base/sql_name.h"
#include "vectors/sql_words.h"

namespace cairn::vectors {
namespace {

// Prices, in steps. To compile a scan takes time for each token of the index's WHERE, for each pair
// of constants, and for each generated column, which SQLite puts in as the expression that it is.
constexpr uint64_t kStepsPerSearch = 5000;
constexpr uint64_t kStepsPerVector = 20;
constexpr uint64_t kStepsPerSchemaRow = 10;
constexpr uint64_t kStepsPerColumn = 20;
constexpr uint64_t kStepsPerWord = 100;
constexpr uint64_t kStepsPerGeneratedColumn = 125'000;  // the largest one
constexpr uint64_t kStepsPerTextByte = 2;

constexpr char kEnginePrefix[] = "_cairn_";

struct Finalize {
  void operator()(sqlite3_stmt* stmt) const { sqlite3_finalize(stmt); }
};
using StatementPtr = std::unique_ptr<sqlite3_stmt, Finalize>;

SearchEnd Failed(sqlite3* db, int rc) { return {rc, sqlite3_errmsg(db)}; }
SearchEnd Failed(const Status& status) { return {SQLITE_ERROR, status.message()}; }

SearchEnd Prepare(sqlite3* db, const std::string& sql, StatementPtr* stmt) {
  sqlite3_stmt* raw = nullptr;
  const int rc = sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &raw, nullptr);
  stmt->reset(raw);
  return rc == SQLITE_OK ? SearchEnd() : Failed(db, rc);
}

std::string_view TextAt(const StatementPtr& stmt, int column) {
  const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(stmt.get(), column));
  return {text == nullptr ? "" : text,
          static_cast<size_t>(sqlite3_column_bytes(stmt.get(), column))};
}

void Bind(const StatementPtr& stmt, int number, std::string_view text) {
  sqlite3_bind_text(stmt.get(), number, text.data(), static_cast<int>(text.size()),
                    SQLITE_TRANSIENT);
}

struct Column {
  std::string lower_name;
  bool generated = false;
};

SearchEnd ColumnsOf(sqlite3* db, const std::string& table, std::vector<Column>* columns) {
  StatementPtr find;
  SearchEnd end = Prepare(db, "SELECT name, hidden FROM pragma_table_xinfo(?1, 'main')", &find);
  if (end.rc != SQLITE_OK) return end;
  Bind(find, 1, table);
  int rc = SQLITE_OK;
  while ((rc = sqlite3_step(find.get())) == SQLITE_ROW) {
    columns->push_back({LowerCase(TextAt(find, 0)), sqlite3_column_int(find.get(), 1) >= 2});
  }
  return rc == SQLITE_DONE ? SearchEnd() : Failed(db, rc);
}

const char* NameOfRowidBeside(const std::vector<Column>& columns) {
  std::vector<std::string> names;
  names.reserve(columns.size());
  for (const Column& each : columns) names.push_back(each.lower_name);
  return NameOfRowid(names);
}

std::string NoNameOfRowid(const std::string& table) {
  return "a vector index needs a name for the rowid, and the table " + table +
         " has columns of all three names: rename one of rowid, _rowid_ and oid";
}

// What it costs to compile the scan.
uint64_t CompileSteps(const IndexDefinition& index, const std::vector<Column>& columns) {
  std::vector<SqlWord> words = SplitSql(index.where, std::numeric_limits<size_t>::max());
  const uint64_t count = words.size();
  std::set<std::string> generated;
  for (const Column& each : columns) {
    if (each.generated) generated.insert(each.lower_name);
  }
  uint64_t mentions = 2 * generated.count(LowerCase(index.column));
  if (!generated.empty()) {
    for (const SqlWord& each : words) mentions += generated.count(LowerCase(each.value));
  }
  return kStepsPerSearch + columns.size() * kStepsPerColumn + count * kStepsPerWord +
         count * count / 2 + mentions * kStepsPerGeneratedColumn;
}

// The nearest rows so far: a heap with the farthest of them first.
class Nearest {
 public:
  explicit Nearest(RowBounds bounds) : bounds_(bounds) {}
  // False: there is no room for it.
  bool Add(const Neighbor& neighbor) {
    if (heap_.size() == bounds_.k) {
      if (!(neighbor < heap_.front())) return true;
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.back() = neighbor;
    } else {
      if (heap_.size() == bounds_.held_max) return false;
      heap_.push_back(neighbor);
    }
    std::push_heap(heap_.begin(), heap_.end());
    return true;
  }
  std::vector<Neighbor> Take() {
    std::sort_heap(heap_.begin(), heap_.end());
    return std::move(heap_);
  }

 private:
  const RowBounds bounds_;
  std::vector<Neighbor> heap_;
};

SearchEnd NoRoom() {
  return {SQLITE_ERROR, "the searches of vector_top_k() that are open at once hold at most " +
                            std::to_string(kRowsMax) + " rows together: ask for fewer rows"};
}

Result<double> DistanceOfRow(sqlite3_value* value, Metric metric, const View& query) {
  Argument argument;
  RETURN_IF_ERROR(argument.Read(value));
  const View& view = argument.view();
  if (view.kind != query.kind || view.dimensions != query.dimensions) {
    // The function of the index lets no such vector in, unless the file was changed without it.
    return InvalidArgument("the index holds a vector of another kind; REINDEX it");
  }
  ASSIGN_OR_RETURN(const std::optional<double> distance, Distance(metric, view, query));
  return distance.value_or(std::numeric_limits<double>::infinity());
}

// `rows`: of the schema, without those of the engine. All are read, because their order is not the
// same on every node.
SearchEnd ReadIndexText(sqlite3* db, std::string_view name, uint64_t* rows, std::string* sql) {
  StatementPtr find;
  SearchEnd end = Prepare(db, "SELECT type, name, tbl_name, rowid FROM main.sqlite_schema", &find);
  if (end.rc != SQLITE_OK) return end;
  const std::string lower_name = LowerCase(name);
  int64_t rowid = 0;
  int rc = SQLITE_OK;
  while ((rc = sqlite3_step(find.get())) == SQLITE_ROW) {
    if (TextAt(find, 2).starts_with(kEnginePrefix)) continue;
    ++*rows;
    if (TextAt(find, 0) == "index" && LowerCase(TextAt(find, 1)) == lower_name) {
      rowid = sqlite3_column_int64(find.get(), 3);
    }
  }
  if (rc != SQLITE_DONE) return Failed(db, rc);
  if (rowid == 0) return {};
  end = Prepare(db, "SELECT sql FROM main.sqlite_schema WHERE rowid = ?1", &find);
  if (end.rc != SQLITE_OK) return end;
  sqlite3_bind_int64(find.get(), 1, rowid);
  if ((rc = sqlite3_step(find.get())) != SQLITE_ROW) return Failed(db, rc);
  *sql = TextAt(find, 0);
  return {};
}

}  // namespace

SearchEnd FindIndex(sqlite3* db, std::string_view name, const WorkGate& gate,
                    const Uncounted& uncounted, IndexDefinition* index) {
  const std::string_view bare = name.starts_with("main.") ? name.substr(5) : name;
  uint64_t rows = 0;
  std::string sql;
  SearchEnd end;
  const auto read = [&] { end = ReadIndexText(db, bare, &rows, &sql); };
  uncounted ? uncounted(read) : read();
  if (end.rc != SQLITE_OK) return end;
  const uint64_t steps = rows * kStepsPerSchemaRow + sql.size() * kStepsPerTextByte;
  if (gate && !gate(steps)) return {SQLITE_ERROR, kNotAllowed};
  auto definition = ParseIndexDefinition(sql);
  if (!definition.ok()) return Failed(definition.status());
  if (!definition->has_value() || !(*definition)->parameters.column.has_value()) {
    return {SQLITE_ERROR, "there is no vector index " + std::string(name) +
                              "; CREATE INDEX name ON table(libsql_vector_idx(column)) makes one"};
  }
  *index = std::move(**definition);
  return {};
}

Status CheckTable(sqlite3* db, const std::string& table) {
  StatementPtr find;
  // For the name of a table this has rows, those of its key, only if the table is WITHOUT ROWID.
  SearchEnd end = Prepare(db, "SELECT 1 FROM pragma_index_info(?1, 'main')", &find);
  if (end.rc == SQLITE_OK) {
    Bind(find, 1, table);
    const int rc = sqlite3_step(find.get());
    if (rc == SQLITE_ROW) {
      return InvalidArgument(
          "a vector index needs a table with rowids, so it is not WITHOUT ROWID");
    }
    if (rc != SQLITE_DONE) end = Failed(db, rc);
  }
  std::vector<Column> columns;
  if (end.rc == SQLITE_OK) end = ColumnsOf(db, table, &columns);
  if (end.rc != SQLITE_OK) return Internal("the columns of " + table + ": " + end.message);
  return NameOfRowidBeside(columns) != nullptr ? OkStatus() : InvalidArgument(NoNameOfRowid(table));
}

std::string SelectRows(const IndexDefinition& index, const char* rowid, bool one_row) {
  const std::string column = QuotedName(index.column);
  std::string sql = std::string("SELECT ") + rowid + ", " + column + " FROM main." +
                    QuotedName(index.table) + " NOT INDEXED WHERE " + column + " IS NOT NULL";
  if (one_row) sql += std::string(" AND ") + rowid + " = ?1";
  if (!index.where.empty()) sql += " AND (" + index.where + "\n)";
  return sql;
}

const char* NameOfRowid(const std::vector<std::string>& columns) {
  for (const char* each : {"rowid", "_rowid_", "oid"}) {
    if (std::find(columns.begin(), columns.end(), each) == columns.end()) return each;
  }
  return nullptr;
}

Result<std::string> EncodeQuery(sqlite3_value* value, const ColumnType& column) {
  ASSIGN_OR_RETURN(const Elements elements, ReadElements(value, column.kind));
  const size_t dimensions = std::visit([](const auto& each) { return each.size(); }, elements);
  if (dimensions != column.dimensions) {
    return InvalidArgument("the vector has " + std::to_string(dimensions) +
                           " dimensions, and those of the index have " +
                           std::to_string(column.dimensions));
  }
  return Encode(elements, column.kind);
}

SearchEnd SearchAll(sqlite3* db, const IndexDefinition& index, const View& query, RowBounds bounds,
                    const WorkGate& gate, std::vector<Neighbor>* neighbors) {
  std::vector<Column> columns;
  SearchEnd end = ColumnsOf(db, index.table, &columns);
  if (end.rc != SQLITE_OK) return end;
  if (gate && !gate(CompileSteps(index, columns))) return {SQLITE_ERROR, kNotAllowed};
  const char* const rowid = NameOfRowidBeside(columns);
  if (rowid == nullptr) return {SQLITE_ERROR, NoNameOfRowid(index.table)};
  StatementPtr scan;
  end = Prepare(db, SelectRows(index, rowid, /*one_row=*/false), &scan);
  if (end.rc != SQLITE_OK) return end;
  Nearest nearest(bounds);
  int rc = SQLITE_OK;
  while ((rc = sqlite3_step(scan.get())) == SQLITE_ROW) {
    sqlite3_value* const value = sqlite3_column_value(scan.get(), 1);
    if (gate && !gate(kStepsPerVector + StepsToRead(value))) return {SQLITE_ERROR, kNotAllowed};
    const Result<double> distance = DistanceOfRow(value, index.parameters.metric, query);
    if (!distance.ok()) return Failed(distance.status());
    if (!nearest.Add({*distance, sqlite3_column_int64(scan.get(), 0)})) {
      return NoRoom();
    }
  }
  if (rc != SQLITE_DONE) return Failed(db, rc);
  *neighbors = nearest.Take();
  return {};
}

SearchEnd SearchAmong(sqlite3* db, const IndexDefinition& index, const View& query,
                      RowBounds bounds, const std::vector<int64_t>& rowids,
                      std::vector<Neighbor>* neighbors) {
  std::vector<Column> columns;
  SearchEnd end = ColumnsOf(db, index.table, &columns);
  if (end.rc != SQLITE_OK) return end;
  const char* const rowid = NameOfRowidBeside(columns);
  if (rowid == nullptr) return {SQLITE_ERROR, NoNameOfRowid(index.table)};
  StatementPtr find;
  end = Prepare(db, SelectRows(index, rowid, /*one_row=*/true), &find);
  if (end.rc != SQLITE_OK) return end;
  Nearest nearest(bounds);
  for (const int64_t each : rowids) {
    sqlite3_bind_int64(find.get(), 1, each);
    const int rc = sqlite3_step(find.get());
    if (rc == SQLITE_ROW) {
      const Result<double> distance =
          DistanceOfRow(sqlite3_column_value(find.get(), 1), index.parameters.metric, query);
      if (!distance.ok()) return Failed(distance.status());
      if (!nearest.Add({*distance, each})) return NoRoom();
    } else if (rc != SQLITE_DONE) {
      return Failed(db, rc);
    }
    sqlite3_reset(find.get());
  }
  *neighbors = nearest.Take();
  return {};
}

}  // namespace cairn::vectors
