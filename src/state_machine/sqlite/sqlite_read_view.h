// The ReadView of the SQLite state machine: a read transaction, and queries on Cairn's own tables.
#pragma once

#include <memory>

#include "state_machine/sqlite/read_pool.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

std::unique_ptr<ReadView> MakeReadView(std::unique_ptr<ReadTransaction> read);

}  // namespace cairn::state_machine
