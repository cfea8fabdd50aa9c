// What a watch asks for: which changes pass.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cairn/v1/database.pb.h"
#include "server/watch_tables.h"
#include "state_machine/change.h"
#include "state_machine/sqlite/row_condition.h"

namespace cairn::server {

// A change passes a filter if its kind, its table and its row do.
struct WatchFilter {
  std::string table;      // in lower case; "": all tables
  uint32_t kinds = 0;     // a bit for each ChangeKind
  std::string condition;  // on the rows of the table; "": none
  auto operator<=>(const WatchFilter&) const = default;

  bool Names(const std::string& lower_name) const { return table.empty() || table == lower_name; }
};

inline uint32_t BitOf(state_machine::ChangeKind kind) { return 1U << static_cast<uint32_t>(kind); }

// In an order of their own, each once, so that equal requests give equal filters. INVALID_ARGUMENT
// for filters that nobody can mean, PERMISSION_DENIED for tables that are internal to Cairn.
Result<std::vector<WatchFilter>> FiltersOf(const v1::WatchRequest& request);

// The conditions of all watches. Each is a connection of SQLite, so their number is bounded.
struct ConditionCount {
  static constexpr size_t kMax = 512;
  size_t n = 0;
};

// Judges changes. One thread at a time.
class ChangeJudge {
 public:
  // The count must outlive the judge.
  ChangeJudge(std::vector<WatchFilter> filters, ConditionCount* count)
      : filters_(std::move(filters)), count_(count) {}
  ~ChangeJudge() { Forget(); }
  ChangeJudge(const ChangeJudge&) = delete;
  ChangeJudge& operator=(const ChangeJudge&) = delete;

  // Whether the change of a row passes. FAILED_PRECONDITION if a condition is not valid for the
  // table as it is now, or fails for the row.
  Result<bool> RowPasses(const state_machine::Change& change, const TableDefinition& table);
  bool SchemaPasses(const state_machine::SchemaChange& change) const;

 private:
  struct Rule {
    uint32_t kinds = 0;
    std::unique_ptr<state_machine::RowCondition> condition;  // null: none
  };
  struct Rules {
    uint64_t definition = 0;
    std::vector<Rule> rules;
    size_t conditions = 0;
  };

  Result<Rules*> RulesFor(const TableDefinition& table);
  Result<Rules> MakeRules(const TableDefinition& table);
  void Forget();

  const std::vector<WatchFilter> filters_;
  ConditionCount* const count_;
  std::map<std::string, Rules> tables_;  // by name in lower case
};

}  // namespace cairn::server
