#include "server/seed_service.h"

#include <utility>

#include "server/raw_call.h"
#include "transaction.grpc.pb.h"

namespace cairn::server {
namespace {

using Seed = transaction::DatabaseService;
using RawSeed = Seed::WithRawCallbackMethod_Execute<
    Seed::WithRawCallbackMethod_Prepare<Seed::WithRawCallbackMethod_Commit<
        Seed::WithRawCallbackMethod_Rollback<Seed::WithRawCallbackMethod_GetVersion<
            Seed::WithRawCallbackMethod_CheckHealth<Seed::Service>>>>>>;

class SeedService final : public RawSeed {
 public:
  SeedService(Api* api, node::Replica* replica, Clock* clock, std::function<bool()> can_serve)
      : api_(api), replica_(replica), clock_(clock), can_serve_(std::move(can_serve)) {}

  // Overload resolution must see the raw methods, not those for typed messages.
  grpc::ServerUnaryReactor* Execute(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* bytes,
                                    grpc::ByteBuffer* response) override {
    return RunUnary<transaction::ExecuteRequest, transaction::ExecuteResponse>(
        context, *clock_, bytes, response, [this](auto* request, const auto& call, auto done) {
          v1::ExecuteRequest execute;
          execute.add_statements()->set_sql(std::move(*request->mutable_sql()));
          api_->Execute(&execute, call, [done](Result<v1::ExecuteResponse> result) {
            if (!result.ok()) return done(result.status());
            // This contract has no word for it, and 0 rows would be a wrong one.
            if (result->result_gone()) {
              return done(FailedPrecondition("applied, but its result is no longer held")
                              .With(Outcome::kApplied));
            }
            transaction::ExecuteResponse answer;
            if (result->results_size() > 0) {
              answer.set_rows_affected(result->results(0).rows_affected());
            }
            done(std::move(answer));
          });
        });
  }

  grpc::ServerUnaryReactor* Prepare(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* bytes,
                                    grpc::ByteBuffer* response) override {
    return RunUnary<transaction::PrepareRequest, transaction::PrepareResponse>(
        context, *clock_, bytes, response, [this](auto* request, const auto& call, auto done) {
          v1::PrepareRequest prepare;
          prepare.set_tx_id(std::move(*request->mutable_tx_id()));
          prepare.mutable_statement()->set_sql(std::move(*request->mutable_sql()));
          for (std::string& text : *request->mutable_args()) {
            prepare.mutable_statement()->add_positional()->set_text(std::move(text));
          }
          api_->Prepare(&prepare, call, [done](const Result<v1::PrepareResponse>& result) {
            if (!result.ok()) return done(result.status());
            done(transaction::PrepareResponse());
          });
        });
  }

  grpc::ServerUnaryReactor* Commit(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* bytes,
                                   grpc::ByteBuffer* response) override {
    return RunUnary<transaction::CommitRequest, transaction::CommitResponse>(
        context, *clock_, bytes, response, [this](auto* request, const auto& call, auto done) {
          v1::FinishRequest finish;
          finish.set_tx_id(std::move(*request->mutable_tx_id()));
          api_->Commit(&finish, call, [done](const Result<v1::FinishResponse>& result) {
            if (!result.ok()) return done(result.status());
            done(transaction::CommitResponse());
          });
        });
  }

  grpc::ServerUnaryReactor* Rollback(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* bytes,
                                     grpc::ByteBuffer* response) override {
    return RunUnary<transaction::RollbackRequest, transaction::RollbackResponse>(
        context, *clock_, bytes, response, [this](auto* request, const auto& call, auto done) {
          v1::FinishRequest finish;
          finish.set_tx_id(std::move(*request->mutable_tx_id()));
          api_->Rollback(&finish, call, [done](const Result<v1::FinishResponse>& result) {
            if (!result.ok()) return done(result.status());
            done(transaction::RollbackResponse());
          });
        });
  }

  grpc::ServerUnaryReactor* GetVersion(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* bytes,
                                       grpc::ByteBuffer* response) override {
    return RunUnary<transaction::GetVersionRequest, transaction::GetVersionResponse>(
        context, *clock_, bytes, response, [this](auto* request, const auto& call, auto done) {
          v1::GetVersionRequest get;
          get.set_table(std::move(*request->mutable_table()));
          api_->GetVersion(&get, call, [this, done](Result<v1::GetVersionResponse> result) {
            transaction::GetVersionResponse answer;
            if (result.ok()) {
              answer.set_version(result->version());
              return done(std::move(answer));
            }
            // The seed's contract: 0 for want of a leader. Its clients count it as unreachable.
            const bool unavailable = result.status().code() == StatusCode::kUnavailable ||
                                     result.status().code() == StatusCode::kDeadlineExceeded;
            if (unavailable && !KnowsLeader()) return done(std::move(answer));
            done(result.status());
          });
        });
  }

  grpc::ServerUnaryReactor* CheckHealth(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer* bytes,
                                        grpc::ByteBuffer* response) override {
    return RunUnary<transaction::Empty, transaction::Empty>(
        context, *clock_, bytes, response, [this](auto*, const auto&, auto done) {
          if (can_serve_()) return done(transaction::Empty());
          done(Unavailable("the node has not started, knows no leader, or is in trouble"));
        });
  }

 private:
  bool KnowsLeader() const {
    const std::optional<LeaderHint> leader = replica_->leader_hint();
    return replica_->is_leader() || (leader && !leader->address.empty());
  }

  Api* const api_;
  node::Replica* const replica_;
  Clock* const clock_;
  const std::function<bool()> can_serve_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewSeedService(Api* api, node::Replica* replica, Clock* clock,
                                              std::function<bool()> can_serve) {
  return std::make_unique<SeedService>(api, replica, clock, std::move(can_serve));
}

}  // namespace cairn::server
