#include "testing/history/linearizability.h"

#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <map>

#include "testing/history/history_generator_test_util.h"
#include "testing/sanitized.h"

namespace cairn::history {
namespace {

Datum Pair(Datum key, Datum value) { return DatumList{std::move(key), std::move(value)}; }

// A correct system of one kind, and the requests of its clients.
struct System {
  ModelKind kind;
  HistoryGenerator::Ask ask;
  HistoryGenerator::Execute execute;
};

System Registers(int64_t keys) {
  auto held = std::make_shared<std::map<Datum, Datum>>();
  System system{ModelKind::kRegister, nullptr, nullptr};
  system.ask = [keys](Rng* rng) -> std::pair<std::string, Datum> {
    const auto key = static_cast<int64_t>(rng->Below(keys));
    const auto value = static_cast<int64_t>(rng->Below(5));
    switch (rng->Below(3)) {
      case 0: return {"read", Pair(key, Datum())};
      case 1: return {"write", Pair(key, value)};
      default: return {"cas", Pair(key, Pair(static_cast<int64_t>(rng->Below(5)), value))};
    }
  };
  system.execute = [held](const std::string& f, const Datum& asked) -> std::optional<Datum> {
    const Datum& key = (*asked.list())[0];
    const Datum& argument = (*asked.list())[1];
    Datum& value = (*held)[key];
    if (f == "read") return Pair(key, value);
    if (f == "write") {
      value = argument;
      return asked;
    }
    if (value != (*argument.list())[0]) return std::nullopt;
    value = Datum((*argument.list())[1]);
    return asked;
  };
  return system;
}

System Counters(int64_t keys) {
  auto held = std::make_shared<std::map<Datum, int64_t>>();
  System system{ModelKind::kCounter, nullptr, nullptr};
  system.ask = [keys](Rng* rng) -> std::pair<std::string, Datum> {
    static constexpr const char* kNames[] = {"read", "add", "add-and-get"};
    const auto key = static_cast<int64_t>(rng->Below(keys));
    const size_t which = rng->Below(3);
    const auto n = static_cast<int64_t>(rng->Between(1, 3));
    return {kNames[which], Pair(key, which == 0 ? Datum() : Datum(n))};
  };
  system.execute = [held](const std::string& f, const Datum& asked) -> std::optional<Datum> {
    const Datum& key = (*asked.list())[0];
    int64_t& value = (*held)[key];
    if (f == "read") return Pair(key, value);
    value += *(*asked.list())[1].number();
    return f == "add" ? asked : Pair(key, Pair((*asked.list())[1], value));
  };
  return system;
}

System Collections(ModelKind kind, int64_t keys) {
  auto held = std::make_shared<std::map<Datum, DatumList>>();
  auto next = std::make_shared<int64_t>(0);
  System system{kind, nullptr, nullptr};
  system.ask = [=](Rng* rng) -> std::pair<std::string, Datum> {
    const auto key = static_cast<int64_t>(rng->Below(keys));
    if (rng->Below(2) == 0) return {"read", Pair(key, Datum())};
    return {kind == ModelKind::kList ? "append" : "add", Pair(key, ++*next)};
  };
  system.execute = [=](const std::string& f, const Datum& asked) -> std::optional<Datum> {
    const Datum& key = (*asked.list())[0];
    DatumList& list = (*held)[key];
    if (f == "read") {
      DatumList answer = list;
      if (kind == ModelKind::kSet) std::reverse(answer.begin(), answer.end());
      return Pair(key, answer.empty() ? Datum() : Datum(answer));
    }
    list.push_back((*asked.list())[1]);
    return asked;
  };
  return system;
}

System SystemOf(ModelKind kind, int64_t keys) {
  switch (kind) {
    case ModelKind::kRegister: return Registers(keys);
    case ModelKind::kCounter: return Counters(keys);
    default: return Collections(kind, keys);
  }
}

const char* WriteOf(ModelKind kind) {
  switch (kind) {
    case ModelKind::kRegister: return "write";
    case ModelKind::kList: return "append";
    default: return "add";
  }
}

class EveryModel : public ::testing::TestWithParam<ModelKind> {};

TEST_P(EveryModel, AcceptsWhatACorrectSystemAnswered) {
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    Rng rng(seed);
    const System system = SystemOf(GetParam(), static_cast<int64_t>(rng.Between(1, 4)));
    GeneratorOptions options;
    options.processes = rng.Between(1, 12);
    options.info_per_mille = rng.Below(150);
    const History history = HistoryGenerator(seed, options).Run(system.ask, system.execute);
    const Verdict verdict = CheckLinearizable(history, GetParam());
    ASSERT_TRUE(verdict.ok()) << "seed " << seed << "\n" << ToString(verdict);
    ASSERT_GT(verdict.operations, 100u);
  }
}

// A read that began after a write had ended answers as if the write had not happened yet.
TEST_P(EveryModel, RejectsAReadThatIsStale) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const System system = SystemOf(GetParam(), 2);
    GeneratorOptions options;
    options.info_per_mille = 0;
    History history = HistoryGenerator(seed, options).Run(system.ask, system.execute);
    const auto run = [&](const std::string& f, const Datum& asked) {
      history.push_back({EventType::kInvoke, 99, 0, f, asked});
      Datum answer = *system.execute(f, asked);
      history.push_back({EventType::kOk, 99, 0, f, answer});
      return answer;
    };
    const Datum before = run("read", Pair(1, Datum()));
    run(WriteOf(GetParam()), Pair(1, 1'000'000));
    ASSERT_TRUE(CheckLinearizable(history, GetParam()).ok()) << seed;
    history.push_back({EventType::kInvoke, 98, 0, "read", Pair(1, Datum())});
    history.push_back({EventType::kOk, 98, 0, "read", before});
    const Verdict verdict = CheckLinearizable(history, GetParam());
    ASSERT_TRUE(verdict.Has("not linearizable")) << "seed " << seed;
    EXPECT_NE(verdict.anomalies[0].explanation.find("no order allows\n  process 98 read"),
              std::string::npos)
        << ToString(verdict);
  }
}

