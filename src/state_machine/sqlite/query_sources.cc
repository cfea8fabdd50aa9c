#include "state_machine/sqlite/query_sources.h"

#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "state_machine/sqlite/joined_names.h"
#include "state_machine/sqlite/named_tables.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

// A query of more tables depends on the whole database.
constexpr size_t kTablesMax = 64;
constexpr const char* kObjectsSql =
    "SELECT name, type, rootpage, CASE type WHEN 'view' THEN sql END FROM main.sqlite_schema "
    "WHERE type IN ('table', 'view')";

std::string_view TextOf(const Value& value) {
  const auto* text = std::get_if<std::string>(&value);
  return text == nullptr ? std::string_view() : *text;
}

// The tables and views of the schema, by name in lower case.
class Objects final : public RowSink {
 public:
  Status OnColumns(const std::vector<Column>& /*columns*/) override { return OkStatus(); }
  Status OnRow(Row row) override {
    const std::string name = LowerCase(TextOf(row.at(0)));
    if (TextOf(row.at(1)) == "view") {
      views_.Add(name, TextOf(row.at(3)));
      kinds_[name] = Kind::kView;
    } else {
      const auto* root = std::get_if<int64_t>(&row.at(2));
      kinds_[name] = root != nullptr && *root != 0 ? Kind::kTable : Kind::kVirtual;
    }
    return OkStatus();
  }

  bool Has(const std::string& name) const { return kinds_.contains(name); }
  // A write to it raises its version. Not of the tables in which SQLite and virtual tables keep
  // what is theirs.
  bool HasVersion(const std::string& name) const {
    const auto found = kinds_.find(name);
    if (found == kinds_.end() || found->second == Kind::kVirtual) return false;
    return !name.starts_with("sqlite_") && !IsOfVirtual(name);
  }
  const NamesOfSchema& views() const { return views_; }

 private:
  enum class Kind : uint8_t { kTable, kView, kVirtual };

  // NAME_WORD, where NAME is a virtual table.
  bool IsOfVirtual(const std::string& name) const {
    const auto found = kinds_.find(name.substr(0, name.rfind('_')));
    return found != kinds_.end() && found->second == Kind::kVirtual;
  }

  std::map<std::string, Kind> kinds_;
  NamesOfSchema views_;
};

// Of names that are none of the schema's objects. These give rows of their arguments, or of the schema,
// whose version is compared by itself.
bool ReadsNoTable(const std::string& name) {
  return name == "json_each" || name == "json_tree" || name == "sqlite_master" ||
         name == "sqlite_schema";
}

Status CheckIsSelect(const std::string& sql) {
  Tokenizer tokens(sql);
  if (ScanSql(sql).kind == SqlKind::kRead && !IsWord(tokens.Next(), "explain")) return OkStatus();
  return InvalidArgument("only a SELECT can be watched");
}

}  // namespace

Result<QuerySources> ReadQuerySources(ReadTransaction* read, const std::string& sql,
                                      const QueryLimits& limits) {
  ASSIGN_OR_RETURN(std::set<std::string> names, read->TablesRead(sql, limits));
  RETURN_IF_ERROR(CheckIsSelect(sql));
  Objects objects;
  RETURN_IF_ERROR(read->QueryInternal({kObjectsSql, {}, {}}, &objects));
  // SQLite does not report what is joined by USING or NATURAL. A text names it.
  for (const std::string& name : objects.views().From(sql, names).names) {
    if (objects.Has(name) || name == "vector_top_k" || name.starts_with("pragma_")) {
      names.insert(name);
    }
  }
  QuerySources sources;
  for (const std::string& name : names) {
    if (!objects.Has(name) && ReadsNoTable(name)) continue;
    if (!objects.HasVersion(name) || sources.tables.size() == kTablesMax) {
      sources.tables = {""};
      return sources;
    }
    sources.tables.push_back(name);
  }
  return sources;
}

Result<std::set<std::string>> ReadTablesNamed(ReadTransaction* read, const std::string& sql,
                                              const QueryLimits& /*limits*/) {
  Objects objects;
  RETURN_IF_ERROR(read->QueryInternal({kObjectsSql, {}, {}}, &objects));
  NamedTables named =
      TablesNamedBy(sql, [&objects](const std::string& name) { return objects.Has(name); });
  if (named.reads_more) named.reads.insert("");
  return std::move(named.reads);
}

}  // namespace cairn::state_machine
