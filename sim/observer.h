// Observer: who watches over a simulation is told of everything the invariants speak of.
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
  // A node has read what its disk holds, and starts from that.
  virtual void OnRecovered(uint64_t node, const node::StartState& start) = 0;
  virtual void OnCoreStarted(uint64_t node, const raft::RaftCore& core) = 0;
  // Before the output is routed.
  virtual void OnCoreOutput(uint64_t node, const raft::RaftCore& core,
                            const raft::Output& output) = 0;
  virtual void OnCoreRestored(uint64_t node, const raft::RaftCore& core, LogIndex index) = 0;
  // The log store has said that these are durable; `send` vouches for them.
  virtual void OnDurable(uint64_t node, const std::vector<raft::Message>& send,
                         const std::vector<raft::AppendTicket>& tickets) = 0;
  // The highest index that any node has committed.
  virtual LogIndex committed_last() const = 0;
  // A linearizable read may be answered from `index` on.
  virtual void OnReadIndex(uint64_t node, LogIndex committed_when_asked, LogIndex index) = 0;
  // The state machine has moved.
  virtual void OnApplied(uint64_t node, LogIndex applied) = 0;
  // The node found by itself that it does not hold what it should.
  virtual void OnFenced(uint64_t node, const std::string& why) = 0;
  // A snapshot of `index` is about to take the place of its database, in whatever order with the
  // log.
  virtual void OnReplacing(uint64_t node, LogIndex index) = 0;
  // It has.
  virtual void OnReplaced(uint64_t node) = 0;
  // The process ended itself (true: its disk failed it, which the server does not survive either),
  // or could not start.
  virtual void OnDied(uint64_t node, const std::string& why, bool may_be) = 0;
};

}  // namespace cairn::sim
