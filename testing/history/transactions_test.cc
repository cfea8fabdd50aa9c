#include "testing/history/transactions.h"

#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <map>

#include "testing/history/history_generator_test_util.h"
#include "testing/sanitized.h"

namespace cairn::history {
namespace {

// Short forms of ["append",key,element] and ["r",key,[...]].
Datum A(int64_t key, int64_t element) { return DatumList{"append", key, element}; }
Datum R(int64_t key) { return DatumList{"r", key, Datum()}; }
Datum R(int64_t key, const std::vector<int64_t>& elements) {
  DatumList list;
  for (int64_t each : elements) list.emplace_back(each);
  return DatumList{"r", key, list};
}
using Steps = DatumList;

Datum Blank(const Steps& steps) {
  DatumList asked = steps;
  for (Datum& step : asked) {
    if (*(*step.list())[0].text() == "r") step = DatumList{"r", (*step.list())[1], Datum()};
  }
  return asked;
}

class Txns {
 public:
  explicit Txns(History before = {}) : history_(std::move(before)) {}

  // One after the other, or all at once.
  Txns& InTurn(const std::vector<Steps>& txns, int64_t process = 100) {
    for (const Steps& each : txns) Invoke(process, each).End(EventType::kOk, process, each);
    return *this;
  }
  Txns& AtOnce(const std::vector<Steps>& txns) {
    int64_t process = 200;
    for (const Steps& each : txns) Invoke(process++, each);
    process = 200;
    for (const Steps& each : txns) End(EventType::kOk, process++, each);
    return *this;
  }
  Txns& Invoke(int64_t process, const Steps& steps) {
    history_.push_back({EventType::kInvoke, process, 0, "txn", Blank(steps)});
    return *this;
  }
  Txns& End(EventType type, int64_t process, const Steps& steps) {
    history_.push_back(
        {type, process, 0, "txn", type == EventType::kOk ? Datum(steps) : Blank(steps)});
    return *this;
  }
  const History& history() const { return history_; }

 private:
  History history_;
};

// Executes transactions one after the other.
class SerialLists {
 public:
  explicit SerialLists(int64_t keys) : keys_(keys) {}

  std::pair<std::string, Datum> Ask(Rng* rng) {
    DatumList steps;
    for (uint64_t left = rng->Between(1, 4); left > 0; --left) {
      const auto key = static_cast<int64_t>(rng->Below(static_cast<uint64_t>(keys_)));
      steps.push_back(rng->Below(2) == 0 ? R(key) : A(key, ++next_));
    }
    return {"txn", steps};
  }
  std::optional<Datum> Execute(const std::string&, const Datum& asked) {
    DatumList steps = *asked.list();
    for (Datum& step : steps) {
      const DatumList& parts = *step.list();
      DatumList& list = lists_[parts[1]];
      if (*parts[0].text() == "append") {
        list.push_back(parts[2]);
      } else {
        step = DatumList{"r", parts[1], list.empty() ? Datum() : Datum(list)};
      }
    }
    return steps;
  }
  History Run(uint64_t seed, GeneratorOptions options) {
    return HistoryGenerator(seed, options)
        .Run([this](Rng* rng) { return Ask(rng); },
             [this](const std::string& f, const Datum& asked) { return Execute(f, asked); });
  }

 private:
  const int64_t keys_;
  int64_t next_ = 0;
  std::map<Datum, DatumList> lists_;
};

TEST(Transactions, AcceptsWhatASerialExecutorAnswered) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Rng rng(seed);
    GeneratorOptions options;
    options.processes = rng.Between(1, 15);
    options.info_per_mille = rng.Below(200);
    options.fail_per_mille = rng.Below(200);
    const History history = SerialLists(static_cast<int64_t>(rng.Between(1, 6))).Run(seed, options);
    const Verdict verdict = CheckTransactions(history);
    ASSERT_TRUE(verdict.ok()) << "seed " << seed << "\n" << ToString(verdict);
    ASSERT_EQ(verdict.operations, options.operations);
    ASSERT_TRUE(CheckSessions(history).ok()) << "seed " << seed;
  }
}

