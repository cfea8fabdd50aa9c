#include "server/convert.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "rpc/proto_convert.h"
#include "server/access_convert.h"
#include "server/audit_convert.h"
#include "server/limits.h"

namespace cairn::server {
namespace {

using state_machine::Command;
using state_machine::CommandResult;
using state_machine::RequestId;

// Checks only whether this is an id at all. state_machine::CheckRequestId judges the id.
Result<RequestId> FromProto(const v1::RequestId& id) {
  if (id.session().empty()) return InvalidArgument("the request id names no session");
  if (id.bare() && id.sequence() != 0) {
    return InvalidArgument("a bare request id has no sequence");
  }
  if (!id.bare() && id.sequence() == 0) {
    return InvalidArgument("sequences of request ids start at 1");
  }
  return RequestId{id.session(), id.sequence()};
}

// Sets the id, if there is one, and what the request acknowledges; the same for Execute, Prepare
// and Finish.
template <class Request>
Status SetId(const Request& request, Command* command) {
  command->acknowledged_below = request.acknowledged_below();
  if (!request.has_request_id()) return OkStatus();
  ASSIGN_OR_RETURN(command->id, FromProto(request.request_id()));
  return OkStatus();
}

Status NotApplied(Status status) { return std::move(status).With(Outcome::kNotApplied); }

void ToProto(const Command& command, v1::RequestId* out) {
  out->set_session(command.id.session);
  out->set_sequence(command.id.sequence);
  out->set_bare(command.id.bare());
}

template <class Request>
void SetId(const Command& command, Request* request) {
  ToProto(command, request->mutable_request_id());
  request->set_acknowledged_below(command.acknowledged_below);
}

struct RequestMaker {
  const Command& command;
  v1::SessionRequest* out;

