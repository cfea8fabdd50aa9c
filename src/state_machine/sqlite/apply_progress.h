// ApplyProgress: shows other threads which command the apply thread works on.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <variant>

#include "state_machine/state_machine.h"

namespace cairn::state_machine {

// Thread-safe. Begin and End come with every command, so they cost next to nothing: nothing is
// copied until somebody asks.
class ApplyProgress {
 public:
  // The command lives until the next call of Begin or End.
  void Begin(LogIndex index, size_t number, const Command& command) {
    const std::lock_guard lock(mutex_);
    index_ = index;
    number_ = number;
    command_ = &command;
  }
  void End() {
    const std::lock_guard lock(mutex_);
    command_ = nullptr;
  }

  std::optional<ApplyingCommand> Now() const {
    const std::lock_guard lock(mutex_);
    if (command_ == nullptr) return std::nullopt;
    return ApplyingCommand{index_, number_, command_->id, BeginningOf(command_->operation)};
  }

 private:
  static constexpr size_t kStatementBytes = 200;

  static std::string BeginningOf(const Operation& operation) {
    if (const auto* execute = std::get_if<Execute>(&operation)) {
      if (execute->statements.empty()) return {};
      return execute->statements.front().sql.substr(0, kStatementBytes);
    }
    if (const auto* prepare = std::get_if<Prepare>(&operation)) {
      return prepare->statement.sql.substr(0, kStatementBytes);
    }
    if (const auto* commit = std::get_if<Commit>(&operation)) return "COMMIT of " + commit->tx_id;
    return {};
  }

  mutable std::mutex mutex_;
  LogIndex index_;
  size_t number_ = 0;
  const Command* command_ = nullptr;
};

}  // namespace cairn::state_machine
