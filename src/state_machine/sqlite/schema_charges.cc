#include "state_machine/sqlite/schema_charges.h"

#include <algorithm>
#include <vector>

#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/value_bound.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {
namespace {

Result<uint64_t> NumberOf(sqlite3* db, const char* sql) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, sql));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  return row ? read.Uint(0) : 0;
}

// The tables and indexes that have pages of their own and go with the DROP.
Result<std::vector<std::string>> DroppedTrees(sqlite3* db, const SchemaCatalog& catalog,
                                              const ProgramFacts& facts) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(
      db, "SELECT name, tbl_name, type FROM sqlite_schema WHERE rootpage > 0 ORDER BY rowid"));
  std::vector<std::string> trees;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return trees;
    const std::string table = LowerCase(read.Bytes(1));
    const bool of_table =
        !facts.dropped_table.empty() &&
        (table == facts.dropped_table || (catalog.IsVirtual(facts.dropped_table) &&
                                          catalog.OwnerForCharges(table) == facts.dropped_table));
    const bool is_index = read.Bytes(2) == "index" && !facts.dropped_index.empty() &&
                          LowerCase(read.Bytes(0)) == facts.dropped_index;
    if (of_table || is_index) trees.emplace_back(read.Bytes(0));
  }
}

}  // namespace

bool CompileCharges::Texts::Add(const std::string& sql) {
  if (texts_.contains(sql)) return false;
  if (texts_.size() >= kTextsMax || bytes_ >= kTextBytesMax) *this = Texts();
  texts_.insert(sql);
  bytes_ += sql.size();
  return true;
}

uint64_t CompileCharges::StepsOf(const Program& program, const Statement& statement) {
  uint64_t schema = kStepsPerSquare * program.expansions +
                    kStepsPerGrownToken * program.grown_tokens + program.triggers_price;
  if (program.schema_bytes > kSchemaBytesFree) {
    schema += (program.schema_bytes - kSchemaBytesFree) * kStepsPerSchemaByte;
  }
  const bool bounds_values = program.touches_virtual ||
                             LargestValueBytes(statement) > static_cast<size_t>(kValueBytesAlways);
  if ((schema == 0 && !bounds_values) || !compiled_.Add(statement.sql)) return 0;
  return bounds_values ? 2 * schema + statement.sql.size() : schema;
}

Result<uint64_t> CountDroppedPages(sqlite3* db, const SchemaCatalog& catalog,
                                   const ProgramFacts& facts, uint64_t pages_max) {
  if (facts.dropped_table.empty() && facts.dropped_index.empty()) return 0;
  // The size of a file is not the same on every node. But pages that a file does not have cannot be
  // too many on any node.
  ASSIGN_OR_RETURN(const uint64_t in_file, NumberOf(db, "PRAGMA page_count"));
  if (in_file <= pages_max) return 0;
  ASSIGN_OR_RETURN(const std::vector<std::string> trees, DroppedTrees(db, catalog, facts));
  uint64_t pages = 0;
  InternalStatement walk;
  RETURN_IF_ERROR(walk.Prepare(db, "SELECT 1 FROM dbstat WHERE name = ?1"));
  for (const std::string& tree : trees) {
    walk.BindText(1, tree);
    for (;;) {
      ASSIGN_OR_RETURN(const bool row, walk.Next());
      if (!row) break;
      if (++pages > pages_max) return pages;
    }
  }
  return pages;
}

}  // namespace cairn::state_machine
