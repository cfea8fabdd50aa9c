// The C++ client's watch over nodes that fail.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cairn/client.h"
#include "server/watch_hub.h"
#include "server/watch_test_util.h"

namespace cairn::server {
namespace {

using ::testing::ElementsAre;

// A watch that nobody reads.
class NoSink final : public WatchSink {
 public:
  bool Send(std::string, std::function<void()>) override { return true; }
  void End(const Status&, std::optional<state_machine::ChangePosition>,
           std::optional<state_machine::ChangePosition>) override {}
};

// Two nodes that apply the same entries.
class WatcherTest : public ::testing::Test {
 protected:
  ~WatcherTest() override {
    for (FakeReplica* replica : {&a_, &b_}) replica->Shutdown(SteadyTime(0));
    node_a_.Stop();
    node_b_.Stop();
  }

  std::unique_ptr<Watcher> Watch(WatchOptions options = {},
                                 std::chrono::milliseconds timeout = kPatience) {
    ClientOptions client;
    client.endpoints = {node_a_.address(), node_b_.address()};
    client.timeout = timeout;
    return *(*Client::Connect(client))->Watch(std::move(options));
  }
  // Begins the watch, so that later changes are told.
  static void Begin(Watcher* watcher) {
    while (!watcher->position()) {
      const auto none = watcher->Next(std::chrono::milliseconds(10));
      ASSERT_EQ(none.status().code(), StatusCode::kDeadlineExceeded) << none.status();
    }
  }
  void Commit(const std::vector<state_machine::Change>& changes) {
    a_.fake_state().Commit({changes});
    b_.fake_state().Commit({changes});
  }
  static std::string InWords(const Result<WatchEvent>& event) {
    if (!event.ok()) return event.status().ToString();
    if (event->kind == cairn::ChangeKind::kCommandEnd) return ".";
    if (event->kind == cairn::ChangeKind::kSnapshotBegin) return "begin";
    if (event->kind == cairn::ChangeKind::kSnapshotEnd) return "end";
    const Row& row = event->new_row.empty() ? event->old_row : event->new_row;
    return event->table->name + std::to_string(std::get<int64_t>(row[0]));
  }
  static std::vector<std::string> Events(Watcher* watcher, size_t n) {
    std::vector<std::string> events;
    for (size_t i = 0; i < n; ++i) events.push_back(InWords(watcher->Next(kPatience)));
    return events;
  }

