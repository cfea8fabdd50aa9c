#include "server/door_rules.h"

#include <functional>
#include <string>

#include "rpc/proto_convert.h"
#include "server/principal.h"
#include "server/raw_call.h"

namespace cairn::server {

security::Tls::ServerRules RulesOfDoor(const AccessControl* access, TokenJudge* tokens,
                                       Refusals* refusals) {
  security::Tls::ServerRules rules;
  // What nodes alone may say: what peers say, and that a call is passed on for another client.
  rules.node_services = {"/cairn.internal."};
  rules.node_metadata = {rpc::kForwardedMetadata, kRelayMetadata, kPrincipalMetadata};
  rules.principal_metadata = kPrincipalMetadata;
  rules.authorize = [access, refusals](const security::CertifiedName& caller,
                                       std::string_view method, std::string_view principal) {
    // Only a node gets here with a principal.
    const bool passed_on = !principal.empty();
    const std::string who = passed_on ? std::string(principal) : PrincipalOf(caller);
    Status status = access->CheckCall(who, method);
    // gRPC does not say here where the caller is.
    if (!status.ok() && !passed_on) {
      refusals->Count(who, "", std::string(method.substr(0, 64)) + ": " + status.message());
    }
    return status;
  };
  rules.judge_token = std::bind_front(&TokenJudge::CallerOf, tokens);
  return rules;
}

}  // namespace cairn::server
