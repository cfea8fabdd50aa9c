// What a watch tells, and from where on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "server/watch_feed.h"
#include "server/watch_test_util.h"

namespace cairn::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(WatchServiceTest, FirstResponseComesAtOnceWithThePositionAndTheOldestHeld) {
  state_.Commit({{Insert(t_, 1, "before")}});
  const auto watch = Watch();
  const auto first = watch->Read();
  ASSERT_TRUE(first) << watch->End();
  EXPECT_EQ(Text(first->position()), "2.0");
  EXPECT_EQ(Text(first->oldest()), "2.0");
  EXPECT_EQ(first->events_size(), 0);
}

TEST_F(WatchServiceTest, EventsComeInTheOrderOfTheirCommitWithAnEndOfEachCommand) {
  const auto watch = Begun();
  state_.Commit({{Insert(t_, 1, "a"), Update(t_, 1, "a", "b")}, {Delete(t_, 1, "b")}});
  state_.Commit({{Created("n")}, {Insert(other_, 2, "c")}});
  EXPECT_THAT(watch->Events(9), ElementsAre("+t(1,'a')", "~t(1,'a')(1,'b'):1", ".", "-t(1,'b')",
                                            ".", "#n", ".", "+Other(2,'c')", "."));
  watch->ReadTo(3);
  EXPECT_EQ(Text(watch->position()), "3.0");
  EXPECT_EQ(watch->definitions(), 2) << "columns are sent once";
}

// A watch at "now" may neither tell what was acknowledged before, nor miss what begins afterwards.
TEST_F(WatchServiceTest, NowIsTheIndexOfALinearizableRead) {
  replica_.HoldBarriers(true);
  const auto watch = Watch();
  while (replica_.held_barriers() == 0) std::this_thread::yield();
  state_.Commit({{Insert(t_, 1, "acknowledged before the watch has begun")}});
  replica_.HoldBarriers(false);
  ASSERT_TRUE(watch->Read());
  EXPECT_EQ(Text(watch->position()), "2.0");
  state_.Commit({{Insert(t_, 2, "a")}});
  EXPECT_THAT(watch->Events(2), ElementsAre("+t(2,'a')", "."));
}

TEST_F(WatchServiceTest, WithoutALeaderNowIsUnavailable) {
  replica_.SetLeader(false, std::nullopt);
  const auto watch = Watch();
  EXPECT_EQ(watch->End().code(), StatusCode::kUnavailable);
}

TEST_F(WatchServiceTest, ResumesAfterAnyPositionWithoutLossAndRepeats) {
  const auto keeps = Begun();  // so that changes are recorded
  state_.Commit({{Insert(t_, 1, "a"), Insert(t_, 2, "b")}, {Insert(t_, 3, "c")}});
  state_.Commit({{Insert(t_, 4, "d")}});
  const std::vector<std::pair<std::string, ChangePosition>> all = {
      {"+t(1,'a')", {LogIndex(1), 1}}, {"+t(2,'b')", {LogIndex(1), 2}},
      {".", {LogIndex(1), 3}},         {"+t(3,'c')", {LogIndex(1), 4}},
      {".", {LogIndex(1), 5}},         {"+t(4,'d')", {LogIndex(2), 1}},
      {".", {LogIndex(2), 2}}};
  for (size_t from = 0; from < all.size(); ++from) {
    const ChangePosition after = from == 0 ? ChangePosition{LogIndex(1), 0} : all[from - 1].second;
    std::vector<std::string> expected;
    for (size_t i = from; i < all.size(); ++i) expected.push_back(all[i].first);
    const auto watch = Begun(After(after.index.value(), after.ordinal));
    EXPECT_EQ(watch->Events(expected.size()), expected) << from;
  }
}

// The end of a command comes if an event before the position passed, although none after it did.
TEST_F(WatchServiceTest, ResumedCommandHasItsEndIfAnEarlierEventPassed) {
  const auto keeps = Begun();
  state_.Commit({{Insert(t_, 1, "a"), Insert(other_, 2, "b")}, {Insert(t_, 3, "c")}});
  for (const auto& [table, events] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"t", {".", "+t(3,'c')", "."}}, {"none", {}}}) {
    v1::WatchRequest request = RequestFor(table);
    *request.mutable_after() = After(1, 1).after();
    const auto watch = Begun(request);
    EXPECT_EQ(watch->Events(events.size()), events);
  }
}

TEST_F(WatchServiceTest, PositionAheadOfTheNodeWaits) {
  const auto watch = Begun(After(2, 1));
  state_.Commit({{Insert(t_, 1, "seen before")}});
  state_.Commit({{Insert(t_, 2, "seen before"), Insert(t_, 3, "c")}});
  EXPECT_THAT(watch->Events(2), ElementsAre("+t(3,'c')", "."));
}

