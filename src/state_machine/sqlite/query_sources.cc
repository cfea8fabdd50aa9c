#include "state_machine/sqlite/query_sources.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <utility>

#include "state_machine/sqlite/schema_catalog.h"

namespace cairn::state_machine {
namespace {

// A query of more tables depends on the whole database.
constexpr size_t kTablesMax = 64;
constexpr const char* kObjectsSql =
    "SELECT name, type = 'table' AND rootpage = 0 FROM main.sqlite_schema "
    "WHERE type IN ('table', 'view')";

// They give rows of their arguments, or of the schema, whose version is compared by itself.
bool ReadsNoTable(std::string_view name) {
  constexpr std::array<std::string_view, 4> kNames = {"json_each", "json_tree", "sqlite_master",
                                                      "sqlite_schema"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

// The names of tables and views, and which of them are virtual tables.
class Objects final : public RowSink {
 public:
  Status OnColumns(const std::vector<Column>& /*columns*/) override { return OkStatus(); }
  Status OnRow(Row row) override {
    const auto* name = std::get_if<std::string>(&row.at(0));
    const auto* is_virtual = std::get_if<int64_t>(&row.at(1));
    if (name == nullptr || is_virtual == nullptr) return OkStatus();
    if (*is_virtual == 0) ordinary_.insert(LowerCase(*name));
    return OkStatus();
  }
  bool IsOrdinary(const std::string& lower_name) const { return ordinary_.contains(lower_name); }

 private:
  std::set<std::string> ordinary_;
};

}  // namespace

Result<QuerySources> ReadQuerySources(ReadTransaction* read, const std::string& sql,
                                      const QueryLimits& limits) {
  ASSIGN_OR_RETURN(const std::set<std::string> names, read->TablesRead(sql, limits));
  Objects objects;
  RETURN_IF_ERROR(read->QueryInternal({kObjectsSql, {}, {}}, &objects));
  QuerySources sources;
  for (const std::string& name : names) {
    if (ReadsNoTable(name)) continue;
    if (!objects.IsOrdinary(name) || sources.tables.size() == kTablesMax) {
      sources.tables = {""};
      return sources;
    }
    sources.tables.push_back(name);
  }
  return sources;
}

}  // namespace cairn::state_machine
