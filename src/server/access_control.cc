#include "server/access_control.h"

#include <optional>

#include "server/method_rules.h"
#include "state_machine/command_access.h"

namespace cairn::server {

using state_machine::Privileges;

Privileges AccessControl::Of(std::string_view principal) const {
  return enforced_ ? state_->access()->Of(principal) : state_machine::privilege::kAll;
}

Status AccessControl::Check(std::string_view principal, Privileges needed) const {
  if (!enforced_ || needed == 0) return OkStatus();
  return state_machine::CheckPrivileges(principal, Of(principal), needed);
}

Status AccessControl::CheckCall(std::string_view principal, std::string_view method) const {
  if (!enforced_) return OkStatus();
  const std::optional<MethodRule> rule = RuleOf(method);
  const auto denied = [](const std::string& why) {
    return PermissionDenied(why).With(Outcome::kNotApplied);
  };
  if (!rule) return denied("there is no method " + std::string(method));
  switch (rule->who) {
    case MethodRule::Who::kAnyone: return OkStatus();
    case MethodRule::Who::kNode:
      if (principal.starts_with(state_machine::kNodePrefix)) return OkStatus();
      return denied("only nodes of the cluster may make this call, and the caller is " +
                    std::string(principal));
    case MethodRule::Who::kSomebody:
      if (Of(principal) != 0) return OkStatus();
      return denied(std::string(principal) +
                    " has no privilege: a principal with the privilege security can grant it some "
                    "(cairn grant)");
    case MethodRule::Who::kHolder: return Check(principal, rule->privileges);
  }
  return denied("there is no rule for the method " + std::string(method));
}

// Before the first grant there is nothing that a restricted principal could lose.
bool AccessControl::Restricts(std::string_view principal) const {
  return enforced_ && !principal.starts_with(state_machine::kNodePrefix) && generation() != 0;
}

}  // namespace cairn::server
