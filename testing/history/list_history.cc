#include "testing/history/list_history.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace cairn::history {
namespace {

class Parser {
 public:
  explicit Parser(ListHistory* lists) : lists_(*lists) {}

  Status Add(Operation operation) {
    const bool ok = operation.fate == Fate::kOk;
    const DatumList* steps = (ok ? operation.answered : operation.asked).list();
    if (operation.f != "txn" || steps == nullptr) return Refused(operation);
    const auto id = static_cast<TxnId>(lists_.txns.size());
    Txn txn;
    std::map<KeyId, ElementId> last;
    for (const Datum& datum : *steps) {
      const DatumList* parts = datum.list();
      if (parts == nullptr || parts->size() != 3 || (*parts)[0].text() == nullptr) {
        return Refused(operation);
      }
      MicroOperation step;
      step.is_append = *(*parts)[0].text() == "append";
      step.key = Key((*parts)[1]);
      if (step.is_append) {
        step.element = ElementOf(step.key, (*parts)[2]);
        Element& element = lists_.elements[step.element];
        if (element.writer != kNobody) {
          return InvalidArgument("elements must be unique: " + ToString(operation));
        }
        element.writer = id;
        lists_.keys[step.key].appended.push_back(step.element);
        last[step.key] = step.element;
      } else if (*(*parts)[0].text() != "r" || !ReadList((*parts)[2], &step)) {
        return Refused(operation);
      }
      if (step.is_append || ok) txn.steps.push_back(std::move(step));
    }
    for (const auto& [key, element] : last) lists_.elements[element].last_of_writer = true;
    txn.operation = std::move(operation);
    lists_.txns.push_back(std::move(txn));
    return OkStatus();
  }

 private:
  static Status Refused(const Operation& operation) {
    return InvalidArgument("not a list-append transaction: " + ToString(operation));
  }

  KeyId Key(const Datum& key) {
    const auto [it, is_new] = keys_.try_emplace(key, static_cast<KeyId>(lists_.keys.size()));
    if (is_new) {
      lists_.keys.emplace_back();
      lists_.keys.back().key = key;
      elements_.emplace_back();
    }
    return it->second;
  }

  ElementId ElementOf(KeyId key, const Datum& value) {
    const auto [it, is_new] =
        elements_[key].try_emplace(value, static_cast<ElementId>(lists_.elements.size()));
    if (is_new) {
      lists_.elements.emplace_back();
      lists_.elements.back().key = key;
      lists_.elements.back().value = value;
    }
    return it->second;
  }

  bool ReadList(const Datum& datum, MicroOperation* step) {
    if (datum.is_null()) return true;
    if (datum.list() == nullptr) return false;
    for (const Datum& value : *datum.list()) step->list.push_back(ElementOf(step->key, value));
    return true;
  }

