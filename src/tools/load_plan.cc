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

// Whether the primary key is another name of the rowid. INTEGER PRIMARY KEY DESC is not: it has an
// index of its own.
Result<bool> KeyIsRowid(LocalDatabase* local, const LoadTable& table, const std::string& key_type,
                        int keys) {
  if (keys != 1 || key_type != "INTEGER") return false;
  ASSIGN_OR_RETURN(const std::vector<Row> indexes,
                   local->All("SELECT 1 FROM pragma_index_list(" + LiteralText(table.name) +
                              ") WHERE origin = 'pk'"));
  return indexes.empty();
}

// The rows of a new table keep their rowids, so that commands may take effect in any order.
Status ReadColumns(LocalDatabase* local, bool without_rowid, LoadTable* table) {
  ASSIGN_OR_RETURN(const std::vector<Row> columns,
                   local->All("SELECT name, hidden, pk, upper(type) FROM pragma_table_xinfo(" +
                              LiteralText(table->name) + ") ORDER BY cid"));
  int keys = 0;
  std::string key_type;
  for (const Row& row : columns) {
    if (TextAt(row, 1) == "0") table->columns.push_back(TextAt(row, 0));
    if (TextAt(row, 2) == "0") continue;
    ++keys;
    key_type = TextAt(row, 3);
  }
  if (table->is_virtual) {
    const std::vector<std::string>& more = table->kind.more_columns;
    table->columns.insert(table->columns.begin(), more.begin(), more.end());
    return OkStatus();
  }
  if (table->exists || without_rowid) return OkStatus();
  ASSIGN_OR_RETURN(const bool key_is_rowid, KeyIsRowid(local, *table, key_type, keys));
  const std::string rowid = key_is_rowid ? "" : RowidName(table->columns);
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

// Name, SQL, type and WITHOUT ROWID of the tables, but not of what SQLite, a module or a load keeps
// for itself. Names of the latter go into `left_out`, in lower case.
Result<std::vector<Row>> ReadTables(LocalDatabase* local, std::set<std::string>* left_out) {
  ASSIGN_OR_RETURN(
      const std::vector<Row> all,
      local->All("SELECT s.name, s.sql, t.type, t.wr FROM sqlite_schema AS s JOIN "
                 "pragma_table_list AS t ON t.name = s.name AND t.schema = 'main' WHERE s.type = "
                 "'table' AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY s.rowid"));
  ShadowTables shadows;
  for (const Row& row : all) {
    if (TextAt(row, 2) == "virtual") shadows.AddVirtual(TextAt(row, 0), TextAt(row, 1));
  }
  std::vector<Row> tables;
  for (const Row& row : all) {
    const std::string name = TextAt(row, 0);
    const bool is_shadow = TextAt(row, 2) == "shadow" && shadows.IsOwned(name);
    const bool is_rollup = TextAt(row, 2) == "virtual" && IsRollup(TextAt(row, 1));
    if (is_shadow || is_rollup || IsOfALoad(name, TextAt(row, 1))) {
      left_out->insert(Lower(name));
    } else {
      tables.push_back(row);
    }
  }
  return tables;
}

// The points come one command after the other, and the cluster judges their age meanwhile: it would
// refuse some that the source still has. And rollups that live longer than their points have no points.
Status CheckKeepsAll(LocalDatabase* local, const std::string& name) {
  ASSIGN_OR_RETURN(const std::vector<Row> retained,
                   local->All("SELECT 1 FROM " + QuotedName(name + "_config") +
                              " WHERE k GLOB 'retention_ms*' AND v <> 0"));
  if (retained.empty()) return OkStatus();
  return InvalidArgument("the time series " + name +
                         " has a retention, and a load could not give it all of its points and "
                         "rollups: use `cairn backup` and `cairn restore`");
}

Result<std::map<std::string, int64_t>> ReadSequences(LocalDatabase* local) {
  std::map<std::string, int64_t> sequences;
  ASSIGN_OR_RETURN(const std::vector<Row> has_sequence,
                   local->All("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'"));
  if (has_sequence.empty()) return sequences;
  RETURN_IF_ERROR(local->Query("SELECT name, seq FROM sqlite_sequence", [&](const Row& row) {
    if (const auto* seq = std::get_if<int64_t>(&row[1])) sequences[TextAt(row, 0)] = *seq;
    return OkStatus();
  }));
  return sequences;
}

Result<int64_t> ReadNumber(LocalDatabase* local, const std::string& sql) {
  ASSIGN_OR_RETURN(const std::vector<Row> rows, local->All(sql));
  return std::get<int64_t>(rows.at(0).at(0));
}

}  // namespace

