// What the program of a write does with values that SQLite made before.
//
// SQLite looks at the length of a value when it makes the value, so the limit that narrows with the
// steps (WorkBudget) holds for values that are made in a loop. The value of a scalar subquery is made
// once, and may then be copied, compared or cut at each step. Rows that are sorted or put in a table of
// their own go to a temporary file, one beside the other. The listing of a program shows both, and it
// is the same on all nodes.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace cairn::state_machine {

struct ProgramFacts;

// Of each value in a program that works in a loop on values that were made before; and what a step of
// it counts, if it copies or compares them, and if it looks at each character.
inline constexpr int kHeldValueBytesMax = 64 << 10;
inline constexpr uint64_t kPriceOfHeldCopies = 8;
inline constexpr uint64_t kPriceOfHeldValues = 32;
// The length of a parameter is known, so a step counts as its bytes over this.
inline constexpr uint64_t kGivenBytesPerPrice = 2048;

struct HeldValues {
  bool copies = false;  // copies in a loop a value that was made before
  bool made = false;    // computes in a loop with such a value
  bool given = false;   // the same with a parameter or a literal
  bool rows = false;    // keeps rows that may be long
};

// Whether the program may do so at all. Most do not, and need no listing.
bool MayHoldValues(const ProgramFacts& facts, std::string_view sql);
// Compiles the text once more. Sets changes() to zero.
Result<HeldValues> FindHeldValues(sqlite3* db, std::string_view sql);

}  // namespace cairn::state_machine
