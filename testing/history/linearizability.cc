#include "testing/history/linearizability.h"

#include <algorithm>
#include <map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/splitmix.h"
#include "testing/history/models.h"

namespace cairn::history {
namespace {

// The set of operations that have a place, and the resulting state. Together they decide how the
// search continues. The set is represented by a sum of 128 random bits for each operation, so
// adding one operation costs the same in a history of any length. Two different sets of one run
// never agree in all 128 bits in practice.
struct Configuration {
  uint64_t set_low = 0;
  uint64_t set_high = 0;
  Model::State state = 0;
  bool operator==(const Configuration&) const = default;

  Configuration With(uint32_t operation, Model::State next) const {
    return {set_low ^ SplitMix64(2ULL * operation), set_high ^ SplitMix64(2ULL * operation + 1),
            next};
  }
};
struct ConfigurationHash {
  size_t operator()(const Configuration& c) const {
    return c.set_low ^ SplitMix64(static_cast<uint64_t>(c.state));
  }
};

// The search over one key.
class Search {
 public:
  // `steps` are in the order of their invocations. None of them failed.
  Search(const Model& model, std::vector<Step> steps, uint64_t* budget);

  Validity Run();
  // Explains a kInvalid verdict.
  std::string Explain() const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr size_t kShownMax = 8;

  // The calls and returns of the operations that must have a place, in a linked list. An operation
  // is lifted from the list while it has its place. Node 0 is the head, which is never lifted.
  struct Node {
    size_t place = 0;
    uint32_t operation = kNone;
    bool is_return = false;
    uint32_t previous = 0;
    uint32_t next = kNone;
  };
  // Equal steps of unknown outcome; they need no place. The operation that was invoked first can do
  // whatever any other can. So they are used in the order of invocation, and an unused one is never
  // looked for among the others.
  struct Twins {
    std::vector<uint32_t> operations;
    size_t used = 0;
  };
  struct Frame {
    uint32_t operation = kNone;
    uint32_t twins = kNone;  // kNone: an operation that must have a place
    bool forced = false;     // no other operation needs to be tried in this place
    uint32_t cursor = 0;
    uint32_t twins_cursor = 0;
    Configuration before;
  };

  void Link(uint32_t operation, size_t place, bool is_return);
  void Lift(uint32_t operation);
  void Unlift(uint32_t operation);
  bool TryDue();
  bool TryUnknown();
  bool Enter(Frame frame, Model::State next);
  bool Back();
  void RememberDeadEnd();

  const Model& model_;
  const std::vector<Step> steps_;
  uint64_t* const budget_;
  std::vector<Node> nodes_;
  std::vector<std::pair<uint32_t, uint32_t>> node_of_;  // call and return, by operation
  std::vector<Twins> twins_;
  size_t left_ = 0;  // operations without a place

  std::vector<Frame> stack_;
  Configuration now_;
  uint32_t cursor_ = 0;        // the next node to try
  uint32_t twins_cursor_ = 0;  // then these
  std::unordered_set<Configuration, ConfigurationHash> seen_;

