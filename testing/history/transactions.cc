#include "testing/history/transactions.h"

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "testing/history/dependency_graph.h"
#include "testing/history/list_history.h"

namespace cairn::history {
namespace {

class Checker {
 public:
  Checker(ListHistory lists, const TransactionOptions& options)
      : lists_(std::move(lists)), options_(options), graph_(lists_.txns.size()) {}

  Verdict Run() {
    verdict_.operations = lists_.txns.size();
    CheckReads(&lists_, &verdict_);
    FindUnseen();
    FindLostUpdates();
    AddWriteOrder();
    AddReads();
    if (options_.real_time) AddRealTime();
    ReportCycles();
    return std::move(verdict_);
  }

 private:
  // Finds the appends that surely happened and that no read has. A transaction that saw a list
  // without them came before them.
  void FindUnseen() {
    unseen_.resize(lists_.keys.size());
    for (KeyId key = 0; key < lists_.keys.size(); ++key) {
      std::set<TxnId> writers;  // the first append of each is enough
      for (ElementId element : lists_.keys[key].appended) {
        const Element& each = lists_.elements[element];
        if (each.place != kNobody || !lists_.Committed(each.writer)) continue;
        if (writers.insert(each.writer).second) unseen_[key].push_back(element);
      }
    }
  }

  void FindLostUpdates() {
    std::map<std::pair<KeyId, size_t>, TxnId> by_version;
    for (TxnId id = 0; id < lists_.txns.size(); ++id) {
      std::set<KeyId> appended;
      for (const MicroOperation& step : lists_.txns[id].steps) {
        if (step.is_append) appended.insert(step.key);
      }
      for (const View& view : lists_.txns[id].views) {
        if (!view.before_own_append || !appended.contains(view.key)) continue;
        if (!lists_.keys[view.key].sound) continue;
        const auto [it, is_new] = by_version.try_emplace({view.key, view.length}, id);
        if (is_new) continue;
        verdict_.Add("lost update", "both read the same version of " + lists_.KeyName(view.key) +
                                        " and appended to it\n  " + Describe(it->second) + "\n  " +
                                        Describe(id));
      }
    }
  }

  void AddEdge(TxnId from, TxnId to, EdgeKind kind, std::string why) {
    graph_.Add({from, to, kind, std::move(why)});
  }
  TxnId WriterOf(ElementId element) const { return lists_.elements[element].writer; }

  void AddWriteOrder() {
    for (KeyId key = 0; key < lists_.keys.size(); ++key) {
      const KeyOrder& each = lists_.keys[key];
      if (!each.sound || each.order.empty()) continue;
      for (size_t i = 0; i + 1 < each.order.size(); ++i) {
        AddEdge(WriterOf(each.order[i]), WriterOf(each.order[i + 1]), kWw,
                lists_.KeyName(key) + ": " + lists_.Name(each.order[i + 1]) + " comes after " +
                    lists_.Name(each.order[i]));
      }
      for (ElementId element : unseen_[key]) {
        AddEdge(
            WriterOf(each.order.back()), WriterOf(element), kWw,
            lists_.KeyName(key) + ": " + lists_.Name(element) + " comes after all that was read");
      }
    }
  }

  void AddReads() {
    for (TxnId id = 0; id < lists_.txns.size(); ++id) {
      for (const View& view : lists_.txns[id].views) {
        const KeyOrder& key = lists_.keys[view.key];
        if (!key.sound) continue;
        const std::string name = lists_.KeyName(view.key) + ": ";
        if (view.last != kNobody) {
          AddEdge(WriterOf(view.last), id, kWr, name + "sees " + lists_.Name(view.last));
        }
        if (view.length < key.order.size()) {
          AddNotSeen(id, key.order[view.length], name);
          continue;
        }
        for (ElementId element : unseen_[view.key]) AddNotSeen(id, element, name);
      }
    }
  }