  void operator()(const state_machine::Execute& execute) const {
    v1::ExecuteRequest* request = out->mutable_execute();
    SetId(command, request);
    request->set_maintenance(execute.maintenance);
    if (execute.expect.empty()) {
      rpc::ToProto(execute.statements, execute.foreign_keys, request);
      return;
    }
    for (size_t i = 0; i < execute.statements.size(); ++i) {
      rpc::ToProto(BatchStatement{execute.statements[i], execute.expect[i]}, request->add_batch());
    }
  }
  void operator()(const state_machine::OpenSession&) const {
    ToProto(command, out->mutable_open_session()->mutable_request_id());
  }
  void operator()(const state_machine::Prepare& prepare) const {
    v1::PrepareRequest* request = out->mutable_prepare();
    SetId(command, request);
    request->set_tx_id(prepare.tx_id);
    request->set_tx_timeout_ms(prepare.timeout_ms);
    request->set_statement_number(prepare.number);
    rpc::ToProto(Statement(prepare.statement), request->mutable_statement());
  }
  void operator()(const state_machine::Commit& commit) const {
    SetId(command, out->mutable_commit());
    out->mutable_commit()->set_tx_id(commit.tx_id);
    out->mutable_commit()->set_statement_count(commit.statements);
  }
  void operator()(const state_machine::Rollback& rollback) const {
    SetId(command, out->mutable_rollback());
    out->mutable_rollback()->set_tx_id(rollback.tx_id);
  }
  void operator()(const state_machine::AdvanceLease&) const {}
  void operator()(const state_machine::Digest&) const {}
  void operator()(const state_machine::RaiseLevel&) const {}
  void operator()(const state_machine::MaintainTimeSeries&) const {}
  void operator()(const state_machine::RetainChanges& retain) const {
    v1::ExecuteRequest* request = out->mutable_execute();
    SetId(command, request);
    request->mutable_retain()->set_table(retain.table);
    request->mutable_retain()->set_retain_ms(retain.retain_ms);
    request->mutable_retain()->set_bytes_max(retain.bytes_max);
  }
  void operator()(const state_machine::ChangeAccess& change) const {
    v1::ExecuteRequest* request = out->mutable_execute();
    SetId(command, request);
    SetAccessChange(change, request->mutable_access());
  }
  void operator()(const state_machine::RecordAudit& record) const {
    v1::ExecuteRequest* request = out->mutable_execute();
    SetId(command, request);
    for (const state_machine::AuditNote& note : record.notes) {
      server::ToProto(note, request->mutable_audit()->add_notes());
    }
  }
  void operator()(const state_machine::Restore& restore) const {
    using Step = state_machine::Restore::Step;
    v1::ExecuteRequest* request = out->mutable_execute();
    SetId(command, request);
    v1::RestoreStep& step = *request->mutable_restore();
    step.set_id(restore.id);
    switch (restore.step) {
      case Step::kBegin:
        step.mutable_begin()->set_size_bytes(restore.number);
        step.mutable_begin()->set_sha256(restore.bytes);
        return;
      case Step::kPiece:
        step.mutable_piece()->set_offset(restore.number);
        step.mutable_piece()->set_data(restore.bytes);
        return;
      case Step::kFinish: step.mutable_finish(); return;
      case Step::kAbort: step.mutable_abort(); return;
    }
  }
};

template <class Response>
CommandResult FromResults(Response* response) {
  CommandResult result;
  result.index = LogIndex(response->index());
  result.result_gone = response->result_gone();
  for (v1::StatementResult& one : *response->mutable_results()) {
    result.statements.push_back(rpc::FromProto(&one));
  }
  return result;
}

template <class Response>
Status ToResults(CommandResult result, Response* out) {
  out->set_index(result.index.value());
  out->set_result_gone(result.result_gone);
  for (StatementResult& one : result.statements) rpc::ToProto(std::move(one), out->add_results());
  if (out->ByteSizeLong() <= kResultBytesMax) return OkStatus();
  return ResourceExhausted("applied, but its result is larger than " +
                           std::to_string(kResultBytesMax) + " bytes")
      .With(Outcome::kApplied)
      .With(Reason::kResultTooLarge);
}

}  // namespace

Result<RequestId> ParseRequestId(const std::string& text) {
  const size_t slash = text.rfind('/');
  RequestId id{text.substr(0, slash), 0};
  if (id.session.empty()) return InvalidArgument("the request id names no session");
  if (slash == std::string::npos) return id;
  const char* const first = text.data() + slash + 1;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(first, last, id.sequence);
  if (error != std::errc() || end != last) {
    return InvalidArgument("'" + text + "' is neither SESSION/SEQUENCE nor an id without a slash");
  }
  if (id.sequence == 0) return InvalidArgument("sequences of request ids start at 1");
  return id;
}

std::optional<CallContext> WithOrigin(const CallContext& call, const v1::SessionRequest& request) {
  if (!call.forwarded || !request.has_origin()) return std::nullopt;
  CallContext out = call;
  out.principal = request.origin().principal();
  out.named_by = request.origin().named_by();
  out.address = request.origin().address();
  return out;
}

void Add(BatchStatement each, state_machine::Execute* execute) {
  execute->statements.push_back(std::move(each.statement));
  // The list has all expectations, or none.
  const bool any = each.expect.kind == RowExpectation::Kind::kAny;
  if (any && execute->expect.empty()) return;
  execute->expect.resize(execute->statements.size());
  execute->expect.back() = each.expect;
}

namespace {

Result<Command> WithForeignKeysOff(v1::ExecuteRequest* request, Command command) {
  v1::ForeignKeysOff& off = *request->mutable_foreign_keys_off();
  if (off.statements_size() == 0) {
    return NotApplied(InvalidArgument("the request has no statement"));
  }
  if (request->statements_size() != 0 || request->batch_size() != 0) {
    return NotApplied(InvalidArgument(
        "the request has statements beside foreign_keys_off: put all of them into it, without "
        "expectations"));
  }
  state_machine::Execute execute;
  execute.maintenance = request->maintenance();
  execute.foreign_keys = off.unchecked() ? ForeignKeys::kUnchecked : ForeignKeys::kCheckedAtEnd;
  execute.statements.reserve(static_cast<size_t>(off.statements_size()));
  for (v1::Statement& statement : *off.mutable_statements()) {
    execute.statements.push_back(rpc::FromProto(&statement));
  }
  command.operation = std::move(execute);
  return command;
}

Result<Command> WithRetain(v1::ExecuteRequest* request, Command command) {
  if (request->statements_size() != 0 || request->batch_size() != 0 ||
      request->has_foreign_keys_off()) {
    return NotApplied(InvalidArgument("a request that retains changes has no statements"));
  }
  if (request->retain().table().size() > state_machine::kRetainedNameBytesMax) {
    return NotApplied(InvalidArgument("the name of the table is too long"));
  }
  command.operation =
      state_machine::RetainChanges{std::move(*request->mutable_retain()->mutable_table()),
                                   request->retain().retain_ms(), request->retain().bytes_max()};
  return command;
}

Result<Command> WithRestore(v1::ExecuteRequest* request, Command command) {
  if (request->statements_size() != 0 || request->batch_size() != 0 ||
      request->has_foreign_keys_off() || request->has_retain()) {
    return NotApplied(InvalidArgument("a step of a restore has no statements"));
  }
  using Step = state_machine::Restore::Step;
  v1::RestoreStep& step = *request->mutable_restore();
  state_machine::Restore restore;
  restore.id = std::move(*step.mutable_id());
  if (restore.id.empty() || restore.id.size() > state_machine::kRestoreIdBytesMax) {
    return NotApplied(InvalidArgument("a restore is named by 1 to 64 bytes"));
  }
  switch (step.step_case()) {
    case v1::RestoreStep::kBegin:
      restore.step = Step::kBegin;
      restore.number = step.begin().size_bytes();
      restore.bytes = std::move(*step.mutable_begin()->mutable_sha256());
      if (restore.bytes.size() != 64) {
        return NotApplied(InvalidArgument("a SHA-256 has 64 hexadecimal digits"));
      }
      break;
    case v1::RestoreStep::kPiece:
      restore.step = Step::kPiece;
      restore.number = step.piece().offset();
      restore.bytes = std::move(*step.mutable_piece()->mutable_data());
      if (restore.bytes.empty() || restore.bytes.size() > state_machine::kRestorePieceBytesMax) {
        return NotApplied(InvalidArgument("a piece of a backup has 1 to 1,048,576 bytes"));
      }
      break;
    case v1::RestoreStep::kFinish: restore.step = Step::kFinish; break;
    case v1::RestoreStep::kAbort: restore.step = Step::kAbort; break;
    case v1::RestoreStep::STEP_NOT_SET:
      return NotApplied(InvalidArgument("the request says no step of the restore"));
  }
  command.operation = std::move(restore);
  return command;
}

Result<Command> WithAccess(v1::ExecuteRequest* request, Command command) {
  if (request->statements_size() != 0 || request->batch_size() != 0 ||
      request->has_foreign_keys_off() || request->has_retain() || request->has_restore()) {
    return NotApplied(InvalidArgument("a change of access has no statements"));
  }
  Result<state_machine::ChangeAccess> change = AccessChangeOf(request->access());
  if (!change.ok()) return NotApplied(change.status());
  command.operation = *std::move(change);
  return command;
}

Result<Command> WithAudit(v1::ExecuteRequest* request, Command command) {
  Result<state_machine::RecordAudit> record = RecordOf(request->audit());
  if (!record.ok()) return NotApplied(record.status());
  command.operation = *std::move(record);
  return command;
}

}  // namespace

Result<Command> ToCommand(v1::ExecuteRequest* request) {
  Command command;
  if (Status bad = SetId(*request, &command); !bad.ok()) return NotApplied(std::move(bad));
  if (request->has_retain()) return WithRetain(request, std::move(command));
  if (request->has_restore()) return WithRestore(request, std::move(command));
  if (request->has_access()) return WithAccess(request, std::move(command));
  if (request->has_audit()) return WithAudit(request, std::move(command));
  if (request->has_foreign_keys_off()) return WithForeignKeysOff(request, std::move(command));
  if (request->statements_size() == 0 && request->batch_size() == 0) {
    return NotApplied(InvalidArgument("the request has no statement"));
  }
  if (request->statements_size() != 0 && request->batch_size() != 0) {
    return NotApplied(InvalidArgument(
        "the request has both statements and a batch: put all of its statements into the batch"));
  }
  state_machine::Execute execute;
  execute.maintenance = request->maintenance();
  execute.statements.reserve(
      static_cast<size_t>(request->statements_size() + request->batch_size()));
  for (v1::Statement& statement : *request->mutable_statements()) {
    execute.statements.push_back(rpc::FromProto(&statement));
  }
  for (v1::BatchStatement& each : *request->mutable_batch()) {
    Result<BatchStatement> statement = rpc::FromProto(&each);
    if (!statement.ok()) return statement.status();
    Add(*std::move(statement), &execute);
  }
  command.operation = std::move(execute);
  return command;
}

Result<Command> ToCommand(v1::PrepareRequest* request) {
  Command command;
  if (Status bad = SetId(*request, &command); !bad.ok()) return NotApplied(std::move(bad));
  command.operation = state_machine::Prepare{std::move(*request->mutable_tx_id()),
                                             rpc::FromProto(request->mutable_statement()),
                                             request->tx_timeout_ms(), request->statement_number()};
  return command;
}

Result<Command> ToCommit(v1::FinishRequest* request) {
  Command command;
  if (Status bad = SetId(*request, &command); !bad.ok()) return NotApplied(std::move(bad));
  command.operation =
      state_machine::Commit{std::move(*request->mutable_tx_id()), request->statement_count()};
  return command;
}

Result<Command> ToRollback(v1::FinishRequest* request) {
  Command command;
  if (Status bad = SetId(*request, &command); !bad.ok()) return NotApplied(std::move(bad));
  command.operation = state_machine::Rollback{std::move(*request->mutable_tx_id())};
  return command;
}

Result<Command> ToCommand(const v1::OpenSession& request) {
  Command command;
  Result<RequestId> id = FromProto(request.request_id());
  if (!id.ok()) return NotApplied(id.status());
  command.id = *std::move(id);
  if (command.id.sequence != 1) {
    return NotApplied(InvalidArgument("a session is opened by its sequence 1"));
  }
  command.operation = state_machine::OpenSession{};
  return command;
}

void ToRequest(const Command& command, v1::SessionRequest* out) {
  std::visit(RequestMaker{command, out}, command.operation);
  out->mutable_origin()->set_principal(command.principal);
  out->mutable_origin()->set_named_by(command.named_by);
  if (!command.address.empty()) out->mutable_origin()->set_address(command.address);
}

Result<CommandResult> FromResponse(v1::SessionResponse* response) {
  CommandResult result;
  switch (response->kind_case()) {
    case v1::SessionResponse::kError: return rpc::FromProto(response->error());
    case v1::SessionResponse::kExecute: return FromResults(response->mutable_execute());
    case v1::SessionResponse::kOpenSession: return FromResults(response->mutable_open_session());
    case v1::SessionResponse::kFinish: return FromResults(response->mutable_finish());
    case v1::SessionResponse::kPrepare:
      result.index = LogIndex(response->prepare().index());
      return result;
    default:
      return Internal("the leader answered a write with something else").With(Outcome::kUnknown);
  }
}

Status ToResponse(CommandResult result, v1::ExecuteResponse* out) {
  return ToResults(std::move(result), out);
}
Status ToResponse(CommandResult result, v1::FinishResponse* out) {
  return ToResults(std::move(result), out);
}
Status ToResponse(CommandResult result, v1::PrepareResponse* out) {
  out->set_index(result.index.value());
  return OkStatus();
}

}  // namespace cairn::server
