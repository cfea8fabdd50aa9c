// PendingCommand: a client's command on its way, with the promise to answer the command exactly
// once.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "node/replica.h"
#include "node/work_estimates.h"

namespace cairn::node {

// The core thread (deadline, lost leadership) and the apply thread (result) share a PendingCommand.
// The first call of Finish answers; later calls do nothing.
class PendingCommand {
 public:
  PendingCommand(std::string encoded, SteadyTime deadline, CommandDone done,
                 const CommandTraits& traits = {}, CallerGone gone = nullptr)
      : encoded_(std::move(encoded)),
        deadline_(deadline),
        traits_(traits),
        gone_(std::move(gone)),
        done_(std::move(done)) {}
  // A command that is dropped without an answer would leave a client waiting for ever.
  ~PendingCommand() {
    if (finished()) return;
    Finish(Unavailable("the node stopped before the outcome was known").With(Outcome::kUnknown));
  }
  PendingCommand(const PendingCommand&) = delete;
  PendingCommand& operator=(const PendingCommand&) = delete;

  const std::string& encoded() const { return encoded_; }
  size_t bytes() const { return encoded_.size(); }
  SteadyTime deadline() const { return deadline_; }
  const CommandTraits& traits() const { return traits_; }
  // Used by the core thread: the cost that is expected, in steps of work.
  uint64_t expected_steps() const { return expected_steps_; }
  void set_expected_steps(uint64_t steps) { expected_steps_ = steps; }
  // Used by the core thread: when the command began to wait.
  SteadyTime queued() const { return queued_; }
  void set_queued(SteadyTime now) { queued_ = now; }
  // Nobody takes the answer. What is not in the log yet need not get there.
  bool gone() const { return gone_ != nullptr && *gone_; }
  bool finished() const { return finished_.load(std::memory_order_acquire); }
  // For when the bytes are in a log entry, so that memory holds them once.
  std::string TakeEncoded() { return std::move(encoded_); }

  void Finish(Result<state_machine::CommandResult> result) {
    if (finished_.exchange(true)) return;
    CommandDone done = std::move(done_);
    if (done) done(std::move(result));
  }

 private:
  std::string encoded_;
  const SteadyTime deadline_;
  const CommandTraits traits_;
  const CallerGone gone_;
  uint64_t expected_steps_ = 0;
  SteadyTime queued_{0};
  CommandDone done_;
  std::atomic<bool> finished_{false};
};

using PendingCommandPtr = std::shared_ptr<PendingCommand>;
using PendingCommandTest = std::function<bool(const PendingCommand&)>;

}  // namespace cairn::node
