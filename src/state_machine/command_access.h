// The privileges that a command needs.
#pragma once

#include <string_view>

#include "base/status.h"
#include "state_machine/access.h"
#include "state_machine/command.h"

namespace cairn::state_machine {

// True if the statement makes, changes or drops something of the schema, or its statistics.
bool ChangesSchema(std::string_view sql);

// What the command needs everywhere. An Execute may read what it writes, by RETURNING or a
// subquery, so it needs both.
Privileges NeededBy(const Command& command);

// PERMISSION_DENIED, not applied, in words, if `has` lacks something of `needed`.
Status CheckPrivileges(std::string_view principal, Privileges has, Privileges needed);

}  // namespace cairn::state_machine
