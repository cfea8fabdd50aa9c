// The results hash: one number for all results of the log so far.
//
// Members whose numbers are equal at an index gave the same results for every entry up to that
// index. The number is part of the digest of the state, so members that answer differently are
// found even if their rows are equal. docs/internals/state_machine.md specifies it.
#pragma once

#include <cstdint>
#include <vector>

#include "state_machine/command.h"

namespace cairn::state_machine {

// Begins an entry. `before` is the number of the entries before it. An entry without commands
// leaves the number as it is. HashResult follows for each of the entry's commands, in order.
uint64_t HashEntry(uint64_t before, LogIndex index, size_t commands);
uint64_t HashResult(uint64_t before, const CommandResult& result);
// HashEntry and HashResult for a whole entry.
uint64_t HashResults(uint64_t before, LogIndex index, const std::vector<CommandResult>& results);

}  // namespace cairn::state_machine
