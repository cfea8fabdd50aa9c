// TokenJudge: whom a token names, and whether it is believed here and now.
//
// A token counts if a key that the cluster trusts has signed it, for this cluster, if it has not
// expired, and if neither it nor its principal's tokens of that time are revoked
// (state_machine/token_trust.h). Who comes with a token is the principal that it names, whatever
// certificate the connection shows. No token names a node or `admin`, which need no grants: whoever
// has the key of a token gets no more than was granted to somebody.
#pragma once

#include <grpcpp/security/auth_context.h>
#include <grpcpp/server_context.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/mutex.h"
#include "base/result.h"
#include "security/certified_name.h"
#include "security/tls.h"
#include "security/token.h"
#include "state_machine/state_machine.h"

namespace cairn::server {

// Of tokens whose signatures were checked. With more in use at a time, they are checked again.
inline constexpr size_t kKnownTokensMax = 1024;

// Thread-safe.
class TokenJudge {
 public:
  // `state` outlives this. `tls` is that of a server.
  TokenJudge(const state_machine::StateMachine* state, security::TlsPtr tls)
      : state_(state), tls_(std::move(tls)) {}

  // `authorization`: "Bearer " and a token. UNAUTHENTICATED in words. The signature of a token is
  // checked once; all else is asked at each call, so a revocation counts at once.
  Result<security::CertifiedName> CallerOf(std::string_view authorization);

  // How many signatures were checked.
  uint64_t checked() const { return checked_; }

 private:
  struct Known {
    security::TokenClaims claims;
    std::string public_key;  // that has signed it
  };
  // From the cache, or parsed and checked.
  Result<Known> Verified(std::string_view token, const state_machine::TokenRules& rules);
  Status CheckRules(const Known& known, const state_machine::TokenRules& rules) const;

  const state_machine::StateMachine* const state_;
  const security::TlsPtr tls_;
  std::atomic<uint64_t> checked_{0};
  Mutex mutex_;
  std::unordered_map<std::string, Known> known_ CAIRN_GUARDED_BY(mutex_);  // by SHA-256
};

// Who makes a call: by its token, if it has one, and else by its certificate. `tokens` null: no
// token is taken.
Result<security::CertifiedName> CallerOf(const grpc::CallbackServerContext& context,
                                         const grpc::AuthContext& auth, security::Tls* tls,
                                         TokenJudge* tokens);

}  // namespace cairn::server
