#include "server/seed_service.h"

#include <utility>

#include "rpc/proto_convert.h"
#include "server/convert.h"
#include "server/raw_call.h"
#include "transaction.grpc.pb.h"

namespace cairn::server {
namespace {

using Seed = transaction::DatabaseService;
using state_machine::CommandResult;
using RawSeed = Seed::WithRawCallbackMethod_Execute<Seed::WithRawCallbackMethod_ExecuteBatch<
    Seed::WithRawCallbackMethod_Prepare<Seed::WithRawCallbackMethod_Commit<
        Seed::WithRawCallbackMethod_Rollback<Seed::WithRawCallbackMethod_GetVersion<
            Seed::WithRawCallbackMethod_CheckHealth<Seed::Service>>>>>>>;

// The contract has no field for it, and 0 rows would be wrong.
Status ResultGone() {
  return FailedPrecondition("applied, but its result is no longer held")
      .With(Outcome::kApplied)
      .With(Reason::kResultTooLarge);
}

Result<state_machine::Operation> ToExecute(transaction::ExecuteBatchRequest* request) {
  state_machine::Execute execute;
  execute.statements.reserve(static_cast<size_t>(request->statements_size()));
  for (transaction::BatchStatement& each : *request->mutable_statements()) {
    BatchStatement out;
    ASSIGN_OR_RETURN(out.expect, rpc::ExpectationOf(each));
    out.statement.sql = std::move(*each.mutable_sql());
    for (std::string& text : *each.mutable_args()) {
      out.statement.positional.emplace_back(std::move(text));
    }
    Add(std::move(out), &execute);
  }
  return state_machine::Operation(std::move(execute));
}

class SeedService final : public RawSeed {
 public:
  SeedService(const ServiceHost& host, std::function<bool()> can_serve)
      : host_(host), can_serve_(std::move(can_serve)) {}

  // Overload resolution must see the raw methods, not the methods for typed messages.
  grpc::ServerUnaryReactor* Execute(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* bytes,
                                    grpc::ByteBuffer* response) override {
    return RunUnary<transaction::ExecuteRequest, transaction::ExecuteResponse>(
        context, host_, bytes, response, [this](auto* request, const auto& call, auto done) {
          state_machine::Execute execute;
          execute.statements.push_back({std::move(*request->mutable_sql()), {}, {}});
          Write(std::move(execute), call, [done](const Result<CommandResult>& result) {
            if (!result.ok()) return done(result.status());
            if (result->result_gone) return done(ResultGone());
            transaction::ExecuteResponse answer;
            if (!result->statements.empty()) {
              answer.set_rows_affected(result->statements[0].rows_affected);
            }
            done(std::move(answer));
          });
        });
  }

  grpc::ServerUnaryReactor* ExecuteBatch(grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* bytes,
                                         grpc::ByteBuffer* response) override {
    return RunUnary<transaction::ExecuteBatchRequest, transaction::ExecuteBatchResponse>(
        context, host_, bytes, response, [this](auto* request, const auto& call, auto done) {
          Result<state_machine::Operation> batch = ToExecute(request);
          if (!batch.ok()) return done(batch.status());
          Write(*std::move(batch), call, [done](const Result<CommandResult>& result) {
            if (!result.ok()) return done(result.status());
            if (result->result_gone) return done(ResultGone());
            transaction::ExecuteBatchResponse answer;
            for (const StatementResult& each : result->statements) {
              answer.add_results()->set_rows_affected(each.rows_affected);
            }
            done(std::move(answer));
          });
        });
  }

  grpc::ServerUnaryReactor* Prepare(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* bytes,
                                    grpc::ByteBuffer* response) override {
    return RunUnary<transaction::PrepareRequest, transaction::PrepareResponse>(
        context, host_, bytes, response, [this](auto* request, const auto& call, auto done) {
          state_machine::Prepare prepare;
          prepare.tx_id = std::move(*request->mutable_tx_id());
          prepare.number = request->statement_number();
          prepare.statement.sql = std::move(*request->mutable_sql());
          for (std::string& text : *request->mutable_args()) {
            prepare.statement.positional.emplace_back(std::move(text));
          }
          Write(std::move(prepare), call, Empty<transaction::PrepareResponse>(done));
        });
  }

  grpc::ServerUnaryReactor* Commit(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* bytes,
                                   grpc::ByteBuffer* response) override {
    return RunUnary<transaction::CommitRequest, transaction::CommitResponse>(
        context, host_, bytes, response, [this](auto* request, const auto& call, auto done) {
          state_machine::Commit commit;
          commit.tx_id = std::move(*request->mutable_tx_id());
          commit.statements = request->statement_count();
          Write(std::move(commit), call, Empty<transaction::CommitResponse>(done));
        });
  }

  grpc::ServerUnaryReactor* Rollback(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* bytes,
                                     grpc::ByteBuffer* response) override {
    return RunUnary<transaction::RollbackRequest, transaction::RollbackResponse>(
        context, host_, bytes, response, [this](auto* request, const auto& call, auto done) {
          Write(state_machine::Rollback{std::move(*request->mutable_tx_id())}, call,
                Empty<transaction::RollbackResponse>(done));
        });
  }

  grpc::ServerUnaryReactor* GetVersion(grpc::CallbackServerContext* context,
                                       const grpc::ByteBuffer* bytes,
                                       grpc::ByteBuffer* response) override {
    return RunUnary<transaction::GetVersionRequest, transaction::GetVersionResponse>(
        context, host_, bytes, response, [this](auto* request, const auto& call, auto done) {
          VersionRequest get;
          get.table = std::move(*request->mutable_table());
          host_.api->GetVersion(
              std::move(get), call, [this, done](const Result<VersionAnswer>& result) {
                transaction::GetVersionResponse answer;
                if (result.ok()) {
                  answer.set_version(result->version);
                  return done(std::move(answer));
                }
                // The contract says 0 if there is no leader. Its clients take that for an
                // unreachable node.
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
        context, host_, bytes, response, [this](auto*, const auto&, auto done) {
          if (can_serve_()) return done(transaction::Empty());
          done(Unavailable("the node has not started, knows no leader, or is in trouble"));
        });
  }

 private:
  void Write(state_machine::Operation operation, const CallContext& call, node::CommandDone done) {
    state_machine::Command command;
    command.operation = std::move(operation);
    host_.api->Write(std::move(command), /*timeout_ms=*/0, call, std::move(done));
  }
  template <class Response, class Done>
  static node::CommandDone Empty(Done done) {
    return [done](const Result<CommandResult>& result) {
      if (!result.ok()) return done(result.status());
      done(Response());
    };
  }
  bool KnowsLeader() const {
    const std::optional<LeaderHint> leader = host_.replica->leader_hint();
    return host_.replica->is_leader() || (leader && !leader->address.empty());
  }

  const ServiceHost host_;
  const std::function<bool()> can_serve_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewSeedService(const ServiceHost& host,
                                              std::function<bool()> can_serve) {
  return std::make_unique<SeedService>(host, std::move(can_serve));
}

}  // namespace cairn::server
