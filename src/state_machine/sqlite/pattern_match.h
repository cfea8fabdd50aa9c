// PatternMatch: LIKE and GLOB as SQLite does them, but with the work counted as it is done.
//
// The work may be the product of the lengths of the pattern and of the text. Most patterns take far
// less, so a price that is fixed beforehand would be wrong for most.
#pragma once

#include <cstdint>
#include <functional>

namespace cairn::state_machine {

struct PatternRules {
  uint32_t match_all = '%';
  uint32_t match_one = '_';  // 0: there is none
  uint32_t other = 0;        // LIKE: the escape character, or 0; GLOB: '['
  bool is_glob = false;
};

// SQLite's rules for GLOB, and for LIKE without ESCAPE.
PatternRules GlobRules();

class PatternMatch {
 public:
  // The match calls `allow` after each kCharactersPerAsk characters, and ends if `allow` returns
  // false.
  PatternMatch(const PatternRules& rules, std::function<bool()> allow)
      : rules_(rules), allow_(std::move(allow)) {}
  // Both texts end with a NUL. The result counts only if the match was not stopped().
  bool Matches(const unsigned char* pattern, const unsigned char* text) {
    return Compare(pattern, text) == Found::kMatch;
  }
  bool stopped() const { return stopped_; }

  static constexpr uint64_t kCharactersPerAsk = 4096;

 private:
  enum class Found {
    kMatch,
    kNoMatch,
    kNoMatchWhatever,  // no other place for an earlier wildcard can match, either
  };
  using Text = const unsigned char*;

  Found Compare(Text pattern, Text text);
  Found AfterAll(Text pattern, Text text);
  Found Search(uint32_t first, Text pattern, Text text);
  bool SetMatches(Text* pattern, Text* text);
  bool Same(uint32_t a, uint32_t b) const;
  // False when the match must end.
  bool Count();

  const PatternRules rules_;
  const std::function<bool()> allow_;
  uint64_t compared_ = 0;
  bool stopped_ = false;
};

// Reads the character at *text and moves *text behind it. Reads ill-formed text as SQLite does. At
// the end returns 0 and does not move.
uint32_t ReadCharacter(const unsigned char** text);

}  // namespace cairn::state_machine
