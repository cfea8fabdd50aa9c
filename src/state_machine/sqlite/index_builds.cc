#include "state_machine/sqlite/index_builds.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/sql_name.h"
#include "state_machine/sqlite/index_keys.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/sql_tokens.h"
#include "state_machine/sqlite/table_shape.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {
namespace {

// Of the scan, beside one for each column.
constexpr uint64_t kStepsPerScannedRow = 8;

// What an index is made of, by its text.
struct Build {
  std::string table;
  std::set<std::string> names;  // in lower case; some may not be columns
  bool computed = false;        // the key may hold more than the columns that are named
  bool grows = false;           // the key may be longer than the row
};

// CREATE INDEX ... ON table(a, b COLLATE NOCASE DESC, lower(c)) WHERE ...: the part in parentheses.
Build BuildOf(std::string_view table, std::string_view create_index) {
  Build build{std::string(table), {}, false, MayGrow(create_index)};
  int depth = 0;
  for (const Token& token : TokensOf(create_index)) {
    if (token.type == TokenType::kOpen) ++depth;
    if (token.type == TokenType::kClose && --depth == 0) break;
    if (depth == 0) continue;
    if (IsName(token)) build.names.insert(NameOf(token));
    build.computed =
        build.computed || depth > 1 || (token.type == TokenType::kOther && token.text != ",");
  }
  return build;
}

// False for the indexes of a table that the statement is about to make.
Result<bool> TableExists(sqlite3* db, const std::string& table) {
  InternalStatement find;
  RETURN_IF_ERROR(find.Prepare(
      db, "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE"));
  find.BindText(1, table);
  return find.Next();
}

// Those that REINDEX names are in the schema. The one that CREATE INDEX makes is not yet there.
Result<std::vector<Build>> BuildsOf(sqlite3* db, const ProgramFacts& facts, std::string_view sql) {
  std::vector<Build> builds;
  if (!facts.indexed_table.empty() && !IsVectorIndex(sql)) {
    ASSIGN_OR_RETURN(const bool has_rows, TableExists(db, facts.indexed_table));
    if (has_rows) builds.push_back(BuildOf(facts.indexed_table, sql));
  }
  InternalStatement find;
  RETURN_IF_ERROR(find.Prepare(db,
                               "SELECT tbl_name, coalesce(sql, '') FROM sqlite_schema"
                               " WHERE type = 'index' AND name = ?1 COLLATE NOCASE"));
  InternalStatement list;
  RETURN_IF_ERROR(list.Prepare(db, "SELECT coalesce(name, '') FROM pragma_index_info(?1)"));
  for (const std::string& index : facts.rebuilt_indexes) {
    find.BindText(1, index);
    ASSIGN_OR_RETURN(const bool found, find.Next());
    if (!found) continue;
    if (IsVectorIndex(find.Bytes(1))) {
      find.Reset();
      continue;
    }
    Build build = BuildOf(find.Bytes(0), find.Bytes(1));
    const bool of_constraint = find.Bytes(1).empty();
    find.Reset();
    list.BindText(1, index);
    for (; of_constraint;) {
      ASSIGN_OR_RETURN(const bool row, list.Next());
      if (!row) break;
      build.names.insert(LowerCase(list.Bytes(0)));
    }
    builds.push_back(std::move(build));
  }
  return builds;
}

// Selects the columns of the key, or all columns for a key that is computed.
Result<std::string> ScanOf(sqlite3* db, const Build& build, size_t* columns) {
  ASSIGN_OR_RETURN(const TableShape shape, ReadShape(db, build.table));
  std::string list;
  for (const ShapeColumn& column : shape.columns) {
    const bool all = build.computed || shape.any_excluded;
    if (!all && !build.names.contains(LowerCase(column.name))) continue;
    list += (list.empty() ? "" : ", ") + QuotedName(column.name);
    ++*columns;
  }
  if (list.empty()) list = "1";  // the rowid
  return "SELECT " + list + " FROM main." + QuotedName(build.table);
}

Result<uint64_t> StepsOf(sqlite3* db, const Build& build, uint64_t steps_max) {
  size_t columns = 0;
  ASSIGN_OR_RETURN(const std::string sql, ScanOf(db, build, &columns));
  InternalStatement scan;
  RETURN_IF_ERROR(scan.Prepare(db, sql));
  uint64_t steps = 0;
  while (steps <= steps_max) {
    ASSIGN_OR_RETURN(const bool row, scan.Next());
    if (!row) break;
    uint64_t bytes = 0;
    for (size_t i = 0; i < columns; ++i) bytes += scan.Bytes(static_cast<int>(i)).size();
    if (build.grows) bytes = std::max(bytes, kGrownKeyBytes);
    steps += kStepsPerScannedRow + columns + bytes / kInsertedBytesPerStep;
  }
  return steps;
}

}  // namespace

Result<uint64_t> StepsOfIndexBuilds(sqlite3* db, const ProgramFacts& facts, std::string_view sql,
                                    uint64_t steps_max) {
  ASSIGN_OR_RETURN(const std::vector<Build> builds, BuildsOf(db, facts, sql));
  uint64_t steps = 0;
  for (const Build& build : builds) {
    if (steps > steps_max) break;
    ASSIGN_OR_RETURN(const uint64_t more, StepsOf(db, build, steps_max - steps));
    steps += more;
  }
  return steps;
}

}  // namespace cairn::state_machine