  // The farthest point of the search: nothing could come before this return.
  uint32_t blocked_ = kNone;
  size_t blocked_place_ = 0;
  size_t order_length_ = 0;
  std::vector<std::pair<uint32_t, Model::State>> order_tail_;
  std::vector<uint32_t> still_open_;
};

Search::Search(const Model& model, std::vector<Step> steps, uint64_t* budget)
    : model_(model), steps_(std::move(steps)), budget_(budget), nodes_(1) {
  struct Mark {
    size_t place;
    uint32_t operation;
    bool is_return;
  };
  std::vector<Mark> marks;
  std::map<Call, uint32_t> twins_by_call;
  for (uint32_t i = 0; i < steps_.size(); ++i) {
    if (steps_[i].due != Operation::kNever) {
      marks.push_back({steps_[i].operation.invoked, i, false});
      marks.push_back({steps_[i].due, i, true});
      ++left_;
      continue;
    }
    const auto [it, is_new] =
        twins_by_call.try_emplace(steps_[i].call, static_cast<uint32_t>(twins_.size()));
    if (is_new) twins_.emplace_back();
    twins_[it->second].operations.push_back(i);
  }
  std::sort(marks.begin(), marks.end(),
            [](const Mark& a, const Mark& b) { return a.place < b.place; });
  node_of_.resize(steps_.size());
  for (const Mark& mark : marks) Link(mark.operation, mark.place, mark.is_return);
  now_.state = model_.initial();
  cursor_ = nodes_[0].next;
}

void Search::Link(uint32_t operation, size_t place, bool is_return) {
  const auto added = static_cast<uint32_t>(nodes_.size());
  nodes_.push_back({place, operation, is_return, added - 1, kNone});
  nodes_[added - 1].next = added;
  auto& [call_node, return_node] = node_of_[operation];
  (is_return ? return_node : call_node) = added;
}

void Search::Lift(uint32_t operation) {
  const auto [call_node, return_node] = node_of_[operation];
  for (uint32_t node : {call_node, return_node}) {
    nodes_[nodes_[node].previous].next = nodes_[node].next;
    if (nodes_[node].next != kNone) nodes_[nodes_[node].next].previous = nodes_[node].previous;
  }
}

void Search::Unlift(uint32_t operation) {
  const auto [call_node, return_node] = node_of_[operation];
  for (uint32_t node : {return_node, call_node}) {
    nodes_[nodes_[node].previous].next = node;
    if (nodes_[node].next != kNone) nodes_[nodes_[node].next].previous = node;
  }
}

Validity Search::Run() {
  while (left_ > 0) {
    if (*budget_ == 0) return Validity::kUnknown;
    --*budget_;
    if (TryDue() || TryUnknown()) continue;
    RememberDeadEnd();
    if (!Back()) return Validity::kInvalid;
  }
  return Validity::kValid;
}

// Gives the next place to one of the due operations that were invoked before the first return.
bool Search::TryDue() {
  while (!nodes_[cursor_].is_return) {
    const Node& node = nodes_[cursor_];
    const std::optional<Model::State> next = model_.Next(now_.state, steps_[node.operation].call);
    if (next) {
      Frame frame;
      frame.operation = node.operation;
      frame.cursor = node.next;
      // An operation that changes no state and is right now can come now: moving it here from any
      // other place in an order changes no answer.
      frame.forced = steps_[node.operation].call.changes_nothing();
      if (Enter(frame, *next)) return true;
    }
    cursor_ = node.next;
  }
  return false;
}

// The same for operations of unknown outcome. They come last, because most never took effect.
bool Search::TryUnknown() {
  const size_t first_return = nodes_[cursor_].place;
  for (; twins_cursor_ < twins_.size(); ++twins_cursor_) {
    const Twins& twins = twins_[twins_cursor_];
    if (twins.used == twins.operations.size()) continue;
    const uint32_t operation = twins.operations[twins.used];
    if (steps_[operation].operation.invoked > first_return) continue;
    const std::optional<Model::State> next = model_.Next(now_.state, steps_[operation].call);
    if (!next || *next == now_.state) continue;
    Frame frame;
    frame.operation = operation;
    frame.twins = twins_cursor_;
    frame.cursor = cursor_;
    frame.twins_cursor = twins_cursor_ + 1;
    if (Enter(frame, *next)) return true;
  }
  return false;
}

bool Search::Enter(Frame frame, Model::State next) {
  const Configuration after = now_.With(frame.operation, next);
  if (!seen_.insert(after).second) return false;
  frame.before = now_;
  if (frame.twins == kNone) {
    Lift(frame.operation);
    --left_;
  } else {
    ++twins_[frame.twins].used;
  }
  stack_.push_back(frame);
  now_ = after;
  cursor_ = nodes_[0].next;
  twins_cursor_ = 0;
  return true;
}

bool Search::Back() {
  while (!stack_.empty()) {
    const Frame frame = stack_.back();
    stack_.pop_back();
    if (frame.twins == kNone) {
      Unlift(frame.operation);
      ++left_;
    } else {
      --twins_[frame.twins].used;
    }
    now_ = frame.before;
    cursor_ = frame.cursor;
    twins_cursor_ = frame.twins_cursor;
    if (!frame.forced) return true;
  }
  return false;
}

void Search::RememberDeadEnd() {
  const Node& blocking = nodes_[cursor_];
  if (blocked_ != kNone && blocking.place <= blocked_place_) return;  // the first is the plainest
  blocked_ = blocking.operation;
  blocked_place_ = blocking.place;
  order_length_ = stack_.size();
  order_tail_.clear();
  const size_t from = stack_.size() - std::min(stack_.size(), kShownMax);
  for (size_t i = from; i < stack_.size(); ++i) {
    const Model::State after = i + 1 < stack_.size() ? stack_[i + 1].before.state : now_.state;
    order_tail_.emplace_back(stack_[i].operation, after);
  }
  still_open_.clear();
  for (uint32_t node = nodes_[0].next; !nodes_[node].is_return; node = nodes_[node].next) {
    if (nodes_[node].operation != blocked_) still_open_.push_back(nodes_[node].operation);
  }
  for (const Twins& twins : twins_) {
    if (twins.used == twins.operations.size()) continue;
    const uint32_t first = twins.operations[twins.used];
    if (steps_[first].operation.invoked < blocked_place_) still_open_.push_back(first);
  }
}

std::string Search::Explain() const {
  std::string out = "no order allows\n  " + ToString(steps_[blocked_].operation) +
                    "\n  after the longest order that was found, of " +
                    std::to_string(order_length_) + " operations";
  if (order_length_ > order_tail_.size()) out += ", which ends in";
  for (const auto& [operation, state] : order_tail_) {
    out += "\n    " + ToString(steps_[operation].operation);
    if (const std::string holds = model_.Describe(state); !holds.empty()) out += " -> " + holds;
  }
  if (still_open_.empty()) return out + "\n  and nothing else was open";
  out += "\n  and none of these, which were open, helps";
  for (size_t i = 0; i < std::min(still_open_.size(), kShownMax); ++i) {
    out += "\n    " + ToString(steps_[still_open_[i]].operation);
  }
  if (still_open_.size() > kShownMax) {
    out += "\n    and " + std::to_string(still_open_.size() - kShownMax) + " more";
  }
  return out;
}

// Returns the list if the datum is a [key, value] pair.
const DatumList* KeyAndValue(const Datum& datum) {
  const DatumList* list = datum.list();
  return list != nullptr && list->size() == 2 ? list : nullptr;
}

using Partitions = std::map<Datum, std::vector<Operation>>;

Result<Partitions> PartitionByKey(const History& history) {
  ASSIGN_OR_RETURN(std::vector<Operation> operations, PairOperations(history));
  Partitions partitions;
  for (Operation& operation : operations) {
    const DatumList* asked = KeyAndValue(operation.asked);
    const bool ok = operation.fate == Fate::kOk;
    const DatumList* answered = ok ? KeyAndValue(operation.answered) : asked;
    if (asked == nullptr || answered == nullptr || (*asked)[0] != (*answered)[0]) {
      return InvalidArgument("not an operation on one key: " + ToString(operation));
    }
    const Datum key = (*asked)[0];
    if (operation.fate != Fate::kFail) partitions[key].push_back(std::move(operation));
  }
  return partitions;
}

}  // namespace

Verdict CheckLinearizable(const History& history, ModelKind kind,
                          const LinearizabilityOptions& options) {
  Result<Partitions> partitions = PartitionByKey(history);
  if (!partitions.ok()) return Verdict::Unknown(partitions.status().message());
  Verdict verdict;
  uint64_t budget = options.steps_max;
  std::string cut_off;
  for (auto& [key, operations] : *partitions) {
    Model model(kind);
    const std::string name = "key " + ToString(key) + ": ";
    Result<std::vector<Step>> steps = model.Prepare(std::move(operations));
    if (!steps.ok() && steps.status().code() == StatusCode::kDataLoss) {
      verdict.Add("not linearizable", name + steps.status().message());
      continue;
    }
    if (!steps.ok()) return Verdict::Unknown(name + steps.status().message());
    verdict.operations += steps->size();
    Search search(model, std::move(*steps), &budget);
    switch (search.Run()) {
      case Validity::kValid: break;
      case Validity::kInvalid: verdict.Add("not linearizable", name + search.Explain()); break;
      case Validity::kUnknown: cut_off += " " + ToString(key); break;
    }
  }
  if (verdict.ok() && !cut_off.empty()) {
    return Verdict::Unknown("gave up after " + std::to_string(options.steps_max) +
                            " steps; undecided keys:" + cut_off);
  }
  return verdict;
}

}  // namespace cairn::history
