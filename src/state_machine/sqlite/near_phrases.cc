#include "state_machine/sqlite/near_phrases.h"

#include <algorithm>
#include <cctype>

namespace cairn::state_machine {
namespace {

constexpr std::string_view kSpace = " \t\n\r";

bool IsOfWord(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x80 || byte == 0x1a || c == '_' || std::isalnum(byte) != 0;
}

// The phrases before the ")" that ends the NEAR. `rest` begins within the NEAR, and is cut behind it.
size_t PhrasesOfOne(std::string_view* rest) {
  size_t phrases = 0;
  bool behind_comma = false;  // there stands the distance
  size_t i = 0;
  while (i < rest->size() && (*rest)[i] != ')') {
    const char c = (*rest)[i];
    behind_comma = behind_comma || c == ',';
    const size_t begin = i++;
    if (c == '"') {
      i = std::min(rest->find('"', i), rest->size() - 1) + 1;
      // Two quotes stand for one within the phrase.
      if (begin > 0 && (*rest)[begin - 1] == '"') continue;
    } else if (IsOfWord(c)) {
      while (i < rest->size() && IsOfWord((*rest)[i])) ++i;
    } else {
      continue;
    }
    if (!behind_comma) ++phrases;
  }
  rest->remove_prefix(i);
  return phrases;
}

}  // namespace

size_t NearPhrases(std::string_view text, bool inside) {
  constexpr std::string_view kNear = "NEAR";
  size_t most = inside ? PhrasesOfOne(&text) : 0;
  for (size_t at = text.find(kNear); at != std::string_view::npos; at = text.find(kNear)) {
    text.remove_prefix(at + kNear.size());
    const size_t open = text.find_first_not_of(kSpace);
    if (open == std::string_view::npos || text[open] != '(') continue;
    text.remove_prefix(open + 1);
    most = std::max(most, PhrasesOfOne(&text));
  }
  return most;
}

}  // namespace cairn::state_machine
