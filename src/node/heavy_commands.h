// HeavyCommands: commands that are expected to hold up apply for long, and the commands that their
// clients sent behind them. Clients take turns, so that the many heavy commands of one client do
// not make another client wait. The commands of one client stay in their order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <unordered_map>
#include <vector>

#include "node/pending_command.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class HeavyCommands {
 public:
  void Add(PendingCommandPtr command);
  // Whether a command of this client waits here. What the client sends now must wait behind it.
  bool Holds(uint64_t client) const { return client != 0 && by_client_.contains(client); }
  // The next command, of the client whose turn it is. Must not be called if empty().
  PendingCommandPtr Take();
  // The next waiting command of `client`; null if there is none.
  const PendingCommand* Next(uint64_t client) const;
  PendingCommandPtr TakeNext(uint64_t client);

  std::vector<PendingCommandPtr> TakeExpired(SteadyTime now);
  std::vector<PendingCommandPtr> TakeAll();

  bool empty() const { return turns_.empty(); }
  size_t bytes() const { return bytes_; }
  bool has_maintenance() const { return maintenance_ > 0; }

 private:
  // The commands of one client. A client without a session has a queue for each command.
  struct Queue {
    uint64_t client = 0;
    std::deque<PendingCommandPtr> commands;
  };
  using Turns = std::list<Queue>;

  PendingCommandPtr Pop(Turns::iterator queue);
  void Count(const PendingCommand& command, bool comes);

  Turns turns_;  // in the order of their turns
  std::unordered_map<uint64_t, Turns::iterator> by_client_;
  size_t bytes_ = 0;
  size_t maintenance_ = 0;
};

}  // namespace cairn::node