struct Planted {
  const char* anomaly;
  bool needs_real_time;
  std::function<void(Txns*)> plant;
};

// Each anomaly uses its own keys, from 1000 on.
const std::vector<Planted>& AllPlanted() {
  static const std::vector<Planted> kAll = {
      {"internal", false,
       [](Txns* t) {
         t->InTurn({{A(1000, 1), R(1000, {})}});
       }},
      {"internal", false,
       [](Txns* t) {
         t->InTurn({{A(1000, 1)}, {R(1000, {1}), A(1000, 2), R(1000, {1})}});
       }},
      {"internal", false,
       [](Txns* t) {
         t->InTurn({{R(1000, {1}), A(1000, 1)}});
       }},
      {"G1a", false,
       [](Txns* t) {
         t->Invoke(300, {A(1000, 1)}).End(EventType::kFail, 300, {A(1000, 1)});
         t->InTurn({{R(1000, {1})}});
       }},
      {"G1b", false,
       [](Txns* t) {
         t->AtOnce({{A(1000, 1), A(1000, 2)}, {R(1000, {1})}}).InTurn({{R(1000, {1, 2})}});
       }},
      {"garbage", false, [](Txns* t) { t->InTurn({{R(1000, {77})}}); }},
      {"duplicate", false,
       [](Txns* t) {
         t->InTurn({{A(1000, 1)}, {R(1000, {1, 1})}});
       }},
      {"incompatible order", false,
       [](Txns* t) {
         t->AtOnce({{A(1000, 1)}, {A(1000, 2)}}).AtOnce({{R(1000, {1, 2})}, {R(1000, {2, 1})}});
       }},
      {"lost update", false,
       [](Txns* t) {
         t->InTurn({{A(1000, 1)}});
         t->AtOnce({{R(1000, {1}), A(1000, 2)}, {R(1000, {1}), A(1000, 3)}});
         t->InTurn({{R(1000, {1, 2, 3})}});
       }},
      {"G0", false,
       [](Txns* t) {
         t->AtOnce({{A(1000, 1), A(1001, 1)}, {A(1000, 2), A(1001, 2)}});
         t->InTurn({{R(1000, {1, 2}), R(1001, {2, 1})}});
       }},
      {"G1c", false,
       [](Txns* t) {
         t->AtOnce({{A(1000, 1), R(1001, {1})}, {A(1001, 1), R(1000, {1})}});
       }},
      {"G-single", false,  // read skew
       [](Txns* t) {
         t->AtOnce({{R(1000), R(1001, {1})}, {A(1000, 1), A(1001, 1)}});
         t->InTurn({{R(1000, {1}), R(1001, {1})}});
       }},
      {"G2", false,  // write skew
       [](Txns* t) {
         t->AtOnce({{R(1000), A(1001, 1)}, {R(1001), A(1000, 1)}});
         t->InTurn({{R(1000, {1}), R(1001, {1})}});
       }},
      {"G0-realtime", true,
       [](Txns* t) {
         t->InTurn({{A(1000, 1)}, {A(1000, 2)}, {R(1000, {2, 1})}});
       }},
      {"G1c-realtime", true,
       [](Txns* t) { t->InTurn({{R(1000, {1})}}, 300).InTurn({{A(1000, 1)}}, 301); }},
      {"G-single-realtime", true,  // a stale read, even if nobody sees the write later
       [](Txns* t) { t->InTurn({{A(1000, 1)}}, 300).InTurn({{R(1000)}}, 301); }},
      {"G2", false,  // a long fork
       [](Txns* t) {
         t->AtOnce({{A(1000, 1)}, {A(1001, 1)}, {R(1000, {1}), R(1001)}, {R(1000), R(1001, {1})}});
       }},
      {"G2-realtime", true,
       [](Txns* t) {
         t->Invoke(300, {R(1001), A(1000, 1)});
         t->InTurn({{A(1001, 1)}}, 301).InTurn({{R(1000)}}, 302);
         t->End(EventType::kOk, 300, {R(1001), A(1000, 1)});
       }},
  };
  return kAll;
}

