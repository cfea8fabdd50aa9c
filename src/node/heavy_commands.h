// HeavyCommands: commands that are expected to hold up apply for long, and what their clients sent
// behind them. Clients take turns, so that the many heavy commands of one do not make another one
// wait; the commands of one client stay in their order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <unordered_map>
#include <vector>

#include "node/pending_command.h"

namespace cairn::node {

// One owner (the core thread).
class HeavyCommands {
 public:
  void Add(PendingCommandPtr command);
  // Whether something of this client waits here; what it sends now must wait behind that.
  bool Holds(uint64_t client) const { return client != 0 && by_client_.contains(client); }
  // The next one, of the client whose turn it is; not to be called if empty().
  PendingCommandPtr Take();
  // What `client` has waiting next; null: nothing.
  const PendingCommand* Next(uint64_t client) const;
  PendingCommandPtr TakeNext(uint64_t client);

  std::vector<PendingCommandPtr> TakeExpired(SteadyTime now);
  std::vector<PendingCommandPtr> TakeAll();

  bool empty() const { return turns_.empty(); }
  size_t bytes() const { return bytes_; }
  bool has_maintenance() const { return maintenance_ > 0; }

 private:
  // The commands of one client; one without a session has a queue for each command.
  struct Queue {
    uint64_t client = 0;
    std::deque<PendingCommandPtr> commands;
  };
  using Turns = std::list<Queue>;

  PendingCommandPtr Pop(Turns::iterator queue);
  void Count(const PendingCommand& command, bool comes);

  Turns turns_;  // in the order in which they come to their turn
  std::unordered_map<uint64_t, Turns::iterator> by_client_;
  size_t bytes_ = 0;
  size_t maintenance_ = 0;
};

}  // namespace cairn::node