// An acknowledged write that took no effect.
TEST_P(EveryModel, RejectsALostWrite) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const System system = SystemOf(GetParam(), 1);
    GeneratorOptions options;
    options.info_per_mille = 0;  // a late write could hide the loss
    History history = HistoryGenerator(seed, options).Run(system.ask, system.execute);
    history.push_back({EventType::kInvoke, 99, 0, WriteOf(GetParam()), Pair(0, 7'000'000)});
    history.push_back({EventType::kOk, 99, 0, WriteOf(GetParam()), Pair(0, 7'000'000)});
    history.push_back({EventType::kInvoke, 99, 0, "read", Pair(0, Datum())});
    history.push_back({EventType::kOk, 99, 0, "read", *system.execute("read", Pair(0, Datum()))});
    EXPECT_TRUE(CheckLinearizable(history, GetParam()).Has("not linearizable")) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EveryModel,
                         ::testing::Values(ModelKind::kRegister, ModelKind::kCounter,
                                           ModelKind::kList, ModelKind::kSet));

// Tries every order, without any of the search's shortcuts.
class EveryOrder {
 public:
  EveryOrder(ModelKind kind, std::vector<Operation> operations)
      : kind_(kind), operations_(std::move(operations)), used_(operations_.size()) {}

  bool Exists(const Datum& held = Datum()) {
    bool all_answered = true;
    size_t first_return = Operation::kNever;
    for (size_t i = 0; i < operations_.size(); ++i) {
      if (used_[i] || operations_[i].fate == Fate::kFail) continue;
      all_answered = all_answered && operations_[i].fate != Fate::kOk;
      first_return = std::min(first_return, operations_[i].completed);
    }
    if (all_answered) return true;
    for (size_t i = 0; i < operations_.size(); ++i) {
      const Operation& operation = operations_[i];
      if (used_[i] || operation.fate == Fate::kFail || operation.invoked > first_return) continue;
      const std::optional<Datum> next = Next(held, operation);
      if (!next) continue;
      used_[i] = true;
      if (Exists(*next)) return true;
      used_[i] = false;
    }
    return false;
  }

 private:
  std::optional<Datum> Next(const Datum& held, const Operation& operation) {
    const Datum& argument = (*operation.asked.list())[1];
    const bool ok = operation.fate == Fate::kOk;
    if (operation.f == "read") {
      if (ok && (*operation.answered.list())[1] != held) return std::nullopt;
      return held;
    }
    if (kind_ == ModelKind::kList) {
      DatumList list = held.is_null() ? DatumList() : *held.list();
      list.push_back(argument);
      return Datum(list);
    }
    if (operation.f == "write") return argument;
    if (held == (*argument.list())[0]) return Datum((*argument.list())[1]);
    return ok ? std::nullopt : std::optional(held);
  }

  const ModelKind kind_;
  const std::vector<Operation> operations_;
  std::vector<bool> used_;
};

