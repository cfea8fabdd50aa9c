// EngineId: what the engine of a node is made of, as far as its peers must know.
#pragma once

#include <string>

namespace cairn {

struct EngineId {
  // What must be equal on all members: the processor's architecture, by which arithmetic on
  // floating point numbers may differ, and the definition of the sums that members compare.
  std::string machine;
  // The build of SQLite: its source and its compile options, which decide what statements do and
  // how many steps they take.
  std::string build;
  bool operator==(const EngineId&) const = default;
};

}  // namespace cairn
