// Simulation: one seed from the first boot to the last comparison.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "sim/checker.h"
#include "sim/nemesis.h"
#include "sim/network.h"
#include "sim/node.h"
#include "sim/plan.h"
#include "sim/restores.h"
#include "sim/script.h"
#include "sim/stale_reads.h"
#include "sim/watchers.h"
#include "sim/workload.h"
#include "sim/world.h"

namespace cairn::sim {

struct Report {
  std::optional<std::string> failure;
  uint64_t trace_hash = 0;
  SteadyTime simulated{0};
  uint64_t events = 0;
  Workload::Counts clients;
  StaleReads::Counts stale_reads;
  Watchers::Counts watchers;
  Restores::Counts restores;
  Network::Counts network;
  uint64_t elections = 0;
  uint64_t digests_compared = 0;
  uint64_t committed = 0;
  std::map<Fault, uint64_t> brought;
  uint64_t rot_refused = 0;
  uint64_t copies_told = 0;
  uint64_t rebuilt = 0;
  uint64_t failed_reads = 0;
  HistoryCounts judged;
  std::shared_ptr<const Histories> histories;
};

// Phases: the cluster founds itself; faults come and go under load; a majority of the voters is
// healed and must make progress while the rest stays broken; all nodes are healed, the load ends,
// and all members must converge to the same state.
class Simulation {
 public:
  explicit Simulation(Plan plan);
  ~Simulation();

  Report Run();

 private:
  void RunUntil(SteadyTime until);
  // Runs until the condition holds. The condition is checked at the interval `every`. A failure
  // with the text `what` if the condition does not hold within `at_most`.
  template <class Condition>
  void Await(SteadyTime at_most, const std::string& what, Condition condition);
  void Boot();
  bool Converged();
  std::string Describe();

  const Plan plan_;
  World world_;
  Network network_;
  Nodes nodes_;
  Checker checker_;
  Nemesis nemesis_;
  Script script_;
  Workload workload_;
  StaleReads stale_reads_;
  Watchers watchers_;
  Restores restores_;
};

}  // namespace cairn::sim
