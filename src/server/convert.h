// Conversion between the messages of cairn.v1 and the state machine's types.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "cairn/v1/database.pb.h"
#include "node/replica.h"
#include "server/api.h"
#include "state_machine/command.h"

namespace cairn::server {

// Requests are moved from. The command's id stays empty if the request has none. A malformed id is
// INVALID_ARGUMENT (not applied).
Result<state_machine::Command> ToCommand(v1::ExecuteRequest* request);
// Adds a statement to the end of the operation.
void Add(BatchStatement each, state_machine::Execute* execute);
Result<state_machine::Command> ToCommand(v1::PrepareRequest* request);
Result<state_machine::Command> ToCommit(v1::FinishRequest* request);
Result<state_machine::Command> ToRollback(v1::FinishRequest* request);
Result<state_machine::Command> ToCommand(const v1::OpenSession& request);

// The request for a command that goes to the leader. Not for AdvanceLease and Digest, which no
// request can carry.
void ToRequest(const state_machine::Command& command, v1::SessionRequest* out);
// The leader's answer to such a request.
Result<state_machine::CommandResult> FromResponse(v1::SessionResponse* response);

// RESOURCE_EXHAUSTED (applied) if the result is larger than a message may be.
Status ToResponse(state_machine::CommandResult result, v1::ExecuteResponse* out);
Status ToResponse(state_machine::CommandResult result, v1::FinishResponse* out);
Status ToResponse(state_machine::CommandResult result, v1::PrepareResponse* out);
Status ToResponse(const VersionAnswer& answer, v1::GetVersionResponse* out);
Status ToResponse(const TransactionAnswer& answer, v1::GetTransactionResponse* out);
Status ToResponse(const RetainedAnswer& answer, v1::ListRetainedResponse* out);

// Makes the callback for the Api that answers `done` with a message.
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
RetainedRequest FromProto(const v1::ListRetainedRequest& request);

// The id in the metadata `cairn-request-id`: SESSION/SEQUENCE, or a bare id. This checks only
// whether the text is an id at all. state_machine::CheckRequestId judges the id.
Result<state_machine::RequestId> ParseRequestId(const std::string& text);

// The context of one request of a forwarded call, with the client that the forwarding node names.
// None if the call was not forwarded, or if the request names no client.
std::optional<CallContext> WithOrigin(const CallContext& call, const v1::SessionRequest& request);

}  // namespace cairn::server
