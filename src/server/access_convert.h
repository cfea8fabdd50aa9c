// Conversion between the messages of cairn.v1 about access and the state machine's types.
#pragma once

#include "base/result.h"
#include "cairn/v1/database.pb.h"
#include "server/api.h"
#include "state_machine/command.h"

namespace cairn::server {

// INVALID_ARGUMENT for a name that no certificate has, and for what is no privilege.
Result<state_machine::ChangeAccess> AccessChangeOf(const v1::AccessChange& change);

void SetAccessChange(const state_machine::ChangeAccess& change, v1::AccessChange* out);

AccessRequest FromProto(const v1::ListAccessRequest& request);
Status ToResponse(const AccessAnswer& answer, v1::ListAccessResponse* out);

}  // namespace cairn::server
