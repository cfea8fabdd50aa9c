#include "testing/history/tallies.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "testing/history/history_generator_test_util.h"

namespace cairn::history {
namespace {

Datum Pair(Datum key, Datum value) { return DatumList{std::move(key), std::move(value)}; }

void Do(History* history, int64_t process, const std::string& f, Datum asked, Datum answered,
        EventType end = EventType::kOk) {
  history->push_back({EventType::kInvoke, process, 0, f, std::move(asked)});
  history->push_back({end, process, 0, f, std::move(answered)});
}

History CorrectSets(uint64_t seed) {
  std::map<Datum, DatumList> sets;
  int64_t next = 0;
  return HistoryGenerator(seed, {300, 6, 100, 100})
      .Run(
          [&](Rng* rng) -> std::pair<std::string, Datum> {
            const auto key = static_cast<int64_t>(rng->Below(3));
            if (rng->Below(3) == 0) return {"read", Pair(key, Datum())};
            return {"add", Pair(key, ++next)};
          },
          [&](const std::string& f, const Datum& asked) -> std::optional<Datum> {
            DatumList& set = sets[(*asked.list())[0]];
            if (f == "read") return Pair((*asked.list())[0], set);
            set.insert(set.begin(), (*asked.list())[1]);
            return asked;
          });
}

TEST(Sets, AcceptsWhatACorrectSetAnswered) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    const Verdict verdict = CheckSets(CorrectSets(seed));
    ASSERT_TRUE(verdict.ok()) << "seed " << seed << "\n" << ToString(verdict);
    ASSERT_EQ(verdict.operations, 300u);
  }
}

TEST(Sets, NamesEachPlantedAnomaly) {
  const auto with = [](const std::function<void(History*)>& plant) {
    History history = CorrectSets(5);
    plant(&history);
    return CheckSets(history);
  };
  const auto add = [](History* h, EventType end) {
    Do(h, 99, "add", Pair(7, 1000), Pair(7, 1000), end);
  };
  const auto read = [](History* h, DatumList list) {
    Do(h, 99, "read", Pair(7, Datum()), Pair(7, std::move(list)));
  };
  EXPECT_TRUE(with([&](History* h) { add(h, EventType::kOk), read(h, {}); }).Has("lost"));
  EXPECT_TRUE(with([&](History* h) {
                add(h, EventType::kInfo), read(h, {1000}), read(h, {});
              }).Has("lost"));
  EXPECT_TRUE(
      with([&](History* h) { add(h, EventType::kOk), read(h, {}), read(h, {1000}); }).Has("stale"));
  EXPECT_TRUE(
      with([&](History* h) { add(h, EventType::kFail), read(h, {1000}); }).Has("unexpected"));
  EXPECT_TRUE(with([&](History* h) { read(h, {1000}); }).Has("unexpected"));
  EXPECT_TRUE(with([&](History* h) { read(h, {1000}), add(h, EventType::kOk); }).Has("unexpected"));
  EXPECT_TRUE(with([&](History* h) {
                add(h, EventType::kOk), read(h, {1000, 1000});
              }).Has("duplicated"));
  EXPECT_TRUE(with([&](History* h) { add(h, EventType::kInfo), read(h, {}); }).ok());
}

History CorrectBank(uint64_t seed) {
  DatumMap accounts{{"a", 50}, {"b", 30}, {"c", 20}};
  return HistoryGenerator(seed, {200, 5, 50, 50})
      .Run(
          [](Rng* rng) -> std::pair<std::string, Datum> {
            static constexpr const char* kNames[] = {"a", "b", "c"};
            if (rng->Below(2) == 0) return {"read", Datum()};
            return {"transfer", DatumMap{{"from", kNames[rng->Below(3)]},
                                         {"to", kNames[rng->Below(3)]},
                                         {"amount", static_cast<int64_t>(rng->Between(1, 20))}}};
          },
          [&](const std::string& f, const Datum& asked) -> std::optional<Datum> {
            if (f == "read") return Datum(accounts);
            const DatumMap& transfer = *asked.members();
            Datum& from = accounts[*transfer.at("from").text()];
            const int64_t amount = *transfer.at("amount").number();
            if (*from.number() < amount) return std::nullopt;
            from = *from.number() - amount;
            Datum& to = accounts[*transfer.at("to").text()];
            to = *to.number() + amount;
            return asked;
          });
}

