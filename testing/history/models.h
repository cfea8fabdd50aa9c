// The states of one key as the search of linearizability.h sees them: a state is a number, and an
// operation is a step from one state to the next. Internal to this folder.
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

// An operation prepared for the search. Two operations with equal kind and arguments are the same
// step.
struct Call {
  enum class Kind : uint8_t { kRead, kWrite, kCas, kAdd, kAddAndGet, kAppend };
  Kind kind = Kind::kRead;
  // True if the answer is known; then the state must give that answer.
  bool answered = false;
  int64_t a = 0;
  int64_t b = 0;
  auto operator<=>(const Call&) const = default;

  // True if the operation changes no state.
  bool changes_nothing() const {
    return kind == Kind::kRead || (kind == Kind::kCas && a == b && answered);
  }
};

struct Step {
  Operation operation;
  Call call;
  // The effect must come before this place: the completion of the operation, or of a read that saw
  // the effect. kNever: the operation need not take effect at all.
  size_t due = Operation::kNever;
};

// One object for one key. One owner.
class Model {
 public:
  // For a register: the number of its value. For a counter: its value. For a set: a sum of hashes,
  // which costs the same at any size. For a list: how much it holds of the longest list that was
  // read. That is enough, because the reads of a correct list are all prefixes of the longest.
  using State = int64_t;

  explicit Model(ModelKind kind) : kind_(kind) {}

  // Returns the steps of the operations, in their order, with [key, value] taken apart. None of the
  // operations may have failed. Returns INVALID_ARGUMENT if an operation is not of this model, and
  // DATA_LOSS, with an explanation, if the answers contradict each other so that no search is
  // needed.
  Result<std::vector<Step>> Prepare(std::vector<Operation> operations);

  State initial() const { return kind_ == ModelKind::kRegister ? kNull : 0; }
  // Returns the state after `call`, or nothing if `state` does not give the call's answer. A call
  // without a known answer is possible in every state.
  std::optional<State> Next(State state, const Call& call) const;
  // Describes the state for a person. Empty for a set, whose hash says nothing.
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
  // For lists: the longest list that was read.
  DatumList longest_;
  std::map<Datum, int64_t> places_;  // positions in longest_
  // For lists and sets: the elements that reads saw, and the completion of the first such read.
  std::map<Datum, size_t> seen_;
};

}  // namespace cairn::history
