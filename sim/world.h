// World: virtual time, the queue of events, the trace, and the source of randomness.
//
// Everything in a simulation happens in events, one after the other, on one thread, in the order of
// (time, sequence number). No time passes between two events, so a simulated hour of idling costs
// only its events. Every event goes into the trace's hash, so two runs of one seed can be compared
// by one number.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"

namespace cairn::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

class World {
 public:
  explicit World(uint64_t seed) : seed_(seed) {}
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  SteadyTime now() const { return now_; }
  // `label` distinguishes events of different kinds and nodes in the trace.
  void At(SteadyTime when, uint32_t label, std::function<void()> run);
  void After(SteadyTime delay, uint32_t label, std::function<void()> run) {
    At(now_ + delay, label, std::move(run));
  }
  // Runs the next event. Returns false if there is none, or if something has failed.
  bool Step();
  uint64_t events() const { return events_; }

  // Adds details of an event to the trace: contents of messages, results, draws.
  void Trace(uint64_t value) {
    hash_ = (hash_ ^ value) * 0x9e3779b97f4a7c15ULL;
    hash_ ^= hash_ >> 29;
  }
  uint64_t trace_hash() const { return hash_; }

  // Returns a separate generator for each purpose: one more draw in one place changes no draw
  // elsewhere.
  Rng Fork(std::string_view purpose) const;

  // Ends the run with a failure. The first failure is kept.
  void Fail(const std::string& what);
  const std::optional<std::string>& failure() const { return failure_; }

 private:
  struct Event {
    SteadyTime when;
    uint64_t sequence;
    uint32_t label;
    std::function<void()> run;
  };
  static bool Later(const Event& a, const Event& b) {
    return a.when != b.when ? a.when > b.when : a.sequence > b.sequence;
  }

  const uint64_t seed_;
  SteadyTime now_{0};
  uint64_t next_sequence_ = 0;
  uint64_t events_ = 0;
  uint64_t hash_ = 0;
  std::vector<Event> heap_;
  std::optional<std::string> failure_;
};

// Returns true with the given probability.
bool Chance(Rng& rng, double probability);
// Returns an exponentially distributed time with the mean `mean`, capped at 20 times `mean`.
SteadyTime Exponential(Rng& rng, SteadyTime mean);
SteadyTime Uniform(Rng& rng, SteadyTime low, SteadyTime high);

// The kinds of events in the trace.
enum class Kind : uint32_t {
  kTick = 1,
  kWake,
  kLogRun,
  kLogDone,
  kLogIdle,
  kApplyRun,
  kApplyDone,
  kApplyIdle,
  kMessage,
  kCall,
  kSnapshot,
  kClient,
  kNemesis,
  kLife,
  kCheck,
};
inline uint32_t Label(Kind kind, uint64_t node) {
  return static_cast<uint32_t>(kind) << 16 | static_cast<uint32_t>(node & 0xffff);
}

}  // namespace cairn::sim
