// Tokens and the names in certificates: any text is one or is refused, and what is taken has one spelling.
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"
#include "fuzz_input.h"
#include "security/certified_name.h"
#include "security/token.h"

namespace cairn::security {
namespace {

void TryToken(std::string_view text) {
  const Result<ParsedToken> token = ParseToken(text);
  if (!token.ok()) {
    CHECK(token.status().code() == StatusCode::kUnauthenticated);
    return;
  }
  CHECK(text.size() <= kTokenBytesMax);
  CHECK(text.starts_with(token->signed_part) && token->signature.size() == 64);
  const TokenClaims& claims = token->claims;
  for (const std::string& name : {claims.key, claims.id, claims.principal}) {
    CHECK(CheckPrincipal(name).ok());
  }
  CHECK(claims.role.empty() || CheckPrincipal(claims.role).ok());
  CHECK(claims.cluster_id != 0 && claims.issued_s >= 0 && claims.expires_s >= 0);
  CHECK(!IsSignedBy(*token, std::string(32, '\x07')));
}

std::string Encoded(std::string_view bytes) {
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = (bits << 8) | static_cast<uint8_t>(c);
    for (count += 8; count >= 6; count -= 6) out += kAlphabet[(bits >> (count - 6)) & 63];
  }
  if (count > 0) out += kAlphabet[(bits << (6 - count)) & 63];
  return out;
}

// The input as the JSON of both parts, so that the parser gets beyond their encoding.
void TryJson(std::string_view text) {
  const size_t line = text.find('\n');
  if (line == std::string_view::npos) return;
  TryToken(Encoded(text.substr(0, line)) + "." + Encoded(text.substr(line + 1)) + "." +
           std::string(86, 'A'));
}

void TryName(std::string_view uri) {
  const std::optional<CertifiedName> name = ParseUri(uri);
  if (!name) return;
  CHECK(ToUri(*name) == uri);
  CHECK(name->is_node() == name->principal.empty());
  CHECK(name->role.empty());
}

}  // namespace
}  // namespace cairn::security

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  cairn::security::TryToken(text);
  cairn::security::TryJson(text);
  cairn::security::TryName(text);
  return 0;
}
