// HeavyCommands: commands that are expected to hold up apply for long, and the commands that their
// clients sent behind them.
//
// Principals take turns, by the work that was measured of them: so neither many connections or
// sessions of one host, nor calls without a session, get more than the heavy commands of another
// host. The clients (sessions) of one principal take turns among themselves. The commands of one
// client stay in their order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <unordered_map>
#include <vector>

#include "node/fair_turns.h"
#include "node/pending_command.h"

namespace cairn::node {

// Not thread-safe: the core thread owns it.
class HeavyCommands {
 public:
  void Add(PendingCommandPtr command);
  // Whether a command of this client waits here. What the client sends now must wait behind it.
  bool Holds(uint64_t client) const { return client != 0 && by_client_.contains(client); }
  // The next command, of the principal and the client whose turn it is. Must not be called if
  // empty().
  PendingCommandPtr Take();
  // A command of the principal has cost so much.
  void Charge(uint64_t principal, uint64_t steps) { turns_.Charge(principal, steps); }
  // The next waiting command of `client`; null if there is none.
  const PendingCommand* Next(uint64_t client) const;
  PendingCommandPtr TakeNext(uint64_t client);

  // The commands that pass the test. The others keep their order.
  std::vector<PendingCommandPtr> TakeIf(const PendingCommandTest& test);
  std::vector<PendingCommandPtr> TakeAll();

  bool empty() const { return principals_.empty(); }
  size_t commands() const { return commands_; }
  size_t bytes() const { return bytes_; }
  bool has_maintenance() const { return maintenance_ > 0; }

 private:
  // The commands of one client. A client without a session has a queue for each command.
  struct Queue {
    uint64_t client = 0;
    uint64_t principal = 0;
    std::deque<PendingCommandPtr> commands;
  };
  using Queues = std::list<Queue>;

  PendingCommandPtr Pop(Queues::iterator queue);
  void Count(const PendingCommand& command, bool comes);
  bool Any(const PendingCommandTest& test) const;

  FairTurns turns_;
  std::unordered_map<uint64_t, Queues> principals_;  // each in the order of its clients' turns
  std::unordered_map<uint64_t, Queues::iterator> by_client_;
  size_t commands_ = 0;
  size_t bytes_ = 0;
  size_t maintenance_ = 0;
};

}  // namespace cairn::node
