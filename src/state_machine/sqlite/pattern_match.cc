#include "state_machine/sqlite/pattern_match.h"

namespace cairn::state_machine {
namespace {

uint32_t ToLower(uint32_t c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; }

}  // namespace

PatternRules GlobRules() { return {'*', '?', '[', true}; }

uint32_t ReadCharacter(const unsigned char** text) {
  const unsigned char first = **text;
  if (first == 0) return 0;
  ++*text;
  if (first < 0xc0) return first;
  uint32_t c = first < 0xe0 ? first & 0x1fU : first < 0xf0 ? first & 0x0fU : first & 0x07U;
  if (first >= 0xf8) c = first < 0xfc ? first & 0x03U : first < 0xfe ? first & 0x01U : 0;
  while ((**text & 0xc0) == 0x80) c = (c << 6) + (*(*text)++ & 0x3fU);
  const bool odd = c < 0x80 || (c & 0xfffff800U) == 0xd800 || (c & 0xfffffffeU) == 0xfffe;
  return odd ? 0xfffd : c;
}

bool PatternMatch::Same(uint32_t a, uint32_t b) const {
  if (a == b) return true;
  return !rules_.is_glob && a < 0x80 && b < 0x80 && ToLower(a) == ToLower(b);
}

bool PatternMatch::Count() {
  if (++compared_ % kCharactersPerAsk == 0) stopped_ = stopped_ || !allow_();
  return !stopped_;
}

PatternMatch::Found PatternMatch::Compare(Text pattern, Text text) {
  Text escaped = nullptr;
  while (uint32_t c = ReadCharacter(&pattern)) {
    if (!Count()) return Found::kNoMatchWhatever;
    if (c == rules_.match_all) return AfterAll(pattern, text);
    if (c == rules_.other && rules_.is_glob) {
      if (!SetMatches(&pattern, &text)) return Found::kNoMatch;
      continue;
    }
    if (c == rules_.other) {
      c = ReadCharacter(&pattern);
      if (c == 0) return Found::kNoMatch;
      escaped = pattern;
    }
    const uint32_t in_text = ReadCharacter(&text);
    if (Same(c, in_text)) continue;
    if (c == rules_.match_one && pattern != escaped && in_text != 0) continue;
    return Found::kNoMatch;
  }
  return *text == 0 ? Found::kMatch : Found::kNoMatch;
}

// `pattern` follows a wildcard for any number of characters.
PatternMatch::Found PatternMatch::AfterAll(Text pattern, Text text) {
  Text at = pattern;
  uint32_t c = ReadCharacter(&pattern);
  while (c == rules_.match_all || (c == rules_.match_one && rules_.match_one != 0)) {
    if (c == rules_.match_one && ReadCharacter(&text) == 0) return Found::kNoMatchWhatever;
    if (!Count()) return Found::kNoMatchWhatever;
    at = pattern;
    c = ReadCharacter(&pattern);
  }
  if (c == 0) return Found::kMatch;
  if (c == rules_.other && rules_.is_glob) {
    while (*text != 0) {
      const Found found = Compare(at, text);
      if (found != Found::kNoMatch) return found;
      ReadCharacter(&text);
    }
    return Found::kNoMatchWhatever;
  }
  if (c == rules_.other) {
    c = ReadCharacter(&pattern);
    if (c == 0) return Found::kNoMatchWhatever;
  }
  return Search(c, pattern, text);
}

PatternMatch::Found PatternMatch::Search(uint32_t first, Text pattern, Text text) {
  while (const uint32_t c = ReadCharacter(&text)) {
    if (!Count()) return Found::kNoMatchWhatever;
    if (!Same(first, c)) continue;
    const Found found = Compare(pattern, text);
    if (found != Found::kNoMatch) return found;
  }
  return Found::kNoMatchWhatever;
}

bool PatternMatch::SetMatches(Text* pattern, Text* text) {
  const uint32_t c = ReadCharacter(text);
  if (c == 0) return false;
  uint32_t before = 0;
  bool seen = false;
  uint32_t in_set = ReadCharacter(pattern);
  const bool invert = in_set == '^';
  if (invert) in_set = ReadCharacter(pattern);
  if (in_set == ']') {
    seen = c == ']';
    in_set = ReadCharacter(pattern);
  }
  while (in_set != 0 && in_set != ']') {
    if (!Count()) return false;
    if (in_set == '-' && **pattern != ']' && **pattern != 0 && before > 0) {
      in_set = ReadCharacter(pattern);
      seen = seen || (c >= before && c <= in_set);
      before = 0;
    } else {
      seen = seen || c == in_set;
      before = in_set;
    }
    in_set = ReadCharacter(pattern);
  }
  return in_set != 0 && seen != invert;
}

}  // namespace cairn::state_machine
