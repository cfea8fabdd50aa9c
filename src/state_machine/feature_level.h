// Feature levels: what the entries of the log may hold.
//
// A cluster has one level. It is part of the replicated state (`_cairn_state.level`), begins at
// kLevelFirst, and rises by a RaiseLevel command alone, which an operator asks for once every member
// runs a build that knows the new level (`cairn member upgrade`). A build gives way: whatever would
// be misunderstood by a build of a lower level is not proposed before the level has risen.
//
// A build that meets an entry above what it knows stops applying and says so. It must not skip the
// entry: its database would be another one than its peers'.
// docs/decisions/015-rolling-upgrades.md says why.
#pragma once

#include <cstdint>

namespace cairn::state_machine {

inline constexpr uint64_t kLevelFirst = 1;    // of Cairn 0.2
inline constexpr uint64_t kLevelHighest = 1;  // that this build knows

}  // namespace cairn::state_machine
