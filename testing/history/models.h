// What one key may hold, as the search of linearizability.h sees it: a state is a number, an
// operation a step from one to the next. Inner to this folder.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "testing/history/datum.h"
#include "testing/history/event.h"
#include "testing/history/linearizability.h"

namespace cairn::history {

// An operation made ready for the search. Two of one kind and arguments are the same step.
struct Call {
  enum class Kind : uint8_t { kRead, kWrite, kCas, kAdd, kAddAndGet, kAppend };
  Kind kind = Kind::kRead;
  // True if the answer is known, and so must be what the state gives.
  bool answered = false;
  int64_t a = 0;
  int64_t b = 0;
  auto operator<=>(const Call&) const = default;

  // True if no state is changed by it.
  bool changes_nothing() const {
    return kind == Kind::kRead || (kind == Kind::kCas && a == b && answered);
  }
};

struct Step {
  Operation operation;
  Call call;
  // Its effect must come before this place: where it completed, or where a read that saw it did.
  // kNever: it need not take effect at all.
  size_t due = Operation::kNever;
};

// One object for one key. One owner.
class Model {
 public:
  // Of a register: the number of its value. Of a counter: itself. Of a set: a sum of hashes, which
  // costs the same at any size. Of a list: how much it holds of the longest list that was read; the
  // reads of a correct list are all beginnings of it, so that this says all.
  using State = int64_t;

  explicit Model(ModelKind kind) : kind_(kind) {}

  // Steps of the operations, none of which failed, in their order; [key, value] already taken
  // apart. INVALID_ARGUMENT if an operation is not of this model. DATA_LOSS, in words, if the
  // answers contradict each other so that no search is needed.
  Result<std::vector<Step>> Prepare(std::vector<Operation> operations);

  State initial() const { return kind_ == ModelKind::kRegister ? kNull : 0; }
  // The state after `call`; nothing if its answer is not what `state` gives. A call without a known
  // answer may be made in every state.
  std::optional<State> Next(State state, const Call& call) const;
  // For a person; empty for a set, whose hash says nothing.
  std::string Describe(State state) const;

 private:
  static constexpr int64_t kNull = -1;

  int64_t Intern(const Datum& value);
  std::optional<Call> CallOf(const Operation& operation);
  std::optional<Call> RegisterCall(const Operation& operation);
  std::optional<Call> CounterCall(const Operation& operation);
  std::optional<Call> CollectionCall(const Operation& operation);

  Status Study(const std::vector<Operation>& operations);
  Status StudyOrder(const std::vector<const Operation*>& reads);
  void StudyMembers(const std::vector<const Operation*>& reads);

  const ModelKind kind_;
  std::map<Datum, int64_t> ids_;
  std::vector<Datum> values_;
  // Of lists: the longest that was read.
  DatumList longest_;
  std::map<Datum, int64_t> places_;  // in longest_
  // Of lists and sets: elements that reads saw, and where the first such read completed.
  std::map<Datum, size_t> seen_;
};

}  // namespace cairn::history
