#include "server/watch_conditions.h"

#include <map>
#include <set>
#include <string>
#include <utility>

#include "state_machine/sqlite/series_teller.h"

namespace cairn::server {
namespace {

class ConditionCheck final : public QueryConsumer {
 public:
  ConditionCheck(std::vector<WatchFilter> filters, std::function<void(const Status&)> done)
      : filters_(std::move(filters)), done_(std::move(done)) {}

  void Begin(LogIndex, bool) override { tables_.clear(); }
  Status OnColumns(const std::vector<Column>&) override { return OkStatus(); }
  Status OnRow(Row row) override {
    if (row.size() != 5) return Internal("unexpected columns");
    auto* const table = std::get_if<std::string>(&row[0]);
    auto* const name = std::get_if<std::string>(&row[1]);
    auto* const type = std::get_if<std::string>(&row[2]);
    if (table == nullptr || name == nullptr) return Internal("unexpected columns");
    auto* const is_strict = std::get_if<int64_t>(&row[3]);
    // The columns of a time series are those of its events, and come once.
    if (auto* const create = std::get_if<std::string>(&row[4])) {
      if (auto series = state_machine::SeriesTable(*table, *create)) {
        tables_[*table] = *std::move(series);
        return OkStatus();
      }
    }
    tables_[*table].columns.push_back({*name, type == nullptr ? "" : *type});
    tables_[*table].is_strict = is_strict != nullptr && *is_strict != 0;
    return OkStatus();
  }
  void End(const Status& status) override { done_(status.ok() ? Judge() : status); }

 private:
  Status Judge() const {
    for (const WatchFilter& filter : filters_) {
      const auto table = tables_.find(filter.table);
      if (filter.condition.empty() || table == tables_.end()) continue;
      const auto condition = state_machine::RowCondition::Compile(
          filter.table, table->second.columns, filter.condition, table->second.is_strict);
      if (!condition.ok()) return condition.status();
    }
    return OkStatus();
  }

  const std::vector<WatchFilter> filters_;
  const std::function<void(const Status&)> done_;
  std::map<std::string, state_machine::ChangedTable> tables_;
};

}  // namespace

std::optional<QueryRequest> ColumnsQuestion(const std::vector<WatchFilter>& filters) {
  std::set<std::string> tables;
  for (const WatchFilter& filter : filters) {
    if (!filter.condition.empty()) tables.insert(filter.table);
  }
  if (tables.empty()) return std::nullopt;
  QueryRequest question;
  std::string& sql = question.statement.sql;
  for (const std::string& table : tables) {
    question.statement.positional.emplace_back(table);
    sql += (sql.empty() ? "WITH asked(name) AS (VALUES (?" : "), (?") +
           std::to_string(question.statement.positional.size());
  }
  // As events have them: of a time series its tags and times; of others without hidden columns of
  // virtual tables, and without VIRTUAL ones.
  sql +=
      ")) SELECT asked.name, x.name, x.type, t.strict, CASE t.type WHEN 'virtual' THEN (SELECT sql "
      "FROM sqlite_schema WHERE type = 'table' AND name = t.name) END FROM asked, "
      "pragma_table_list(asked.name) AS t, pragma_table_xinfo(asked.name) AS x "
      "WHERE t.schema = 'main' AND x.hidden NOT IN (1, 2) ORDER BY asked.name, x.cid";
  return question;
}

std::shared_ptr<QueryConsumer> NewConditionCheck(std::vector<WatchFilter> filters,
                                                 std::function<void(const Status&)> done) {
  return std::make_shared<ConditionCheck>(std::move(filters), std::move(done));
}

}  // namespace cairn::server
