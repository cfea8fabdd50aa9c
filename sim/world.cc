#include "sim/world.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/crc32c.h"

namespace cairn::sim {

void World::At(SteadyTime when, uint32_t label, std::function<void()> run) {
  heap_.push_back({std::max(when, now_), next_sequence_++, label, std::move(run)});
  std::push_heap(heap_.begin(), heap_.end(), Later);
}

bool World::Step() {
  if (heap_.empty() || failure_) return false;
  std::pop_heap(heap_.begin(), heap_.end(), Later);
  Event event = std::move(heap_.back());
  heap_.pop_back();
  now_ = event.when;
  ++events_;
  Trace(static_cast<uint64_t>(now_.count()));
  Trace(event.label);
  event.run();
  return true;
}

Rng World::Fork(std::string_view purpose) const {
  return Rng(seed_ * 0x2545f4914f6cdd1dULL ^ Crc32c(purpose));
}

void World::Fail(const std::string& what) {
  if (!failure_) failure_ = what;
}

bool Chance(Rng& rng, double probability) {
  return static_cast<double>(rng.Below(1'000'000'000)) < probability * 1e9;
}

SteadyTime Exponential(Rng& rng, SteadyTime mean) {
  const double u = (static_cast<double>(rng.Below(1'000'000)) + 1) / 1e6;
  const double times = std::min(-std::log(u), 20.0);
  return SteadyTime(static_cast<int64_t>(times * static_cast<double>(mean.count())));
}

SteadyTime Uniform(Rng& rng, SteadyTime low, SteadyTime high) {
  if (high <= low) return low;
  return low + SteadyTime(rng.Below(static_cast<uint64_t>((high - low).count())));
}

}  // namespace cairn::sim
