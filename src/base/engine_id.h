// EngineId: the properties of a node's engine that its peers must know.
#pragma once

#include <string>

namespace cairn {

struct EngineId {
  // The properties that must be equal on all members: the processor's architecture, which may
  // affect floating-point arithmetic, and the definition of the sums that members compare.
  std::string machine;
  // What may differ while members are upgraded one by one: the versions of Cairn and SQLite, and
  // how SQLite was compiled. Then the members compare their results (node/result_agreement.h).
  std::string build;
  bool operator==(const EngineId&) const = default;
};

}  // namespace cairn
