// Forwarding: simulated nodes take clients' writes at any node, and forward them as real nodes do.
//
// Each process has the Router of the server. Its links to other nodes are simulated Session
// streams. A stream is lost when it was cut for as long as real nodes need to notice, when one of
// its messages was lost, or when the other process ends.
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

  // Gives a client's write to a node, which runs. `done` is not called once the process is dead.
  void Write(uint64_t node, const state_machine::Command& command, SteadyTime timeout,
             node::CommandDone done);
  // The number of writes that nodes have taken to relay.
  uint64_t relayed() const { return relayed_; }

 private:
  class Host;  // the router of one process
  class Link;
  class LocalReplica;

  // A node takes a write from another node, after `hops` nodes have forwarded it.
  void Take(uint64_t node, const state_machine::Command& command, SteadyTime timeout,
            server::Origin origin, int hops, node::CommandDone done);
  Host* HostOf(uint64_t node);
  // The node that runs at this address; 0 if there is none.
  uint64_t NodeAt(const std::string& address) const;

  World* const world_;
  Network* const network_;
  const Nodes* const nodes_;
  std::map<uint64_t, std::unique_ptr<Host>> hosts_;  // by node; of its last process
  // The number of nodes that have forwarded the write that a router takes now.
  int hops_ = 0;
  uint64_t relayed_ = 0;
};

}  // namespace cairn::sim
