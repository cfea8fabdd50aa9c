// EventRing: what needed somebody on this node, the last of it, in memory.
//
// A condition holds for a while: a disk is nearly full, a member is away. It becomes an event once it
// has held for long enough, and stays one event however often it comes back: the event tells when the
// condition was first and last seen, and how often it began. The kinds are a closed set, and so are
// the subjects (members, shares of the memory), so there are few events; past the bound the one that
// was not seen for longest goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"

namespace cairn::server {

enum class EventSeverity : uint8_t {
  kNote,      // nothing need be done now
  kWarning,   // the node serves, and needs somebody
  kCritical,  // clients are not served, or data are in danger
};
inline constexpr size_t kEventSeverities = 3;
const char* SeverityName(EventSeverity severity);  // "note", "warning", "critical"

// What was seen at one look.
struct Condition {
  std::string kind;
  std::string subject;
  EventSeverity severity = EventSeverity::kWarning;
  std::string text;
  std::string advice;   // with the part of the runbook
  SteadyTime after{0};  // it must have held for so long
};

struct NodeEvent {
  std::string kind;
  std::string subject;
  EventSeverity severity = EventSeverity::kWarning;
  std::string text;
  std::string advice;
  int64_t first_ms = 0;  // of the Unix epoch
  int64_t last_ms = 0;
  uint64_t count = 0;  // how often it began
  bool active = false;
};

// Thread-safe.
class EventRing {
 public:
  explicit EventRing(size_t events_max = 256) : events_max_(events_max) {}

  // Everything that holds at this moment. Conditions that are not among them are over. Logs each
  // beginning and end.
  void Look(std::vector<Condition> conditions, SteadyTime now, int64_t wall_ms);
  // Those that are active first, then the latest first.
  std::vector<NodeEvent> Events() const;
  size_t Active(EventSeverity severity) const;

 private:
  using Key = std::pair<std::string, std::string>;

  void Begin(Condition condition, int64_t wall_ms) CAIRN_REQUIRES(mutex_);
  void MakeRoom() CAIRN_REQUIRES(mutex_);

  const size_t events_max_;
  mutable Mutex mutex_;
  std::map<Key, SteadyTime> held_since_ CAIRN_GUARDED_BY(mutex_);  // of the last look's conditions
  std::map<Key, NodeEvent> events_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::server
