// The privileges that a command needs.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "state_machine/access.h"
#include "state_machine/command.h"

namespace cairn::state_machine {

// True if the statement makes, changes or drops something of the schema, or its statistics.
bool ChangesSchema(std::string_view sql);

struct Needs {
  Privileges everywhere = 0;
  Privileges somewhere = 0;  // the rest is judged by the tables that a statement touches
  bool of_node = false;      // nodes of the cluster alone
};
// An Execute whose statements change rows alone needs to write somewhere.
Needs NeededBy(const Command& command);

// PERMISSION_DENIED, not applied, in words, if a principal that has these privileges lacks something.
Status CheckNeeds(std::string_view principal, Privileges everywhere, Privileges somewhere,
                  const Needs& needs);
// The refusal of who lacks privileges, on the table or, if it is empty, everywhere.
Status Lacking(std::string_view principal, Privileges privileges, std::string_view table);

}  // namespace cairn::state_machine
