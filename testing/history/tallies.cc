#include "testing/history/tallies.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace cairn::history {
namespace {

std::optional<std::pair<Datum, Datum>> Pair(const Datum& datum) {
  const DatumList* list = datum.list();
  if (list == nullptr || list->size() != 2) return std::nullopt;
  return std::make_pair((*list)[0], (*list)[1]);
}

Verdict NotOfThisKind(const Operation& operation) {
  return Verdict::Unknown("not an operation of this checker: " + ToString(operation));
}

struct Added {
  const Operation* add = nullptr;
  // The element is surely there from this place on, because the add was acknowledged or a read saw
  // it.
  size_t known = Operation::kNever;
  const Operation* known_by = nullptr;
};

// The elements of one key.
class OneSet {
 public:
  OneSet(std::string name, Verdict* verdict) : name_(std::move(name)), verdict_(*verdict) {}

  void Add(const Datum& element, const Operation* add) {
    Added& added = added_[element];
    added.add = add;
    if (add->fate == Fate::kOk) Know(&added, add);
  }
  void Read(const DatumList& elements, const Operation* read) {
    std::set<Datum> once;
    for (const Datum& element : elements) {
      if (once.insert(element).second) continue;
      Report("duplicated", element, "is there more than once in", *read);
    }
    reads_.emplace_back(read, std::move(once));
  }

  void Check() {
    std::sort(reads_.begin(), reads_.end(),
              [](const auto& a, const auto& b) { return a.first->invoked < b.first->invoked; });
    for (const auto& [read, elements] : reads_) CheckRead(read, elements);
    for (const auto& [element, added] : added_) CheckStays(element, added);
  }

 private:
  static void Know(Added* added, const Operation* by) {
    if (by->completed >= added->known) return;
    added->known = by->completed;
    added->known_by = by;
  }

  void CheckRead(const Operation* read, const std::set<Datum>& elements) {
    for (const Datum& element : elements) {
      const auto added = added_.find(element);
      if (added == added_.end()) {
        Report("unexpected", element, "was never added, but is in", *read);
        continue;
      }
      const Operation& add = *added->second.add;
      if (add.fate == Fate::kFail || read->Before(add)) {
        Report("unexpected", element,
               (add.fate == Fate::kFail ? "was refused, by " : "was not added before ") +
                   ToString(add) + ", but is in",
               *read);
      }
      Know(&added->second, read);
    }
  }

  void CheckStays(const Datum& element, const Added& added) {
    const Operation* missing = nullptr;
    const Operation* seen_later = nullptr;
    for (const auto& [read, elements] : reads_) {
      if (read->invoked < added.known || added.known == Operation::kNever) continue;
      if (!elements.contains(element)) {
        if (missing == nullptr) missing = read;
        seen_later = nullptr;
      } else if (missing != nullptr) {
        seen_later = read;
      }
    }
    if (missing == nullptr) return;
    Report(seen_later == nullptr ? "lost" : "stale", element,
           "was known by\n  " + ToString(*added.known_by) + "\n  and is missing from", *missing);
  }

  void Report(const char* name, const Datum& element, const std::string& what,
              const Operation& read) {
    verdict_.Add(name, ToString(element) + name_ + " " + what + "\n  " + ToString(read));
  }

  const std::string name_;
  Verdict& verdict_;
  std::map<Datum, Added> added_;
  std::vector<std::pair<const Operation*, std::set<Datum>>> reads_;
};

}  // namespace

Verdict CheckSets(const History& history) {
  const Result<std::vector<Operation>> operations = PairOperations(history);
  if (!operations.ok()) return Verdict::Unknown(operations.status().message());
  Verdict verdict;
  verdict.operations = operations->size();
  std::map<Datum, OneSet> sets;
  for (const Operation& operation : *operations) {
    const bool ok = operation.fate == Fate::kOk;
    const auto value = Pair(ok ? operation.answered : operation.asked);
    if (!value) return NotOfThisKind(operation);
    OneSet& set =
        sets.try_emplace(value->first, " of key " + ToString(value->first), &verdict).first->second;
    if (operation.f == "add") {
      set.Add(value->second, &operation);
    } else if (operation.f != "read") {
      return NotOfThisKind(operation);
    } else if (ok && value->second.is_null()) {
      set.Read({}, &operation);
    } else if (ok) {
      if (value->second.list() == nullptr) return NotOfThisKind(operation);
      set.Read(*value->second.list(), &operation);
    }
  }
  for (auto& [key, set] : sets) set.Check();
  return verdict;
}

