// Observer: receives all events of a simulation that the invariants are about.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "node/start_state.h"
#include "raft/core.h"

namespace cairn::sim {

class Observer {
 public:
  virtual ~Observer() = default;
  // A node has read its disk and starts from `start`.
  virtual void OnRecovered(uint64_t node, const node::StartState& start) = 0;
  virtual void OnCoreStarted(uint64_t node, const raft::RaftCore& core) = 0;
  // Called before the output is routed.
  virtual void OnCoreOutput(uint64_t node, const raft::RaftCore& core,
                            const raft::Output& output) = 0;
  virtual void OnCoreRestored(uint64_t node, const raft::RaftCore& core, LogIndex index) = 0;
  // The log store has reported these as durable; `send` vouches for them.
  virtual void OnDurable(uint64_t node, const std::vector<raft::Message>& send,
                         const std::vector<raft::AppendTicket>& tickets) = 0;
  // The highest index that any node has committed.
  virtual LogIndex committed_last() const = 0;
  // A linearizable read may be answered at `index` or later.
  virtual void OnReadIndex(uint64_t node, LogIndex committed_when_asked, LogIndex index) = 0;
  // The state machine has applied up to `applied`.
  virtual void OnApplied(uint64_t node, LogIndex applied) = 0;
  // The node has detected by itself that its state is wrong.
  virtual void OnFenced(uint64_t node, const std::string& why) = 0;
  // A snapshot at `index` is about to replace the node's database, before or after the log is
  // reset.
  virtual void OnReplacing(uint64_t node, LogIndex index) = 0;
  // The snapshot has replaced the database.
  virtual void OnReplaced(uint64_t node) = 0;
  // The process ended itself or could not start. `may_be` is true if its disk failed; the real
  // server does not survive that either.
  virtual void OnDied(uint64_t node, const std::string& why, bool may_be) = 0;
};

}  // namespace cairn::sim
