#include "server/api.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "rpc/proto_convert.h"
#include "server/convert.h"
#include "server/limits.h"

namespace cairn::server {
namespace {

using state_machine::Command;
using state_machine::CommandResult;

// Collects the rows of a bounded result.
class ResultSink final : public state_machine::RowSink {
 public:
  explicit ResultSink(v1::QueryResult* out) : out_(out) {}

  Status OnColumns(const std::vector<Column>& columns) override {
    for (const Column& column : columns) rpc::ToProto(Column(column), out_->add_columns());
    return OkStatus();
  }
  Status OnRow(Row row) override {
    v1::Row* added = out_->add_rows();
    rpc::ToProto(std::move(row), added);
    bytes_ += added->ByteSizeLong() + 4;
    if (bytes_ <= kResultBytesMax) return OkStatus();
    return ResourceExhausted("the result is larger than " + std::to_string(kResultBytesMax) +
                             " bytes: use Query, which streams")
        .With(Reason::kResultTooLarge);
  }

 private:
  v1::QueryResult* const out_;
  size_t bytes_ = 0;
};

template <class Response>
Result<Response> Bounded(Response response) {
  if (response.ByteSizeLong() <= kResultBytesMax) return response;
  return ResourceExhausted("applied, but its result is larger than " +
                           std::to_string(kResultBytesMax) + " bytes")
      .With(Outcome::kApplied);
}

template <class Response>
node::CommandDone Answer(Api::Done<Response> done) {
  return [done = std::move(done)](Result<CommandResult> result) {
    if (!result.ok()) return done(result.status());
    Response response;
    ToResponse(*std::move(result), &response);
    done(Bounded(std::move(response)));
  };
}

node::ReadOptions OptionsOf(v1::VersionLevel level, uint64_t index_min) {
  node::ReadOptions options;
  if (level == v1::VERSION_LEVEL_LOCAL) options.level = node::ReadLevel::kStale;
  options.index_min = LogIndex(index_min);
  return options;
}

// Puts an answer, or an error, into the response of a session.
template <class T, class Set>
std::function<void(Result<T>)> Into(uint64_t id, std::function<void(v1::SessionResponse)> done,
                                    Set set) {
  return [id, done = std::move(done), set](Result<T> result) {
    v1::SessionResponse response;
    response.set_id(id);
    if (result.ok()) {
      *set(&response) = *std::move(result);
    } else {
      rpc::ToProto(result.status(), response.mutable_error());
    }
    done(std::move(response));
  };
}

}  // namespace

Api::Api(node::Replica* replica, Router* router, ReadPool* reads, Clock* clock,
         std::chrono::milliseconds request_timeout)
    : replica_(replica),
      router_(router),
      reads_(reads),
      clock_(clock),
      request_timeout_(request_timeout) {}

SteadyTime Api::DeadlineOf(uint32_t timeout_ms, const CallContext& context) const {
  std::chrono::milliseconds timeout = request_timeout_;
  if (timeout_ms != 0) timeout = std::chrono::milliseconds(std::min(timeout_ms, kTimeoutMsMax));
  return std::min<SteadyTime>(clock_->SteadyNow() + timeout, context.deadline);
}

void Api::Write(Result<Command> command, uint32_t timeout_ms, const CallContext& context,
                node::CommandDone done) {
  if (!command.ok()) return done(command.status());
  if (command->id.empty() && context.request_id) command->id = *context.request_id;
  command->principal = context.principal;
  command->named_by = context.named_by;
  if (Status bad = state_machine::CheckRequestId(*command); !bad.ok()) return done(std::move(bad));
  if (Status bad = replica_->state().CheckProposal(*command); !bad.ok()) {
    return done(std::move(bad).With(Outcome::kNotApplied));
  }
  router_->Write(*std::move(command), DeadlineOf(timeout_ms, context), context.forwarded,
                 [done = std::move(done)](Result<CommandResult> result) {
                   // A replicated failure is an error to the caller, of a known outcome.
                   if (!result.ok() || result->status.ok()) return done(std::move(result));
                   Status failure = std::move(result->status);
                   if (failure.outcome() == Outcome::kNone) {
                     failure = std::move(failure).With(Outcome::kApplied);
                   }
                   done(std::move(failure));
                 });
}

void Api::Execute(v1::ExecuteRequest* request, const CallContext& context,
                  Done<v1::ExecuteResponse> done) {
  const uint32_t timeout_ms = request->timeout_ms();
  Write(ToCommand(request), timeout_ms, context, Answer(std::move(done)));
}

void Api::Prepare(v1::PrepareRequest* request, const CallContext& context,
                  Done<v1::PrepareResponse> done) {
  const uint32_t timeout_ms = request->timeout_ms();
  Write(ToCommand(request), timeout_ms, context,
        [done = std::move(done)](Result<CommandResult> result) {
          if (!result.ok()) return done(result.status());
          v1::PrepareResponse response;
          response.set_index(result->index.value());
          done(std::move(response));
        });
}

void Api::Commit(v1::FinishRequest* request, const CallContext& context,
                 Done<v1::FinishResponse> done) {
  const uint32_t timeout_ms = request->timeout_ms();
  Write(ToCommit(request), timeout_ms, context, Answer(std::move(done)));
}

void Api::Rollback(v1::FinishRequest* request, const CallContext& context,
                   Done<v1::FinishResponse> done) {
  const uint32_t timeout_ms = request->timeout_ms();
  Write(ToRollback(request), timeout_ms, context, Answer(std::move(done)));
}

void Api::OpenSession(const v1::OpenSession& request, uint32_t timeout_ms,
                      const CallContext& context, Done<v1::ExecuteResponse> done) {
  Write(ToCommand(request), timeout_ms, context, Answer(std::move(done)));
}

void Api::GetVersion(v1::GetVersionRequest* request, const CallContext& context,
                     Done<v1::GetVersionResponse> done) {
  ReadTask task;
  task.bytes = request->ByteSizeLong();
  task.options = OptionsOf(request->level(), request->index_min());
  task.deadline = DeadlineOf(request->timeout_ms(), context);
  task.run = [table = std::move(*request->mutable_table()),
              done = std::move(done)](Result<state_machine::ReadView*> view) {
    if (!view.ok()) return done(view.status());
    const Result<int64_t> version = (*view)->Version(table);
    if (!version.ok()) return done(version.status());
    v1::GetVersionResponse response;
    response.set_version(*version);
    response.set_index((*view)->applied().value());
    done(std::move(response));
  };
  reads_->Submit(std::move(task));
}

void Api::GetTransaction(v1::GetTransactionRequest* request, const CallContext& context,
                         Done<v1::GetTransactionResponse> done) {
  ReadTask task;
  task.bytes = request->ByteSizeLong();
  task.options = OptionsOf(request->level(), request->index_min());
  task.deadline = DeadlineOf(request->timeout_ms(), context);
  task.run = [tx_id = std::move(*request->mutable_tx_id()),
              done = std::move(done)](Result<state_machine::ReadView*> view) {
    if (!view.ok()) return done(view.status());
    const Result<state_machine::TxInfo> info = (*view)->Transaction(tx_id);
    if (!info.ok()) return done(info.status());
    v1::GetTransactionResponse response;
    response.set_state(static_cast<v1::TransactionState>(info->state));
    response.set_statements(info->statements);
    response.set_finished_index(info->finished_index.value());
    response.set_index((*view)->applied().value());
    done(std::move(response));
  };
  reads_->Submit(std::move(task));
}

void Api::Query(v1::Query* request, uint32_t timeout_ms, const CallContext& context,
                Done<v1::QueryResult> done) {
  ReadTask task;
  task.bytes = request->ByteSizeLong();
  auto statement = std::make_shared<Statement>(rpc::FromProto(request->mutable_statement()));
  task.options = FromProto(request->read());
  task.deadline = DeadlineOf(timeout_ms, context);
  task.run = [this, statement, deadline = task.deadline, gone = context.gone,
              done = std::move(done)](Result<state_machine::ReadView*> view) {
    if (!view.ok()) return done(view.status());
    const auto unwanted = [&] { return reads_->stopping() || (gone != nullptr && *gone); };
    v1::QueryResult result;
    result.set_index((*view)->applied().value());
    ResultSink sink(&result);
    state_machine::QueryLimits limits;
    limits.cancelled = [&] { return unwanted() || clock_->SteadyNow() >= deadline; };
    const Status status = (*view)->Query(*statement, limits, &sink);
    if (status.code() == StatusCode::kCancelled && unwanted()) {
      return done(Unavailable("the node is shutting down"));
    }
    if (status.code() == StatusCode::kCancelled) {
      return done(DeadlineExceeded("the query took longer than its time"));
    }
    if (!status.ok()) return done(status);
    done(std::move(result));
  };
  reads_->Submit(std::move(task));
}

void Api::Handle(v1::SessionRequest* request, const CallContext& context,
                 std::function<void(v1::SessionResponse)> done) {
  using R = v1::SessionResponse;
  const uint64_t id = request->id();
  const uint32_t timeout_ms = request->timeout_ms();
  const auto timed = [timeout_ms](auto* inner) {
    if (timeout_ms != 0) inner->set_timeout_ms(timeout_ms);
    return inner;
  };
  switch (request->kind_case()) {
    case v1::SessionRequest::kExecute:
      return Execute(timed(request->mutable_execute()), context,
                     Into<v1::ExecuteResponse>(id, std::move(done),
                                               [](R* r) { return r->mutable_execute(); }));
    case v1::SessionRequest::kQuery:
      return Query(
          request->mutable_query(), timeout_ms, context,
          Into<v1::QueryResult>(id, std::move(done), [](R* r) { return r->mutable_query(); }));
    case v1::SessionRequest::kPrepare:
      return Prepare(timed(request->mutable_prepare()), context,
                     Into<v1::PrepareResponse>(id, std::move(done),
                                               [](R* r) { return r->mutable_prepare(); }));
    case v1::SessionRequest::kCommit:
      return Commit(
          timed(request->mutable_commit()), context,
          Into<v1::FinishResponse>(id, std::move(done), [](R* r) { return r->mutable_finish(); }));
    case v1::SessionRequest::kRollback:
      return Rollback(
          timed(request->mutable_rollback()), context,
          Into<v1::FinishResponse>(id, std::move(done), [](R* r) { return r->mutable_finish(); }));
    case v1::SessionRequest::kGetVersion:
      return GetVersion(timed(request->mutable_get_version()), context,
                        Into<v1::GetVersionResponse>(
                            id, std::move(done), [](R* r) { return r->mutable_get_version(); }));
    case v1::SessionRequest::kGetTransaction:
      return GetTransaction(timed(request->mutable_get_transaction()), context,
                            Into<v1::GetTransactionResponse>(id, std::move(done), [](R* r) {
                              return r->mutable_get_transaction();
                            }));
    case v1::SessionRequest::kOpenSession:
      return OpenSession(request->open_session(), timeout_ms, context,
                         Into<v1::ExecuteResponse>(id, std::move(done),
                                                   [](R* r) { return r->mutable_open_session(); }));
    case v1::SessionRequest::KIND_NOT_SET: break;
  }
  Into<v1::ExecuteResponse>(id, std::move(done), [](R* r) { return r->mutable_execute(); })(
      InvalidArgument("the request is empty, or of a kind that this node does not know")
          .With(Outcome::kNotApplied));
}

}  // namespace cairn::server
