// When the watcher of a query hears that its rows may have changed.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "cairn/client.h"
#include "server/watch_test_util.h"

namespace cairn::server {
namespace {

constexpr const char* kSql = "SELECT v FROM t";

class LiveQueryTest : public WatchServiceTest {
 protected:
  class Call {
   public:
    Call(v1::Database::Stub* stub, const v1::WatchQueryRequest& request) {
      context_.set_deadline(rpc::DeadlineAfter(kPatience));
      reader_ = stub->WatchQuery(&context_, request);
    }
    ~Call() {
      context_.TryCancel();
      if (!ended_) reader_->Finish();
    }
    // The index that is told. Nothing at the end.
    std::optional<uint64_t> Read() {
      v1::WatchQueryResponse response;
      if (!reader_->Read(&response)) return std::nullopt;
      return response.index();
    }
    Status End() {
      while (Read()) {
      }
      ended_ = true;
      const grpc::Status status = reader_->Finish();
      return rpc::FromGrpc(status, context_.GetServerTrailingMetadata(), Outcome::kNone);
    }

   private:
    grpc::ClientContext context_;
    std::unique_ptr<grpc::ClientReader<v1::WatchQueryResponse>> reader_;
    bool ended_ = false;
  };

  std::unique_ptr<Call> Start(const std::string& sql = kSql, uint32_t interval_ms = 50) {
    v1::WatchQueryRequest request;
    request.set_sql(sql);
    request.set_interval_ms(interval_ms);
    return std::make_unique<Call>(stub_.get(), request);
  }
};

TEST_F(LiveQueryTest, FirstResponseComesAtOnceAndTheNextAfterAWriteToWhatTheQueryReads) {
  state_.Commit({{Insert(t_, 1, "before")}});
  const auto call = Start();
  EXPECT_EQ(call->Read(), 1u);
  state_.Commit({{Insert(other_, 1, "not read")}});
  state_.Commit({{Insert(t_, 2, "a")}});
  EXPECT_EQ(call->Read(), 3u);
  state_.Commit({{Delete(t_, 2, "a")}});
  EXPECT_EQ(call->Read(), 4u);
}

TEST_F(LiveQueryTest, WritesToOtherTablesAreNotTold) {
  const auto call = Start();
  ASSERT_TRUE(call->Read());
  const int before = state_.views_opened();
  for (int i = 0; i < 5; ++i) {
    const int seen = state_.views_opened();
    state_.Commit({{Insert(other_, i, "not read")}});
    while (state_.views_opened() == seen) std::this_thread::yield();  // the node has looked
  }
  EXPECT_GE(state_.views_opened(), before + 5);
  state_.Commit({{Insert(t_, 1, "a")}});
  EXPECT_EQ(call->Read(), state_.applied_index().value()) << "and nothing before";
}

TEST_F(LiveQueryTest, ResponsesAreAtLeastAnIntervalApart) {
  constexpr std::chrono::milliseconds kInterval(300);
  const auto call = Start(kSql, kInterval.count());
  ASSERT_TRUE(call->Read());
  state_.Commit({{Insert(t_, 0, "a")}});
  ASSERT_TRUE(call->Read());
  const auto begun = std::chrono::steady_clock::now();
  for (int i = 1; i <= 50; ++i) state_.Commit({{Insert(t_, i, "a")}});
  EXPECT_EQ(call->Read(), state_.applied_index().value()) << "one response for all";
  // The first of the two left its node a little before it arrived here.
  EXPECT_GE(std::chrono::steady_clock::now() - begun, kInterval / 2);
}

TEST_F(LiveQueryTest, BadRequestsAreRefused) {
  EXPECT_EQ(Start("no query")->End().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Start(kSql, 49)->End().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Start(kSql, 3'600'001)->End().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Start(kSql + std::string(16 << 10, ' '))->End().code(), StatusCode::kInvalidArgument);
}

TEST_F(LiveQueryTest, WithoutALeaderItDoesNotBegin) {
  replica_.SetLeader(false, std::nullopt);
  EXPECT_EQ(Start()->End().code(), StatusCode::kUnavailable);
}

TEST_F(LiveQueryTest, NodeThatStopsEndsIt) {
  const auto call = Start();
  ASSERT_TRUE(call->Read());
  harness_.watches().Stop();
  EXPECT_EQ(call->End().code(), StatusCode::kUnavailable);
}

TEST_F(LiveQueryTest, CallsThatAreCancelledAtAnyMomentLeaveNothing) {
  for (int i = 0; i < 200; ++i) {
    const auto call = Start();
    if (i % 2 == 0) {
      ASSERT_TRUE(call->Read());
    }
    state_.Commit({{Insert(t_, i, "a")}});
  }
  // The bound on the watches of a client counts those that are open: there is room again.
  const auto call = Start();
  ASSERT_TRUE(call->Read()) << call->End();
  replica_.Shutdown(SteadyTime(0));
  harness_.Stop();
  EXPECT_EQ(harness_.memory().sessions->bytes(), 0u);
}

// ---- The C++ client

TEST(LiveQueryClient, GivesTheResultAgainAfterAWriteAndGoesOnAtAnotherNode) {
  FakeReplica a(&SystemClock());
  FakeReplica b(&SystemClock());
  ServiceHarness node_a(&a);
  ServiceHarness node_b(&b);
  const auto t = TableOf("t");
  const auto commit = [&](int64_t value) {
    for (FakeReplica* each : {&a, &b}) {
      each->fake_state().Answer(kSql, {{value}});
      each->fake_state().Commit({{Insert(t, value, "a")}});
    }
  };
  commit(1);
  ClientOptions options;
  options.endpoints = {node_a.address(), node_b.address()};
  options.timeout = kPatience;
  const auto client = *Client::Connect(options);
  const auto live = *client->WatchQuery({.sql = kSql}, {.interval = std::chrono::milliseconds(50)});
  const auto next = [&] {
    const Result<QueryResult> result = live->Next(kPatience);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? std::get<int64_t>(result->rows.at(0).at(0)) : 0;
  };
  EXPECT_EQ(next(), 1);
  EXPECT_EQ(live->Next(std::chrono::milliseconds(1)).status().code(),
            StatusCode::kDeadlineExceeded);
  commit(2);
  EXPECT_EQ(next(), 2);
  node_a.Stop();
  commit(3);
  EXPECT_EQ(next(), 3);
  live->Cancel();
  EXPECT_EQ(live->Next(kPatience).status().code(), StatusCode::kCancelled);
  EXPECT_TRUE(live->ended());
  for (FakeReplica* each : {&a, &b}) each->Shutdown(SteadyTime(0));
}

TEST(LiveQueryClient, QueryThatIsNoneEnds) {
  FakeReplica replica(&SystemClock());
  ServiceHarness node(&replica);
  const auto client = *Client::Connect({.endpoints = {node.address()}, .timeout = kPatience});
  const auto live = *client->WatchQuery({.sql = "no query"}, {});
  EXPECT_EQ(live->Next(kPatience).status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(live->ended());
  replica.Shutdown(SteadyTime(0));
}

}  // namespace
}  // namespace cairn::server
