// Token: a JSON Web Token (RFC 7519) that is signed with Ed25519 (RFC 8037), by which a client says
// who it is where it has no certificate.
//
//     {"alg":"EdDSA","kid":KEY,"typ":"JWT"}
//     {"aud":"cairn://CLUSTER","exp":SECONDS,"iat":SECONDS,"jti":ID,"sub":PRINCIPAL}
//     and of claims also "nbf":SECONDS and "role":ROLE
//
// The parser takes nothing else: another algorithm, an unknown or a second member of the same name,
// a member of another type, padding, white space around the parts. So there is one reading of each
// token, and nothing in a token is ignored that its issuer meant as a limit.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cairn::security {

inline constexpr size_t kTokenBytesMax = 4096;
// From the issue to the expiry. A revocation is kept for so long.
inline constexpr int64_t kTokenSecondsMax = int64_t{366} * 24 * 3600;
// The clocks of an issuer and a node may differ by this.
inline constexpr int64_t kTokenLeewaySeconds = 10;

struct TokenClaims {
  std::string key;           // the name of the key that signed it
  std::string id;            // that a revocation names
  std::string principal;     // whom it names
  std::string role;          // that limits it; empty: nothing does
  uint64_t cluster_id = 0;   // whose nodes may believe it
  int64_t issued_s = 0;      // seconds since 1970
  int64_t not_before_s = 0;  // 0: from the issue on
  int64_t expires_s = 0;
  bool operator==(const TokenClaims&) const = default;
};

struct ParsedToken {
  TokenClaims claims;
  std::string_view signed_part;  // of the text that was parsed
  std::string signature;
};

// UNAUTHENTICATED in words, without the text of the token, for anything that is no token. What a
// token says is believed once IsSignedBy and CheckTokenTime agree. `text` outlives the answer.
Result<ParsedToken> ParseToken(std::string_view text);
// `public_key` has 32 bytes.
bool IsSignedBy(const ParsedToken& token, std::string_view public_key);
// UNAUTHENTICATED unless the token counts at `now_s`, and lives no longer than it may.
Status CheckTokenTime(const TokenClaims& claims, int64_t now_s);

// INVALID_ARGUMENT for a name that ParseToken refuses, and for a key that is none of Ed25519.
Result<std::string> SignToken(const TokenClaims& claims, std::string_view private_pem);

struct TokenKeyPair {
  std::string private_pem;
  std::string public_pem;
};
Result<TokenKeyPair> NewTokenKey();
// The 32 bytes of a public key in PEM, or of the public half of a private one. INVALID_ARGUMENT if
// it is none of Ed25519.
Result<std::string> TokenKeyBytes(std::string_view pem);

// 64 digits for 32 bytes, in lower case; and back: empty for anything else.
std::string ToHex(std::string_view bytes);
std::string FromHex(std::string_view digits);

}  // namespace cairn::security
