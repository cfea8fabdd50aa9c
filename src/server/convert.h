// Between the messages of cairn.v1 and the state machine's types.
#pragma once

#include <string>

#include "base/result.h"
#include "cairn/v1/database.pb.h"
#include "node/replica.h"
#include "server/api.h"
#include "state_machine/command.h"

namespace cairn::server {

// Requests are moved from. The command's id is left empty where the request has none;
// INVALID_ARGUMENT (not applied) for one that is malformed.
Result<state_machine::Command> ToCommand(v1::ExecuteRequest* request);
Result<state_machine::Command> ToCommand(v1::PrepareRequest* request);
Result<state_machine::Command> ToCommit(v1::FinishRequest* request);
Result<state_machine::Command> ToRollback(v1::FinishRequest* request);
Result<state_machine::Command> ToCommand(const v1::OpenSession& request);

// A command on its way to the leader. Not for AdvanceLease and Digest, which no request can carry.
void ToRequest(const state_machine::Command& command, v1::SessionRequest* out);
// The leader's answer to it.
Result<state_machine::CommandResult> FromResponse(v1::SessionResponse* response);

void ToResponse(state_machine::CommandResult result, v1::ExecuteResponse* out);
void ToResponse(state_machine::CommandResult result, v1::FinishResponse* out);

node::ReadOptions FromProto(const v1::ReadOptions& options);

// Of the metadata `cairn-request-id`: SESSION/SEQUENCE, or a bare id. Only whether it is an id at
// all; state_machine::CheckRequestId judges it.
Result<state_machine::RequestId> ParseRequestId(const std::string& text);

// The call as one of its requests: what another node passes on was asked by whom that node says.
CallContext WithOrigin(const CallContext& call, const v1::SessionRequest& request);

}  // namespace cairn::server
