#include "server/session_request.h"

#include <memory>
#include <utility>

#include "rpc/proto_convert.h"
#include "server/convert.h"
#include "server/limits.h"
#include "server/raw_call.h"
#include "server/result_encoder.h"

namespace cairn::server {
namespace {

using R = v1::SessionResponse;
using state_machine::CommandResult;
using Respond = std::function<void(SessionAnswer&&)>;

// Makes the callback for the Api that puts its answer, or an error, into a response.
template <class Answer, class Set>
std::function<void(Result<Answer>)> Into(uint64_t id, Respond done, Set set) {
  return [id, done = std::move(done), set](Result<Answer> result) {
    SessionAnswer answer;
    answer.response.set_id(id);
    Status status = result.status();
    if (status.ok()) status = ToResponse(*std::move(result), set(&answer.response));
    if (!status.ok()) rpc::ToProto(status, answer.response.mutable_error());
    done(std::move(answer));
  };
}

// A result in one message.
class WholeResult final : public QueryConsumer {
 public:
  WholeResult(uint64_t id, MemoryShare* results, Respond done)
      : id_(id), done_(std::move(done)), result_(results, kSmallAnswerBytes) {}

  void Begin(LogIndex applied, bool /*provisional*/) override { result_.Begin(applied); }
  Status OnColumns(const std::vector<Column>& columns) override {
    return result_.AddColumns(columns) ? OkStatus() : TooManyResults();
  }
  Status OnRow(Row row) override {
    if (!result_.AddRow(std::move(row))) return TooManyResults();
    if (result_.bytes() <= kResultBytesMax && result_.decoded_bytes() <= kResultDecodedBytesMax) {
      return OkStatus();
    }
    return ResourceExhausted("the result is larger than " + std::to_string(kResultBytesMax) +
                             " bytes: use Query, which streams")
        .With(Reason::kResultTooLarge);
  }
  void End(const Status& status) override {
    SessionAnswer answer;
    answer.response.set_id(id_);
    if (status.ok()) {
      answer.query = result_.TakeBytes();
      answer.charge = result_.TakeCharge();
    } else {
      rpc::ToProto(status, answer.response.mutable_error());
    }
    done_(std::move(answer));
  }

 private:
  static Status TooManyResults() {
    return ResourceExhausted("too many results wait for their clients to take them");
  }

  const uint64_t id_;
  const Respond done_;
  ResultEncoder result_;
};

void AskQuery(const ServiceHost& host, v1::SessionRequest* request, size_t bytes,
              const CallContext& context, Respond done) {
  QueryRequest query;
  query.bytes = bytes;
  query.read = FromProto(request->query().read());
  query.timeout_ms = request->timeout_ms();
  query.statement = rpc::FromProto(request->mutable_query()->mutable_statement());
  host.api->Query(std::move(query), context,
                  std::make_shared<WholeResult>(request->id(), host.results, std::move(done)));
}

}  // namespace

void HandleSessionRequest(const ServiceHost& host, v1::SessionRequest* request, size_t bytes,
                          const CallContext& context, Respond done) {
  Api* const api = host.api;
  const uint64_t id = request->id();
  // The request's own timeout outranks the timeout of what is in it.
  const auto time = [&](const auto& inner) {
    return request->timeout_ms() != 0 ? request->timeout_ms() : inner.timeout_ms();
  };
  switch (request->kind_case()) {
    case v1::SessionRequest::kExecute:
      return api->Write(
          ToCommand(request->mutable_execute()), time(request->execute()), context,
          Into<CommandResult>(id, std::move(done), [](R* r) { return r->mutable_execute(); }));
    case v1::SessionRequest::kQuery:
      return AskQuery(host, request, bytes, context, std::move(done));
    case v1::SessionRequest::kPrepare:
      return api->Write(
          ToCommand(request->mutable_prepare()), time(request->prepare()), context,
          Into<CommandResult>(id, std::move(done), [](R* r) { return r->mutable_prepare(); }));
    case v1::SessionRequest::kCommit:
      return api->Write(
          ToCommit(request->mutable_commit()), time(request->commit()), context,
          Into<CommandResult>(id, std::move(done), [](R* r) { return r->mutable_finish(); }));
    case v1::SessionRequest::kRollback:
      return api->Write(
          ToRollback(request->mutable_rollback()), time(request->rollback()), context,
          Into<CommandResult>(id, std::move(done), [](R* r) { return r->mutable_finish(); }));
    case v1::SessionRequest::kGetVersion:
      return api->GetVersion(
          FromProto(request->mutable_get_version(), time(request->get_version())), context,
          Into<VersionAnswer>(id, std::move(done), [](R* r) { return r->mutable_get_version(); }));
    case v1::SessionRequest::kGetTransaction:
      return api->GetTransaction(
          FromProto(request->mutable_get_transaction(), time(request->get_transaction())), context,
          Into<TransactionAnswer>(id, std::move(done),
                                  [](R* r) { return r->mutable_get_transaction(); }));
    case v1::SessionRequest::kOpenSession:
      return api->Write(
          ToCommand(request->open_session()), request->timeout_ms(), context,
          Into<CommandResult>(id, std::move(done), [](R* r) { return r->mutable_open_session(); }));
    case v1::SessionRequest::KIND_NOT_SET: break;
  }
  Into<CommandResult>(id, std::move(done), [](R* r) { return r->mutable_execute(); })(
      InvalidArgument("the request is empty, or of a kind that this node does not know")
          .With(Outcome::kNotApplied));
}

}  // namespace cairn::server
