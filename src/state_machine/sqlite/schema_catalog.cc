#include "state_machine/sqlite/schema_catalog.h"

#include <algorithm>
#include <iterator>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/sql_tokens.h"
#include "state_machine/sqlite/work_budget.h"
#include "timeseries/sqlite/module.h"

namespace cairn::state_machine {

std::string LowerCase(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool IsReservedName(std::string_view name) {
  constexpr std::string_view kPrefix = "_cairn_";
  return name.size() >= kPrefix.size() && LowerCase(name.substr(0, kPrefix.size())) == kPrefix;
}

namespace {

bool IsWordCharacter(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '$' || byte >= 0x80;
}

// Returns the identifiers, and the texts in any of SQLite's four kinds of quotes.
std::vector<std::string> Words(std::string_view lower_text) {
  std::vector<std::string> words;
  for (size_t i = 0; i < lower_text.size();) {
    std::string word;
    const char first = lower_text[i];
    if (first == '\'' || first == '"' || first == '`' || first == '[') {
      const char last = first == '[' ? ']' : first;
      for (++i; i < lower_text.size(); ++i) {
        if (lower_text[i] == last) {
          // A doubled quote is part of the name.
          if (last == ']' || i + 1 == lower_text.size() || lower_text[i + 1] != last) break;
          ++i;
        }
        word += lower_text[i];
      }
      ++i;
    } else if (IsWordCharacter(first)) {
      while (i < lower_text.size() && IsWordCharacter(lower_text[i])) word += lower_text[i++];
    } else {
      ++i;
      continue;
    }
    words.push_back(std::move(word));
  }
  return words;
}

// The module of a CREATE VIRTUAL TABLE, in lower case.
std::string ModuleOf(const std::string& create_sql) {
  const std::vector<Token> tokens = TokensOf(create_sql);
  const auto is_using = [](const Token& token) { return IsWord(token, "using"); };
  auto at = std::find_if(tokens.begin(), tokens.end(), is_using);
  return at == tokens.end() || ++at == tokens.end() ? std::string() : NameOf(*at);
}

// The tables NAME_WORD that a virtual table NAME of the module keeps its contents in, by their words.
std::vector<std::string_view> StorageOf(const std::string& module) {
  if (module == "fts5") return {"config", "content", "data", "docsize", "idx"};
  if (module == "fts3" || module == "fts4") {
    return {"content", "docsize", "segdir", "segments", "stat"};
  }
  if (module == "rtree" || module == "rtree_i32") return {"node", "parent", "rowid"};
  if (module == "timeseries") {
    return {std::begin(timeseries::kStorageWords), std::end(timeseries::kStorageWords)};
  }
  if (module == "timeseries_rollup") return {"blocks", "tail"};
  return {};
}

// The name of the new table may contain the word too. The result is then a little more than the
// arguments, and at worst a table is held that need not be.
std::string_view AfterUsing(std::string_view lower_sql) {
  const size_t at = lower_sql.find("using");
  return at == std::string_view::npos ? std::string_view() : lower_sql.substr(at);
}

}  // namespace

Status SchemaCatalog::Load(sqlite3* db) {
  ++loads_;
  tables_.clear();
  rows_.clear();
  views_.clear();
  late_callers_.clear();
  text_bytes_.clear();
  blob_literals_.clear();
  expansions_.Clear();
  columns_.Clear();
  prices_.Clear();
  names_.Clear();
  reserved_objects_ = 0;
  has_virtual_tables_ = false;
  steps_to_read_ = 0;
  has_long_literal_ = false;
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(
      db,
      "SELECT rowid, name, type = 'table', type = 'table' AND rootpage = 0, type = 'view', sql,"
      " type = 'trigger', type = 'index', tbl_name"
      " FROM sqlite_schema ORDER BY rowid"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) break;
    Table table{LowerCase(read.Bytes(1)), read.Int(3) != 0, {}, {}};
    steps_to_read_ += kStepsPerSchemaObject + read.Bytes(5).size();
    has_long_literal_ =
        has_long_literal_ || HasLongLiteral(read.Bytes(5), static_cast<size_t>(kValueBytesAlways));
    if (const size_t bytes = LongestBlobLiteral(read.Bytes(5)); bytes > 0) {
      // Those of an index belong to its table.
      size_t& longest = blob_literals_[read.Int(7) != 0 ? LowerCase(read.Bytes(8)) : table.name];
      longest = std::max(longest, bytes);
    }
    if (table.is_virtual) {
      table.sql = read.Bytes(5);
      table.module = ModuleOf(table.sql);
    }
    has_virtual_tables_ = has_virtual_tables_ || table.is_virtual;
    if (IsReservedName(table.name)) ++reserved_objects_;
    if (read.Int(4) != 0) {
      views_.insert(table.name);
      expansions_.AddView(table.name, read.Bytes(5));
      columns_.AddView(table.name, read.Bytes(5));
      prices_.AddView(table.name, read.Bytes(5));
    }
    if (read.Int(6) != 0) {
      expansions_.AddTrigger(table.name, read.Bytes(5));
      columns_.AddTrigger(read.Bytes(5));
      prices_.AddTrigger(table.name, read.Bytes(5));
    }
    if (read.Int(4) != 0 || read.Int(6) != 0) AddText(table.name, read.Bytes(5));
    if (read.Int(6) != 0 && !TriggerCallsChangesFirst(read.Bytes(5))) {
      late_callers_.insert(table.name);
    }
    if (read.Int(7) != 0) prices_.AddIndex(LowerCase(read.Bytes(8)), read.Bytes(5));
    if (read.Int(2) == 0) continue;
    prices_.AddTable(table.name, read.Bytes(5));
    table.calls_changes = CallsChanges(read.Bytes(5));
    columns_.AddTable(read.Bytes(5));
    rows_[table.name] = read.Int(0);
    tables_.emplace(read.Int(0), std::move(table));
  }
  expansions_.Compute();
  columns_.Compute();
  prices_.Compute();
  return OkStatus();
}

void SchemaCatalog::AddText(const std::string& lower_name, std::string_view sql) {
  text_bytes_[lower_name] += sql.size();
  names_.Add(lower_name, sql);
}

bool SchemaCatalog::IsVirtual(const std::string& lower_name) const {
  const auto it = rows_.find(lower_name);
  return it != rows_.end() && tables_.at(it->second).is_virtual;
}

bool SchemaCatalog::TableCallsChanges(const std::string& lower_name) const {
  const auto it = rows_.find(lower_name);
  return it != rows_.end() && tables_.at(it->second).calls_changes;
}

std::vector<std::string> SchemaCatalog::VirtualTables() const {
  std::vector<std::string> names;
  for (const auto& [row, table] : tables_) {
    if (table.is_virtual) names.push_back(table.name);
  }
  return names;
}

std::string SchemaCatalog::VirtualNamedBefore(const std::string& lower_name) const {
  const size_t underscore = lower_name.rfind('_');
  if (underscore == std::string::npos) return {};
  std::string owner = lower_name.substr(0, underscore);
  return IsVirtual(owner) ? owner : std::string();
}

std::string SchemaCatalog::OwnerOfShadow(const std::string& lower_name) const {
  std::string owner = VirtualNamedBefore(lower_name);
  if (owner.empty()) return {};
  const std::vector<std::string_view> words = StorageOf(tables_.at(rows_.at(owner)).module);
  const std::string_view word = std::string_view(lower_name).substr(owner.size() + 1);
  const bool is_storage = std::find(words.begin(), words.end(), word) != words.end();
  return is_storage ? owner : std::string();
}

std::string SchemaCatalog::OwnerForCharges(const std::string& lower_name) const {
  std::string owner = VirtualNamedBefore(lower_name);
  if (owner.empty() || level_ < kLevelDataPlatform) return owner;
  // A rollup is written with the time series that it is named after.
  const auto own = rows_.find(lower_name);
  if (own != rows_.end() && tables_.at(own->second).module == "timeseries_rollup") return owner;
  return OwnerOfShadow(lower_name);
}

std::vector<std::string> SchemaCatalog::NamedBy(const std::string& lower_virtual_table) const {
  const auto it = rows_.find(lower_virtual_table);
  if (it == rows_.end()) return {};
  std::vector<std::string> names;
  for (std::string& word : Words(AfterUsing(LowerCase(tables_.at(it->second).sql)))) {
    if (HasTable(word) || IsView(word)) names.push_back(std::move(word));
  }
  return names;
}

std::string SchemaCatalog::SqlOfVirtual(const std::string& lower_name) const {
  const auto it = rows_.find(lower_name);
  return it == rows_.end() ? std::string() : tables_.at(it->second).sql;
}

uint64_t SchemaCatalog::TextBytes(const std::string& lower_name) const {
  const auto it = text_bytes_.find(lower_name);
  return it == text_bytes_.end() ? 0 : it->second;
}

size_t SchemaCatalog::LongestBlobLiteralOf(const std::string& lower_name) const {
  const auto it = blob_literals_.find(lower_name);
  return it == blob_literals_.end() ? 0 : it->second;
}

int64_t SchemaCatalog::RowOf(const std::string& lower_name) const {
  const auto it = rows_.find(lower_name);
  return it == rows_.end() ? 0 : it->second;
}

std::string SchemaCatalog::NameAt(int64_t row) const {
  const auto it = tables_.find(row);
  return it == tables_.end() ? std::string() : it->second.name;
}

}  // namespace cairn::state_machine
