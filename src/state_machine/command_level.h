// The feature level that a command needs.
#pragma once

#include <cstdint>

#include "state_machine/command.h"

namespace cairn::state_machine {

// The least level (feature_level.h) at which the command may be proposed. Builds of lower levels
// refuse the command, do not understand it, or lose a value of it.
uint64_t LevelOf(const Command& command);

}  // namespace cairn::state_machine
