// Between the messages of cairn.v1 and the state machine's types.
#pragma once

#include <functional>
#include <string>
#include <utility>

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

// RESOURCE_EXHAUSTED (applied) for a result that is larger than a message may be.
Status ToResponse(state_machine::CommandResult result, v1::ExecuteResponse* out);
Status ToResponse(state_machine::CommandResult result, v1::FinishResponse* out);
Status ToResponse(state_machine::CommandResult result, v1::PrepareResponse* out);
Status ToResponse(const VersionAnswer& answer, v1::GetVersionResponse* out);
Status ToResponse(const TransactionAnswer& answer, v1::GetTransactionResponse* out);

// What the Api calls to answer `done`, which takes a message.
template <class Response, class Answer = state_machine::CommandResult>
std::function<void(Result<Answer>)> AnswerTo(std::function<void(Result<Response>)> done) {
  return [done = std::move(done)](Result<Answer> result) {
    if (!result.ok()) return done(result.status());
    Response response;
    if (Status bad = ToResponse(*std::move(result), &response); !bad.ok()) return done(bad);
    done(std::move(response));
  };
}

node::ReadOptions FromProto(const v1::ReadOptions& options);
VersionRequest FromProto(v1::GetVersionRequest* request, uint32_t timeout_ms);
TransactionRequest FromProto(v1::GetTransactionRequest* request, uint32_t timeout_ms);

// Of the metadata `cairn-request-id`: SESSION/SEQUENCE, or a bare id. Only whether it is an id at
// all; state_machine::CheckRequestId judges it.
Result<state_machine::RequestId> ParseRequestId(const std::string& text);

// The call as one of its requests: what another node passes on was asked by whom that node says.
CallContext WithOrigin(const CallContext& call, const v1::SessionRequest& request);

}  // namespace cairn::server
