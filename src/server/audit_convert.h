// Conversion between the messages of cairn.v1 about the audit and the state machine's types.
#pragma once

#include "base/result.h"
#include "cairn/v1/database.pb.h"
#include "server/api.h"
#include "state_machine/audit.h"

namespace cairn::server {

void ToProto(const state_machine::AuditNote& note, v1::AuditNote* out);
// INVALID_ARGUMENT for more, or longer texts, than an entry may hold.
Result<state_machine::RecordAudit> RecordOf(const v1::AuditNotes& notes);
AuditRequest FromProto(const v1::ListAuditRequest& request);
Status ToResponse(const AuditAnswer& answer, v1::ListAuditResponse* out);

// Of a client that reads the audit.
v1::ListAuditRequest::Chain ToProto(state_machine::AuditChain chain);
state_machine::AuditPage PageOf(const v1::ListAuditResponse& message);

}  // namespace cairn::server
