// OpenCalls: the streams of clients that are open, so that a client whose certificate or token is
// revoked or expires, or whose privilege is revoked, loses them.
#pragma once

#include <grpcpp/server_context.h>

#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "base/mutex.h"
#include "security/tls.h"
#include "server/access_control.h"
#include "server/token_judge.h"

namespace cairn::server {

class OpenCall;

inline constexpr std::string_view kSessionMethod = "/cairn.v1.Database/Session";

// Thread-safe. Outlives its calls.
class OpenCalls {
 public:
  // `access` and `tokens` may be null, and outlive this.
  OpenCalls(security::TlsPtr tls, const AccessControl* access, TokenJudge* tokens = nullptr)
      : tls_(std::move(tls)), access_(access), tokens_(tokens) {}

  // Cancels the streams whose callers would not be let in now. Call it on a thread that is not one
  // of gRPC's: what ends a stream may run at once on those.
  void Recheck();

 private:
  friend class OpenCall;
  void Enter(OpenCall* call);
  void Leave(OpenCall* call);
  bool IsLetIn(const OpenCall& call) const;

  const security::TlsPtr tls_;
  const AccessControl* const access_;
  TokenJudge* const tokens_;
  Mutex mutex_;
  std::set<OpenCall*> calls_ CAIRN_GUARDED_BY(mutex_);
};

// One stream, from its start to OnDone. The owner calls Leave in OnDone; the context lives until
// then.
class OpenCall {
 public:
  // `calls` null: without TLS, and nothing is to be rechecked. `method` is a literal.
  OpenCall(OpenCalls* calls, grpc::CallbackServerContext* context, std::string_view method);
  ~OpenCall() { Leave(); }
  OpenCall(const OpenCall&) = delete;
  OpenCall& operator=(const OpenCall&) = delete;
  void Leave();

 private:
  friend class OpenCalls;
  OpenCalls* calls_;
  grpc::CallbackServerContext* const context_;
  const std::string_view method_;
  std::shared_ptr<const grpc::AuthContext> caller_;
  state_machine::AccessRightsPtr began_with_;  // null: nobody asks for privileges
};

}  // namespace cairn::server
