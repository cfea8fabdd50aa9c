// Script: repeats a few faults in the one order that a certain kind of mistake needs.
//
// The random faults of the nemesis cover nearly everything, but some mistakes do harm only in one
// schedule of many, such as an old leader that still gets answers while a new leader is at work. A
// script aims at one of these schedules. Everything else of the seed stays random.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "sim/nemesis.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/plan.h"
#include "sim/world.h"

namespace cairn::sim {

class Script {
 public:
  Script(World* world, Network* network, Nodes* nodes, Nemesis* nemesis, const Plan& plan);

  // Does nothing if the plan has no script.
  void Begin();
  void End() { ended_ = true; }

 private:
  // Delays the answers to the leader more and more, until the leader hears answers that are three
  // election timeouts old. Then cuts the leader off, so that answers to old questions still arrive
  // while another node leads.
  void Echo(uint64_t leader);
  // Cuts the leader off, with writes in flight, for about as long as the others need to elect a new
  // leader and to compact from their logs the entries that the old leader lacks.
  void Overtake(uint64_t leader);
  // A follower is told to take over, but its messages are lost: the follower alone is in a later
  // term.
  void HandOver(uint64_t leader);
  void SilenceCandidate(uint64_t node, SteadyTime until);
  // Once a change of membership is half done, leaves the leader alone with just enough of the new
  // voters, and makes it hand over to one of them.
  void WatchForJoint();
  void SplitJoint(uint64_t leader, const raft::Configuration& config);

  // Cuts one node (of five perhaps two) from the leader. All others reach both sides. So nobody
  // else is elected, and writes at the node must go through a member that reaches the leader.
  void Relay(uint64_t leader);

  void Run();
  // Runs `run` after the delay, but not after the end.
  void After(SteadyTime delay, std::function<void()> run);
  void CutFrom(uint64_t node, bool cut);  // messages from it to other nodes
  void CutTo(uint64_t node, bool cut);    // messages from other nodes to it
  void SetLagTo(uint64_t node, SteadyTime lag);
  std::vector<uint64_t> Others(uint64_t node) const;

  World* const world_;
  Network* const network_;
  Nodes* const nodes_;
  Nemesis* const nemesis_;
  const Aim aim_;
  const SteadyTime election_;  // the least time without a leader before another node stands
  Rng rng_;
  bool ended_ = false;
};

}  // namespace cairn::sim