  ListHistory& lists_;
  std::map<Datum, KeyId> keys_;
  std::vector<std::map<Datum, ElementId>> elements_;  // by key
};

bool IsBeginning(const std::vector<ElementId>& part, const std::vector<ElementId>& whole) {
  return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

// Checks one transaction's reads against its own appends.
class OwnReads {
 public:
  OwnReads(ListHistory* lists, TxnId id, Verdict* verdict)
      : lists_(*lists), id_(id), txn_(lists->txns[id]), verdict_(*verdict) {}

  void Check() {
    for (const MicroOperation& step : txn_.steps) {
      Known& known = known_[step.key];
      if (step.is_append) {
        known.own.push_back(step.element);
      } else if (known.read) {
        std::vector<ElementId> expected = known.base;
        expected.insert(expected.end(), known.own.begin(), known.own.end());
        if (step.list != expected) Internal(step);
      } else {
        FirstRead(step, &known);
      }
    }
  }

 private:
  struct Known {
    bool read = false;
    std::vector<ElementId> base;  // the content when the transaction began
    std::vector<ElementId> own;
  };

  void FirstRead(const MicroOperation& step, Known* known) {
    const size_t own = known->own.size();
    if (step.list.size() < own || !std::equal(known->own.begin(), known->own.end(),
                                              step.list.end() - static_cast<ptrdiff_t>(own))) {
      Internal(step);
      return;
    }
    known->read = true;
    known->base.assign(step.list.begin(), step.list.end() - static_cast<ptrdiff_t>(own));
    for (ElementId each : known->base) {
      if (lists_.elements[each].writer != id_) continue;
      Internal(step);  // it saw an element that it appends later
      return;
    }
    View view;
    view.key = step.key;
    view.length = known->base.size();
    if (!known->base.empty()) view.last = known->base.back();
    view.before_own_append = own == 0;
    txn_.views.push_back(view);
  }

  void Internal(const MicroOperation& step) {
    verdict_.Add("internal", "what it reads of " + lists_.KeyName(step.key) +
                                 " is not what it had read and appended before\n  " +
                                 ToString(txn_.operation));
  }

  ListHistory& lists_;
  const TxnId id_;
  Txn& txn_;
  Verdict& verdict_;
  std::map<KeyId, Known> known_;
};

class ReadChecker {
 public:
  ReadChecker(ListHistory* lists, Verdict* verdict) : lists_(*lists), verdict_(*verdict) {}

  void Check() {
    lists_.seen_by_others.assign(lists_.txns.size(), false);
    for (TxnId id = 0; id < lists_.txns.size(); ++id) {
      if (!lists_.txns[id].ok()) continue;
      OwnReads(&lists_, id, &verdict_).Check();
      for (const MicroOperation& step : lists_.txns[id].steps) {
        if (!step.is_append) CheckElements(id, step);
      }
      for (const View& view : lists_.txns[id].views) CheckIntermediate(id, view);
    }
    for (TxnId id = 0; id < lists_.txns.size(); ++id) {
      if (!lists_.txns[id].ok()) continue;
      for (const MicroOperation& step : lists_.txns[id].steps) {
        if (!step.is_append) CheckOrder(id, step);
      }
    }
    for (KeyOrder& key : lists_.keys) {
      if (!key.sound) continue;
      for (uint32_t i = 0; i < key.order.size(); ++i) lists_.elements[key.order[i]].place = i;
    }
  }

 private:
  // Finds aborted, unknown and repeated elements, and records the longest read of each key.
  void CheckElements(TxnId id, const MicroOperation& read) {
    KeyOrder& key = lists_.keys[read.key];
    if (key.longest_reader == kNobody || read.list.size() > key.order.size()) {
      key.order = read.list;
      key.longest_reader = id;
    }
    std::set<ElementId> once;
    for (ElementId each : read.list) {
      const TxnId writer = lists_.elements[each].writer;
      if (!once.insert(each).second) {
        key.sound = false;
        Report("duplicate", lists_.Name(each) + " is twice in " + lists_.KeyName(read.key), id);
      }
      if (writer == kNobody) {
        key.sound = false;
        Report("garbage",
               "nobody appended " + lists_.Name(each) + " to " + lists_.KeyName(read.key), id);
      } else if (lists_.txns[writer].operation.fate == Fate::kFail) {
        key.sound = false;
        Report("G1a",
               lists_.Name(each) + " of " + lists_.KeyName(read.key) +
                   " was appended by an aborted transaction\n  " +
                   ToString(lists_.txns[writer].operation) + "\n  and read by",
               id);
      } else if (writer != id) {
        lists_.seen_by_others[writer] = true;
      }
    }
  }

  void CheckIntermediate(TxnId id, const View& view) {
    if (view.last == kNobody) return;
    const Element& last = lists_.elements[view.last];
    if (last.writer == kNobody || last.writer == id || last.last_of_writer) return;
    Report("G1b",
           lists_.KeyName(view.key) + " ends in " + lists_.Name(view.last) +
               ", which is not the last that was appended by\n  " +
               ToString(lists_.txns[last.writer].operation) + "\n  in what was read by",
           id);
  }

  void CheckOrder(TxnId id, const MicroOperation& read) {
    KeyOrder& key = lists_.keys[read.key];
    if (IsBeginning(read.list, key.order)) return;
    key.sound = false;
    Report("incompatible order",
           "no order of " + lists_.KeyName(read.key) + " has both what was read by\n  " +
               ToString(lists_.txns[key.longest_reader].operation) + "\n  and by",
           id);
  }

  void Report(const char* name, const std::string& what, TxnId reader) {
    verdict_.Add(name, what + "\n  " + ToString(lists_.txns[reader].operation));
  }

  ListHistory& lists_;
  Verdict& verdict_;
};

}  // namespace

Result<ListHistory> ParseLists(const History& history) {
  ASSIGN_OR_RETURN(std::vector<Operation> operations, PairOperations(history));
  ListHistory lists;
  Parser parser(&lists);
  for (Operation& operation : operations) RETURN_IF_ERROR(parser.Add(std::move(operation)));
  return lists;
}

void CheckReads(ListHistory* lists, Verdict* verdict) { ReadChecker(lists, verdict).Check(); }

}  // namespace cairn::history
