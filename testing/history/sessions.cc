#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "testing/history/list_history.h"
#include "testing/history/transactions.h"

namespace cairn::history {
namespace {

// A place in a key's order that must be seen, and the element at that place.
struct Need {
  ElementId element = kNobody;
  TxnId source = kNobody;  // the transaction that causes the need
};
using Needs = std::map<KeyId, Need>;

class Checker {
 public:
  explicit Checker(ListHistory lists) : lists_(std::move(lists)) {}

  Verdict Run() {
    Verdict ignored;  // CheckTransactions reports these
    CheckReads(&lists_, &ignored);
    verdict_.operations = lists_.txns.size();
    CollectLogs();
    for (TxnId id = 0; id < lists_.txns.size(); ++id) {
      if (lists_.txns[id].ok()) Judge(id, &sessions_[lists_.txns[id].operation.process]);
    }
    return std::move(verdict_);
  }

 private:
  // The appends and reads of a session, in the session's order.
  struct LogItem {
    TxnId txn;
    KeyId key;
    ElementId element;
  };
  struct Log {
    std::vector<LogItem> appends;
    std::vector<LogItem> reads;
  };
  struct Cursor {
    size_t appends = 0;
    size_t reads = 0;
  };
  struct Session {
    Needs own;       // what the session appended
    Needs observed;  // what the session read
    // What the writers of all that the session read had appended and read before their writes.
    Needs precedes;
    Needs follows;
    std::map<KeyId, size_t> merged;     // how much of each key is merged into these
    std::map<int64_t, Cursor> cursors;  // how much of each session's log is merged
  };

  void CollectLogs() {
    for (TxnId id = 0; id < lists_.txns.size(); ++id) {
      const Txn& txn = lists_.txns[id];
      Log& log = logs_[txn.operation.process];
      if (!txn.ok()) continue;
      for (const View& view : txn.views) {
        if (view.last != kNobody) log.reads.push_back({id, view.key, view.last});
      }
      for (const MicroOperation& step : txn.steps) {
        if (step.is_append) log.appends.push_back({id, step.key, step.element});
      }
    }
  }

  void Judge(TxnId id, Session* session) {
    Demand("read your writes", "which its own session had appended in", id, session->own);
    Demand("monotonic reads", "which its own session had read in", id, session->observed);
    for (const View& view : lists_.txns[id].views) {
      const KeyOrder& key = lists_.keys[view.key];
      for (size_t& i = session->merged[view.key]; key.sound && i < view.length; ++i) {
        MergeBefore(lists_.elements[key.order[i]].writer, session);
      }
    }
    Demand("monotonic writes", "which was appended before by the session of", id,
           session->precedes);
    Demand("writes follow reads", "which had been read before by the session of", id,
           session->follows);
    for (const View& view : lists_.txns[id].views) {
      if (view.last != kNobody) Raise(view.key, {view.last, id}, &session->observed);
    }
    for (const MicroOperation& step : lists_.txns[id].steps) {
      if (step.is_append) Raise(step.key, {step.element, id}, &session->own);
    }
  }

  // Merges what the session of `writer` had done before `writer`.
  void MergeBefore(TxnId writer, Session* session) {
    const int64_t process = lists_.txns[writer].operation.process;
    const Log& log = logs_[process];
    Cursor& cursor = session->cursors[process];
    const auto merge = [&](const std::vector<LogItem>& items, size_t* at, Needs* needs) {
      for (; *at < items.size() && items[*at].txn < writer; ++*at) {
        Raise(items[*at].key, {items[*at].element, writer}, needs);
      }
    };
    merge(log.appends, &cursor.appends, &session->precedes);
    merge(log.reads, &cursor.reads, &session->follows);
  }

  // An element that no read has comes after all elements that have a place.
  uint32_t PlaceOf(ElementId element) const { return lists_.elements[element].place; }

  void Raise(KeyId key, const Need& need, Needs* needs) {
    if (!lists_.keys[key].sound) return;
    const auto [it, is_new] = needs->try_emplace(key, need);
    if (!is_new && PlaceOf(need.element) > PlaceOf(it->second.element)) it->second = need;
  }
  void Demand(const char* name, const char* because, TxnId id, const Needs& needs) {
    for (const View& view : lists_.txns[id].views) {
      const auto need = needs.find(view.key);
      if (need == needs.end() || !lists_.keys[view.key].sound) continue;
      const Need& missing = need->second;
      // The view excludes the transaction's own appends. A place beyond any read is never seen.
      if (PlaceOf(missing.element) < view.length || lists_.elements[missing.element].writer == id) {
        continue;
      }
      verdict_.Add(name, lists_.KeyName(view.key) + " lacks " + lists_.Name(missing.element) +
                             " in\n  " + ToString(lists_.txns[id].operation) + "\n  " + because +
                             "\n  " + ToString(lists_.txns[missing.source].operation));
    }
  }

  ListHistory lists_;
  Verdict verdict_;
  std::map<int64_t, Log> logs_;
  std::map<int64_t, Session> sessions_;
};

}  // namespace

Verdict CheckSessions(const History& history) {
  Result<ListHistory> lists = ParseLists(history);
  if (!lists.ok()) return Verdict::Unknown(lists.status().message());
  return Checker(std::move(*lists)).Run();
}

}  // namespace cairn::history
