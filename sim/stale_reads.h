// StaleReads: asks nodes, at all times, for reads of bounded staleness. The checker judges each
// read that is served: a read asked at time T with bound B must see all that was committed at T -
// B.
#pragma once

#include <cstdint>

#include "sim/checker.h"
#include "sim/world.h"

namespace cairn::sim {

class StaleReads {
 public:
  StaleReads(World* world, const Nodes* nodes, Checker* checker);

  void Start() { ScheduleNext(); }
  void Stop() { stopped_ = true; }

  struct Counts {
    uint64_t served = 0;
    uint64_t refused = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  void ScheduleNext();
  void Ask();

  World* const world_;
  const Nodes* const nodes_;
  Checker* const checker_;
  Rng rng_;
  bool stopped_ = false;
  Counts counts_;
};

}  // namespace cairn::sim
