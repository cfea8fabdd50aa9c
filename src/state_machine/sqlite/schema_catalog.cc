#include "state_machine/sqlite/schema_catalog.h"

#include "state_machine/sqlite/internal_sql.h"

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

Status SchemaCatalog::Load(sqlite3* db) {
  tables_.clear();
  rows_.clear();
  reserved_objects_ = 0;
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(
      db, "SELECT rowid, name, type = 'table', rootpage = 0 FROM sqlite_schema ORDER BY rowid"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    Table table{LowerCase(read.Bytes(1)), read.Int(3) != 0};
    if (IsReservedName(table.name)) ++reserved_objects_;
    if (read.Int(2) == 0) continue;
    rows_[table.name] = read.Int(0);
    tables_.emplace(read.Int(0), std::move(table));
  }
}

bool SchemaCatalog::IsVirtual(const std::string& lower_name) const {
  const auto it = rows_.find(lower_name);
  return it != rows_.end() && tables_.at(it->second).is_virtual;
}

std::vector<std::string> SchemaCatalog::VirtualTables() const {
  std::vector<std::string> names;
  for (const auto& [row, table] : tables_) {
    if (table.is_virtual) names.push_back(table.name);
  }
  return names;
}

std::string SchemaCatalog::OwnerOfShadow(const std::string& lower_name) const {
  const size_t underscore = lower_name.rfind('_');
  if (underscore == std::string::npos) return {};
  std::string owner = lower_name.substr(0, underscore);
  return IsVirtual(owner) ? owner : std::string();
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
