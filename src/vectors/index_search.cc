#include "vectors/index_search.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "vectors/sql_words.h"

namespace cairn::vectors {
namespace {

// To find the index, and to compile the scan.
constexpr uint64_t kStepsPerSearch = 1000;
constexpr uint64_t kStepsPerVector = 20;

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

// A name for the rowid that no column of the table has.
SearchEnd NameOfRowid(sqlite3* db, const std::string& table, std::string* name) {
  StatementPtr columns;
  SearchEnd end = Prepare(db, "SELECT lower(name) FROM pragma_table_xinfo(?1)", &columns);
  if (end.rc != SQLITE_OK) return end;
  sqlite3_bind_text(columns.get(), 1, table.data(), static_cast<int>(table.size()),
                    SQLITE_TRANSIENT);
  std::vector<std::string> taken;
  int rc = SQLITE_OK;
  while ((rc = sqlite3_step(columns.get())) == SQLITE_ROW) {
    taken.emplace_back(reinterpret_cast<const char*>(sqlite3_column_text(columns.get(), 0)));
  }
  if (rc != SQLITE_DONE) return Failed(db, rc);
  for (const char* each : {"rowid", "_rowid_", "oid"}) {
    if (std::find(taken.begin(), taken.end(), each) != taken.end()) continue;
    *name = each;
    return {};
  }
  return {SQLITE_ERROR, "the table " + table + " has no name left for its rowid"};
}

// The nearest rows so far: a heap with the farthest of them first.
class Nearest {
 public:
  explicit Nearest(size_t k) : k_(k) {}
  void Add(const Neighbor& neighbor) {
    if (heap_.size() == k_) {
      if (!(neighbor < heap_.front())) return;
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.back() = neighbor;
    } else {
      heap_.push_back(neighbor);
    }
    std::push_heap(heap_.begin(), heap_.end());
  }
  std::vector<Neighbor> Take() {
    std::sort_heap(heap_.begin(), heap_.end());
    return std::move(heap_);
  }

 private:
  const size_t k_;
  std::vector<Neighbor> heap_;
};

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

}  // namespace

SearchEnd FindIndex(sqlite3* db, std::string_view name, IndexDefinition* index) {
  StatementPtr find;
  SearchEnd end = Prepare(
      db, "SELECT sql FROM main.sqlite_schema WHERE type = 'index' AND name = ?1 COLLATE NOCASE",
      &find);
  if (end.rc != SQLITE_OK) return end;
  const std::string_view bare = name.starts_with("main.") ? name.substr(5) : name;
  sqlite3_bind_text(find.get(), 1, bare.data(), static_cast<int>(bare.size()), SQLITE_TRANSIENT);
  const int rc = sqlite3_step(find.get());
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) return Failed(db, rc);
  const auto* const sql = rc == SQLITE_ROW
                              ? reinterpret_cast<const char*>(sqlite3_column_text(find.get(), 0))
                              : nullptr;
  auto definition = ParseIndexDefinition(sql == nullptr ? "" : sql);
  if (!definition.ok()) return Failed(definition.status());
  if (!definition->has_value() || !(*definition)->parameters.column.has_value()) {
    return {SQLITE_ERROR, "there is no vector index " + std::string(name) +
                              "; CREATE INDEX name ON table(libsql_vector_idx(column)) makes one"};
  }
  *index = std::move(**definition);
  return {};
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

SearchEnd SearchAll(sqlite3* db, const IndexDefinition& index, const View& query, size_t k,
                    const WorkGate& gate, std::vector<Neighbor>* neighbors) {
  if (gate && !gate(kStepsPerSearch)) return {SQLITE_ERROR, kNotAllowed};
  std::string rowid;
  SearchEnd end = NameOfRowid(db, index.table, &rowid);
  if (end.rc != SQLITE_OK) return end;
  const std::string column = Quoted(index.column);
  std::string sql = "SELECT " + rowid + ", " + column + " FROM main." + Quoted(index.table) +
                    " NOT INDEXED WHERE " + column + " IS NOT NULL";
  if (!index.where.empty()) sql += " AND (" + index.where + "\n)";
  StatementPtr scan;
  end = Prepare(db, sql, &scan);
  if (end.rc != SQLITE_OK) return end;
  Nearest nearest(k);
  int rc = SQLITE_OK;
  while ((rc = sqlite3_step(scan.get())) == SQLITE_ROW) {
    sqlite3_value* const value = sqlite3_column_value(scan.get(), 1);
    if (gate && !gate(kStepsPerVector + StepsToRead(value))) return {SQLITE_ERROR, kNotAllowed};
    const Result<double> distance = DistanceOfRow(value, index.parameters.metric, query);
    if (!distance.ok()) return Failed(distance.status());
    nearest.Add({*distance, sqlite3_column_int64(scan.get(), 0)});
  }
  if (rc != SQLITE_DONE) return Failed(db, rc);
  *neighbors = nearest.Take();
  return {};
}

}  // namespace cairn::vectors
