// EngineId: what the engine of a node is made of, as far as its peers must know.
#pragma once

#include <string>

namespace cairn {

struct EngineId {
  // What must be equal on all members: the processor's architecture, by which arithmetic on
  // floating point numbers may differ, and the definition of the sums that members compare.
  std::string machine;
  // What may differ while members are upgraded one by one: the build of SQLite. As long as it does,
  // the members compare their results (node/result_agreement.h).
  std::string build;
  bool operator==(const EngineId&) const = default;
};

}  // namespace cairn
