#include "state_machine/command_level.h"

#include <algorithm>
#include <variant>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {
namespace {

// Lower levels refuse a long text, and store NULL for a blob literal that is too long.
uint64_t LevelOfText(const Statement& statement) {
  constexpr auto kAlwaysStored = static_cast<size_t>(kValueBytesAlways);
  const std::string& sql = statement.sql;
  const bool long_literal =
      sql.size() > 2 * kAlwaysStored && LongestBlobLiteral(sql) > kAlwaysStored;
  return sql.size() > kSqlBytesMax || long_literal ? kLevelDataPlatform : 0;
}

}  // namespace

uint64_t LevelOf(const Command& command) {
  if (command.restricted || !command.address.empty()) return kLevelDataPlatform;
  if (const auto* prepare = std::get_if<Prepare>(&command.operation)) {
    return LevelOfText(prepare->statement);
  }
  if (std::holds_alternative<MaintainTimeSeries>(command.operation)) return kLevelDataPlatform;
  if (std::holds_alternative<RetainChanges>(command.operation)) return kLevelDataPlatform;
  if (std::holds_alternative<Restore>(command.operation)) return kLevelDataPlatform;
  if (std::holds_alternative<ChangeAccess>(command.operation)) return kLevelDataPlatform;
  if (std::holds_alternative<RecordAudit>(command.operation)) return kLevelDataPlatform;
  const auto* execute = std::get_if<Execute>(&command.operation);
  if (execute == nullptr) return 0;
  uint64_t level = execute->expect.empty() ? 0 : kLevelExpectations;
  if (execute->foreign_keys != ForeignKeys::kEnforced) level = kLevelDataPlatform;
  for (const Statement& statement : execute->statements) {
    level = std::max(level, LevelOfText(statement));
  }
  return level;
}

}  // namespace cairn::state_machine