Verdict CheckBank(const History& history, const BankOptions& options) {
  const Result<std::vector<Operation>> operations = PairOperations(history);
  if (!operations.ok()) return Verdict::Unknown(operations.status().message());
  Verdict verdict;
  std::optional<std::set<std::string>> accounts;
  for (const Operation& operation : *operations) {
    if (operation.f != "read" && operation.f != "transfer") return NotOfThisKind(operation);
    ++verdict.operations;
    if (operation.f != "read" || operation.fate != Fate::kOk) continue;
    if (operation.answered.members() == nullptr) return NotOfThisKind(operation);
    int64_t total = 0;
    std::set<std::string> names;
    bool negative = false;
    for (const auto& [name, balance] : *operation.answered.members()) {
      if (balance.number() == nullptr) return NotOfThisKind(operation);
      total += *balance.number();
      negative = negative || *balance.number() < 0;
      names.insert(name);
    }
    if (!accounts) accounts = names;
    if (names != *accounts) verdict.Add("wrong accounts", ToString(operation));
    if (total != options.total) {
      verdict.Add("wrong total", std::to_string(total) + " in the place of " +
                                     std::to_string(options.total) + "\n  " + ToString(operation));
    }
    if (negative && !options.negative_allowed) {
      verdict.Add("negative balance", ToString(operation));
    }
  }
  return verdict;
}

namespace {

// The versions of one table, in the order of the events.
class OneTable {
 public:
  explicit OneTable(Verdict* verdict) : verdict_(*verdict) {}

  void Invoked(const Operation* operation) { known_when_invoked_[operation] = {known_, known_by_}; }

  void Completed(const Operation* operation, int64_t version) {
    const auto [known, known_by] = known_when_invoked_[operation];
    const bool is_change = operation->f == "change";
    if (known_by != nullptr && (version < known || (is_change && version == known))) {
      verdict_.Add("went back",
                   ToString(*operation) + "\n  though before it\n  " + ToString(*known_by));
    }
    if (is_change) {
      const auto [other, is_new] = changes_.try_emplace(version, operation);
      if (!is_new) {
        verdict_.Add("repeated", ToString(*other->second) + "\n  " + ToString(*operation));
      }
    }
    if (known_by_ == nullptr || version > known_) {
      known_ = version;
      known_by_ = operation;
    }
  }

 private:
  Verdict& verdict_;
  int64_t known_ = 0;
  const Operation* known_by_ = nullptr;
  std::map<const Operation*, std::pair<int64_t, const Operation*>> known_when_invoked_;
  std::map<int64_t, const Operation*> changes_;
};

}  // namespace

Verdict CheckVersions(const History& history) {
  const Result<std::vector<Operation>> operations = PairOperations(history);
  if (!operations.ok()) return Verdict::Unknown(operations.status().message());
  Verdict verdict;
  std::map<Datum, OneTable> tables;
  std::map<size_t, const Operation*> by_place;
  for (const Operation& operation : *operations) {
    const bool ok = operation.fate == Fate::kOk;
    const auto value = Pair(ok ? operation.answered : operation.asked);
    if (!value || (operation.f != "version" && operation.f != "change") ||
        (ok && value->second.number() == nullptr)) {
      return NotOfThisKind(operation);
    }
    if (!ok) continue;
    ++verdict.operations;
    by_place[operation.invoked] = &operation;
    by_place[operation.completed] = &operation;
  }
  for (const auto& [place, operation] : by_place) {
    const auto [name, version] = *Pair(operation->answered);
    OneTable& table = tables.try_emplace(name, &verdict).first->second;
    if (place == operation->invoked) {
      table.Invoked(operation);
    } else {
      table.Completed(operation, *version.number());
    }
  }
  return verdict;
}

}  // namespace cairn::history