TEST(Transactions, NamesEachPlantedAnomalyInTheMiddleOfACorrectHistory) {
  for (const Planted& planted : AllPlanted()) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      Txns txns(SerialLists(4).Run(seed, {.operations = 100}));
      planted.plant(&txns);
      const Verdict verdict = CheckTransactions(txns.history());
      ASSERT_EQ(verdict.validity, Validity::kInvalid) << planted.anomaly << " seed " << seed;
      EXPECT_TRUE(verdict.Has(planted.anomaly)) << planted.anomaly << "\n" << ToString(verdict);
      EXPECT_EQ(verdict.anomalies[0].explanation.empty(), false);
      const Verdict relaxed = CheckTransactions(txns.history(), {.real_time = false});
      EXPECT_EQ(relaxed.ok(), planted.needs_real_time) << planted.anomaly << "\n"
                                                       << ToString(relaxed);
    }
  }
}

TEST(Transactions, TheCycleIsExplained) {
  Txns txns;
  txns.InTurn({{A(5, 1)}}, 1).InTurn({{R(5)}}, 2);
  const Verdict verdict = CheckTransactions(txns.history());
  ASSERT_EQ(verdict.anomalies.size(), 1u);
  EXPECT_EQ(verdict.anomalies[0].explanation,
            "a cycle of 2\n"
            "  T1 -rw-> T0  T1 key 5: did not see 1 of T0\n"
            "  T0 -rt-> T1  T0 had ended before T1 began\n"
            "  where\n"
            "  T1 process 2 txn [[\"r\",5,null]] (events 2 to 3)\n"
            "  T0 process 1 txn [[\"append\",5,1]] (events 0 to 1)");
}

TEST(Transactions, AnUnknownTransactionThatWasSeenHasCommitted) {
  Txns txns;
  txns.Invoke(1, {A(5, 1), A(6, 1)}).End(EventType::kInfo, 1, {A(5, 1), A(6, 1)});
  txns.InTurn({{R(5), R(6)}});
  EXPECT_TRUE(CheckTransactions(txns.history()).ok()) << "not yet";
  txns.InTurn({{R(5, {1}), R(6, {1})}});
  EXPECT_TRUE(CheckTransactions(txns.history()).ok()) << "late";
  txns.InTurn({{R(5, {1}), R(6)}});
  EXPECT_TRUE(CheckTransactions(txns.history()).Has("G-single")) << "half of it";
}

TEST(Transactions, WhatIsNoListAppendHistoryIsUnknown) {
  Txns twice;
  twice.InTurn({{A(1, 1)}, {A(1, 1)}});
  EXPECT_EQ(CheckTransactions(twice.history()).validity, Validity::kUnknown);
  EXPECT_EQ(CheckTransactions({{EventType::kInvoke, 1, 0, "txn", 5}}).validity, Validity::kUnknown);
}

// Tries every order of the transactions that may have committed.
class EverySerialOrder {
 public:
  EverySerialOrder(std::vector<Operation> operations, bool real_time)
      : operations_(std::move(operations)), real_time_(real_time), used_(operations_.size()) {}

  bool Exists(const std::map<Datum, DatumList>& lists = {}) {
    bool done = true;
    for (size_t i = 0; i < operations_.size(); ++i) {
      done = done && (used_[i] || operations_[i].fate != Fate::kOk);
    }
    if (done) return true;
    for (size_t i = 0; i < operations_.size(); ++i) {
      if (used_[i] || operations_[i].fate == Fate::kFail || !MayComeNow(i)) continue;
      std::map<Datum, DatumList> after = lists;
      if (!Run(operations_[i], &after)) continue;
      used_[i] = true;
      if (Exists(after)) return true;
      used_[i] = false;
    }
    return false;
  }

