// How many window functions a text calls.
//
// SQLite takes the cube of their number to compile them, if each has a window of its own: 300 of them, in
// 10 KB, take half a second. So their number has a bound, and their cube is charged.
#pragma once

#include <cstdint>
#include <string_view>

namespace cairn::state_machine {

// In one text. They take 160 ms to compile.
inline constexpr uint64_t kWindowsMax = 200;

// The words OVER of the text.
uint64_t CountWindows(std::string_view sql);

}  // namespace cairn::state_machine
