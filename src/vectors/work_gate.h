// WorkGate: asks whether a function may do its work.
#pragma once

#include <cstdint>
#include <functional>

namespace cairn::vectors {

// False: the work may not be done, and the statement must fail. A step is about 20 ns. The steps are
// a function of the arguments and of the rows alone. An empty gate allows all.
using WorkGate = std::function<bool(uint64_t steps)>;

inline constexpr char kNotAllowed[] = "the work of the statement is used up";

}  // namespace cairn::vectors
