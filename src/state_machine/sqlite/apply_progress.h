// ApplyProgress: shows other threads which command the apply thread works on.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "base/mutex.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

// Thread-safe. Begin and End are called for every command, so they cost next to nothing: they copy
// nothing. Now copies.
class ApplyProgress {
 public:
  // The command must live until the next call of Begin or End.
  void Begin(LogIndex index, size_t number, const Command& command) {
    MutexLock lock(mutex_);
    index_ = index;
    number_ = number;
    command_ = &command;
  }
  void End() {
    MutexLock lock(mutex_);
    command_ = nullptr;
  }

  std::optional<ApplyingCommand> Now() const {
    MutexLock lock(mutex_);
    if (command_ == nullptr) return std::nullopt;
    return ApplyingCommand{index_, number_, command_->id, command_->principal,
                           BeginningOf(command_->operation)};
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
    if (std::holds_alternative<Restore>(operation)) return "a restore";
    return {};
  }

  mutable Mutex mutex_;
  LogIndex index_ CAIRN_GUARDED_BY(mutex_);
  size_t number_ CAIRN_GUARDED_BY(mutex_) = 0;
  const Command* command_ CAIRN_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace cairn::state_machine
