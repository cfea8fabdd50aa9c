// How watches share the work, and how they end.
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

TEST_F(WatchServiceTest, ConditionThatTheSchemaHasOvertakenEndsTheWatchWithItsPosition) {
  HasColumns("t", t_->columns);
  const auto watch = Begun(RequestFor("t", "v = 'a'"));
  state_.Commit({{Insert(t_, 1, "a")}});
  state_.Commit({{Insert(TableOf("t", {{"id", "INTEGER"}}), 2, "x")}});
  EXPECT_THAT(watch->Events(2), ElementsAre("+t(1,'a')", "."));
  const Status end = watch->End();
  EXPECT_EQ(end.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(end.message(), HasSubstr("the table has changed"));
  EXPECT_THAT(end.message(), HasSubstr("no such column: v"));
  EXPECT_GE(watch->detail().watch().position().index(), 1U);
}

TEST_F(WatchServiceTest, InternalTablesAreNotTold) {
  const auto watch = Begun();
  state_.Commit({{Insert(TableOf("_cairn_x"), 1, "secret"), Created("_cairn_y")}});
  state_.Commit({{Insert(t_, 2, "a")}});
  EXPECT_THAT(watch->Events(2), ElementsAre("+t(2,'a')", "."));
}

// Otherwise the position of a watch of a quiet table would soon not be held any more.
TEST_F(WatchServiceTest, PositionsAreSentOnAlthoughNothingPasses) {
  const auto watch = Begun(RequestFor("quiet"));
  state_.Commit({{Insert(t_, 1, "a")}});
  const auto response = watch->Read();
  ASSERT_TRUE(response);
  EXPECT_THAT(response->events(), IsEmpty());
  EXPECT_EQ(Text(response->position()), "2.0");
}

TEST_F(WatchServiceTest, WatchesWithEqualFiltersShareTheWork) {
  std::vector<std::unique_ptr<WatchClient>> watches;
  for (int i = 0; i < 50; ++i) {
    watches.push_back(Begun(RequestFor(i % 2 == 0 ? "t" : "T")));
  }
  constexpr uint64_t kCommits = 100;
  for (uint64_t i = 0; i < kCommits; ++i) state_.Commit({{Insert(t_, 1, "a")}});
  for (const auto& watch : watches) EXPECT_EQ(watch->Events(2 * kCommits).size(), 2 * kCommits);
  // Watches that lag may have to judge a part again. They would come to 5,000.
  EXPECT_LT(harness_.watches().changes_judged(), 10 * kCommits);
}

// A slow reader holds nobody up, and is told where it stood.
TEST_F(WatchServiceTest, SlowReaderIsCutOffOnceTheRingHasPassedIt) {
  grpc::ChannelArguments args;  // of a client that takes little ahead of its reads
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  const auto stub = v1::Database::NewStub(
      grpc::CreateCustomChannel(harness_.address(), grpc::InsecureChannelCredentials(), args));
  const auto slow = std::make_unique<WatchClient>(stub.get(), v1::WatchRequest());
  ASSERT_TRUE(slow->Read());
  const auto quick = Begun();
  for (int i = 0; i < 200; ++i) {
    state_.Commit({{Insert(t_, i, std::string(100'000, 'x'))}});
    EXPECT_EQ(quick->Events(1).size(), 1U);
    quick->ReadTo(static_cast<uint64_t>(i) + 2);
    quick->Events(0);
  }
  const Status end = slow->End();
  EXPECT_EQ(end.code(), StatusCode::kOutOfRange);
  EXPECT_EQ(end.reason(), Reason::kPositionNotHeld);
  EXPECT_EQ(Text(slow->detail().watch().position()), Text(slow->position()));
  EXPECT_GT(slow->position().index(), 1U);
  EXPECT_GT(slow->detail().watch().oldest().index(), slow->position().index());
}

TEST_F(WatchServiceTest, CommandLargerThanAMessageComesInSeveral) {
  const auto watch = Begun();
  std::vector<Change> changes;
  for (int i = 0; i < 4'000; ++i) changes.push_back(Insert(t_, i, std::string(50, 'x')));
  state_.Commit({std::move(changes)});
  int responses = 0;
  size_t events = 0;
  uint64_t ordinal = 0;
  while (watch->position().index() < 2) {
    const auto response = watch->Read();
    ASSERT_TRUE(response) << watch->End();
    ++responses;
    EXPECT_LT(response->ByteSizeLong(), 3 * kWatchMessageBytes);
    for (const v1::WatchEvent& event : response->events()) {
      ++events;
      EXPECT_EQ(event.position().ordinal(), ++ordinal);
    }
  }
  EXPECT_EQ(events, 4'001U);
  EXPECT_GT(responses, 3);
}

TEST_F(WatchServiceTest, RowThatDoesNotFitIntoAMessageIsToldByItsKey) {
  const auto watch = Begun();
  auto command = Insert(t_, 7, std::string(5 << 20, 'x'));
  // The ring of this test holds 1 MiB. The bytes of a command are what its recorder says.
  state_.ring().BatchBegun(LogIndex(0));
  auto changes = std::make_shared<state_machine::CommandChanges>();
  command.position = {LogIndex(1), 1};
  changes->changes = {command, Change()};
  changes->changes[1].position = {LogIndex(1), 2};
  changes->bytes = 1000;
  state_.ring().BatchCommitted(LogIndex(1), {changes}, std::nullopt);
  EXPECT_THAT(watch->Events(2), ElementsAre("+t(7,)!", "."));
}

TEST_F(WatchServiceTest, SnapshotInstallEndsWatchesThatItLeavesBehind) {
  const auto watch = Begun();
  state_.ring().Reset(LogIndex(50));
  const Status end = watch->End();
  EXPECT_EQ(end.code(), StatusCode::kOutOfRange);
  EXPECT_EQ(Text(watch->detail().watch().oldest()), "51.0");
}

TEST_F(WatchServiceTest, WatchGoesOnOverAReopenedDatabaseThatLostItsEnd) {
  const auto watch = Begun();
  state_.Commit({{Insert(t_, 1, "a")}});
  EXPECT_THAT(watch->Events(2), ElementsAre("+t(1,'a')", "."));
  state_.ring().Reset(LogIndex(0));
  state_.GoBackTo(0);
  state_.Commit({{Insert(t_, 1, "a")}});  // applied again
  state_.Commit({{Insert(t_, 2, "b")}});
  EXPECT_THAT(watch->Events(2), ElementsAre("+t(2,'b')", "."));
}

TEST_F(WatchServiceTest, ShutdownEndsWatchesWithUnavailable) {
  const auto watch = Begun();
  harness_.watches().Stop();
  const Status end = watch->End();
  EXPECT_EQ(end.code(), StatusCode::kUnavailable);
  EXPECT_EQ(Text(watch->detail().watch().position()), "1.0");
  EXPECT_EQ(Watch()->End().code(), StatusCode::kUnavailable);
}

// What members of different builds have not agreed on may be wrong.
TEST_F(WatchServiceTest, WhileBuildsDifferOnlyAgreedChangesAreTold) {
  const auto watch = Begun(After(1, 0));
  replica_.Compare(true);
  state_.Commit({{Insert(t_, 1, "a")}});
  while (replica_.held_barriers() == 0) std::this_thread::yield();
  EXPECT_EQ(Text(watch->position()), "1.0");
  replica_.HoldBarriers(false);  // a majority has agreed
  EXPECT_THAT(watch->Events(2), ElementsAre("+t(1,'a')", "."));
}

TEST_F(WatchServiceTest, SnapshotGivesTheRowsAndThenTheChangesAfterThem) {
  state_.Answer("SELECT t.name, t.wr",
                {ColumnAnswer("Other", "id", "INT", 1), ColumnAnswer("_cairn_x", "y", ""),
                 ColumnAnswer("t", "id", "INTEGER", 1), ColumnAnswer("t", "v", "TEXT")});
  state_.Answer(
      "SELECT _rowid_, \"id\", \"v\" FROM main.\"t\"",
      {{int64_t{1}, int64_t{1}, std::string("a")}, {int64_t{2}, int64_t{2}, std::string("b")}});
  HasColumns("t", t_->columns);
  state_.GoBackTo(5);
  state_.ring().Reset(LogIndex(5));
  v1::WatchRequest request = RequestFor("t", "v <> 'a'");
  request.set_snapshot(true);
  const auto watch = Watch(request);
  const auto first = watch->Read();
  ASSERT_TRUE(first) << watch->End();
  EXPECT_EQ(first->snapshot_index(), 5U);
  EXPECT_THAT(watch->Events(1), ElementsAre("=t(2,'b')"));
  watch->ReadTo(6);
  EXPECT_EQ(Text(watch->position()), "6.0");
  state_.Commit({{Insert(t_, 3, "c")}});
  EXPECT_THAT(watch->Events(2), ElementsAre("+t(3,'c')", "."));
}

TEST_F(WatchServiceTest, LargeSnapshotComesInPiecesAtThePaceOfItsReader) {
  std::vector<Row> rows;
  for (int64_t i = 0; i < 20'000; ++i) rows.push_back({i, i, std::string(40, 'x')});
  state_.Answer("SELECT t.name, t.wr", {ColumnAnswer("t", "id", ""), ColumnAnswer("t", "v", "")});
  state_.Answer("SELECT _rowid_, \"id\"", rows);
  v1::WatchRequest request;
  request.set_snapshot(true);
  const auto watch = Watch(request);
  EXPECT_EQ(watch->Events(rows.size()).size(), rows.size());
  state_.Commit({{Insert(t_, 3, "c")}});
  EXPECT_THAT(watch->Events(2), ElementsAre("+t(3,'c')", "."));
}

// As the changes after it are told.
TEST_F(WatchServiceTest, SnapshotTellsTheTablesAndRowidsThatChangesTell) {
  const Value no_text = std::string("CREATE VIRTUAL TABLE d USING fts5(x, content='gone')");
  const Value drafts = std::string("CREATE VIRTUAL TABLE r USING rtree(id, a, b, +drafts)");
  const Value text = std::string("CREATE VIRTUAL TABLE n USING fts5(x)");
  state_.Answer(
      "SELECT t.name, t.wr",
      {ColumnAnswer("d", "x", "", 0, 0, no_text), ColumnAnswer("n", "x", "", 0, 0, text),
       ColumnAnswer("n", "rank", "", 0, 1, text), ColumnAnswer("r", "a", "", 0, 0, drafts),
       ColumnAnswer("t", "v"), ColumnAnswer("t", "_rowid_", "INT", 0, 2)});
  state_.Answer("SELECT _rowid_, \"x\" FROM main.\"n\"", {{int64_t{1}, std::string("a")}});
  state_.Answer("SELECT rowid, \"v\" FROM main.\"t\"", {{int64_t{7}, std::string("b")}});
  v1::WatchRequest request;
  request.set_snapshot(true);
  const auto watch = Watch(request);
  watch->ReadTo(1);
  EXPECT_THAT(watch->Events(0), ElementsAre("=n('a')", "=t('b')"));
}

TEST_F(WatchServiceTest, SnapshotTellsARowThatDoesNotFitIntoAMessageByItsKey) {
  state_.Answer("SELECT t.name, t.wr",
                {ColumnAnswer("t", "id", "INTEGER", 1), ColumnAnswer("t", "v", "TEXT")});
  state_.Answer("SELECT _rowid_, \"id\"", {{int64_t{7}, int64_t{7}, std::string(5 << 20, 'x')}});
  v1::WatchRequest request;
  request.set_snapshot(true);
  const auto watch = Watch(request);
  std::vector<v1::WatchEvent> rows;
  while (watch->position().index() == 0) {
    const auto response = watch->Read();
    ASSERT_TRUE(response) << watch->End();
    rows.insert(rows.end(), response->events().begin(), response->events().end());
  }
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_TRUE(rows[0].too_large());
  EXPECT_EQ(rows[0].new_rowid(), 7);
}

TEST_F(WatchServiceTest, SnapshotOfManyEmptyTablesComesInPieces) {
  std::vector<Row> columns;
  const std::string name(10'000, 'c');
  for (int i = 0; i < 100; ++i) {
    const std::string table = "t" + std::to_string(i);
    columns.push_back(ColumnAnswer(table, name));
    state_.Answer("SELECT _rowid_, \"" + name + "\" FROM main.\"" + table + "\"", {});
  }
  state_.Answer("SELECT t.name, t.wr", columns);
  v1::WatchRequest request;
  request.set_snapshot(true);
  const auto watch = Watch(request);
  while (watch->position().index() == 0) {
    const auto response = watch->Read();
    ASSERT_TRUE(response) << watch->End();
    EXPECT_LT(response->ByteSizeLong(), 3 * kWatchMessageBytes);
  }
  EXPECT_EQ(watch->definitions(), 100);
}

}  // namespace
}  // namespace cairn::server
