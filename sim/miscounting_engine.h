// MiscountingEngine: a build of the engine that computes some statements wrongly.
//
// What another build of SQLite could do, at its worst: some of the statements that count give
// another result, and leave another state, than on nodes with the right build. Nothing tells at the
// time. While builds differ, no client may be given such a result, nor read such a state, as long as
// a majority has the right build; and the node must be rebuilt.
#pragma once

#include <memory>

#include "state_machine/state_machine.h"

namespace cairn::sim {

std::unique_ptr<state_machine::StateMachine> NewMiscountingEngine(
    std::unique_ptr<state_machine::StateMachine> right);

}  // namespace cairn::sim
