#include "server/event_ring.h"

#include <algorithm>

#include "base/log.h"

namespace cairn::server {
namespace {

// "disk_low", "member_away node 3".
std::string NameOf(const std::string& kind, const std::string& subject) {
  return subject.empty() ? kind : kind + " " + subject;
}

}  // namespace

const char* SeverityName(EventSeverity severity) {
  switch (severity) {
    case EventSeverity::kCritical: return "critical";
    case EventSeverity::kWarning: return "warning";
    case EventSeverity::kNote: break;
  }
  return "note";
}

void EventRing::Look(std::vector<Condition> conditions, SteadyTime now, int64_t wall_ms) {
  MutexLock lock(mutex_);
  std::map<Key, SteadyTime> held;
  for (Condition& condition : conditions) {
    const Key key{condition.kind, condition.subject};
    const auto before = held_since_.find(key);
    const SteadyTime since = before == held_since_.end() ? now : before->second;
    held[key] = since;
    if (now - since >= condition.after) Begin(std::move(condition), wall_ms);
  }
  for (auto& [key, event] : events_) {
    if (!event.active || held.contains(key)) continue;
    event.active = false;
    LOG_INFO("event over: {}", NameOf(event.kind, event.subject));
  }
  held_since_ = std::move(held);
}

void EventRing::Begin(Condition condition, int64_t wall_ms) {
  const Key key{condition.kind, condition.subject};
  if (!events_.contains(key)) MakeRoom();
  NodeEvent& event = events_[key];
  if (!event.active) {
    if (event.count == 0) event.first_ms = wall_ms;
    ++event.count;
  }
  // A disk that was nearly full, and now refuses writes, is news.
  if (!event.active || condition.severity > event.severity) {
    LOG_WARN("event: {}: {} severity={}", NameOf(condition.kind, condition.subject), condition.text,
             SeverityName(condition.severity));
  }
  event.kind = std::move(condition.kind);
  event.subject = std::move(condition.subject);
  event.severity = condition.severity;
  event.text = std::move(condition.text);
  event.advice = std::move(condition.advice);
  event.last_ms = wall_ms;
  event.active = true;
}

void EventRing::MakeRoom() {
  if (events_.size() < events_max_) return;
  const auto oldest =
      std::min_element(events_.begin(), events_.end(), [](const auto& a, const auto& b) {
        return std::pair(a.second.active, a.second.last_ms) <
               std::pair(b.second.active, b.second.last_ms);
      });
  events_.erase(oldest);
}

std::vector<NodeEvent> EventRing::Events() const {
  std::vector<NodeEvent> events;
  {
    MutexLock lock(mutex_);
    for (const auto& [key, event] : events_) events.push_back(event);
  }
  std::stable_sort(events.begin(), events.end(), [](const NodeEvent& a, const NodeEvent& b) {
    return std::pair(a.active, a.last_ms) > std::pair(b.active, b.last_ms);
  });
  return events;
}

size_t EventRing::Active(EventSeverity severity) const {
  MutexLock lock(mutex_);
  return static_cast<size_t>(std::count_if(events_.begin(), events_.end(), [&](const auto& event) {
    return event.second.active && event.second.severity == severity;
  }));
}

}  // namespace cairn::server
