// Linearizability: is there one order of all operations, each between its invocation and its
// completion, in which every answer is right?
//
// The search is Wing and Gong's with Lowe's memory of the configurations already seen (Lowe,
// "Testing for linearizability", 2017). It handles each key separately: linearizability is local,
// so a history is linearizable if the history of each key is (Herlihy and Wing, 1990). Operations
// that ended as kInfo may take effect at any later time or never.
#pragma once

#include <cstdint>

#include "testing/history/event.h"
#include "testing/history/verdict.h"

namespace cairn::history {

// The content of a key, and the operations on it. All values are [key, x].
enum class ModelKind : uint8_t {
  kRegister,  // read [k, v] (null at first), write [k, v], cas [k, [old, new]] (ok: it was old)
  kCounter,   // read [k, n] (null or 0 at first), add [k, n], add-and-get [k, n] -> [k, [n, new]]
  kList,      // read [k, [...]] in order, append [k, x]
  kSet,       // read [k, [...]] in any order, add [k, x]
};

struct LinearizabilityOptions {
  // The maximum number of configurations visited in total. Beyond it the verdict is kUnknown.
  uint64_t steps_max = 5'000'000;
};

// The anomaly is "not linearizable", once for each affected key. It shows the operation whose
// answer no order allows, the operations around it, and the states it could have met.
Verdict CheckLinearizable(const History& history, ModelKind model,
                          const LinearizabilityOptions& options = {});

}  // namespace cairn::history
