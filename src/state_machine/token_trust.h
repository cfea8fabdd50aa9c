// TokenRules: the keys whose tokens are believed, and which tokens are revoked.
//
// They are replicated rows (sqlite/access_tables.h), and a part of AccessRights (access.h): all
// nodes believe the same, and what changes ends open streams as a change of grants does.
// server/token_judge.h asks them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace cairn::state_machine {

// Kinds are in the database.
enum class TokenRuleKind : uint8_t {
  kKey = 1,        // `name` is the name of a key, and its tokens are believed
  kToken = 2,      // `name` is the id of a token, which is revoked
  kPrincipal = 3,  // `name` is a principal, whose tokens that were issued until then are revoked
};

struct TokenRule {
  std::string public_key;  // of kKey: in hexadecimal, kTokenKeyDigits digits
  uint64_t time_s = 0;     // when the rule was made, in seconds since 1970
  bool operator==(const TokenRule&) const = default;
};

using TokenRules = std::map<std::pair<TokenRuleKind, std::string>, TokenRule>;

inline constexpr size_t kTokenKeyDigits = 64;
inline constexpr size_t kTokenKeysMax = 16;
// Of each kind. Past it, revocations go whose tokens have expired.
inline constexpr size_t kTokenRevocationsMax = 1000;
// No token lives longer. A revocation that is older than this, and a day for clocks that are ahead,
// is of tokens that have all expired.
inline constexpr uint64_t kTokenSecondsMax = uint64_t{366} * 24 * 3600;
inline constexpr uint64_t kTokenRevocationSeconds = kTokenSecondsMax + uint64_t{24} * 3600;

}  // namespace cairn::state_machine
