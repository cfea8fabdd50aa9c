// Forwarding: simulated nodes take the writes of clients at any node, and pass them on as real nodes
// do.
//
// Each process has the Router of the server. Its links to other nodes are simulated Session streams:
// a stream is lost when it was cut for as long as real nodes need to notice, when a message of it was
// lost, or when the other process ends.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "node/replica.h"
#include "server/write_link.h"
#include "sim/checker.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/world.h"
#include "state_machine/command.h"

namespace cairn::sim {

class Forwarding {
 public:
  Forwarding(World* world, Network* network, const Nodes* nodes);
  ~Forwarding();

  // A client's write has come to a node, which runs. `done` is not called once the process is dead.
  void Write(uint64_t node, const state_machine::Command& command, SteadyTime timeout,
             node::CommandDone done);
  // How many writes nodes have taken to relay.
  uint64_t relayed() const { return relayed_; }

 private:
  class Host;  // the router of one process
  class Link;
  class LocalReplica;

  // What a node with `hops` before it takes from another node.
  void Take(uint64_t node, const state_machine::Command& command, SteadyTime timeout,
            server::Origin origin, int hops, node::CommandDone done);
  Host* HostOf(uint64_t node);
  // The node that runs at this address; 0 if there is none.
  uint64_t NodeAt(const std::string& address) const;

  World* const world_;
  Network* const network_;
  const Nodes* const nodes_;
  std::map<uint64_t, std::unique_ptr<Host>> hosts_;  // by node; of its last process
  // Of the write that a router takes at this moment: how many nodes have passed it on.
  int hops_ = 0;
  uint64_t relayed_ = 0;
};

}  // namespace cairn::sim
