// LIKE and GLOB as SQLite does them, with the work counted while it is done: it is up to the product
// of the lengths of the pattern and of the text, and for most patterns far less, so a price that is
// known before would be wrong for most.
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
  // `allow` is asked each time some more thousand characters were compared; false ends the match.
  PatternMatch(const PatternRules& rules, std::function<bool()> allow)
      : rules_(rules), allow_(std::move(allow)) {}
  // Both end with a NUL. Not to be believed if stopped().
  bool Matches(const unsigned char* pattern, const unsigned char* text) {
    return Compare(pattern, text) == Found::kMatch;
  }
  bool stopped() const { return stopped_; }

  static constexpr uint64_t kCharactersPerAsk = 4096;

 private:
  enum class Found {
    kMatch,
    kNoMatch,
    kNoMatchWhatever,  // nor will a wildcard before this one find another place that fits
  };
  using Text = const unsigned char*;

  Found Compare(Text pattern, Text text);
  Found AfterAll(Text pattern, Text text);
  Found Search(uint32_t first, Text pattern, Text text);
  bool SetMatches(Text* pattern, Text* text);
  bool Same(uint32_t a, uint32_t b) const;
  // False once the match is to end.
  bool Count();

  const PatternRules rules_;
  const std::function<bool()> allow_;
  uint64_t compared_ = 0;
  bool stopped_ = false;
};

// The character at *text, which moves behind it; as SQLite reads ill-formed ones. 0 at the end,
// which is not passed.
uint32_t ReadCharacter(const unsigned char** text);

}  // namespace cairn::state_machine
