#include "tools/load_plan.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <string_view>

#include "base/sql_name.h"
#include "tools/result_printer.h"
#include "tools/sql_literal.h"
#include "tools/sql_text.h"

namespace cairn::tools {
namespace {

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string TextAt(const Row& row, size_t column) { return PlainText(row.at(column)); }

// A name of the rowid that is not the name of a column.
std::string RowidName(const std::vector<std::string>& columns) {
  for (const char* name : {"rowid", "_rowid_", "oid"}) {
    const bool taken = std::any_of(columns.begin(), columns.end(),
                                   [name](const std::string& each) { return Lower(each) == name; });
    if (!taken) return name;
  }
  return "";
}

// The rows of a new table keep their rowids, so that commands may take effect in any order.
Status ReadColumns(LocalDatabase* local, bool without_rowid, LoadTable* table) {
  ASSIGN_OR_RETURN(const std::vector<Row> columns,
                   local->All("SELECT name, hidden, pk, upper(type) FROM pragma_table_xinfo(" +
                              LiteralText(table->name) + ") ORDER BY cid"));
  int keys = 0;
  bool integer_key = false;
  for (const Row& row : columns) {
    if (TextAt(row, 1) == "0") table->columns.push_back(TextAt(row, 0));
    if (TextAt(row, 2) == "0") continue;
    ++keys;
    integer_key = TextAt(row, 3) == "INTEGER";
  }
  if (table->is_virtual) {
    if (!table->kind.rowid.empty()) {
      table->columns.insert(table->columns.begin(), table->kind.rowid);
    }
    return OkStatus();
  }
  if (table->exists || without_rowid || (keys == 1 && integer_key)) return OkStatus();
  const std::string rowid = RowidName(table->columns);
  if (!rowid.empty()) table->columns.insert(table->columns.begin(), rowid);
  return OkStatus();
}

Status CountRows(LocalDatabase* local, LoadTable* table) {
  if (!table->kind.has_rows) return OkStatus();
  ASSIGN_OR_RETURN(const std::vector<Row> count,
                   local->All("SELECT count(*) FROM " + QuotedName(table->name)));
  table->rows = static_cast<uint64_t>(std::get<int64_t>(count.at(0).at(0)));
  return OkStatus();
}

}  // namespace

Result<LoadPlan> PlanLoad(LocalDatabase* local, const std::set<std::string>& existing) {
  LoadPlan plan;
  ASSIGN_OR_RETURN(
      const std::vector<Row> tables,
      local->All(
          std::string(
              "SELECT s.name, s.sql, t.type, t.wr FROM sqlite_schema AS s JOIN pragma_table_list "
              "AS t ON t.name = s.name AND t.schema = 'main' WHERE s.type = 'table' AND t.type <> "
              "'shadow' AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'") +
          kNoRollup + " ORDER BY s.rowid"));
  std::map<std::string, int64_t> sequences;
  ASSIGN_OR_RETURN(const std::vector<Row> has_sequence,
                   local->All("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'"));
  if (!has_sequence.empty()) {
    RETURN_IF_ERROR(local->Query("SELECT name, seq FROM sqlite_sequence", [&](const Row& row) {
      if (const auto* seq = std::get_if<int64_t>(&row[1])) sequences[TextAt(row, 0)] = *seq;
      return OkStatus();
    }));
  }
  for (const Row& row : tables) {
    LoadTable table;
    table.name = TextAt(row, 0);
    table.sql = TextAt(row, 1);
    table.is_virtual = TextAt(row, 2) == "virtual";
    table.exists = existing.contains(Lower(table.name));
    if (table.is_virtual) table.kind = DescribeVirtualTable(table.sql);
    RETURN_IF_ERROR(ReadColumns(local, TextAt(row, 3) == "1", &table));
    RETURN_IF_ERROR(CountRows(local, &table));
    if (const auto it = sequences.find(table.name); it != sequences.end()) {
      table.sequence = it->second;
    }
    plan.rows += table.rows;
    plan.has_foreign_keys =
        plan.has_foreign_keys || Lower(table.sql).find("references") != std::string::npos;
    plan.tables.push_back(std::move(table));
  }
  RETURN_IF_ERROR(local->Query(
      "SELECT sql, tbl_name, type FROM sqlite_schema WHERE sql NOT NULL AND type IN ('index', "
      "'view', "
      "'trigger') ORDER BY type = 'trigger', rowid",
      [&plan](const Row& row) {
        plan.objects.push_back({TextAt(row, 0), TextAt(row, 1), TextAt(row, 2) == "index"});
        return OkStatus();
      }));
  return plan;
}

// SQLite keeps CREATE TABLE name..., CREATE VIRTUAL TABLE name..., CREATE [UNIQUE] INDEX name ON
// table..., without IF NOT EXISTS and without a schema.
std::string WithTable(const std::string& create, const std::string& table) {
  std::string_view rest = create;
  std::string_view name;
  bool is_index = false;
  for (bool found = false; !found && !rest.empty();) {
    const std::string_view word = TakeToken(&rest);
    const std::string upper = UpperCase(word);
    is_index = is_index || upper == "INDEX";
    found = upper == (is_index ? "ON" : "TABLE");
  }
  name = TakeToken(&rest);
  if (name.empty()) return create;
  const auto begin = static_cast<size_t>(name.data() - create.data());
  return create.substr(0, begin) + QuotedName(table) + create.substr(begin + name.size());
}

}  // namespace cairn::tools
