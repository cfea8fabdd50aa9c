#include "server/session_request.h"

#include <memory>
#include <utility>

#include "rpc/proto_convert.h"
#include "server/convert.h"
#include "server/limits.h"
#include "server/raw_call.h"

namespace cairn::server {
namespace {

using R = v1::SessionResponse;
using Respond = std::function<void(v1::SessionResponse, MemoryCharge)>;

// About what a value or row takes in memory in addition to its bytes.
constexpr size_t kObjectBytes = 64;

// Puts an answer, or an error, into a response.
template <class T, class Set>
std::function<void(Result<T>)> Into(uint64_t id, Respond done, Set set) {
  return [id, done = std::move(done), set](Result<T> result) {
    v1::SessionResponse response;
    response.set_id(id);
    if (result.ok()) {
      *set(&response) = *std::move(result);
    } else {
      rpc::ToProto(result.status(), response.mutable_error());
    }
    done(std::move(response), MemoryCharge());
  };
}

// A result in one message.
class WholeResult final : public QueryConsumer {
 public:
  WholeResult(uint64_t id, MemoryShare* results, Respond done)
      : done_(std::move(done)), charge_(results) {
    response_.set_id(id);
  }

  void Begin(LogIndex applied, bool /*provisional*/) override {
    response_.mutable_query()->Clear();
    response_.mutable_query()->set_index(applied.value());
    bytes_ = 0;
    decoded_bytes_ = 0;
  }
  Status OnColumns(const std::vector<Column>& columns) override {
    for (const Column& column : columns) {
      rpc::ToProto(Column(column), response_.mutable_query()->add_columns());
    }
    return OkStatus();
  }
  Status OnRow(Row row) override {
    v1::Row* added = response_.mutable_query()->add_rows();
    const size_t objects = row.size() + 1;
    rpc::ToProto(std::move(row), added);
    const size_t bytes = added->ByteSizeLong() + 4;
    bytes_ += bytes;
    decoded_bytes_ += bytes + objects * kObjectBytes;
    if (decoded_bytes_ > charge_.bytes() && !Grow()) {
      return ResourceExhausted("too many results wait for their clients to take them");
    }
    if (bytes_ <= kResultBytesMax && decoded_bytes_ <= kResultDecodedBytesMax) return OkStatus();
    return ResourceExhausted("the result is larger than " + std::to_string(kResultBytesMax) +
                             " bytes: use Query, which streams")
        .With(Reason::kResultTooLarge);
  }
  void End(const Status& status) override {
    if (!status.ok()) {
      rpc::ToProto(status, response_.mutable_error());
      charge_ = MemoryCharge();
    } else if (charge_.bytes() > decoded_bytes_) {
      charge_.TryResize(decoded_bytes_);
    }
    done_(std::move(response_), std::move(charge_));
  }

 private:
  // The charge of a request also pays for a small result.
  bool Grow() {
    return decoded_bytes_ <= kSmallAnswerBytes ||
           charge_.TryResize(decoded_bytes_ + decoded_bytes_ / 2);
  }

  const Respond done_;
  v1::SessionResponse response_;
  MemoryCharge charge_;
  size_t bytes_ = 0;
  size_t decoded_bytes_ = 0;
};

void AskQuery(const ServiceHost& host, v1::SessionRequest* request, const CallContext& context,
              Respond done) {
  QueryRequest query;
  query.bytes = request->ByteSizeLong();
  query.read = FromProto(request->query().read());
  query.timeout_ms = request->timeout_ms();
  query.statement = rpc::FromProto(request->mutable_query()->mutable_statement());
  host.api->Query(std::move(query), context,
                  std::make_shared<WholeResult>(request->id(), host.results, std::move(done)));
}

}  // namespace

void HandleSessionRequest(const ServiceHost& host, v1::SessionRequest* request,
                          const CallContext& context, Respond done) {
  Api* const api = host.api;
  const uint64_t id = request->id();
  // The request's own timeout outranks the timeout of what is in it.
  const auto time = [&](const auto& inner) {
    return request->timeout_ms() != 0 ? request->timeout_ms() : inner.timeout_ms();
  };
  switch (request->kind_case()) {
    case v1::SessionRequest::kExecute:
      return api->Write(ToCommand(request->mutable_execute()), time(request->execute()), context,
                        AnswerTo<v1::ExecuteResponse>(Into<v1::ExecuteResponse>(
                            id, std::move(done), [](R* r) { return r->mutable_execute(); })));
    case v1::SessionRequest::kQuery: return AskQuery(host, request, context, std::move(done));
    case v1::SessionRequest::kPrepare:
      return api->Write(ToCommand(request->mutable_prepare()), time(request->prepare()), context,
                        AnswerTo<v1::PrepareResponse>(Into<v1::PrepareResponse>(
                            id, std::move(done), [](R* r) { return r->mutable_prepare(); })));
    case v1::SessionRequest::kCommit:
      return api->Write(ToCommit(request->mutable_commit()), time(request->commit()), context,
                        AnswerTo<v1::FinishResponse>(Into<v1::FinishResponse>(
                            id, std::move(done), [](R* r) { return r->mutable_finish(); })));
    case v1::SessionRequest::kRollback:
      return api->Write(ToRollback(request->mutable_rollback()), time(request->rollback()), context,
                        AnswerTo<v1::FinishResponse>(Into<v1::FinishResponse>(
                            id, std::move(done), [](R* r) { return r->mutable_finish(); })));
    case v1::SessionRequest::kGetVersion:
      return api->GetVersion(
          FromProto(request->mutable_get_version(), time(request->get_version())), context,
          AnswerTo<v1::GetVersionResponse, VersionAnswer>(Into<v1::GetVersionResponse>(
              id, std::move(done), [](R* r) { return r->mutable_get_version(); })));
    case v1::SessionRequest::kGetTransaction:
      return api->GetTransaction(
          FromProto(request->mutable_get_transaction(), time(request->get_transaction())), context,
          AnswerTo<v1::GetTransactionResponse, TransactionAnswer>(Into<v1::GetTransactionResponse>(
              id, std::move(done), [](R* r) { return r->mutable_get_transaction(); })));
    case v1::SessionRequest::kOpenSession:
      return api->Write(ToCommand(request->open_session()), request->timeout_ms(), context,
                        AnswerTo<v1::ExecuteResponse>(Into<v1::ExecuteResponse>(
                            id, std::move(done), [](R* r) { return r->mutable_open_session(); })));
    case v1::SessionRequest::KIND_NOT_SET: break;
  }
  Into<v1::ExecuteResponse>(id, std::move(done), [](R* r) { return r->mutable_execute(); })(
      InvalidArgument("the request is empty, or of a kind that this node does not know")
          .With(Outcome::kNotApplied));
}

}  // namespace cairn::server
