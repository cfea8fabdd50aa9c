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
  const Result<security::CertifiedName> caller =
      CallerOf(*call.context_, *call.caller_, tls_.get(), tokens_);
  if (!caller.ok()) return false;
  if (access_ == nullptr || !access_->enforced()) return true;
  const std::string principal = PrincipalOf(*caller);
  if (!access_->CheckCall(principal, call.method_).ok()) return false;
  // A query of one who reads some tables alone was judged by the rights that it began with. Requests
  // of a Session are judged one by one.
  return call.method_ == kSessionMethod || !access_->ReadsSomeAlone(principal) ||
         call.began_with_->SameFor(principal, *access_->rights());
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
  if (calls_->access_ != nullptr) began_with_ = calls_->access_->rights();
  calls_->Enter(this);
}

void OpenCall::Leave() {
  if (OpenCalls* const calls = std::exchange(calls_, nullptr)) calls->Leave(this);
}

}  // namespace cairn::server
