// Histories: the requests and answers of the clients of a system, as a list of events in the order
// in which they happened. The checkers of this folder judge them. docs/internals/histories.md
// specifies the format and the meaning of every kind of operation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "testing/history/datum.h"

namespace cairn::history {

enum class EventType : uint8_t {
  kInvoke,  // a client asks
  kOk,      // it took effect, and `value` is the answer
  kFail,    // it surely never takes effect
  kInfo,    // nobody knows: it took effect, will take effect later, or never does
};

struct Event {
  EventType type = EventType::kInvoke;
  // One client that does one thing at a time. A process may be used again after kInfo; its old
  // operation stays pending for ever.
  int64_t process = 0;
  int64_t time_ns = 0;  // by any clock that all clients share
  std::string f;        // the request: "read", "write", "cas", "append", "txn", ...
  Datum value;
  int64_t node = 0;  // the node that answered; 0: none, or not known

  bool operator==(const Event&) const = default;
};

using History = std::vector<Event>;

// The outcome of an operation.
enum class Fate : uint8_t { kOk, kFail, kInfo };

// An invocation and its completion. Places are positions in the history. Places, not times, decide
// what came before what.
struct Operation {
  static constexpr size_t kNever = SIZE_MAX;

  int64_t process = 0;
  std::string f;
  Fate fate = Fate::kInfo;
  Datum asked;
  Datum answered;  // for kOk
  size_t invoked = 0;
  size_t completed = kNever;  // kNever unless kOk or kFail

  // True if this operation had surely ended when `other` began.
  bool Before(const Operation& other) const { return completed < other.invoked; }
};

// Returns the operations in the order of their invocations. Returns INVALID_ARGUMENT, naming the
// place, if a process does two things at once or ends an operation that it did not begin.
Result<std::vector<Operation>> PairOperations(const History& history);

// "process 3 read [5,7] (events 12 to 19)".
std::string ToString(const Operation& operation);

// Returns one event as a line of JSON in Jepsen's shape, without the newline:
//   {"type":"invoke","f":"read","process":0,"time":123,"index":7,"value":[5,null]}
std::string ToJsonLine(const Event& event, size_t index);
// Returns the whole history, one line for each event.
std::string ToJsonLines(const History& history);
// Parses the output of ToJsonLines, with members in any order and with any further members. Skips
// empty lines and events whose process is a name (a nemesis). Sorts the events by "index" if all
// have one. Returns INVALID_ARGUMENT, with the line, for anything else.
Result<History> ParseJsonLines(std::string_view text);

}  // namespace cairn::history
