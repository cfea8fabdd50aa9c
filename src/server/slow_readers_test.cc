// A client with slow or heavy reads does not affect the reads of others.
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "cairn/v1/database.grpc.pb.h"
#include "rpc/deadline.h"
#include "rpc/session_channel.h"
#include "server/service_harness_test_util.h"

namespace cairn::server {
namespace {

class SlowReadersTest : public ::testing::Test {
 protected:
  // Makes a separate connection, however many there are to the same address.
  std::unique_ptr<v1::Database::Stub> Connect() {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::Database::NewStub(
        grpc::CreateCustomChannel(harness_.address(), grpc::InsecureChannelCredentials(), args));
  }
  // Queries whose clients do not read the answer, or whose answers have no rows.
  struct Query {
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::QueryResponse>> reader;
  };
  static std::vector<std::unique_ptr<Query>> Start(v1::Database::Stub* stub, const std::string& sql,
                                                   int n) {
    std::vector<std::unique_ptr<Query>> queries;
    for (int i = 0; i < n; ++i) {
      queries.push_back(std::make_unique<Query>());
      v1::QueryRequest request;
      request.mutable_statement()->set_sql(sql);
      request.set_timeout_ms(600'000);
      queries.back()->reader = stub->Query(&queries.back()->context, request);
    }
    return queries;
  }
  static void Cancel(std::vector<std::unique_ptr<Query>>* queries) {
    for (auto& query : *queries) query->context.TryCancel();
    for (auto& query : *queries) query->reader->Finish();
  }
  static int64_t RowsOf(v1::Database::Stub* stub, const std::string& sql) {
    grpc::ClientContext context;
    context.set_deadline(rpc::DeadlineAfter(kPatience));
    v1::QueryRequest request;
    request.mutable_statement()->set_sql(sql);
    request.set_timeout_ms(600'000);
    const auto reader = stub->Query(&context, request);
    v1::QueryResponse response;
    int64_t rows = 0;
    while (reader->Read(&response)) rows += response.rows_size();
    const grpc::Status status = reader->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return rows;
  }
  static bool GetVersion(v1::Database::Stub* stub) {
    grpc::ClientContext context;
    context.set_deadline(rpc::DeadlineAfter(kPatience));
    v1::GetVersionResponse response;
    return stub->GetVersion(&context, v1::GetVersionRequest(), &response).ok();
  }
  void AwaitViews(int n) {
    const SteadyTime by = SystemClock().SteadyNow() + kPatience;
    while (replica_.fake_state().views_opened() < n && SystemClock().SteadyNow() < by) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_GE(replica_.fake_state().views_opened(), n);
  }
  ~SlowReadersTest() override {
    replica_.Shutdown(SteadyTime(0));
    harness_.Stop();
  }

  FakeReplica replica_{&SystemClock()};
  ServiceHarness harness_{&replica_, std::chrono::hours(1)};
};

TEST_F(SlowReadersTest, StreamsWhoseClientsDoNotReadHoldNoThread) {
  const auto slow = Connect();
  const auto other = Connect();
  auto queries = Start(slow.get(), "1000000000", 30);
  AwaitViews(1 + 6);  // first slices share one view; six are long reads
  EXPECT_TRUE(GetVersion(slow.get()));
  EXPECT_EQ(RowsOf(other.get(), "100000"), 100'000);
  Cancel(&queries);
}

TEST_F(SlowReadersTest, AClientThatAsksOverManyConnectionsLeavesViewsToOthers) {
  std::vector<std::unique_ptr<v1::Database::Stub>> slow;
  std::vector<std::unique_ptr<Query>> queries;
  for (int i = 0; i < 3; ++i) {
    slow.push_back(Connect());
    for (auto& query : Start(slow.back().get(), "1000000000", 6))
      queries.push_back(std::move(query));
  }
  AwaitViews(1 + 9);
  // A tenth long read of this client waits. So the rows come only when one of the others ends.
  const auto other = Connect();
  std::thread cancels([&] {
    AwaitViews(1 + 9);
    for (auto& query : queries) query->context.TryCancel();
  });
  EXPECT_EQ(RowsOf(other.get(), "100000"), 100'000);
  cancels.join();
  for (auto& query : queries) query->reader->Finish();
}

TEST_F(SlowReadersTest, QueriesThatTakeLongStopNeitherShortReadsNorTheQueriesOfOthers) {
  const auto heavy = Connect();
  const auto other = Connect();
  auto queries = Start(heavy.get(), "slow", 30);
  AwaitViews(1 + 3);
  EXPECT_TRUE(GetVersion(heavy.get()));
  EXPECT_EQ(RowsOf(heavy.get(), "100"), 100);
  EXPECT_EQ(RowsOf(other.get(), "100000"), 100'000);
  Cancel(&queries);
}

TEST_F(SlowReadersTest, HeavyQueriesOfASessionStopNoShortRead) {
  rpc::TimerQueue timers(&SystemClock());
  rpc::SessionChannel::Options options;
  options.endpoint = harness_.address();
  const auto channel = rpc::SessionChannel::Open(options, &timers, &SystemClock());
  for (int i = 0; i < 30; ++i) {
    v1::SessionRequest request;
    request.mutable_query()->mutable_statement()->set_sql("slow");
    request.set_timeout_ms(600'000);
    channel->Send(std::move(request), SystemClock().SteadyNow() + kPatience,
                  [](const Status&, v1::SessionResponse*) {});
  }
  AwaitViews(1 + 3);
  std::promise<bool> read;
  v1::SessionRequest request;
  request.mutable_get_version();
  channel->Send(std::move(request), SystemClock().SteadyNow() + kPatience,
                [&](const Status& status, v1::SessionResponse* response) {
                  read.set_value(status.ok() && response->has_get_version());
                });
  EXPECT_TRUE(read.get_future().get());
  channel->Close();
  channel->AwaitEnd();
}

}  // namespace
}  // namespace cairn::server
