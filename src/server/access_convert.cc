#include "server/access_convert.h"

#include <string>

#include "security/certified_name.h"
#include "server/convert.h"
#include "state_machine/access.h"
#include "state_machine/sqlite/schema_catalog.h"

namespace cairn::server {

using state_machine::ChangeAccess;
namespace privilege = state_machine::privilege;

namespace {

// AccessTables judges the rest.
Status TokenChangeOf(const v1::AccessChange& change, ChangeAccess* out) {
  if (!security::CheckPrincipal(change.name()).ok()) {
    return InvalidArgument(
        "the name of a key, a token or a principal has 1 to 64 letters, digits, dots, hyphens, "
        "underscores and @");
  }
  if (change.public_key().size() > state_machine::kAccessTextBytesMax) {
    return InvalidArgument("a key of tokens has 64 hexadecimal digits");
  }
  out->principal = change.name();
  out->privilege = change.public_key();
  out->time_s = change.time_s();
  return OkStatus();
}

}  // namespace

void SetAccessChange(const ChangeAccess& change, v1::AccessChange* out) {
  out->set_kind(static_cast<v1::AccessChange::Kind>(static_cast<int>(change.kind) + 1));
  if (change.kind >= ChangeAccess::Kind::kTrustKey) {
    out->set_name(change.principal);
    out->set_public_key(change.privilege);
    out->set_time_s(change.time_s);
    return;
  }
  out->mutable_grant()->set_principal(change.principal);
  out->mutable_grant()->set_privilege(change.privilege);
  out->mutable_grant()->set_pattern(change.pattern);
}

Result<ChangeAccess> AccessChangeOf(const v1::AccessChange& change) {
  ChangeAccess out;
  // The kinds have the same order here and there.
  if (change.kind() < v1::AccessChange::KIND_GRANT ||
      change.kind() > v1::AccessChange::KIND_REVOKE_TOKENS) {
    return InvalidArgument("unknown kind of change");
  }
  out.kind = static_cast<ChangeAccess::Kind>(change.kind() - 1);
  if (out.kind >= ChangeAccess::Kind::kTrustKey) {
    RETURN_IF_ERROR(TokenChangeOf(change, &out));
    return out;
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
  for (const auto& [name, rule] : answer.tokens) {
    v1::TokenRule* const row = out->add_tokens();
    row->set_kind(static_cast<v1::TokenRule::Kind>(name.first));
    row->set_name(name.second);
    row->set_public_key(rule.public_key);
    row->set_time_s(rule.time_s);
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
