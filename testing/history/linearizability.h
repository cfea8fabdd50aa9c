// Linearizability: is there one order of all operations, each somewhere between its invocation and
// its completion, in which every answer is right?
//
// The search is Wing and Gong's with Lowe's memory of the configurations already seen (Lowe,
// "Testing for linearizability", 2017), for each key apart: linearizability is local, so that a
// history is linearizable if that of each key is (Herlihy and Wing, 1990). Operations that ended as
// kInfo may take effect at any later time or never.
#pragma once

#include <cstdint>

#include "testing/history/event.h"
#include "testing/history/verdict.h"

namespace cairn::history {

// What a key holds, and the operations on it. All values are [key, x].
enum class ModelKind : uint8_t {
  kRegister,  // read [k, v] (null at first), write [k, v], cas [k, [old, new]] (ok: it was old)
  kCounter,   // read [k, n] (null or 0 at first), add [k, n], add-and-get [k, n] -> [k, [n, new]]
  kList,      // read [k, [...]] in order, append [k, x]
  kSet,       // read [k, [...]] in any order, add [k, x]
};

struct LinearizabilityOptions {
  // Configurations looked at, in all; past it the verdict is kUnknown.
  uint64_t steps_max = 5'000'000;
};

// Anomaly: "not linearizable", once for each key in question, with the operation whose answer no
// order allows, those around it, and the states it could have met.
Verdict CheckLinearizable(const History& history, ModelKind model,
                          const LinearizabilityOptions& options = {});

}  // namespace cairn::history