bool IsStageName(const std::string& name) {
  constexpr size_t kDigits = 8;
  const size_t prefix = std::string_view(kStagePrefix).size();
  if (!name.starts_with(kStagePrefix) || name.size() <= prefix + kDigits) return false;
  for (size_t i = prefix; i < prefix + kDigits; ++i) {
    if (std::isxdigit(static_cast<unsigned char>(name[i])) == 0) return false;
  }
  return name[prefix + kDigits] == '_';
}

bool IsOfALoad(const std::string& name, const std::string& sql) {
  return IsStageName(name) || (name == kMarksTable && sql == kMarksSql);
}

Result<LoadPlan> PlanLoad(LocalDatabase* local, const std::set<std::string>& existing) {
  LoadPlan plan;
  std::set<std::string> left_out;
  ASSIGN_OR_RETURN(const std::vector<Row> tables, ReadTables(local, &left_out));
  ASSIGN_OR_RETURN(const auto sequences, ReadSequences(local));
  for (const Row& row : tables) {
    LoadTable table;
    table.name = TextAt(row, 0);
    table.sql = TextAt(row, 1);
    table.is_virtual = TextAt(row, 2) == "virtual";
    table.exists = existing.contains(Lower(table.name));
    if (table.is_virtual) {
      ASSIGN_OR_RETURN(table.kind, DescribeVirtualTable(table.sql));
    }
    RETURN_IF_ERROR(ReadColumns(local, TextAt(row, 3) == "1", &table));
    RETURN_IF_ERROR(CountRows(local, &table));
    if (table.kind.is_time_series) RETURN_IF_ERROR(CheckKeepsAll(local, table.name));
    if (table.kind.is_fts5) {
      ASSIGN_OR_RETURN(table.settings, local->All(SettingsOfFts5(table.name)));
    }
    if (const auto it = sequences.find(table.name); it != sequences.end()) {
      table.sequence = it->second;
    }
    plan.rows += table.rows;
    plan.has_foreign_keys =
        plan.has_foreign_keys || Lower(table.sql).find("references") != std::string::npos;
    plan.tables.push_back(std::move(table));
  }
  std::stable_partition(plan.tables.begin(), plan.tables.end(),
                        [](const LoadTable& table) { return !table.is_virtual; });
  RETURN_IF_ERROR(local->Query(
      "SELECT name, sql, tbl_name, type FROM sqlite_schema WHERE sql NOT NULL AND type IN ('index',"
      " 'view', 'trigger') ORDER BY type = 'trigger', rowid",
      [&](const Row& row) {
        if (left_out.contains(Lower(TextAt(row, 2)))) return OkStatus();
        plan.objects.push_back({TextAt(row, 0), TextAt(row, 1), TextAt(row, 2), TextAt(row, 3)});
        return OkStatus();
      }));
  ASSIGN_OR_RETURN(plan.user_version, ReadNumber(local, "PRAGMA user_version"));
  ASSIGN_OR_RETURN(plan.application_id, ReadNumber(local, "PRAGMA application_id"));
  return plan;
}

Status EachRow(LocalDatabase* local, const LoadTable& table, uint64_t skip,
               const std::function<Status(const Row&)>& take) {
  if (!table.kind.has_rows) return OkStatus();
  std::string sql = "SELECT ";
  for (size_t i = 0; i < table.columns.size(); ++i) {
    sql += (i == 0 ? "" : ",") + QuotedName(table.columns[i]);
  }
  sql += " FROM " + QuotedName(table.name);
  if (skip > 0) sql += " LIMIT -1 OFFSET " + std::to_string(skip);
  return local->Query(sql, take);
}

std::string RowidName(const std::vector<std::string>& columns) {
  for (const char* name : {"rowid", "_rowid_", "oid"}) {
    const bool taken = std::any_of(columns.begin(), columns.end(),
                                   [name](const std::string& each) { return Lower(each) == name; });
    if (!taken) return name;
  }
  return "";
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
