#include "node/entry_time.h"

#include <algorithm>

#include "base/log.h"

namespace cairn::node {
namespace {

// Clocks that are set by NTP differ by less.
constexpr int64_t kBehindMsMin = 10'000;

}  // namespace

void EntryTime::Begin(int64_t latest_ms) {
  latest_ms_ = latest_ms;
  latest_at_ = clock_.SteadyNow();
  if (const std::string doubt = Doubt(); !doubt.empty()) LOG_WARN("{}", doubt);
}

int64_t EntryTime::Floor() const {
  const auto elapsed =
      std::chrono::duration_cast<std::chrono::milliseconds>(clock_.SteadyNow() - latest_at_);
  return latest_ms_ + elapsed.count();
}

int64_t EntryTime::Next() {
  const int64_t wall_ms = clock_.WallNowMs();
  const int64_t floor_ms = Floor();
  // The floor stays where it is while it is in force, so that nothing is lost by rounding.
  if (wall_ms <= floor_ms) return floor_ms;
  latest_ms_ = wall_ms;
  latest_at_ = clock_.SteadyNow();
  return wall_ms;
}

std::string EntryTime::Doubt() const {
  const int64_t behind_ms = Floor() - clock_.WallNowMs();
  if (behind_ms < kBehindMsMin) return "";
  return "the clock of this node is " + std::to_string(behind_ms / 1000) +
         " s behind the latest time in the log: the time that SQL sees goes on from there. Set the "
         "clock of this node, or of the node whose clock was ahead";
}

}  // namespace cairn::node