 private:
  bool MayComeNow(size_t i) const {
    for (size_t j = 0; real_time_ && j < operations_.size(); ++j) {
      if (!used_[j] && operations_[j].fate == Fate::kOk && operations_[j].Before(operations_[i])) {
        return false;
      }
    }
    return true;
  }
  static bool Run(const Operation& operation, std::map<Datum, DatumList>* lists) {
    const bool ok = operation.fate == Fate::kOk;
    for (const Datum& step : *(ok ? operation.answered : operation.asked).list()) {
      const DatumList& parts = *step.list();
      DatumList& list = (*lists)[parts[1]];
      if (*parts[0].text() == "append") {
        list.push_back(parts[2]);
      } else if (ok && (parts[2].is_null() ? DatumList() : *parts[2].list()) != list) {
        return false;
      }
    }
    return true;
  }

  const std::vector<Operation> operations_;
  const bool real_time_;
  std::vector<bool> used_;
};

// Small histories with exchanged answers of reads. Every append is read in the end, so the reads
// tell the order of all versions, and the verdict is exact.
TEST(Transactions, SaysWhatTryingEverySerialOrderSays) {
  int valid[2] = {0, 0};
  int invalid[2] = {0, 0};
  for (uint64_t seed = 1; seed <= Samples(3000); ++seed) {
    SerialLists lists(2);
    Txns txns(lists.Run(seed, {7, 4, 100, 50}));
    const Datum last = *lists.Execute("txn", Steps{R(0), R(1)});
    History history = txns.history();
    Rng rng(seed);
    std::map<Datum, DatumList> answers;  // by key
    const auto each_read = [&](const std::function<void(DatumList*)>& visit) {
      for (Event& event : history) {
        if (event.type != EventType::kOk) continue;
        for (Datum& step : std::get<DatumList>(event.value.any)) {
          auto& parts = std::get<DatumList>(step.any);
          if (*parts[0].text() == "r") visit(&parts);
        }
      }
    };
    each_read([&](DatumList* read) { answers[(*read)[1]].push_back((*read)[2]); });
    each_read([&](DatumList* read) {
      const DatumList& others = answers[(*read)[1]];
      if (rng.Below(4) == 0) (*read)[2] = others[rng.Below(others.size())];
    });
    txns = Txns(std::move(history));
    txns.InTurn({*last.list()});
    for (const bool real_time : {false, true}) {
      const bool exists = EverySerialOrder(*PairOperations(txns.history()), real_time).Exists();
      const Verdict verdict = CheckTransactions(txns.history(), {.real_time = real_time});
      ASSERT_EQ(verdict.ok(), exists) << "seed " << seed << " real time " << real_time << "\n"
                                      << ToJsonLines(txns.history()) << ToString(verdict);
      ++(exists ? valid : invalid)[real_time ? 1 : 0];
    }
  }
  for (int i : {0, 1}) {
    EXPECT_GT(valid[i], static_cast<int>(Samples(300)));
    EXPECT_GT(invalid[i], static_cast<int>(Samples(300)));
  }
}

