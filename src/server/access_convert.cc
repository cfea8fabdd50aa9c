#include "server/access_convert.h"

#include <string>

#include "security/certified_name.h"
#include "server/convert.h"
#include "state_machine/access.h"
#include "state_machine/sqlite/schema_catalog.h"

namespace cairn::server {

using state_machine::ChangeAccess;
namespace privilege = state_machine::privilege;

Result<ChangeAccess> AccessChangeOf(const v1::AccessChange& change) {
  ChangeAccess out;
  switch (change.kind()) {
    case v1::AccessChange::KIND_GRANT: out.kind = ChangeAccess::Kind::kGrant; break;
    case v1::AccessChange::KIND_REVOKE: out.kind = ChangeAccess::Kind::kRevoke; break;
    default: return InvalidArgument("unknown kind of change");
  }
  const v1::Grant& grant = change.grant();
  if (grant.principal() != state_machine::kEverybody) {
    RETURN_IF_ERROR(security::CheckPrincipal(grant.principal()));
  }
  if (grant.principal() == state_machine::kAdminName) {
    return InvalidArgument(
        "the principal admin has the role admin without a grant, and keeps it: to take it away, "
        "revoke its certificate (cairn cert revoke)");
  }
  if (state_machine::PrivilegesOf(grant.privilege()) == 0) {
    return InvalidArgument("there is neither a role nor a privilege '" + grant.privilege() +
                           "'; there are: " + state_machine::KnownPrivileges());
  }
  RETURN_IF_ERROR(state_machine::CheckPattern(grant.privilege(), grant.pattern()));
  out.principal = grant.principal();
  out.privilege = grant.privilege();
  out.pattern = state_machine::LowerCase(grant.pattern());
  if (out.pattern.size() > state_machine::kAccessTextBytesMax) {
    return InvalidArgument("a pattern has at most " +
                           std::to_string(state_machine::kAccessTextBytesMax) + " bytes");
  }
  return out;
}

AccessRequest FromProto(const v1::ListAccessRequest& request) {
  return {FromProto(request.read()), request.timeout_ms()};
}

Status ToResponse(const AccessAnswer& answer, v1::ListAccessResponse* out) {
  for (const state_machine::Grant& grant : answer.grants) {
    v1::Grant* const row = out->add_grants();
    row->set_principal(grant.principal);
    row->set_privilege(grant.privilege);
    row->set_pattern(grant.pattern);
  }
  out->set_principal(answer.principal);
  for (const std::string_view name : state_machine::NamesOf(answer.privileges)) {
    out->add_privileges(std::string(name));
  }
  out->set_enforced(answer.enforced);
  out->set_index(answer.index.value());
  return OkStatus();
}

}  // namespace cairn::server
