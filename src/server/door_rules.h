// The rules by which TLS lets calls in (security/tls.h).
#pragma once

#include "security/tls.h"
#include "server/access_control.h"
#include "server/refusals.h"
#include "server/token_judge.h"

namespace cairn::server {

// All outlive the rules.
security::Tls::ServerRules RulesOfDoor(const AccessControl* access, TokenJudge* tokens,
                                       Refusals* refusals);

}  // namespace cairn::server