// Small histories whose answers may be wrong: a correct one with some answers changed.
TEST(Linearizability, SaysWhatTryingEveryOrderSays) {
  int rejected = 0;
  int accepted = 0;
  for (uint64_t seed = 1; seed <= Samples(3000); ++seed) {
    const ModelKind kind = seed % 2 == 0 ? ModelKind::kRegister : ModelKind::kList;
    const System system = SystemOf(kind, 1);
    const GeneratorOptions options{9, 4, 150, 50};
    History history = HistoryGenerator(seed, options).Run(system.ask, system.execute);
    Rng rng(seed);
    std::vector<Datum> answers{Pair(0, Datum())};
    for (const Event& event : history) {
      if (event.type == EventType::kOk && event.f == "read") answers.push_back(event.value);
    }
    for (Event& event : history) {
      if (event.type != EventType::kOk || event.f != "read" || rng.Below(4) != 0) continue;
      event.value = answers[rng.Below(answers.size())];
    }
    const bool exists = EveryOrder(kind, *PairOperations(history)).Exists();
    const Verdict verdict = CheckLinearizable(history, kind);
    ASSERT_EQ(verdict.ok(), exists) << "seed " << seed << "\n"
                                    << ToJsonLines(history) << ToString(verdict);
    ++(exists ? accepted : rejected);
  }
  EXPECT_GT(accepted, static_cast<int>(Samples(500)));
  EXPECT_GT(rejected, static_cast<int>(Samples(500)));
}

class Events {
 public:
  Events& Invoke(int64_t process, const std::string& f, Datum value) {
    history_.push_back({EventType::kInvoke, process, 0, f, std::move(value)});
    return *this;
  }
  Events& End(EventType type, int64_t process, const std::string& f, Datum value) {
    history_.push_back({type, process, 0, f, std::move(value)});
    return *this;
  }
  Events& Do(int64_t process, const std::string& f, Datum asked, Datum answered) {
    return Invoke(process, f, std::move(asked))
        .End(EventType::kOk, process, f, std::move(answered));
  }
  Verdict Check(ModelKind kind = ModelKind::kRegister) { return CheckLinearizable(history_, kind); }

 private:
  History history_;
};

TEST(Linearizability, AWriteOfUnknownOutcomeMayTakeEffectMuchLaterOrNever) {
  Events events;
  events.Do(0, "write", Pair(1, 1), Pair(1, 1));
  events.Invoke(1, "write", Pair(1, 2)).End(EventType::kInfo, 1, "write", Pair(1, 2));
  events.Do(0, "read", Pair(1, Datum()), Pair(1, 1));
  EXPECT_TRUE(events.Check().ok()) << "never";
  events.Do(0, "read", Pair(1, Datum()), Pair(1, 2));
  EXPECT_TRUE(events.Check().ok()) << "later";
  events.Do(0, "read", Pair(1, Datum()), Pair(1, 1));
  EXPECT_TRUE(events.Check().Has("not linearizable")) << "it cannot be undone";
}

TEST(Linearizability, AnUnknownWriteTakesEffectAtMostOnce) {
  Events events;
  events.Invoke(1, "add", Pair(1, 5)).End(EventType::kInfo, 1, "add", Pair(1, 5));
  events.Do(0, "read", Pair(1, Datum()), Pair(1, 5));
  EXPECT_TRUE(events.Check(ModelKind::kCounter).ok());
  events.Do(0, "read", Pair(1, Datum()), Pair(1, 10));
  EXPECT_TRUE(events.Check(ModelKind::kCounter).Has("not linearizable"));
}

TEST(Linearizability, AFailedWriteIsNeverSeen) {
  Events events;
  events.Invoke(1, "write", Pair(1, 2)).End(EventType::kFail, 1, "write", Pair(1, 2));
  events.Do(0, "read", Pair(1, Datum()), Pair(1, 2));
  EXPECT_TRUE(events.Check().Has("not linearizable"));
}

TEST(Linearizability, AnAnswerBeforeTheEffectWasPossibleIsRejected) {
  Events events;
  events.Do(0, "read", Pair(1, Datum()), Pair(1, 2));
  events.Do(1, "write", Pair(1, 2), Pair(1, 2));
  EXPECT_TRUE(events.Check().Has("not linearizable"));
}

