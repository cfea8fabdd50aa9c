#include "testing/history/event.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

namespace cairn::history {
namespace {

Datum AnyDatum(int depth) {
  switch (*rc::gen::inRange(0, depth == 0 ? 4 : 6)) {
    case 0: return Datum();
    case 1: return Datum(*rc::gen::arbitrary<bool>());
    case 2: return Datum(*rc::gen::arbitrary<int64_t>());
    case 3: return Datum(*rc::gen::container<std::string>(rc::gen::inRange('\x01', '\x7f')));
    case 4: {
      DatumList list(*rc::gen::inRange<size_t>(0, 4));
      for (Datum& each : list) each = AnyDatum(depth - 1);
      return Datum(std::move(list));
    }
    default: {
      DatumMap members;
      for (int left = *rc::gen::inRange(0, 4); left > 0; --left) {
        members["m" + std::to_string(left) + "\""] = AnyDatum(depth - 1);
      }
      return Datum(std::move(members));
    }
  }
}

RC_GTEST_PROP(HistoryJson, EveryEventIsReadBackAsItWasWritten, ()) {
  History history(*rc::gen::inRange<size_t>(0, 5));
  for (Event& event : history) {
    event.type =
        *rc::gen::element(EventType::kInvoke, EventType::kOk, EventType::kFail, EventType::kInfo);
    event.process = *rc::gen::arbitrary<int64_t>();
    event.time_ns = *rc::gen::arbitrary<int64_t>();
    event.f = *rc::gen::container<std::string>(rc::gen::inRange('a', 'z'));
    event.value = AnyDatum(3);
  }
  const Result<History> read = ParseJsonLines(ToJsonLines(history));
  RC_ASSERT(read.ok());
  RC_ASSERT(*read == history);
}

TEST(HistoryJson, LinesHaveTheShapeThatOutsideCheckersRead) {
  const Event event{EventType::kInvoke, 3, 123, "read", DatumList{5, Datum()}};
  EXPECT_EQ(ToJsonLine(event, 7),
            R"({"type":"invoke","f":"read","process":3,"time":123,"index":7,"value":[5,null]})");
}

TEST(HistoryJson, EventsAreOrderedByTheirIndexAndNemesesAreSkipped) {
  const Result<History> history = ParseJsonLines(
      R"({"index":2,"type":"ok","process":1,"f":"read","value":[1,9]})"
      "\n\n"
      R"({"index":1,"type":"info","process":"nemesis","f":"start-partition"})"
      "\n"
      R"({"index":0,"type":"invoke","process":1,"f":"read","value":[1,null],"extra":{}})");
  ASSERT_TRUE(history.ok()) << history.status();
  ASSERT_EQ(history->size(), 2u);
  EXPECT_EQ((*history)[0].type, EventType::kInvoke);
  EXPECT_EQ(ToString((*history)[1].value), "[1,9]");
}

TEST(HistoryJson, WhatIsNoEventIsRefusedWithItsLine) {
  const std::string good = R"({"type":"ok","process":1,"f":"read","value":1})";
  for (const char* bad : {"[]", "{", R"({"type":"done","process":1,"f":"r"})",
                          R"({"type":"ok","f":"r"})", R"({"type":"ok","process":1.5,"f":"r"})",
                          R"({"type":"ok","process":1,"f":"r","value":0.5})",
                          R"({"type":"ok","process":1,"f":"r","time":"late"})"}) {
    const Result<History> history = ParseJsonLines(good + "\n" + bad + "\n");
    ASSERT_FALSE(history.ok()) << bad;
    EXPECT_EQ(history.status().message(), "line 2 is no event") << bad;
  }
}

TEST(PairOperations, JoinsInvocationsAndCompletions) {
  const History history = {
      {EventType::kInvoke, 1, 0, "read", Datum()}, {EventType::kInvoke, 2, 0, "write", 4},
      {EventType::kOk, 1, 0, "read", 3},           {EventType::kInfo, 2, 0, "write", 4},
      {EventType::kInvoke, 1, 0, "write", 5},      {EventType::kFail, 1, 0, "write", 5},
      {EventType::kInvoke, 1, 0, "read", Datum()},
  };
  const auto operations = PairOperations(history);
  ASSERT_TRUE(operations.ok());
  ASSERT_EQ(operations->size(), 4u);
  EXPECT_EQ(ToString((*operations)[0]), "process 1 read 3 (events 0 to 2)");
  EXPECT_EQ(ToString((*operations)[1]), "process 2 write 4 (from event 1, outcome unknown)");
  EXPECT_EQ(ToString((*operations)[2]), "process 1 write 5 (failed, events 4 to 5)");
  EXPECT_EQ((*operations)[3].fate, Fate::kInfo);
  EXPECT_TRUE((*operations)[0].Before((*operations)[2]));
  EXPECT_FALSE((*operations)[1].Before((*operations)[3]));
}

TEST(PairOperations, RefusesAProcessThatDoesTwoThingsAtOnceOrEndsWhatItDidNotBegin) {
  const Event invoke{EventType::kInvoke, 1, 0, "read", Datum()};
  EXPECT_FALSE(PairOperations({invoke, invoke}).ok());
  EXPECT_FALSE(PairOperations({{EventType::kOk, 1, 0, "read", 3}}).ok());
  EXPECT_FALSE(PairOperations({invoke, {EventType::kOk, 1, 0, "write", 3}}).ok());
}

}  // namespace
}  // namespace cairn::history
