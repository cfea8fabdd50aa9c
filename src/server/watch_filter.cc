#include "server/watch_filter.h"

#include <algorithm>
#include <utility>

#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/table_shape.h"

namespace cairn::server {
namespace {

using state_machine::Change;
using state_machine::ChangeKind;
using state_machine::IsInternalTable;
using state_machine::LowerCase;
using state_machine::RowCondition;

constexpr int kFiltersMax = 64;
constexpr size_t kTableNameBytesMax = 1024;
// The texts of all filters of a watch. They stay in memory as long as the watch.
constexpr size_t kFilterBytesMax = 64 << 10;
// The tables whose rules one judge keeps.
constexpr size_t kTablesMax = 256;

uint32_t AllKinds() {
  return BitOf(ChangeKind::kInsert) | BitOf(ChangeKind::kUpdate) | BitOf(ChangeKind::kDelete) |
         BitOf(ChangeKind::kSchema) | BitOf(ChangeKind::kPoints);
}

Result<uint32_t> KindsOf(const v1::WatchFilter& filter) {
  uint32_t kinds = 0;
  for (const int operation : filter.operations()) {
    switch (operation) {
      case v1::CHANGE_KIND_INSERT: kinds |= BitOf(ChangeKind::kInsert); break;
      case v1::CHANGE_KIND_UPDATE: kinds |= BitOf(ChangeKind::kUpdate); break;
      case v1::CHANGE_KIND_DELETE: kinds |= BitOf(ChangeKind::kDelete); break;
      case v1::CHANGE_KIND_SCHEMA: kinds |= BitOf(ChangeKind::kSchema); break;
      case v1::CHANGE_KIND_POINTS: kinds |= BitOf(ChangeKind::kPoints); break;
      default:
        return InvalidArgument("a filter names operation " + std::to_string(operation) +
                               ": it may name INSERT, UPDATE, DELETE, SCHEMA and POINTS");
    }
  }
  return kinds == 0 ? AllKinds() : kinds;
}

Result<WatchFilter> FromProto(const v1::WatchFilter& filter) {
  WatchFilter out;
  out.table = LowerCase(filter.table());
  out.condition = filter.condition();
  ASSIGN_OR_RETURN(out.kinds, KindsOf(filter));
  if (out.table.size() > kTableNameBytesMax) return InvalidArgument("a table's name is too long");
  if (!out.table.empty() && IsInternalTable(out.table)) {
    return PermissionDenied(filter.table() + " is internal: its changes are not offered");
  }
  if (!out.condition.empty() && out.table.empty()) {
    return InvalidArgument("a condition is about the columns of a table: name the table");
  }
  if (out.condition.size() > RowCondition::kTextBytesMax) {
    return InvalidArgument("a condition may have " + std::to_string(RowCondition::kTextBytesMax) +
                           " bytes");
  }
  return out;
}

}  // namespace

Result<std::vector<WatchFilter>> FiltersOf(const v1::WatchRequest& request) {
  if (request.filters_size() > kFiltersMax) {
    return InvalidArgument("a watch may have " + std::to_string(kFiltersMax) + " filters");
  }
  std::vector<WatchFilter> filters;
  size_t bytes = 0;
  for (const v1::WatchFilter& filter : request.filters()) {
    ASSIGN_OR_RETURN(WatchFilter one, FromProto(filter));
    bytes += one.table.size() + one.condition.size();
    if (bytes > kFilterBytesMax) {
      return InvalidArgument("the filters of a watch may have " + std::to_string(kFilterBytesMax) +
                             " bytes together: use several watches");
    }
    filters.push_back(std::move(one));
  }
  if (filters.empty()) filters.push_back({"", AllKinds(), ""});
  std::sort(filters.begin(), filters.end());
  filters.erase(std::unique(filters.begin(), filters.end()), filters.end());
  return filters;
}

void ChangeJudge::Forget() {
  for (const auto& [name, rules] : tables_) count_->n -= rules.conditions;
  tables_.clear();
}

Result<ChangeJudge::Rules> ChangeJudge::MakeRules(const TableDefinition& table) {
  Rules made;
  made.definition = table.id;
  for (const WatchFilter& filter : filters_) {
    if (!filter.Names(table.name)) continue;
    Rule rule;
    rule.kinds = filter.kinds;
    if (!filter.condition.empty()) {
      if (count_->n + made.conditions >= ConditionCount::kMax) {
        return ResourceExhausted("too many conditions of watches are in use on this node");
      }
      Result<std::unique_ptr<RowCondition>> condition = RowCondition::Compile(
          table.table->name, table.table->columns, filter.condition, table.table->is_strict);
      if (!condition.ok()) {
        return FailedPrecondition("the table has changed: " + condition.status().message());
      }
      rule.condition = *std::move(condition);
      ++made.conditions;
    }
    made.rules.push_back(std::move(rule));
  }
  count_->n += made.conditions;
  return made;
}

Result<ChangeJudge::Rules*> ChangeJudge::RulesFor(const TableDefinition& table) {
  Rules& known = tables_[table.name];
  if (known.definition == table.id) return &known;
  count_->n -= known.conditions;
  known = Rules();
  Result<Rules> made = MakeRules(table);
  if (!made.ok()) {
    tables_.erase(table.name);
    return made.status();
  }
  known = *std::move(made);
  return &known;
}

Result<bool> ChangeJudge::RowPasses(const Change& change, const TableDefinition& table) {
  if (tables_.size() > kTablesMax) Forget();
  ASSIGN_OR_RETURN(const Rules* const rules, RulesFor(table));
  for (const Rule& rule : rules->rules) {
    if ((rule.kinds & BitOf(change.kind)) == 0) continue;
    if (rule.condition == nullptr) return true;
    // An UPDATE passes if it brings the row in, keeps it in, or takes it out.
    for (const Row* const row : {&change.new_row, &change.old_row}) {
      if (row->empty()) continue;
      ASSIGN_OR_RETURN(const bool matches, rule.condition->Matches(*row));
      if (matches) return true;
    }
  }
  return false;
}

bool ChangeJudge::SchemaPasses(const state_machine::SchemaChange& change) const {
  const std::string table = LowerCase(change.table);
  const std::string name = LowerCase(change.name);
  const std::string old_name = LowerCase(change.old_name);
  if (IsInternalTable(table) || IsInternalTable(name)) return false;
  return std::any_of(filters_.begin(), filters_.end(), [&](const WatchFilter& filter) {
    const bool kind = (filter.kinds & BitOf(ChangeKind::kSchema)) != 0;
    const bool was = !old_name.empty() && filter.Names(old_name);
    return kind && (filter.Names(table) || filter.Names(name) || was);
  });
}

}  // namespace cairn::server