// Prints how long 10,000 transactions take; the time does not decide the test.
TEST(Transactions, JudgesTenThousand) {
  const History history = SerialLists(300).Run(1, {10'000, 10, 5, 30});
  const auto begin = std::chrono::steady_clock::now();
  const Verdict verdict = CheckTransactions(history);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const Verdict sessions = CheckSessions(history);
  const std::chrono::duration<double> took_both = std::chrono::steady_clock::now() - begin;
  EXPECT_TRUE(verdict.ok()) << ToString(verdict);
  EXPECT_TRUE(sessions.ok()) << ToString(sessions);
  std::cout << verdict.operations << " transactions in " << took.count()
            << " s, with their sessions in " << took_both.count() << " s\n";
}

TEST(Sessions, ReadYourWrites) {
  Txns txns;
  txns.InTurn({{A(1, 1)}}, 7).InTurn({{R(1)}}, 8);
  EXPECT_TRUE(CheckSessions(txns.history()).ok()) << "another session may be behind";
  txns.InTurn({{R(1)}}, 7);
  const Verdict verdict = CheckSessions(txns.history());
  ASSERT_TRUE(verdict.Has("read your writes"));
  EXPECT_EQ(verdict.anomalies[0].explanation,
            "key 1 lacks 1 in\n"
            "  process 7 txn [[\"r\",1,null]] (events 4 to 5)\n"
            "  which its own session had appended in\n"
            "  process 7 txn [[\"append\",1,1]] (events 0 to 1)");
}

TEST(Sessions, AWriteOfUnknownOutcomeNeedNotBeRead) {
  Txns txns;
  txns.Invoke(7, {A(1, 1)}).End(EventType::kInfo, 7, {A(1, 1)});
  txns.InTurn({{R(1)}}, 7);
  EXPECT_TRUE(CheckSessions(txns.history()).ok());
}

TEST(Sessions, MonotonicReads) {
  Txns txns;
  txns.InTurn({{A(1, 1)}, {A(1, 2)}}, 7).InTurn({{R(1, {1, 2})}}, 8).InTurn({{R(1, {1})}}, 9);
  EXPECT_TRUE(CheckSessions(txns.history()).ok());
  txns.InTurn({{R(1, {1})}}, 8);
  EXPECT_TRUE(CheckSessions(txns.history()).Has("monotonic reads"));
}

TEST(Sessions, MonotonicWrites) {
  Txns txns;
  txns.InTurn({{A(1, 1)}, {A(2, 2)}}, 7).InTurn({{R(1)}}, 8);
  EXPECT_TRUE(CheckSessions(txns.history()).ok());
  txns.InTurn({{R(2, {2}), R(1)}}, 9).InTurn({{R(1, {1})}}, 10);
  EXPECT_TRUE(CheckSessions(txns.history()).Has("monotonic writes"));
}

TEST(Sessions, WritesFollowReads) {
  Txns txns;
  txns.InTurn({{A(1, 1)}}, 7).InTurn({{R(1, {1})}, {A(2, 2)}}, 8).InTurn({{R(1)}}, 9);
  EXPECT_TRUE(CheckSessions(txns.history()).ok());
  txns.InTurn({{R(2, {2})}, {R(1)}}, 10);
  const Verdict verdict = CheckSessions(txns.history());
  EXPECT_TRUE(verdict.Has("writes follow reads"));
  EXPECT_FALSE(verdict.Has("monotonic writes"));
}

// Every session lags behind by a fixed number of the others' transactions but sees its own. So the
// session guarantees hold while serializability in real-time order does not.
TEST(Sessions, AcceptsStaleSessionsThatKeepTheirPromises) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SerialLists lists(3);
    Rng rng(seed);
    Txns txns;
    std::map<int64_t, Datum> last_read;
    bool stale = false;
    for (int i = 0; i < 150; ++i) {
      const auto process = static_cast<int64_t>(rng.Below(4));
      const Steps asked = {R(0), R(1), R(2)};
      if (rng.Below(2) == 0) {
        const auto [f, append] = lists.Ask(&rng);
        const Datum answer = *lists.Execute(f, append);
        txns.InTurn({*answer.list()}, process);
        last_read[process] = *lists.Execute("txn", asked);
      } else {
        const bool again = last_read.contains(process) && rng.Below(2) == 0;
        stale = stale || again;
        if (!again) last_read[process] = *lists.Execute("txn", asked);
        txns.InTurn({*last_read[process].list()}, process);
      }
    }
    const Verdict verdict = CheckSessions(txns.history());
    EXPECT_TRUE(verdict.ok()) << "seed " << seed << "\n" << ToString(verdict);
    EXPECT_TRUE(stale);
    EXPECT_FALSE(CheckTransactions(txns.history()).ok());
    EXPECT_TRUE(CheckTransactions(txns.history(), {.real_time = false}).ok());
  }
}

}  // namespace
}  // namespace cairn::history
