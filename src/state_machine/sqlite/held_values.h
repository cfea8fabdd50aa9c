// How the program of a write uses values that SQLite made before.
//
// SQLite checks the length of a value when it makes the value, so the limit that falls with the
// steps (WorkBudget) bounds values that are made in a loop. The value of a scalar subquery is made
// once, and each later step may copy, compare or cut it. Rows that are sorted or put in a table of
// their own go to a temporary file. The listing of a program shows both uses, and is the same on
// all nodes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "state_machine/sqlite/program_listing.h"

namespace cairn::state_machine {

struct ProgramFacts;

// The bound on each value in a program that uses earlier values in a loop; the price of a step that
// copies or compares such values; and the price of a step that reads each character.
inline constexpr int kHeldValueBytesMax = 64 << 10;
inline constexpr uint64_t kPriceOfHeldCopies = 8;
inline constexpr uint64_t kPriceOfHeldValues = 32;
// The length of a parameter is known, so the price of a step is that length divided by this number.
inline constexpr uint64_t kGivenBytesPerPrice = 2048;

struct HeldValues {
  bool copies = false;  // copies in a loop a value that was made before
  bool made = false;    // computes in a loop with such a value
  bool given = false;   // the same with a parameter or a literal
  bool rows = false;    // keeps rows that may be long
  bool sorts = false;   // keeps rows in order: sorts them, or looks each up among them
};

// True if the program may use values in such a way. Most programs do not, and need no listing.
bool MayHoldValues(const ProgramFacts& facts, std::string_view sql);
// Adds what the listed program, or one of its triggers, does.
void FindHeldValues(const ProgramListing& listing, HeldValues* found);

}  // namespace cairn::state_machine
