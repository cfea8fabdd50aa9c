// Api: what the requests of cairn.v1 mean on this node; shared by unary calls, sessions and the
// seed's service, which only differ in how requests come in and answers go out.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "cairn/v1/database.pb.h"
#include "node/replica.h"
#include "server/read_pool.h"
#include "server/router.h"
#include "state_machine/command.h"

namespace cairn::server {

// What a call brings beside its message.
struct CallContext {
  bool forwarded = false;                              // by another node
  uint64_t forwarder_cluster_id = 0;                   // the cluster it says it belongs to
  SteadyTime deadline = SteadyTime::max();             // of the gRPC call
  std::optional<state_machine::RequestId> request_id;  // of the metadata
  std::string principal;                               // who asks: see server/principal.h
  uint64_t named_by = 0;                               // see state_machine::Command
  // Set once nobody will take the answer: a query may end then. Null: not known before the end.
  std::shared_ptr<const std::atomic<bool>> gone;
};

// Thread-safe. `done` is called exactly once, on any thread, also before the call returns; it must
// not block. Requests are moved from.
class Api {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  Api(node::Replica* replica, Router* router, ReadPool* reads, Clock* clock,
      std::chrono::milliseconds request_timeout);

  void Execute(v1::ExecuteRequest* request, const CallContext& context,
               Done<v1::ExecuteResponse> done);
  void Prepare(v1::PrepareRequest* request, const CallContext& context,
               Done<v1::PrepareResponse> done);
  void Commit(v1::FinishRequest* request, const CallContext& context,
              Done<v1::FinishResponse> done);
  void Rollback(v1::FinishRequest* request, const CallContext& context,
                Done<v1::FinishResponse> done);
  void GetVersion(v1::GetVersionRequest* request, const CallContext& context,
                  Done<v1::GetVersionResponse> done);
  void GetTransaction(v1::GetTransactionRequest* request, const CallContext& context,
                      Done<v1::GetTransactionResponse> done);
  // A result in one message, so bounded by kResultBytesMax.
  void Query(v1::Query* request, uint32_t timeout_ms, const CallContext& context,
             Done<v1::QueryResult> done);
  void OpenSession(const v1::OpenSession& request, uint32_t timeout_ms, const CallContext& context,
                   Done<v1::ExecuteResponse> done);

  // One request of a Session; the response has its id.
  void Handle(v1::SessionRequest* request, const CallContext& context,
              std::function<void(v1::SessionResponse)> done);

  SteadyTime DeadlineOf(uint32_t timeout_ms, const CallContext& context) const;

 private:
  void Write(Result<state_machine::Command> command, uint32_t timeout_ms,
             const CallContext& context, node::CommandDone done);

  node::Replica* const replica_;
  Router* const router_;
  ReadPool* const reads_;
  Clock* const clock_;
  const std::chrono::milliseconds request_timeout_;
};

}  // namespace cairn::server
