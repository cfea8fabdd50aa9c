// LinearFunctions: instr(), replace(), trim(), ltrim() and rtrim() in time linear in their
// arguments.
//
// SQLite's own functions take time in the product of their arguments' lengths: minutes for two
// values of some 100 KB. They do so in one operation of SQLite's virtual machine, which neither the
// budget of a write nor the deadline of a read can stop. The results equal those of SQLite's
// functions, with one exception: the second argument of trim(), ltrim() and rtrim() must be
// well-formed UTF-8.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace cairn::state_machine {

class WorkBudget;

// Installs the functions on a connection. With a `budget`, each call is charged before its work is
// done. The budget must outlive the connection.
Status InstallLinearFunctions(sqlite3* db, WorkBudget* budget);

// Charges `steps`. False if the running statement may not do so much; the function has then failed.
// Without a budget, or while no statement is counted, all work is allowed.
bool AllowWork(sqlite3_context* context, WorkBudget* budget, uint64_t steps);

// Makes the function fail with the error of the statement on `delegate` that computes it.
void FailAsDelegate(sqlite3_context* context, sqlite3* delegate, int rc);

// ---- The work itself

// The place of `needle` in `text`, in characters from 1; 0 if it is not there. `by_bytes`: a byte
// counts as a character.
size_t FindCharacters(std::string_view text, std::string_view needle, bool by_bytes);
// Cuts `set` into its characters. False if `set` is not well-formed.
bool SplitCharacters(std::string_view set, std::vector<std::string_view>* characters);
// `text` without those of `characters` that stand at its ends.
std::string_view Trim(std::string_view text, const std::vector<std::string_view>& characters,
                      bool left, bool right);

}  // namespace cairn::state_machine
