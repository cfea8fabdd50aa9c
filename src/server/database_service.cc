#include "server/database_service.h"

#include <utility>

#include "cairn/v1/database.grpc.pb.h"
#include "server/query_stream.h"
#include "server/raw_call.h"

namespace cairn::server {
namespace {

using Db = v1::Database;
using RawDatabase = Db::WithRawCallbackMethod_Execute<
    Db::WithRawCallbackMethod_Query<Db::WithRawCallbackMethod_Prepare<
        Db::WithRawCallbackMethod_Commit<Db::WithRawCallbackMethod_Rollback<
            Db::WithRawCallbackMethod_GetVersion<Db::WithRawCallbackMethod_GetTransaction<
                Db::WithRawCallbackMethod_Session<Db::Service>>>>>>>>;
using Bytes = grpc::ByteBuffer;

class DatabaseService final : public RawDatabase {
 public:
  DatabaseService(Api* api, node::Replica* replica, ReadPool* streams, Flusher* flusher,
                  Clock* clock, SteadyTime query_age_max)
      : api_(api),
        replica_(replica),
        streams_(streams),
        flusher_(flusher),
        clock_(clock),
        query_age_max_(query_age_max) {}

  grpc::ServerUnaryReactor* Execute(grpc::CallbackServerContext* context, const Bytes* bytes,
                                    Bytes* response) override {
    return RunUnary<v1::ExecuteRequest, v1::ExecuteResponse>(
        context, *clock_, bytes, response, [this](auto* request, const auto& call, auto done) {
          api_->Execute(request, call, std::move(done));
        });
  }
  grpc::ServerUnaryReactor* Prepare(grpc::CallbackServerContext* context, const Bytes* bytes,
                                    Bytes* response) override {
    return RunUnary<v1::PrepareRequest, v1::PrepareResponse>(
        context, *clock_, bytes, response, [this](auto* request, const auto& call, auto done) {
          api_->Prepare(request, call, std::move(done));
        });
  }
  grpc::ServerUnaryReactor* Commit(grpc::CallbackServerContext* context, const Bytes* bytes,
                                   Bytes* response) override {
    return RunUnary<v1::FinishRequest, v1::FinishResponse>(
        context, *clock_, bytes, response, [this](auto* request, const auto& call, auto done) {
          api_->Commit(request, call, std::move(done));
        });
  }
  grpc::ServerUnaryReactor* Rollback(grpc::CallbackServerContext* context, const Bytes* bytes,
                                     Bytes* response) override {
    return RunUnary<v1::FinishRequest, v1::FinishResponse>(
        context, *clock_, bytes, response, [this](auto* request, const auto& call, auto done) {
          api_->Rollback(request, call, std::move(done));
        });
  }
  grpc::ServerUnaryReactor* GetVersion(grpc::CallbackServerContext* context, const Bytes* bytes,
                                       Bytes* response) override {
    return RunUnary<v1::GetVersionRequest, v1::GetVersionResponse>(
        context, *clock_, bytes, response, [this](auto* request, const auto& call, auto done) {
          api_->GetVersion(request, call, std::move(done));
        });
  }
  grpc::ServerUnaryReactor* GetTransaction(grpc::CallbackServerContext* context, const Bytes* bytes,
                                           Bytes* response) override {
    return RunUnary<v1::GetTransactionRequest, v1::GetTransactionResponse>(
        context, *clock_, bytes, response, [this](auto* request, const auto& call, auto done) {
          api_->GetTransaction(request, call, std::move(done));
        });
  }
  grpc::ServerWriteReactor<Bytes>* Query(grpc::CallbackServerContext* context,
                                         const Bytes* request) override {
    return ServeQuery(context, *request, api_, streams_, clock_, query_age_max_);
  }
  grpc::ServerBidiReactor<Bytes, Bytes>* Session(grpc::CallbackServerContext* context) override {
    return ServeSession(context, api_, replica_, clock_, flusher_);
  }

 private:
  Api* const api_;
  node::Replica* const replica_;
  ReadPool* const streams_;
  Flusher* const flusher_;
  Clock* const clock_;
  const SteadyTime query_age_max_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewDatabaseService(Api* api, node::Replica* replica,
                                                  ReadPool* streams, Flusher* flusher, Clock* clock,
                                                  SteadyTime query_age_max) {
  return std::make_unique<DatabaseService>(api, replica, streams, flusher, clock, query_age_max);
}

}  // namespace cairn::server