  void AddNotSeen(TxnId reader, ElementId next, const std::string& name) {
    AddEdge(reader, WriterOf(next), kRw, name + "did not see " + lists_.Name(next));
  }

  // Adds edges to a transaction from each transaction that had ended and does not already precede
  // another ended one. There are at most as many such edges for each transaction as there are
  // clients, and all other real-time edges follow from them.
  void AddRealTime() {
    std::map<size_t, std::pair<TxnId, bool>> events;  // by place; true: completed
    for (TxnId id = 0; id < lists_.txns.size(); ++id) {
      const Operation& operation = lists_.txns[id].operation;
      if (!lists_.Committed(id)) continue;
      events[operation.invoked] = {id, false};
      if (operation.completed != Operation::kNever) events[operation.completed] = {id, true};
    }
    std::set<TxnId> latest;
    std::map<TxnId, std::set<TxnId>> before;
    for (const auto& [place, event] : events) {
      const auto [id, completed] = event;
      if (completed) {
        for (TxnId each : before[id]) latest.erase(each);
        before.erase(id);
        latest.insert(id);
        continue;
      }
      before[id] = latest;
      for (TxnId each : latest) AddEdge(each, id, kRt, "had ended before");
    }
  }

  struct CycleClass {
    const char* name;
    EdgeKind lead;
    uint8_t rest;
  };

  void ReportCycles() {
    static constexpr CycleClass kClasses[] = {{"G0", kWw, kWw},
                                              {"G1c", kWr, kWw | kWr},
                                              {"G-single", kRw, kWw | kWr},
                                              {"G2", kRw, kWw | kWr | kRw}};
    std::vector<bool> reported(lists_.txns.size(), false);
    for (const uint8_t more : {uint8_t{0}, uint8_t{kRt}}) {
      if (more == kRt && !options_.real_time) continue;
      for (const auto& knot : graph_.Knots(static_cast<uint8_t>(kWw | kWr | kRw | more))) {
        bool known = false;
        for (TxnId id : knot) known = known || reported[id];
        if (known) continue;
        for (TxnId id : knot) reported[id] = true;
        for (const CycleClass& each : kClasses) {
          const std::vector<Edge> cycle =
              graph_.ShortestCycle(knot, each.lead, static_cast<uint8_t>(each.rest | more));
          if (cycle.empty()) continue;
          verdict_.Add(std::string(each.name) + (more == kRt ? "-realtime" : ""), Describe(cycle));
          break;
        }
      }
    }
  }

  std::string Describe(TxnId id) const {
    return "T" + std::to_string(id) + " " + ToString(lists_.txns[id].operation);
  }

  std::string Describe(const std::vector<Edge>& cycle) const {
    std::string out = "a cycle of " + std::to_string(cycle.size());
    for (const Edge& edge : cycle) {
      const std::string from = "T" + std::to_string(edge.from);
      const std::string to = "T" + std::to_string(edge.to);
      out += "\n  " + from + " -" + EdgeName(edge.kind) + "-> " + to + "  ";
      switch (edge.kind) {
        case kWr: out += to + " " + edge.why + " of " + from; break;
        case kRw: out += from + " " + edge.why + " of " + to; break;
        case kRt: out += from + " " + edge.why + " " + to + " began"; break;
        case kWw: out += edge.why; break;
      }
    }
    out += "\n  where";
    for (const Edge& edge : cycle) out += "\n  " + Describe(edge.from);
    return out;
  }

  ListHistory lists_;
  const TransactionOptions options_;
  DependencyGraph graph_;
  Verdict verdict_;
  std::vector<std::vector<ElementId>> unseen_;  // by key
};

}  // namespace

Verdict CheckTransactions(const History& history, const TransactionOptions& options) {
  Result<ListHistory> lists = ParseLists(history);
  if (!lists.ok()) return Verdict::Unknown(lists.status().message());
  return Checker(std::move(*lists), options).Run();
}

}  // namespace cairn::history
