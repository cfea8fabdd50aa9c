// 16-bit floats: IEEE 754 binary16, and "brain floats", the upper half of a 32-bit float.
#pragma once

#include <cstdint>

namespace cairn::vectors {

float FloatFromHalf(uint16_t half);
// Rounds to the nearest, ties to even, subnormal numbers too. A finite value that is too large becomes infinite.
uint16_t HalfFromFloat(float value);

float FloatFromBrain(uint16_t brain);
// Cuts off, as libSQL does.
uint16_t BrainFromFloat(float value);

}  // namespace cairn::vectors
