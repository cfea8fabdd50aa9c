// ResultsHash: one number for all results of the log so far.
//
// Members whose numbers at an index are equal gave the same results for every entry up to there. It is
// part of the digest of the state, so members that answer differently are found though their rows
// are equal. docs/internals/state_machine.md specifies it.
#pragma once

#include <cstdint>
#include <vector>

#include "state_machine/command.h"

namespace cairn::state_machine {

// `before`: the number of the entries before this one. Entries without commands leave it as it is.
// The results of the entry's commands follow, in order.
uint64_t HashEntry(uint64_t before, LogIndex index, size_t commands);
uint64_t HashResult(uint64_t before, const CommandResult& result);
// Both, for a whole entry.
uint64_t HashResults(uint64_t before, LogIndex index, const std::vector<CommandResult>& results);

}  // namespace cairn::state_machine
