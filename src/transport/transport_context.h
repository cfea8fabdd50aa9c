// The state that the parts of a GrpcTransport share.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "security/tls.h"
#include "transport/live_count.h"
#include "transport/task_thread.h"
#include "transport/transport.h"

namespace cairn::transport {

// A call that this node serves. Shutdown or a change of identity ends it.
class ServedCall {
 public:
  virtual ~ServedCall() = default;
  // Makes the call end soon. Thread-safe. May be called on a call that is over.
  virtual void Abort() = 0;
  // Makes the call end soon if its caller's certificate is not good any more. Thread-safe.
  virtual void Recheck() {}
};

// The transport and its links, calls and threads share the context. It lives as long as the last of
// them.
struct TransportContext {
  Handler* handler = nullptr;  // set before any thread runs
  security::TlsPtr tls;        // GrpcTransportOptions
  LiveCount live;
  TaskThread tasks;
  std::atomic<uint64_t> messages_dropped{0};

  Identity identity() const {
    const MutexLock lock(mutex);
    return identity_now;
  }

  // Keeps a served call alive until EndCall. Returns false after Shutdown: the call must be
  // refused.
  bool BeginCall(std::shared_ptr<ServedCall> call) {
    if (!live.Enter()) return false;
    {
      const MutexLock lock(mutex);
      calls.emplace(call.get(), call);
    }
    // Shutdown may have ended the calls that existed before this one was added.
    if (live.closed()) call->Abort();
    return true;
  }
  // A call that has begun calls EndCall as its last act.
  void EndCall(ServedCall* call) {
    std::shared_ptr<ServedCall> last;
    {
      const MutexLock lock(mutex);
      auto it = calls.find(call);
      last = std::move(it->second);
      calls.erase(it);
    }
    live.Leave();
  }
  // True if a refusal with this reason must be logged. Callers retry again and again, so a repeated
  // reason is not logged. Only a hash is kept, because the caller decides how long a reason is.
  bool IsNews(const std::string& refusal) {
    constexpr size_t kRefusalsMax = 64;
    const MutexLock lock(mutex);
    return refusals.size() < kRefusalsMax &&
           refusals.insert(std::hash<std::string>()(refusal)).second;
  }
  void AbortCalls() {
    std::vector<std::shared_ptr<ServedCall>> all;
    {
      const MutexLock lock(mutex);
      for (const auto& [key, call] : calls) all.push_back(call);
    }
    for (const auto& call : all) call->Abort();
  }

  void RecheckCalls() {
    std::vector<std::shared_ptr<ServedCall>> all;
    {
      const MutexLock lock(mutex);
      for (const auto& [key, call] : calls) all.push_back(call);
    }
    for (const auto& call : all) call->Recheck();
  }

  mutable Mutex mutex;
  Identity identity_now CAIRN_GUARDED_BY(mutex);
  std::map<ServedCall*, std::shared_ptr<ServedCall>> calls CAIRN_GUARDED_BY(mutex);
  std::set<size_t> refusals CAIRN_GUARDED_BY(mutex);
};

}  // namespace cairn::transport
