#include "state_machine/sqlite/vector_sql.h"

#include <functional>
#include <optional>

#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/sql_scan.h"
#include "vectors/functions.h"
#include "vectors/index_definition.h"
#include "vectors/index_function.h"
#include "vectors/index_search.h"
#include "vectors/top_k.h"

namespace cairn::state_machine {
namespace {

Status Add(sqlite3* db, const vectors::WorkGate& gate, const vectors::Uncounted& uncounted,
           const vectors::FindCandidates& candidates) {
  RETURN_IF_ERROR(vectors::AddFunctions(db, gate));
  RETURN_IF_ERROR(vectors::AddIndexFunction(db, gate));
  return vectors::AddTopK(db, gate, uncounted, candidates);
}

std::optional<std::string> DeclaredType(sqlite3* db, const std::string& table,
                                        const std::string& column) {
  const char* type = nullptr;
  const int rc = sqlite3_table_column_metadata(db, "main", table.c_str(), column.c_str(), &type,
                                               nullptr, nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return std::nullopt;
  return type == nullptr ? "" : type;
}

}  // namespace

Status AddVectorsToWriter(sqlite3* db, WorkBudget* budget) {
  return Add(
      db, [budget](uint64_t steps) { return !budget->running() || budget->Charge(steps); },
      [budget](const std::function<void()>& work) {
        const WorkBudget::Pause pause(budget);
        work();
      },
      /*candidates=*/{});
}

vectors::FindCandidates AtView(const CandidatesAt& find, const LogIndex* applied) {
  if (!find) return {};
  return [&find, applied](const auto& index, const auto& query, size_t k) {
    return find(*applied, index, query, k);
  };
}

Status AddVectorsToReader(sqlite3* db, const vectors::FindCandidates& candidates) {
  return Add(db, {}, {}, candidates);
}

Status RemoveVectors(sqlite3* db) {
  RETURN_IF_ERROR(vectors::RemoveFunctions(db));
  RETURN_IF_ERROR(vectors::RemoveIndexFunction(db));
  return vectors::RemoveTopK(db);
}

Status AddTablesOfVectorIndexes(sqlite3* db, std::set<std::string>* names) {
  InternalStatement find;
  RETURN_IF_ERROR(find.Prepare(db,
                               "SELECT lower(tbl_name) FROM main.sqlite_schema WHERE type = 'index'"
                               " AND instr(lower(sql), 'libsql_vector_idx') > 0"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, find.Next());
    if (!row) return OkStatus();
    names->insert(std::string(find.Bytes(0)));
  }
}

Result<std::string> WithVectorColumn(sqlite3* db, std::string_view sql) {
  if (!HoldsWord(sql, vectors::kIndexFunction)) return std::string(sql);
  Status searchable;
  Result<std::string> text =
      vectors::WithColumnType(sql, [&](const std::string& table, const std::string& column) {
        std::optional<std::string> type = DeclaredType(db, table, column);
        if (type.has_value()) searchable = vectors::CheckTable(db, table);
        return type;
      });
  RETURN_IF_ERROR(searchable);
  return text;
}

}  // namespace cairn::state_machine
