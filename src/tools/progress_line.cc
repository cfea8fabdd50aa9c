#include "tools/progress_line.h"

#include <iomanip>
#include <sstream>
#include <string>
#include <utility>

namespace cairn::tools {
namespace {

constexpr SteadyTime kShowEvery = std::chrono::milliseconds(250);

std::string MiB(uint64_t bytes) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(1) << static_cast<double>(bytes) / (1 << 20) << " MiB";
  return out.str();
}

}  // namespace

void ProgressLine::Show(uint64_t bytes, uint64_t bytes_total) {
  const SteadyTime now = SystemClock().SteadyNow();
  if (terminal_ == nullptr || bytes_total == 0 || now < next_) return;
  next_ = now + kShowEvery;
  *terminal_ << "\r\033[K" << MiB(bytes) << " of " << MiB(bytes_total) << ", "
             << bytes * 100 / bytes_total << " %" << std::flush;
  shown_ = true;
}

void ProgressLine::Clear() {
  if (std::exchange(shown_, false)) *terminal_ << "\r\033[K" << std::flush;
}

}  // namespace cairn::tools
