#include "server/tls_watch.h"

#include <chrono>
#include <utility>

#include "base/log.h"

namespace cairn::server {
namespace {

constexpr std::chrono::milliseconds kLookAtAccessEvery(200);
constexpr int kLooksAtAccess = 5;  // for each look at the files
constexpr int64_t kDaySeconds = 24 * 3600;
// A month is enough for the person who comes by once a month.
constexpr int64_t kWarnBeforeSeconds = 30 * kDaySeconds;

}  // namespace

TlsWatch::TlsWatch(security::TlsPtr tls, std::function<int64_t()> latest_ms,
                   std::function<uint64_t()> access_generation, std::function<void()> recheck)
    : tls_(std::move(tls)),
      latest_ms_(std::move(latest_ms)),
      access_generation_(std::move(access_generation)),
      recheck_(std::move(recheck)),
      acted_on_(tls_->generation()),
      access_acted_on_(access_generation_()),
      thread_([this] { Run(); }) {}

TlsWatch::~TlsWatch() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
  }
  stop_cv_.NotifyAll();
  thread_.join();
}

void TlsWatch::Run() {
  const auto stopped = [this]() CAIRN_REQUIRES(mutex_) { return stop_; };
  for (int looks = 0;; looks = (looks + 1) % kLooksAtAccess) {
    if (looks == 0) Look();
    LookAtAccess();
    MutexLock lock(mutex_);
    if (stop_cv_.WaitFor(lock, kLookAtAccessEvery, stopped)) return;
  }
}

void TlsWatch::LookAtAccess() {
  const uint64_t generation = access_generation_();
  if (std::exchange(access_acted_on_, generation) != generation) recheck_();
}

void TlsWatch::Look() {
  tls_->NoteTime(latest_ms_());
  if (const Status bad = tls_->Refresh(); !bad.ok()) {
    LOG_WARN("the changed TLS files do not all count: {}", bad.message());
  }
  const uint64_t generation = tls_->generation();
  const bool changed = std::exchange(acted_on_, generation) != generation;
  recheck_();  // certificates and tokens expire
  if (changed) {
    warned_s_ = 0;
    LOG_INFO("TLS files reread; the certificate is good until {}",
             security::TimeText(tls_->expires_s()));
  }
  WarnOfExpiry();
}

// Once a day.
void TlsWatch::WarnOfExpiry() {
  const int64_t now_s = tls_->NowSeconds();
  const int64_t expires_s = tls_->expires_s();
  if (now_s < expires_s - kWarnBeforeSeconds) return;
  if (warned_s_ != 0 && now_s - warned_s_ < kDaySeconds) return;
  warned_s_ = now_s;
  const std::string when = security::TimeText(expires_s);
  if (now_s > expires_s) {
    LOG_ERROR("the certificate of this node expired at {}: others refuse it (cairn cert renew)",
              when);
  } else {
    LOG_WARN("the certificate of this node expires at {}: renew it (cairn cert renew)", when);
  }
}

}  // namespace cairn::server
