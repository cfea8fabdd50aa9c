// TlsWatch: rereads certificates when they change, and warns before they expire.
#pragma once

#include <cstdint>
#include <functional>
#include <thread>

#include "base/mutex.h"
#include "security/tls.h"

namespace cairn::server {

// Has a thread, which looks at the files every second. New handshakes show the new certificate; connections that
// are open stay. Files that are of no use are named in the log, and the old ones still count.
class TlsWatch {
 public:
  // `latest_ms`: the latest time that the cluster is known to have seen (Tls::NoteTime). `recheck`
  // ends the streams of those who are not let in any more; it is called soon after
  // `access_generation` (of the rights) has moved, and every second, because certificates and tokens
  // expire.
  TlsWatch(security::TlsPtr tls, std::function<int64_t()> latest_ms,
           std::function<uint64_t()> access_generation, std::function<void()> recheck);
  ~TlsWatch();
  TlsWatch(const TlsWatch&) = delete;
  TlsWatch& operator=(const TlsWatch&) = delete;

 private:
  void Run();
  void Look();
  void LookAtAccess();
  void WarnOfExpiry();

  const security::TlsPtr tls_;
  const std::function<int64_t()> latest_ms_;
  const std::function<uint64_t()> access_generation_;
  const std::function<void()> recheck_;
  uint64_t acted_on_ = 0;         // the generation of the files
  uint64_t access_acted_on_ = 0;  // the generation of the rights
  int64_t warned_s_ = 0;          // when the expiry was last told
  Mutex mutex_;
  CondVar stop_cv_;
  bool stop_ CAIRN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace cairn::server
