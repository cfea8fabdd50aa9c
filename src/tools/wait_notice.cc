#include "tools/wait_notice.h"

#include <chrono>
#include <utility>

namespace cairn::tools {

using SteadyClock = std::chrono::steady_clock;

WaitNotice::WaitNotice(std::ostream* terminal, std::function<std::string()> detail)
    : terminal_(terminal), detail_(std::move(detail)) {
  if (terminal_ != nullptr) thread_ = std::thread([this] { Run(); });
}

void WaitNotice::Print(const std::string& line, std::ostream* out) {
  MutexLock lock(mutex_);
  if (terminal_ != nullptr) *terminal_ << "\r\x1b[K" << std::flush;
  *out << line << std::endl;
}

void WaitNotice::Stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void WaitNotice::Run() {
  const auto began = SteadyClock::now();
  bool shown = false;
  MutexLock lock(mutex_);
  for (int64_t seconds = 1;; ++seconds) {
    const SteadyTime rest = began + std::chrono::seconds(seconds) - SteadyClock::now();
    if (changed_.WaitFor(lock, rest, [this]() CAIRN_REQUIRES(mutex_) { return stopped_; })) break;
    lock.Unlock();
    const std::string detail = detail_();
    lock.Lock();
    if (stopped_) break;
    // The detail may have taken longer than a second.
    seconds = std::chrono::duration_cast<std::chrono::seconds>(SteadyClock::now() - began).count();
    *terminal_ << "\r\x1b[K" << seconds << " s" << (detail.empty() ? "" : "; ") << detail
               << std::flush;
    shown = true;
  }
  if (shown) *terminal_ << "\r\x1b[K" << std::flush;
}

}  // namespace cairn::tools
