// WorkGate: asks whether a function may do its work. Uncounted: hides work from the count of steps.
#pragma once

#include <cstdint>
#include <functional>

namespace cairn::vectors {

// False: the work may not be done, and the statement must fail. A step is about 20 ns. The steps are
// a function of the arguments and of the rows alone. An empty gate allows all.
using WorkGate = std::function<bool(uint64_t steps)>;

// Runs what it is given, and no step of SQLite within it counts. Empty: runs it as it is. For work
// whose steps may differ between nodes; its price is asked for by a WorkGate.
using Uncounted = std::function<void(const std::function<void()>& work)>;

inline constexpr char kNotAllowed[] = "the work of the statement is used up";

}  // namespace cairn::vectors
