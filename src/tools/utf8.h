// Just enough of UTF-8 to show text that may not be valid.
#pragma once

#include <cstddef>
#include <string_view>

namespace cairn::tools {

struct Utf8Character {
  char32_t code = 0;
  size_t bytes = 1;    // consumed
  bool valid = false;  // false: one byte that starts no well-formed character
};

// The character at the start of `text`, which must not be empty. Overlong forms, surrogates and
// codes past U+10FFFF are not valid.
Utf8Character DecodeUtf8(std::string_view text);

// The columns that a character takes on a terminal: combining marks none, East Asian wide
// characters and most emoji two, all others one.
size_t CharacterWidth(char32_t c);
// The columns of the whole text. Bytes that are not UTF-8 take one each.
size_t DisplayWidth(std::string_view text);

}  // namespace cairn::tools
