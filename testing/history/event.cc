#include "testing/history/event.h"

#include <algorithm>
#include <map>
#include <utility>

namespace cairn::history {
namespace {

constexpr std::pair<EventType, const char*> kTypeNames[] = {{EventType::kInvoke, "invoke"},
                                                            {EventType::kOk, "ok"},
                                                            {EventType::kFail, "fail"},
                                                            {EventType::kInfo, "info"}};

std::optional<EventType> TypeByName(const std::string& name) {
  for (const auto& [type, text] : kTypeNames) {
    if (name == text) return type;
  }
  return std::nullopt;
}

const Datum* Member(const DatumMap& members, const std::string& name) {
  const auto it = members.find(name);
  return it == members.end() ? nullptr : &it->second;
}

// True for an event of the system, not of a client.
bool IsNemesis(const Datum& json) {
  if (json.members() == nullptr) return false;
  const Datum* process = Member(*json.members(), "process");
  return process != nullptr && process->text() != nullptr;
}

// Returns nothing if a required member is missing or of another kind.
std::optional<Event> EventOf(const DatumMap& members) {
  Event event;
  const Datum* type = Member(members, "type");
  const Datum* f = Member(members, "f");
  const Datum* process = Member(members, "process");
  if (type == nullptr || type->text() == nullptr || f == nullptr || f->text() == nullptr ||
      process == nullptr || process->number() == nullptr) {
    return std::nullopt;
  }
  const std::optional<EventType> known = TypeByName(*type->text());
  if (!known) return std::nullopt;
  event.type = *known;
  event.f = *f->text();
  event.process = *process->number();
  if (const Datum* time = Member(members, "time"); time != nullptr) {
    if (time->number() == nullptr) return std::nullopt;
    event.time_ns = *time->number();
  }
  if (const Datum* node = Member(members, "node"); node != nullptr && node->number() != nullptr) {
    event.node = *node->number();
  }
  if (const Datum* value = Member(members, "value"); value != nullptr) event.value = *value;
  return event;
}

Status BadEvent(size_t place, int64_t process, const std::string& what) {
  return InvalidArgument("event " + std::to_string(place) + ": process " + std::to_string(process) +
                         " " + what);
}

}  // namespace

Result<std::vector<Operation>> PairOperations(const History& history) {
  std::vector<Operation> operations;
  std::map<int64_t, size_t> open;  // by process: an index into operations
  for (size_t place = 0; place < history.size(); ++place) {
    const Event& event = history[place];
    const auto running = open.find(event.process);
    if (event.type == EventType::kInvoke) {
      if (running != open.end()) return BadEvent(place, event.process, "does two things at once");
      open[event.process] = operations.size();
      Operation operation;
      operation.process = event.process;
      operation.f = event.f;
      operation.asked = event.value;
      operation.invoked = place;
      operations.push_back(std::move(operation));
      continue;
    }
    if (running == open.end() || operations[running->second].f != event.f) {
      return BadEvent(place, event.process, "ends a \"" + event.f + "\" that it did not begin");
    }
    Operation& operation = operations[running->second];
    open.erase(running);
    if (event.type == EventType::kInfo) continue;
    operation.fate = event.type == EventType::kOk ? Fate::kOk : Fate::kFail;
    operation.completed = place;
    if (operation.fate == Fate::kOk) operation.answered = event.value;
  }
  return operations;
}

std::string ToString(const Operation& operation) {
  std::string out = "process " + std::to_string(operation.process) + " " + operation.f + " ";
  const std::string begun = std::to_string(operation.invoked);
  switch (operation.fate) {
    case Fate::kOk:
      return out + ToString(operation.answered) + " (events " + begun + " to " +
             std::to_string(operation.completed) + ")";
    case Fate::kFail:
      return out + ToString(operation.asked) + " (failed, events " + begun + " to " +
             std::to_string(operation.completed) + ")";
    case Fate::kInfo: break;
  }
  return out + ToString(operation.asked) + " (from event " + begun + ", outcome unknown)";
}

std::string ToJsonLine(const Event& event, size_t index) {
  std::string type;
  for (const auto& [known, text] : kTypeNames) {
    if (known == event.type) type = text;
  }
  return "{\"type\":\"" + type + "\",\"f\":" + ToString(Datum(event.f)) +
         ",\"process\":" + std::to_string(event.process) +
         ",\"time\":" + std::to_string(event.time_ns) + ",\"index\":" + std::to_string(index) +
         (event.node == 0 ? "" : ",\"node\":" + std::to_string(event.node)) +
         ",\"value\":" + ToString(event.value) + "}";
}

std::string ToJsonLines(const History& history) {
  std::string out;
  for (size_t i = 0; i < history.size(); ++i) out += ToJsonLine(history[i], i) + "\n";
  return out;
}

Result<History> ParseJsonLines(std::string_view text) {
  std::vector<std::pair<int64_t, Event>> events;
  bool all_have_index = true;
  for (size_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view bytes = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (bytes.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::optional<Datum> json = ParseJson(bytes);
    if (json && IsNemesis(*json)) continue;
    std::optional<Event> event;
    if (json && json->members() != nullptr) event = EventOf(*json->members());
    if (!event) return InvalidArgument("line " + std::to_string(line) + " is no event");
    const Datum* index = Member(*json->members(), "index");
    const bool has_index = index != nullptr && index->number() != nullptr;
    all_have_index = all_have_index && has_index;
    events.emplace_back(has_index ? *index->number() : 0, std::move(*event));
  }
  if (all_have_index) {
    std::stable_sort(events.begin(), events.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
  }
  History history;
  history.reserve(events.size());
  for (auto& [index, event] : events) history.push_back(std::move(event));
  return history;
}

}  // namespace cairn::history