TEST(Linearizability, TwoCompareAndSetsFromOneValueCannotBothSucceed) {
  Events events;
  events.Do(0, "write", Pair(1, 1), Pair(1, 1));
  events.Invoke(1, "cas", Pair(1, Pair(1, 2))).Invoke(2, "cas", Pair(1, Pair(1, 3)));
  events.End(EventType::kOk, 1, "cas", Pair(1, Pair(1, 2)));
  events.End(EventType::kOk, 2, "cas", Pair(1, Pair(1, 3)));
  EXPECT_TRUE(events.Check().Has("not linearizable"));
}

TEST(Linearizability, ExplainsWithTheKeyTheOrderSoFarAndWhatWasOpen) {
  Events events;
  events.Do(0, "write", Pair("x", 1), Pair("x", 1));
  events.Do(0, "write", Pair("y", 8), Pair("y", 8));
  events.Invoke(1, "write", Pair("x", 2));
  events.Do(2, "read", Pair("x", Datum()), Pair("x", 3));
  const Verdict verdict = events.Check();
  ASSERT_EQ(verdict.anomalies.size(), 1u);
  EXPECT_EQ(verdict.anomalies[0].explanation,
            "key \"x\": no order allows\n"
            "  process 2 read [\"x\",3] (events 5 to 6)\n"
            "  after the longest order that was found, of 1 operations\n"
            "    process 0 write [\"x\",1] (events 0 to 1) -> 1\n"
            "  and nothing else was open");
}

TEST(Linearizability, WhatTheModelDoesNotKnowIsUnknownNotValid) {
  Events events;
  events.Do(0, "increment", Pair(1, 1), Pair(1, 1));
  EXPECT_EQ(events.Check().validity, Validity::kUnknown);
  Events keyless;
  keyless.Do(0, "read", Datum(), 5);
  EXPECT_EQ(keyless.Check().validity, Validity::kUnknown);
}

TEST(Linearizability, ASearchThatTakesTooLongIsUnknown) {
  // Many different sums, none of them right.
  History history;
  for (int64_t i = 0; i < 24; ++i) {
    history.push_back({EventType::kInvoke, i, 0, "add", Pair(1, int64_t{1} << i)});
  }
  history.push_back({EventType::kInvoke, 100, 0, "read", Pair(1, Datum())});
  history.push_back({EventType::kOk, 100, 0, "read", Pair(1, -1)});
  const Verdict verdict = CheckLinearizable(history, ModelKind::kCounter, {.steps_max = 10'000});
  EXPECT_EQ(verdict.validity, Validity::kUnknown) << ToString(verdict);
  EXPECT_NE(ToString(verdict).find("gave up after 10000 steps"), std::string::npos);
}

// Prints how long 10,000 operations take; the time does not decide the test. A partition leaves
// such operations: each could take effect anywhere after its invocation.
TEST(Linearizability, UnknownWritesThatNobodySawDoNotLengthenTheSearch) {
  History history;
  int64_t process = 0;
  const auto add = [&](EventType type, const std::string& f, Datum value) {
    history.push_back({type, process, 0, f, std::move(value)});
  };
  for (int64_t i = 0; i < 200; ++i, ++process) {
    add(EventType::kInvoke, "write", Pair(1, 1000 + i));
  }
  for (int64_t i = 0; i < 200; ++i) {
    add(EventType::kInvoke, "write", Pair(1, i));
    add(EventType::kOk, "write", Pair(1, i));
    add(EventType::kInvoke, "read", Pair(1, Datum()));
    // The last read is wrong, so the search has to try everything.
    add(EventType::kOk, "read", Pair(1, i < 199 ? i : i - 1));
  }
  LinearizabilityOptions few;
  few.steps_max = 10'000;
  EXPECT_EQ(CheckLinearizable(history, ModelKind::kRegister, few).validity, Validity::kInvalid);
}

TEST(Linearizability, JudgesTenThousandOperations) {
  for (const int64_t keys : {int64_t{1}, int64_t{20}}) {
    for (const ModelKind kind : {ModelKind::kRegister, ModelKind::kCounter, ModelKind::kList}) {
      GeneratorOptions options;
      options.operations = Samples(10'000);
      options.processes = 10;
      options.info_per_mille = 5;
      const System system = SystemOf(kind, keys);
      const History history = HistoryGenerator(7, options).Run(system.ask, system.execute);
      const auto begin = std::chrono::steady_clock::now();
      const Verdict verdict = CheckLinearizable(history, kind);
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      EXPECT_TRUE(verdict.ok()) << ToString(verdict);
      std::cout << "model " << static_cast<int>(kind) << ", " << keys
                << " keys: " << verdict.operations << " operations in " << took.count() << " s\n";
    }
  }
}

}  // namespace
}  // namespace cairn::history
