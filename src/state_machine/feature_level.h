// Feature levels: what the entries of the log may hold.
//
// A cluster has one level. The level is part of the replicated state (`_cairn_state.level`) and
// begins at kLevelFirst. Only a RaiseLevel command raises it. An operator asks for the command when
// every member runs a build that knows the new level (`cairn member upgrade`). Until the level has
// risen, a build proposes nothing that a build of the lower level would misunderstand.
//
// A build that meets an entry above the levels that it knows stops applying and reports it. It must
// not skip the entry: its database would then differ from those of its peers.
#pragma once

#include <cstdint>

namespace cairn::state_machine {

inline constexpr uint64_t kLevelFirst = 1;         // of Cairn 0.2
inline constexpr uint64_t kLevelExpectations = 2;  // Execute::expect
// What clients' SQL may call: sqlite/level_functions.h. Execute::foreign_keys, RetainChanges,
// Restore, ChangeAccess, RecordAudit, Command::restricted and Command::address.
inline constexpr uint64_t kLevelDataPlatform = 3;
inline constexpr uint64_t kLevelHighest = 3;  // that this build knows

}  // namespace cairn::state_machine
