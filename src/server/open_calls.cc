#include "server/open_calls.h"

#include <utility>

#include "base/log.h"
#include "server/principal.h"

namespace cairn::server {

void OpenCalls::Enter(OpenCall* call) {
  const MutexLock lock(mutex_);
  calls_.insert(call);
}

void OpenCalls::Leave(OpenCall* call) {
  const MutexLock lock(mutex_);
  calls_.erase(call);
}

bool OpenCalls::IsLetIn(const OpenCall& call) const {
  const Result<security::CertifiedName> caller = tls_->CallerOf(*call.caller_);
  if (!caller.ok()) return false;
  return access_ == nullptr || access_->CheckCall(PrincipalOf(*caller), call.method_).ok();
}

// The lock is held while calls are cancelled, so that their contexts live.
void OpenCalls::Recheck() {
  size_t ended = 0;
  {
    const MutexLock lock(mutex_);
    for (OpenCall* const call : calls_) {
      if (IsLetIn(*call)) continue;
      call->context_->TryCancel();
      ++ended;
    }
  }
  if (ended > 0)
    LOG_INFO("streams of callers that are not let in any more are ended count={}", ended);
}

OpenCall::OpenCall(OpenCalls* calls, grpc::CallbackServerContext* context, std::string_view method)
    : calls_(calls), context_(context), method_(method) {
  if (calls_ == nullptr) return;
  caller_ = context_->auth_context();
  calls_->Enter(this);
}

void OpenCall::Leave() {
  if (OpenCalls* const calls = std::exchange(calls_, nullptr)) calls->Leave(this);
}

}  // namespace cairn::server
