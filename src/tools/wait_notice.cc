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
  std::lock_guard lock(mutex_);
  if (terminal_ != nullptr) *terminal_ << "\r\x1b[K" << std::flush;
  *out << line << std::endl;
}

void WaitNotice::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void WaitNotice::Run() {
  const auto began = SteadyClock::now();
  bool shown = false;
  std::unique_lock lock(mutex_);
  for (int64_t seconds = 1;; ++seconds) {
    if (changed_.wait_until(lock, began + std::chrono::seconds(seconds),
                            [this] { return stopped_; })) {
      break;
    }
    lock.unlock();
    const std::string detail = detail_();
    lock.lock();
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