  const std::shared_ptr<const state_machine::ChangedTable> t_ = TableOf("t");
  FakeReplica a_{&SystemClock()};
  FakeReplica b_{&SystemClock()};
  ServiceHarness node_a_{&a_};
  ServiceHarness node_b_{&b_};
};

TEST_F(WatcherTest, ARenameIsToldToWatchesOfEitherNameAndSaysWhatWasNotTold) {
  const auto of_old = Watch({.filters = {{.table = "Was"}}});
  const auto of_new = Watch({.filters = {{.table = "IS"}}});
  const auto of_both = Watch({.filters = {{.table = "is"}, {.table = "was"}}});
  const auto of_all = Watch();
  for (const auto& watcher : {&of_old, &of_new, &of_both, &of_all}) Begin(watcher->get());
  state_machine::Change renamed = Created("is");
  renamed.schema.kind = state_machine::SchemaChange::Kind::kAltered;
  renamed.schema.old_name = "was";
  Commit({renamed});
  for (const auto& watcher : {&of_old, &of_new, &of_both, &of_all}) {
    const auto event = (*watcher)->Next(kPatience);
    ASSERT_TRUE(event.ok()) << event.status();
    EXPECT_EQ(event->schema.name, "is");
    EXPECT_EQ(event->schema.renamed_from, "was");
    EXPECT_EQ(event->schema.begin_anew, watcher == &of_new);
  }
}

TEST_F(WatcherTest, GivesTypedEventsAndThePositionAfterEach) {
  const auto watcher = Watch();
  Begin(watcher.get());
  Commit({Insert(t_, 1, "a"), Update(t_, 1, "a", "b")});
  const auto insert = watcher->Next(kPatience);
  ASSERT_TRUE(insert.ok()) << insert.status();
  EXPECT_EQ(insert->kind, cairn::ChangeKind::kInsert);
  EXPECT_EQ(insert->table->name, "t");
  EXPECT_THAT(insert->table->columns, ElementsAre(Column{"id", "INTEGER"}, Column{"v", "TEXT"}));
  EXPECT_THAT(insert->table->key, ElementsAre(0U));
  EXPECT_EQ(insert->new_rowid, 1);
  EXPECT_EQ(insert->new_row, (Row{int64_t{1}, std::string("a")}));
  EXPECT_EQ(watcher->position(), (cairn::ChangePosition{1, 1}));
  const auto update = watcher->Next(kPatience);
  ASSERT_TRUE(update.ok()) << update.status();
  EXPECT_EQ(update->kind, cairn::ChangeKind::kUpdate);
  EXPECT_THAT(update->changed, ElementsAre(1U));
  EXPECT_EQ(update->old_row, (Row{int64_t{1}, std::string("a")}));
  EXPECT_THAT(Events(watcher.get(), 1), ElementsAre("."));
  EXPECT_EQ(watcher->Next(std::chrono::milliseconds(0)).status().code(),
            StatusCode::kDeadlineExceeded);
}

TEST_F(WatcherTest, GoesOnAtAnotherNodeWithoutLossAndRepeats) {
  const auto records =
      node_b_.watches().Open(std::make_shared<NoSink>(), "test", {},
                             SystemClock().SteadyNow() + std::chrono::hours(1), nullptr);
  ASSERT_TRUE(records.ok());  // node b records changes too
  const auto watcher = Watch();
  Begin(watcher.get());
  Commit({Insert(t_, 1, "a"), Insert(t_, 2, "b"), Insert(t_, 3, "c")});
  EXPECT_THAT(Events(watcher.get(), 2), ElementsAre("t1", "t2"));
  node_a_.Stop();
  Commit({Insert(t_, 4, "d")});
  EXPECT_THAT(Events(watcher.get(), 4), ElementsAre("t3", ".", "t4", "."));
}

TEST_F(WatcherTest, EndsIfNoNodeHoldsWhatFollows) {
  const auto watcher = Watch({}, std::chrono::milliseconds(300));
  Begin(watcher.get());
  Commit({Insert(t_, 1, "a")});
  EXPECT_THAT(Events(watcher.get(), 2), ElementsAre("t1", "."));
  Commit({Insert(t_, 2, "b")});
  EXPECT_THAT(Events(watcher.get(), 2), ElementsAre("t2", "."));
  Commit({Insert(t_, 3, "c")});
  EXPECT_EQ(InWords(watcher->Next(kPatience)), "t3");
  node_a_.Stop();
  b_.fake_state().Commit({{Insert(t_, 4, "d")}});  // that node b does not record
  Result<WatchEvent> next = watcher->Next(kPatience);
  while (next.ok()) next = watcher->Next(kPatience);
  EXPECT_EQ(next.status().code(), StatusCode::kOutOfRange);
  EXPECT_EQ(next.status().reason(), Reason::kPositionNotHeld);
  EXPECT_EQ(watcher->oldest(), (cairn::ChangePosition{5, 0}));
  EXPECT_EQ(watcher->Next(kPatience).status(), next.status());
}

TEST_F(WatcherTest, SnapshotThatBreaksOffBeginsAnew) {
  std::vector<Row> rows;
  for (int64_t i = 1; i <= 100'000; ++i) rows.push_back({i, i, std::string(100, 'x')});
  for (FakeReplica* replica : {&a_, &b_}) {
    replica->fake_state().GoBackTo(5);
    replica->fake_state().ring().Reset(LogIndex(5));
    replica->fake_state().Answer("SELECT t.name, t.wr",
                                 {ColumnAnswer("t", "id", ""), ColumnAnswer("t", "v", "")});
  }
  a_.fake_state().Answer("SELECT _rowid_", rows);
  b_.fake_state().Answer("SELECT _rowid_", {rows[0]});
  WatchOptions options;
  options.from = WatchOptions::From::kSnapshot;
  const auto watcher = Watch(options);
  EXPECT_THAT(Events(watcher.get(), 3), ElementsAre("begin", "t1", "t2"));
  EXPECT_EQ(watcher->position(), std::nullopt);
  node_a_.Stop();
  std::string event;
  do event = InWords(watcher->Next(kPatience));
  while (event != "begin" && event.starts_with("t"));
  EXPECT_EQ(event, "begin");
  EXPECT_THAT(Events(watcher.get(), 2), ElementsAre("t1", "end"));
  EXPECT_EQ(watcher->position(), (cairn::ChangePosition{6, 0}));
  b_.fake_state().Commit({{Insert(t_, 7, "a")}});
  EXPECT_THAT(Events(watcher.get(), 2), ElementsAre("t7", "."));
}

TEST_F(WatcherTest, CancelEndsAWaitingNext) {
  const auto watcher = Watch();
  Begin(watcher.get());
  std::thread cancels([&] { watcher->Cancel(); });
  EXPECT_EQ(watcher->Next(kPatience).status().code(), StatusCode::kCancelled);
  cancels.join();
  EXPECT_EQ(watcher->Next(kPatience).status().code(), StatusCode::kCancelled);
}

TEST_F(WatcherTest, ARefusedWatchEnds) {
  WatchOptions options;
  options.filters.push_back({.table = "_cairn_state"});
  EXPECT_EQ(Watch(options)->Next(kPatience).status().code(), StatusCode::kPermissionDenied);
  options.filters[0] = {.operations = {cairn::ChangeKind::kRow}};
  ClientOptions client;
  client.endpoints = {node_a_.address()};
  EXPECT_EQ((*Client::Connect(client))->Watch(options).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(WatcherTest, ATableThatWasAlteredKeepsTheNamesOfItsEarlierRows) {
  const auto wide = TableOf("t", {{"id", "INTEGER"}, {"v", "TEXT"}, {"w", ""}});
  const auto watcher = Watch();
  Begin(watcher.get());
  Commit({Insert(t_, 1, "a"), Insert(wide, 2, "b")});
  for (const size_t columns : {2U, 3U}) {
    const auto event = watcher->Next(kPatience);
    ASSERT_TRUE(event.ok()) << event.status();
    ASSERT_NE(event->table, nullptr);
    EXPECT_EQ(event->table->columns.size(), columns);
  }
}

// Ends a watch for want of room, and takes it again.
class CrowdedNode final : public v1::Database::Service {
 public:
  grpc::Status Watch(grpc::ServerContext*, const v1::WatchRequest* request,
                     grpc::ServerWriter<v1::WatchResponse>* writer) override {
    v1::WatchResponse response;
    response.mutable_position()->set_index(request->has_after() ? request->after().index() : 1);
    writer->Write(response);
    if (!request->has_after()) return {grpc::StatusCode::RESOURCE_EXHAUSTED, "no room"};
    v1::WatchEvent* const event = response.add_events();
    event->set_kind(v1::CHANGE_KIND_COMMAND_END);
    event->mutable_position()->set_index(2);
    response.mutable_position()->set_index(2);
    writer->Write(response);
    return grpc::Status::OK;
  }
};

TEST(WatcherOfACrowdedNode, GoesOnOnceThereIsRoom) {
  CrowdedNode node;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&node);
  const auto server = builder.BuildAndStart();
  ClientOptions options;
  options.endpoints = {"127.0.0.1:" + std::to_string(port)};
  {
    const auto watcher = *(*Client::Connect(options))->Watch({});
    const auto event = watcher->Next(kPatience);
    ASSERT_TRUE(event.ok()) << event.status();
    EXPECT_EQ(event->position, (cairn::ChangePosition{2, 0}));
  }
  server->Shutdown();
}

}  // namespace
}  // namespace cairn::server
