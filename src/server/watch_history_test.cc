// Segments from pages of retained changes: nothing twice, nothing left out, wherever pages and messages
// end.

#include "server/watch_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cairn/v1/database.pb.h"
#include "server/watch_feed.h"

namespace cairn::server {
namespace {

using state_machine::Change;
using state_machine::ChangedTable;
using state_machine::ChangeKind;
using state_machine::ChangePosition;
using state_machine::CommandChanges;
using state_machine::RetainedPage;
using testing::ElementsAre;
using testing::IsEmpty;

class WatchHistoryTest : public testing::Test {
 protected:
  WatchHistoryTest() {
    share_.tables = &tables_;
    auto table = std::make_shared<ChangedTable>();
    table->name.push_back('t');  // GCC 12 takes an assignment here for an overlapping copy
    table->columns = {{"id", "INTEGER"}};
    table_ = table;
  }
  static std::vector<WatchFilter> Filters(const std::string& condition) {
    return {{"t", BitOf(ChangeKind::kInsert), condition}};
  }
  Change Insert(uint64_t ordinal, int64_t id) const {
    Change change;
    change.kind = ChangeKind::kInsert;
    change.position = {LogIndex(7), ordinal};
    change.table = table_;
    change.new_row = {id};
    return change;
  }
  static Change End(uint64_t ordinal) {
    Change change;
    change.position = {LogIndex(7), ordinal};
    return change;
  }
  static RetainedPage Page(const std::vector<std::vector<Change>>& commands) {
    RetainedPage page;
    page.retained = true;
    for (const auto& changes : commands) {
      auto command = std::make_shared<CommandChanges>();
      command->changes = changes;
      page.commands.push_back(std::move(command));
    }
    page.through = page.cursor = commands.back().back().position;
    return page;
  }
  std::vector<std::string> Take(const RetainedPage& page, ChangePosition after,
                                std::optional<ChangePosition> visible = {}) {
    const Result<WatchSegmentPtr> segment = history_.Take(page, after, visible, feed_.get());
    EXPECT_TRUE(segment.ok()) << segment.status();
    through_ = (*segment)->through;
    v1::WatchResponse response;
    EXPECT_TRUE(response.ParseFromString((*segment)->fields));
    std::vector<std::string> told;
    for (const v1::WatchEvent& event : response.events()) {
      const bool end = event.kind() == v1::CHANGE_KIND_COMMAND_END;
      told.push_back(std::to_string(event.position().ordinal()) + (end ? " end" : ""));
    }
    return told;
  }
  void Watch(const std::string& condition) {
    feed_ = std::make_unique<WatchFeed>(Filters(condition), &share_);
    history_ = WatchHistory(std::vector<std::string>{"t"});
  }

  WatchTables tables_;
  WatchFeedShare share_;
  std::shared_ptr<const ChangedTable> table_;
  std::unique_ptr<WatchFeed> feed_;
  WatchHistory history_{std::vector<std::string>{"t"}};
  ChangePosition through_;
};

TEST_F(WatchHistoryTest, FiltersOfAllTablesHaveNoHistory) {
  EXPECT_THAT(TablesOf({{"b", 1, ""}, {"a", 1, ""}, {"a", 2, ""}}), ElementsAre("a", "b"));
  EXPECT_THAT(TablesOf({{"a", 1, ""}, {"", 1, ""}}), IsEmpty());
}

TEST_F(WatchHistoryTest, TheEndOfACommandIsToldIfAChangeInAnEarlierPagePassed) {
  Watch("id > 5");
  RetainedPage first = Page({{Insert(1, 9), Insert(2, 1)}});
  first.open = ChangePosition{LogIndex(7), 5};
  EXPECT_THAT(Take(first, {LogIndex(7), 0}), ElementsAre("1"));
  EXPECT_EQ(through_, (ChangePosition{LogIndex(7), 2}));
  EXPECT_EQ(history_.Query(through_).open, first.open);
  RetainedPage second = Page({{Insert(4, 2), End(5)}, {Insert(6, 3), End(7)}});
  second.continues = true;
  EXPECT_THAT(Take(second, through_), ElementsAre("5 end")) << "of the first command alone";
  EXPECT_EQ(history_.Query(through_).open, std::nullopt);
}

TEST_F(WatchHistoryTest, AWatchThatBeginsWithinACommandHearsOfItsEnd) {
  Watch("id > 5");
  const RetainedPage page = Page({{Insert(1, 9), Insert(2, 1), End(3)}});
  EXPECT_THAT(Take(page, {LogIndex(7), 1}), ElementsAre("3 end"));
  Watch("id > 10");
  EXPECT_THAT(Take(page, {LogIndex(7), 1}), IsEmpty());
}

TEST_F(WatchHistoryTest, WhatIsNotVisibleYetIsToldLater) {
  Watch("");
  const RetainedPage page = Page({{Insert(1, 1), Insert(2, 2), End(3)}});
  const ChangePosition visible{LogIndex(7), 1};
  EXPECT_THAT(Take(page, {LogIndex(7), 0}, visible), ElementsAre("1"));
  EXPECT_EQ(through_, visible);
  EXPECT_EQ(history_.Query(through_).cursor, visible);
  EXPECT_EQ(history_.Query(through_).open, (ChangePosition{LogIndex(7), 3}));
  EXPECT_THAT(Take(page, through_, visible), IsEmpty());
  EXPECT_EQ(through_, visible) << "no progress";
  EXPECT_THAT(Take(page, through_), ElementsAre("2", "3 end"));
}

// A message ends within a page, and the next query begins there.
TEST_F(WatchHistoryTest, AFullMessageEndsWithinThePage) {
  Watch("");
  std::vector<Change> changes;
  for (uint64_t i = 1; i <= 20'000; ++i) changes.push_back(Insert(i, 1));
  changes.push_back(End(20'001));
  RetainedPage page = Page({changes});
  size_t told = 0;
  ChangePosition after{LogIndex(7), 0};
  for (int messages = 0; after < page.through && messages < 100; ++messages) {
    page.continues = history_.Query(after).open.has_value();
    told += Take(page, after).size();
    ASSERT_LT(after, through_);
    after = through_;
  }
  EXPECT_EQ(told, 20'001U);
}

}  // namespace
}  // namespace cairn::server
