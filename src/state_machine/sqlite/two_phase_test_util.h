// Commands of two-phase commit for tests.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "state_machine/command.h"

namespace cairn::state_machine {

inline Command PrepareCommand(std::string tx, std::string sql, std::vector<Value> values = {},
                              uint64_t timeout_ms = 0) {
  Command command;
  command.operation = Prepare{std::move(tx), {std::move(sql), std::move(values), {}}, timeout_ms};
  return command;
}
inline Command CommitCommand(std::string tx) {
  Command command;
  command.operation = Commit{std::move(tx)};
  return command;
}
inline Command RollbackCommand(std::string tx) {
  Command command;
  command.operation = Rollback{std::move(tx)};
  return command;
}

}  // namespace cairn::state_machine