TEST_F(WatchServiceTest, PositionThatIsNotHeldIsOutOfRangeWithTheOldest) {
  state_.Commit({{Insert(t_, 1, "a")}});
  const auto watch = Watch(After(1, 0));
  const Status end = watch->End();
  EXPECT_EQ(end.code(), StatusCode::kOutOfRange);
  EXPECT_EQ(end.reason(), Reason::kPositionNotHeld);
  EXPECT_THAT(end.message(), HasSubstr("2.0"));
  EXPECT_EQ(Text(watch->detail().watch().oldest()), "2.0");
  EXPECT_EQ(Text(watch->detail().watch().position()), "1.0");
}

TEST_F(WatchServiceTest, FiltersByTableInAnyCaseAndByOperation) {
  v1::WatchRequest request = RequestFor("T", "", {v1::CHANGE_KIND_DELETE});
  request.add_filters()->set_table("oTHER");
  const auto watch = Begun(request);
  state_.Commit({{Insert(t_, 1, "a")}});
  state_.Commit({{Delete(t_, 1, "a"), Insert(other_, 2, "b"), Created("third")}});
  state_.Commit({{Created("other")}});
  EXPECT_THAT(watch->Events(5), ElementsAre("-t(1,'a')", "+Other(2,'b')", ".", "#other", "."));
}

TEST_F(WatchServiceTest, ConditionPassesAnUpdateWhoseOldOrNewRowPasses) {
  HasColumns("t", t_->columns);
  const auto watch = Begun(RequestFor("t", "v LIKE 'a%' AND id > 1"));
  state_.Commit({{Insert(t_, 1, "a"), Insert(t_, 2, "a"), Insert(t_, 3, "b")}});
  state_.Commit(
      {{Update(t_, 3, "b", "a2")}, {Update(t_, 3, "a2", "c")}, {Update(t_, 3, "c", "d")}});
  state_.Commit({{Delete(t_, 2, "a")}});
  EXPECT_THAT(watch->Events(8), ElementsAre("+t(2,'a')", ".", "~t(3,'b')(3,'a2'):1", ".",
                                            "~t(3,'a2')(3,'c'):1", ".", "-t(2,'a')", "."));
}

TEST_F(WatchServiceTest, RequestsThatCannotBeMeantAreRefused) {
  HasColumns("t", t_->columns);
  const auto code = [&](const v1::WatchRequest& request) { return Watch(request)->End().code(); };
  EXPECT_EQ(code(RequestFor("t", "temp > 30")), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(RequestFor("t", "id = (SELECT 1)")), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(RequestFor("", "id = 1")), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(RequestFor("t", "", {v1::CHANGE_KIND_ROW})), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(RequestFor("t", std::string(5000, ' ') + "1")), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(RequestFor("_Cairn_state")), StatusCode::kPermissionDenied);
  v1::WatchRequest many;
  for (int i = 0; i < 65; ++i) many.add_filters()->set_table("t");
  EXPECT_EQ(code(many), StatusCode::kInvalidArgument);
}

// A client takes in all definitions of a message before the events.
TEST_F(WatchServiceTest, AMessageHasEventsOfOneDefinitionOfATable) {
  const auto wide = TableOf("T", {{"id", "INTEGER"}, {"v", "TEXT"}, {"w", ""}});
  const auto watch = Begun(After(1, 0));
  state_.Commit({{Insert(t_, 1, "a"), Insert(wide, 2, "b")}, {Insert(wide, 3, "c")}});
  size_t events = 0;
  while (events < 5) {
    const auto response = watch->Read();
    ASSERT_TRUE(response) << watch->End();
    EXPECT_LE(response->tables_size(), 1);
    events += static_cast<size_t>(response->events_size());
  }
  EXPECT_THAT(watch->Events(0), ElementsAre("+t(1,'a')", "+T(2,'b')", ".", "+T(3,'c')", "."));
}

// Whatever the number of tables that changed.
TEST_F(WatchServiceTest, DefinitionsCountInTheSizeOfAMessage) {
  std::vector<Change> changes;
  const std::string name(10'000, 'c');
  for (int i = 0; i < 100; ++i) {
    changes.push_back(Insert(TableOf("t" + std::to_string(i), {{"id", ""}, {name, ""}}), i, "a"));
  }
  const auto watch = Begun();
  state_.Commit({std::move(changes)});
  for (size_t events = 0; events < 101;) {
    const auto response = watch->Read();
    ASSERT_TRUE(response) << watch->End();
    EXPECT_LT(response->ByteSizeLong(), 3 * kWatchMessageBytes);
    events += static_cast<size_t>(response->events_size());
  }
}

TEST_F(WatchServiceTest, FiltersAreBoundedTogetherAndLeaveTheShareOfRequests) {
  HasColumns("t", t_->columns);
  v1::WatchRequest request;
  for (int i = 0; i < 17; ++i) {
    v1::WatchFilter* const filter = request.add_filters();
    filter->set_table("t");
    filter->set_condition(std::to_string(i) + std::string(4000, ' '));
  }
  const Status end = Watch(request)->End();
  EXPECT_EQ(end.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(end.message(), HasSubstr("together"));
}

}  // namespace
}  // namespace cairn::server
