// Script: a few faults in the one order that a certain kind of mistake needs, over and over.
//
// What the nemesis brings at random does nearly everything, but some mistakes do harm only in one
// schedule of many, such as an old leader that is still answered while a new one is at work. A
// script aims at one of these; everything else of the seed stays random.
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

  // Nothing, if the plan has no script.
  void Begin();
  void End() { ended_ = true; }

 private:
  // What is answered to the leader takes longer and longer, until it hears of three election
  // timeouts ago; then it is cut off, so that answers to old questions still arrive while another
  // leads.
  void Echo(uint64_t leader);
  // The leader is cut off, with writes on their way, for as long as the others need to elect one
  // and to drop from their logs what it lacks.
  void Overtake(uint64_t leader);
  // A follower is told to take over and cannot be heard: it alone is in a later term.
  void HandOver(uint64_t leader);
  void SilenceCandidate(uint64_t node, SteadyTime until);
  // Once a change of membership is half done, the leader and just enough of the new voters are left
  // alone, and it hands over to one of them.
  void WatchForJoint();
  void SplitJoint(uint64_t leader, const raft::Configuration& config);

  void Run();
  // Not after the end.
  void After(SteadyTime delay, std::function<void()> run);
  void CutFrom(uint64_t node, bool cut);  // what it sends to other nodes
  void CutTo(uint64_t node, bool cut);    // what they send to it
  void SetLagTo(uint64_t node, SteadyTime lag);
  std::vector<uint64_t> Others(uint64_t node) const;

  World* const world_;
  Network* const network_;
  Nodes* const nodes_;
  Nemesis* const nemesis_;
  const Aim aim_;
  const SteadyTime election_;  // the least time without a leader before another stands
  Rng rng_;
  bool ended_ = false;
};

}  // namespace cairn::sim