TEST(Bank, AcceptsACorrectBankAndNamesEachPlantedAnomaly) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    const History history = CorrectBank(seed);
    const Verdict verdict = CheckBank(history, {.total = 100});
    ASSERT_TRUE(verdict.ok()) << "seed " << seed << "\n" << ToString(verdict);
    const auto with = [&](const DatumMap& balances) {
      History more = history;
      Do(&more, 99, "read", Datum(), balances);
      return CheckBank(more, {.total = 100});
    };
    EXPECT_TRUE(with({{"a", 50}, {"b", 30}, {"c", 19}}).Has("wrong total"));
    EXPECT_TRUE(with({{"a", 120}, {"b", -20}, {"c", 0}}).Has("negative balance"));
    EXPECT_TRUE(with({{"a", 80}, {"b", 20}}).Has("wrong accounts"));
  }
  History negative;
  Do(&negative, 99, "read", Datum(), DatumMap{{"a", 120}, {"b", -20}});
  EXPECT_TRUE(CheckBank(negative, {.total = 100, .negative_allowed = true}).ok());
}

TEST(Versions, AcceptsACorrectCounterAndNamesEachPlantedAnomaly) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    std::map<Datum, int64_t> versions;
    History history =
        HistoryGenerator(seed, {200, 5, 50, 50})
            .Run(
                [](Rng* rng) -> std::pair<std::string, Datum> {
                  const std::string table = rng->Below(2) == 0 ? "t" : "u";
                  return {rng->Below(2) == 0 ? "version" : "change", Pair(table, Datum())};
                },
                [&](const std::string& f, const Datum& asked) -> std::optional<Datum> {
                  int64_t& version = versions[(*asked.list())[0]];
                  if (f == "change") ++version;
                  return Pair((*asked.list())[0], version);
                });
    const Verdict verdict = CheckVersions(history);
    ASSERT_TRUE(verdict.ok()) << "seed " << seed << "\n" << ToString(verdict);
    const auto with = [&](const std::string& f, int64_t version) {
      History more = history;
      Do(&more, 99, f, Pair("t", Datum()), Pair("t", version));
      return CheckVersions(more);
    };
    Do(&history, 99, "change", Pair("t", Datum()), Pair("t", 1000));
    EXPECT_TRUE(with("version", 1000).ok());
    EXPECT_TRUE(with("version", 999).Has("went back"));
    EXPECT_TRUE(with("change", 1000).Has("went back"));
    EXPECT_TRUE(with("change", 1000).Has("repeated"));
    EXPECT_TRUE(with("change", 1001).ok());
  }
}

TEST(Tallies, WhatIsOfAnotherKindIsUnknown) {
  History history;
  Do(&history, 1, "dance", Pair(1, 2), Pair(1, 2));
  EXPECT_EQ(CheckSets(history).validity, Validity::kUnknown);
  EXPECT_EQ(CheckBank(history, {}).validity, Validity::kUnknown);
  EXPECT_EQ(CheckVersions(history).validity, Validity::kUnknown);
}

TEST(Verdict, AFloodOfOneAnomalyDoesNotHideAnother) {
  Verdict verdict;
  for (int i = 0; i < 100; ++i) verdict.Add("lost", std::to_string(i));
  verdict.Add("stale", "the only one");
  EXPECT_TRUE(verdict.Has("stale"));
  EXPECT_EQ(verdict.found, 101u);
  EXPECT_LE(verdict.anomalies.size(), kAnomaliesMax + 1);
  EXPECT_NE(ToString(verdict).find("and 90 more"), std::string::npos);
}

}  // namespace
}  // namespace cairn::history
