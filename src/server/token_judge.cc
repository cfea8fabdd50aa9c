#include "server/token_judge.h"

#include <optional>
#include <utility>

#include "base/ids.h"
#include "base/sha256.h"
#include "state_machine/access.h"

namespace cairn::server {
namespace {

using security::CertifiedName;
using security::TokenClaims;
using state_machine::TokenRuleKind;
using state_machine::TokenRules;

constexpr std::string_view kScheme = "Bearer ";

Status Refused(std::string why) { return {StatusCode::kUnauthenticated, std::move(why)}; }

const state_machine::TokenRule* Find(const TokenRules& rules, TokenRuleKind kind,
                                     const std::string& name) {
  const auto found = rules.find({kind, name});
  return found == rules.end() ? nullptr : &found->second;
}

}  // namespace

Result<TokenJudge::Known> TokenJudge::Verified(std::string_view token, const TokenRules& rules) {
  Sha256 hash;
  hash.Add(token);
  const std::string name = hash.Hex();
  {
    const MutexLock lock(mutex_);
    if (const auto found = known_.find(name); found != known_.end()) return found->second;
  }
  ASSIGN_OR_RETURN(const security::ParsedToken parsed, security::ParseToken(token));
  const auto* const key = Find(rules, TokenRuleKind::kKey, parsed.claims.key);
  if (key == nullptr) {
    return Refused("the key '" + parsed.claims.key +
                   "' of the caller's token is not trusted here (cairn token trust)");
  }
  ++checked_;
  if (!security::IsSignedBy(parsed, security::FromHex(key->public_key))) {
    return Refused("the token of the caller is not signed by the key that it names");
  }
  Known known{parsed.claims, key->public_key};
  const MutexLock lock(mutex_);
  if (known_.size() >= kKnownTokensMax) known_.clear();
  known_.insert_or_assign(name, known);
  return known;
}

Status TokenJudge::CheckRules(const Known& known, const TokenRules& rules) const {
  const TokenClaims& claims = known.claims;
  const auto* const key = Find(rules, TokenRuleKind::kKey, claims.key);
  if (key == nullptr || key->public_key != known.public_key) {
    return Refused("the key '" + claims.key + "' of the caller's token is not trusted any more");
  }
  const uint64_t here = tls_->own_name()->cluster_id;
  if (claims.cluster_id != here) {
    return Refused("the token of the caller is for cluster " + ClusterIdText(claims.cluster_id) +
                   ", and this node is of cluster " + ClusterIdText(here));
  }
  if (claims.principal == state_machine::kAdminName) {
    return Refused("no token is taken for the principal admin: it needs its certificate");
  }
  if (!claims.role.empty() && state_machine::PrivilegesOf(claims.role) == 0) {
    return Refused("the token of the caller is limited to '" + claims.role +
                   "', which is neither a role nor a privilege");
  }
  RETURN_IF_ERROR(security::CheckTokenTime(claims, tls_->NowSeconds()));
  if (Find(rules, TokenRuleKind::kToken, claims.id) != nullptr) {
    return Refused("the token of the caller is revoked");
  }
  // An issuer's clock may be ahead.
  const auto* const until = Find(rules, TokenRuleKind::kPrincipal, claims.principal);
  if (until != nullptr &&
      static_cast<uint64_t>(claims.issued_s) <= until->time_s + security::kTokenLeewaySeconds) {
    return Refused("all tokens of " + claims.principal + " that were issued until " +
                   security::TimeText(static_cast<int64_t>(until->time_s)) + " are revoked");
  }
  return OkStatus();
}

Result<CertifiedName> TokenJudge::CallerOf(std::string_view authorization) {
  if (!authorization.starts_with(kScheme)) {
    return Refused("the authorization of the call is none that this node takes (Bearer TOKEN)");
  }
  const std::string_view token = authorization.substr(kScheme.size());
  if (token.size() > security::kTokenBytesMax) return Refused("the caller's token is too long");
  const state_machine::AccessRightsPtr rights = state_->access();
  ASSIGN_OR_RETURN(const Known known, Verified(token, rights->tokens()));
  RETURN_IF_ERROR(CheckRules(known, rights->tokens()));
  return CertifiedName{known.claims.cluster_id, 0, known.claims.principal, known.claims.role};
}

Result<CertifiedName> CallerOf(const grpc::CallbackServerContext& context,
                               const grpc::AuthContext& auth, security::Tls* tls,
                               TokenJudge* tokens) {
  const auto& metadata = context.client_metadata();
  const auto [first, last] = metadata.equal_range(security::kAuthorizationMetadata);
  if (first == last) return tls->CallerOf(auth);
  if (tokens == nullptr) return Refused("this server takes no tokens");
  if (std::next(first) != last) return Refused("the call has several authorizations");
  return tokens->CallerOf({first->second.data(), first->second.size()});
}

}  // namespace cairn::server
