#include "server/database_service.h"

#include <utility>

#include "cairn/v1/database.grpc.pb.h"
#include "server/access_convert.h"
#include "server/audit_convert.h"
#include "server/backups.h"
#include "server/convert.h"
#include "server/live_query_stream.h"
#include "server/query_stream.h"
#include "server/raw_call.h"
#include "server/watch_stream.h"

namespace cairn::server {
namespace {

using Db = v1::Database;
using RawDatabase = Db::WithRawCallbackMethod_Execute<
    Db::WithRawCallbackMethod_Query<Db::WithRawCallbackMethod_Prepare<
        Db::WithRawCallbackMethod_Commit<Db::WithRawCallbackMethod_Rollback<
            Db::WithRawCallbackMethod_GetVersion<Db::WithRawCallbackMethod_GetTransaction<
                Db::WithRawCallbackMethod_Session<Db::WithRawCallbackMethod_Watch<
                    Db::WithRawCallbackMethod_WatchQuery<Db::WithRawCallbackMethod_ListRetained<
                        Db::WithRawCallbackMethod_ListAudit<Db::WithRawCallbackMethod_ListAccess<
                            Db::WithRawCallbackMethod_Backup<Db::Service>>>>>>>>>>>>>>;
using Bytes = grpc::ByteBuffer;

class DatabaseService final : public RawDatabase {
 public:
  DatabaseService(const ServiceHost& host, Flusher* flusher) : host_(host), flusher_(flusher) {}

  grpc::ServerUnaryReactor* Execute(grpc::CallbackServerContext* context, const Bytes* bytes,
                                    Bytes* response) override {
    return Write<v1::ExecuteRequest, v1::ExecuteResponse>(
        context, bytes, response, [](v1::ExecuteRequest* request) { return ToCommand(request); });
  }
  grpc::ServerUnaryReactor* Prepare(grpc::CallbackServerContext* context, const Bytes* bytes,
                                    Bytes* response) override {
    return Write<v1::PrepareRequest, v1::PrepareResponse>(
        context, bytes, response, [](v1::PrepareRequest* request) { return ToCommand(request); });
  }
  grpc::ServerUnaryReactor* Commit(grpc::CallbackServerContext* context, const Bytes* bytes,
                                   Bytes* response) override {
    return Write<v1::FinishRequest, v1::FinishResponse>(context, bytes, response, &ToCommit);
  }
  grpc::ServerUnaryReactor* Rollback(grpc::CallbackServerContext* context, const Bytes* bytes,
                                     Bytes* response) override {
    return Write<v1::FinishRequest, v1::FinishResponse>(context, bytes, response, &ToRollback);
  }
  grpc::ServerUnaryReactor* GetVersion(grpc::CallbackServerContext* context, const Bytes* bytes,
                                       Bytes* response) override {
    return RunUnary<v1::GetVersionRequest, v1::GetVersionResponse>(
        context, host_, bytes, response, [this](auto* request, const auto& call, auto done) {
          host_.api->GetVersion(FromProto(request, request->timeout_ms()), call,
                                AnswerTo<v1::GetVersionResponse, VersionAnswer>(std::move(done)));
        });
  }
  grpc::ServerUnaryReactor* GetTransaction(grpc::CallbackServerContext* context, const Bytes* bytes,
                                           Bytes* response) override {
    return RunUnary<v1::GetTransactionRequest, v1::GetTransactionResponse>(
        context, host_, bytes, response, [this](auto* request, const auto& call, auto done) {
          host_.api->GetTransaction(
              FromProto(request, request->timeout_ms()), call,
              AnswerTo<v1::GetTransactionResponse, TransactionAnswer>(std::move(done)));
        });
  }
  grpc::ServerWriteReactor<Bytes>* Query(grpc::CallbackServerContext* context,
                                         const Bytes* request) override {
    return ServeQuery(context, *request, host_);
  }
  grpc::ServerBidiReactor<Bytes, Bytes>* Session(grpc::CallbackServerContext* context) override {
    return ServeSession(context, host_, flusher_);
  }
  grpc::ServerWriteReactor<Bytes>* Watch(grpc::CallbackServerContext* context,
                                         const Bytes* request) override {
    return ServeWatch(context, *request, host_);
  }
  grpc::ServerWriteReactor<Bytes>* WatchQuery(grpc::CallbackServerContext* context,
                                              const Bytes* request) override {
    return ServeWatchQuery(context, *request, host_);
  }
  grpc::ServerUnaryReactor* ListRetained(grpc::CallbackServerContext* context, const Bytes* bytes,
                                         Bytes* response) override {
    return RunUnary<v1::ListRetainedRequest, v1::ListRetainedResponse>(
        context, host_, bytes, response, [this](auto* request, const auto& call, auto done) {
          host_.api->ListRetained(
              FromProto(*request), call,
              AnswerTo<v1::ListRetainedResponse, RetainedAnswer>(std::move(done)));
        });
  }
  grpc::ServerUnaryReactor* ListAccess(grpc::CallbackServerContext* context, const Bytes* bytes,
                                       Bytes* response) override {
    return RunUnary<v1::ListAccessRequest, v1::ListAccessResponse>(
        context, host_, bytes, response, [this](auto* request, const auto& call, auto done) {
          host_.api->ListAccess(FromProto(*request), call,
                                AnswerTo<v1::ListAccessResponse, AccessAnswer>(std::move(done)));
        });
  }
  grpc::ServerUnaryReactor* ListAudit(grpc::CallbackServerContext* context, const Bytes* bytes,
                                      Bytes* response) override {
    return RunUnary<v1::ListAuditRequest, v1::ListAuditResponse>(
        context, host_, bytes, response, [this](auto* request, const auto& call, auto done) {
          host_.api->ListAudit(FromProto(*request), call,
                               AnswerTo<v1::ListAuditResponse, AuditAnswer>(std::move(done)));
        });
  }
  grpc::ServerWriteReactor<Bytes>* Backup(grpc::CallbackServerContext* context,
                                          const Bytes* request) override {
    return host_.backups->Serve(context, *request, host_);
  }

 private:
  template <class Request, class Response, class MakeCommand>
  grpc::ServerUnaryReactor* Write(grpc::CallbackServerContext* context, const Bytes* bytes,
                                  Bytes* response, MakeCommand make) {
    return RunUnary<Request, Response>(
        context, host_, bytes, response,
        [this, make](Request* request, const CallContext& call, auto done) {
          const uint32_t timeout_ms = request->timeout_ms();
          host_.api->Write(make(request), timeout_ms, call, AnswerTo<Response>(std::move(done)));
        });
  }

  const ServiceHost host_;
  Flusher* const flusher_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewDatabaseService(const ServiceHost& host, Flusher* flusher) {
  return std::make_unique<DatabaseService>(host, flusher);
}

}  // namespace cairn::server
