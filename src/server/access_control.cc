#include "server/access_control.h"

#include <chrono>
#include <optional>
#include <set>

#include "server/method_rules.h"
#include "state_machine/sqlite/schema_catalog.h"

namespace cairn::server {

using state_machine::Privileges;
namespace privilege = state_machine::privilege;

Privileges AccessControl::Of(std::string_view principal) const {
  return enforced_ ? state_->access()->Of(principal) : state_machine::privilege::kAll;
}

Status AccessControl::Check(std::string_view principal, const state_machine::Needs& needs) const {
  if (!enforced_) return OkStatus();
  const state_machine::AccessRightsPtr rights = state_->access();
  return state_machine::CheckNeeds(principal, rights->Of(principal), rights->Somewhere(principal),
                                   needs);
}

bool AccessControl::ReadsSomeAlone(std::string_view principal) const {
  return (Of(principal) & privilege::kRead) == 0;
}

Status AccessControl::CheckRead(std::string_view principal, const std::string& table) const {
  if (!ReadsSomeAlone(principal)) return OkStatus();
  const bool may =
      !table.empty() &&
      (state_->access()->On(principal, state_machine::LowerCase(table)) & privilege::kRead) != 0;
  return may ? OkStatus() : state_machine::Lacking(principal, privilege::kRead, table);
}

Status AccessControl::CheckQuery(std::string_view principal, state_machine::ReadView* view,
                                 const std::string& sql) const {
  if (!ReadsSomeAlone(principal)) return OkStatus();
  // A text that takes longer to compile is none of a client with few rights.
  state_machine::QueryLimits limits;
  limits.duration_max = std::chrono::seconds(1);
  ASSIGN_OR_RETURN(const std::set<std::string> tables, view->TablesNamed(sql, limits));
  for (const std::string& table : tables) RETURN_IF_ERROR(CheckRead(principal, table));
  return OkStatus();
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
      if (state_->access()->Somewhere(principal) != 0) return OkStatus();
      return denied(std::string(principal) +
                    " has no privilege: a principal with the privilege security can grant it some "
                    "(cairn grant)");
    case MethodRule::Who::kHolder: return Check(principal, rule->needs);
  }
  return denied("there is no rule for the method " + std::string(method));
}

// Before the first grant there is nothing that a restricted principal could lose.
bool AccessControl::Restricts(std::string_view principal) const {
  return enforced_ && !principal.starts_with(state_machine::kNodePrefix) && generation() != 0;
}

}  // namespace cairn::server
