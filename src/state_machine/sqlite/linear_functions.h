// LinearFunctions: SQL functions that SQLite makes take the product of their arguments' lengths,
// made anew so that they take the sum: instr(), replace(), trim(), ltrim() and rtrim().
//
// They give what SQLite's give, but for the second argument of trim() and its kin, which must be
// well-formed UTF-8. SQLite's own take minutes for two values of some 100 KB, in one operation of
// its machine, which nothing can end: no budget of a write, and no deadline of a read.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace cairn::state_machine {

class WorkBudget;

// For both kinds of connection. With a `budget` the work is charged to it, before it is done; the
// budget must outlive the connection.
Status InstallLinearFunctions(sqlite3* db, WorkBudget* budget);

// False, and the function has failed, if the statement that runs may not do so much. Functions that
// are called while no statement is counted, or without a budget, may do all.
bool AllowWork(sqlite3_context* context, WorkBudget* budget, uint64_t steps);

// ---- The work itself

// The place, in characters from 1, of `needle` in `text`; 0: it is not there. `by_bytes`: a character
// is a byte.
size_t FindCharacters(std::string_view text, std::string_view needle, bool by_bytes);
// The characters of `set`; false if it is not well-formed.
bool SplitCharacters(std::string_view set, std::vector<std::string_view>* characters);
// `text` without those of `characters` that stand at its ends.
std::string_view Trim(std::string_view text, const std::vector<std::string_view>& characters,
                      bool left, bool right);

}  // namespace cairn::state_machine
