// MiscountingEngine: a build of the engine that computes some statements wrongly.
//
// It does the worst that another build of SQLite could do: some counting statements give another
// result, and leave another state, than on nodes with the right build. No error shows at the time.
// While builds differ and a majority has the right build, no client may get a wrong result or read
// a wrong state, and the node with the wrong build must be rebuilt.
#pragma once

#include <memory>

#include "state_machine/state_machine.h"

namespace cairn::sim {

std::unique_ptr<state_machine::StateMachine> NewMiscountingEngine(
    std::unique_ptr<state_machine::StateMachine> right);

}  // namespace cairn::sim
