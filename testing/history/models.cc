#include "testing/history/models.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/splitmix.h"

namespace cairn::history {
namespace {

const Datum& Argument(const Operation& operation) { return (*operation.asked.list())[1]; }
// The answer of an operation that is ok.
const Datum& Answer(const Operation& operation) { return (*operation.answered.list())[1]; }

int64_t HashOf(int64_t element) {
  return static_cast<int64_t>(SplitMix64(static_cast<uint64_t>(element) + 1));
}
int64_t Sum(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

// The elements that a read returned; empty for null.
const DatumList& Elements(const Operation& read) {
  static const DatumList kEmpty;
  return Answer(read).is_null() ? kEmpty : *Answer(read).list();
}

// The values of a register that a read returned, or that a compare-and-set started from.
std::set<Datum> ObservedValues(const std::vector<Operation>& operations) {
  std::set<Datum> observed;
  for (const Operation& operation : operations) {
    const DatumList* pair = Argument(operation).list();
    if (operation.f == "cas" && pair != nullptr && !pair->empty()) observed.insert(pair->front());
    if (operation.f == "read" && operation.fate == Fate::kOk) observed.insert(Answer(operation));
  }
  return observed;
}

// The value that the operation leaves if it takes effect; null for a read.
const Datum* ValueLeft(const Operation& operation) {
  if (operation.f == "write") return &Argument(operation);
  const DatumList* pair = Argument(operation).list();
  return operation.f == "cas" && pair != nullptr && pair->size() == 2 ? &pair->back() : nullptr;
}

}  // namespace

int64_t Model::Intern(const Datum& value) {
  if (value.is_null()) return kNull;
  const auto [it, is_new] = ids_.try_emplace(value, static_cast<int64_t>(values_.size()));
  if (is_new) values_.push_back(value);
  return it->second;
}

Result<std::vector<Step>> Model::Prepare(std::vector<Operation> operations) {
  const bool is_collection = kind_ == ModelKind::kList || kind_ == ModelKind::kSet;
  if (is_collection) RETURN_IF_ERROR(Study(operations));
  std::set<Datum> observed;
  if (kind_ == ModelKind::kRegister) observed = ObservedValues(operations);
  std::vector<Step> steps;
  for (Operation& operation : operations) {
    std::optional<Call> call = CallOf(operation);
    if (!call) return InvalidArgument("not an operation of the model: " + ToString(operation));
    const bool ok = operation.fate == Fate::kOk;
    call->answered = ok;
    size_t due = operation.completed;
    if (!ok) {
      // A read without a known answer says nothing.
      if (call->kind == Call::Kind::kRead) continue;
      if (is_collection) {
        // Elements stay: an element that no read saw need not exist, but an element that was seen
        // must.
        const auto seen = seen_.find(Argument(operation));
        if (seen == seen_.end()) continue;
        due = seen->second;
      } else if (kind_ == ModelKind::kRegister) {
        // A write whose value nobody met need not have happened: without it the previous value
        // lasts up to the next write, and nobody looked between the two.
        const Datum* left = ValueLeft(operation);
        if (left != nullptr && !observed.contains(*left)) continue;
      }
    }
    steps.push_back({std::move(operation), *call, due});
  }
  return steps;
}

std::optional<Call> Model::CallOf(const Operation& operation) {
  switch (kind_) {
    case ModelKind::kRegister: return RegisterCall(operation);
    case ModelKind::kCounter: return CounterCall(operation);
    case ModelKind::kList:
    case ModelKind::kSet: return CollectionCall(operation);
  }
  return std::nullopt;
}

std::optional<Call> Model::RegisterCall(const Operation& operation) {
  Call call;
  if (operation.f == "read") {
    if (operation.fate == Fate::kOk) call.a = Intern(Answer(operation));
    return call;
  }
  if (operation.f == "write") {
    call.kind = Call::Kind::kWrite;
    call.a = Intern(Argument(operation));
    return call;
  }
  const DatumList* pair = Argument(operation).list();
  if (operation.f != "cas" || pair == nullptr || pair->size() != 2) return std::nullopt;
  call.kind = Call::Kind::kCas;
  call.a = Intern((*pair)[0]);
  call.b = Intern((*pair)[1]);
  return call;
}

std::optional<Call> Model::CounterCall(const Operation& operation) {
  Call call;
  const bool ok = operation.fate == Fate::kOk;
  if (operation.f == "read") {
    if (!ok || Answer(operation).is_null()) return call;
    if (Answer(operation).number() == nullptr) return std::nullopt;
    call.a = *Answer(operation).number();
    return call;
  }
  const bool gets = operation.f == "add-and-get";
  const int64_t* added = Argument(operation).number();
  if ((operation.f != "add" && !gets) || added == nullptr) return std::nullopt;
  call.kind = gets ? Call::Kind::kAddAndGet : Call::Kind::kAdd;
  call.a = *added;
  if (!ok || !gets) return call;
  const DatumList* pair = Answer(operation).list();
  if (pair == nullptr || pair->size() != 2 || (*pair)[1].number() == nullptr) return std::nullopt;
  call.b = *(*pair)[1].number();
  return call;
}

// Runs after Study, so every answer of a read is a list or null.
std::optional<Call> Model::CollectionCall(const Operation& operation) {
  Call call;
  if (operation.f == "read") {
    if (operation.fate != Fate::kOk) return call;
    const DatumList& elements = Elements(operation);
    if (kind_ == ModelKind::kList) {
      call.a = static_cast<int64_t>(elements.size());
    } else {
      for (const Datum& element : elements) call.a = Sum(call.a, HashOf(Intern(element)));
    }
    return call;
  }
  call.kind = Call::Kind::kAppend;
  if (kind_ == ModelKind::kSet) {
    call.a = HashOf(Intern(Argument(operation)));
    return call;
  }
  // The element's place, or the place after all elements that were read.
  const auto place = places_.find(Argument(operation));
  call.a = place == places_.end() ? static_cast<int64_t>(longest_.size()) : place->second;
  return call;
}

Status Model::Study(const std::vector<Operation>& operations) {
  const std::string add = kind_ == ModelKind::kList ? "append" : "add";
  std::set<Datum> added;
  std::vector<const Operation*> reads;
  for (const Operation& operation : operations) {
    if (operation.f == add) {
      if (added.insert(Argument(operation)).second) continue;
      return InvalidArgument("elements must be unique: " + ToString(operation));
    }
    const bool ok = operation.fate == Fate::kOk;
    if (operation.f != "read" ||
        (ok && !Answer(operation).is_null() && Answer(operation).list() == nullptr)) {
      return InvalidArgument("not an operation of the model: " + ToString(operation));
    }
    if (ok) reads.push_back(&operation);
  }
  if (kind_ == ModelKind::kList) return StudyOrder(reads);
  StudyMembers(reads);
  return OkStatus();
}

Status Model::StudyOrder(const std::vector<const Operation*>& reads) {
  const Operation* longest = nullptr;
  for (const Operation* read : reads) {
    if (longest == nullptr || Elements(*read).size() > Elements(*longest).size()) longest = read;
  }
  if (longest == nullptr) return OkStatus();
  longest_ = Elements(*longest);
  // For each length: the completion of the first read of that length.
  std::vector<size_t> first_of_length(longest_.size() + 1, Operation::kNever);
  for (const Operation* read : reads) {
    const DatumList& elements = Elements(*read);
    if (!std::equal(elements.begin(), elements.end(), longest_.begin())) {
      return DataLoss("no order has both of these reads\n  " + ToString(*read) + "\n  " +
                      ToString(*longest));
    }
    size_t& first = first_of_length[elements.size()];
    first = std::min(first, read->completed);
  }
  size_t first = Operation::kNever;
  for (size_t place = longest_.size(); place > 0; --place) {
    first = std::min(first, first_of_length[place]);
    seen_[longest_[place - 1]] = first;
    places_[longest_[place - 1]] = static_cast<int64_t>(place - 1);
  }
  return OkStatus();
}

void Model::StudyMembers(const std::vector<const Operation*>& reads) {
  for (const Operation* read : reads) {
    for (const Datum& element : Elements(*read)) {
      const auto [it, is_new] = seen_.try_emplace(element, read->completed);
      if (!is_new) it->second = std::min(it->second, read->completed);
    }
  }
}

std::optional<Model::State> Model::Next(State state, const Call& call) const {
  switch (call.kind) {
    case Call::Kind::kRead:
      if (call.answered && call.a != state) return std::nullopt;
      return state;
    case Call::Kind::kWrite: return call.a;
    case Call::Kind::kCas:
      if (state == call.a) return call.b;
      if (call.answered) return std::nullopt;
      return state;
    case Call::Kind::kAdd: return Sum(state, call.a);
    case Call::Kind::kAddAndGet:
      if (call.answered && Sum(state, call.a) != call.b) return std::nullopt;
      return Sum(state, call.a);
    case Call::Kind::kAppend: {
      if (kind_ == ModelKind::kSet) return Sum(state, call.a);
      const auto length = static_cast<int64_t>(longest_.size());
      // Elements that no read saw may come in any order after all elements that were read. From
      // then on no read fits.
      if (call.a == length && state >= length) return length + 1;
      if (call.a != state) return std::nullopt;
      return state + 1;
    }
  }
  return std::nullopt;
}

std::string Model::Describe(State state) const {
  switch (kind_) {
    case ModelKind::kRegister:
      return state == kNull ? "null" : ToString(values_[static_cast<size_t>(state)]);
    case ModelKind::kCounter: return std::to_string(state);
    case ModelKind::kList: {
      const auto length = static_cast<int64_t>(longest_.size());
      return std::to_string(std::min(state, length)) +
             (state > length ? " elements and more" : " elements");
    }
    case ModelKind::kSet: break;
  }
  return "";
}

}  // namespace cairn::history
