// A mixing function for hashes. Internal to this folder.
#pragma once

#include <cstdint>

namespace cairn::history {

// The finalizer of splitmix64 (Vigna): every bit of the input changes every bit of the result.
constexpr uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace cairn::history
