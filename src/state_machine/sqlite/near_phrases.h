// NearPhrases: the phrases that a full-text query asks FTS5 to find near each other.
//
// FTS5 reads the places of all phrases in a row, and then compares them with each other within one
// operation of SQLite's machine, where no deadline ends the query. That takes time in the places times
// the square of the phrases: minutes for some hundred phrases in a row of 1 MB. So the phrases have a
// bound, which is lower in a row with very many places.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cairn::state_machine {

// The bound on the phrases of one NEAR.
inline constexpr size_t kNearPhrasesMax = 40;
// The bound on the square of the phrases times the bytes of the places of one phrase in a row: about
// two seconds of work.
inline constexpr uint64_t kNearProductMax = 400'000'000;
// So few are never too many: a row has less than 16 MiB of places.
inline constexpr size_t kNearPhrasesAlways = 4;

// The most phrases in one NEAR of the text, which may hold a whole query or a part of one. `inside`:
// the text may be the middle of a NEAR.
size_t NearPhrases(std::string_view text, bool inside);

}  // namespace cairn::state_machine
