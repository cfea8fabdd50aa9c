// What clients send to a node takes no more memory than the node has for it.
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>

#include "cairn/v1/database.grpc.pb.h"
#include "rpc/proto_convert.h"
#include "rpc/session_channel.h"
#include "server/service_harness_test_util.h"

namespace cairn::server {
namespace {

class MemoryBoundsTest : public ::testing::Test {
 protected:
  MemoryBoundsTest() {
    rpc::SessionChannel::Options options;
    options.endpoint = harness_.address();
    channel_ = rpc::SessionChannel::Open(options, &timers_, &SystemClock());
  }
  ~MemoryBoundsTest() override {
    channel_->Close();
    channel_->AwaitEnd();
    replica_.Shutdown(SteadyTime(0));
    harness_.Stop();
  }

  static v1::ExecuteRequest WriteOf(size_t bytes) {
    v1::ExecuteRequest request;
    request.add_statements()->set_sql("INSERT");
    request.mutable_statements(0)->add_positional()->set_blob(std::string(bytes, 'x'));
    return request;
  }
  std::future<v1::SessionResponse> Ask(v1::SessionRequest request) {
    auto answer = std::make_shared<std::promise<v1::SessionResponse>>();
    channel_->Send(std::move(request), SystemClock().SteadyNow() + kPatience,
                   [answer](const Status& status, v1::SessionResponse* response) {
                     EXPECT_TRUE(status.ok()) << status;
                     answer->set_value(status.ok() ? *response : v1::SessionResponse());
                   });
    return answer->get_future();
  }
  // Once gRPC is done with the answers, all charges are given back.
  void ExpectNothingHeld() {
    const SteadyTime by = SystemClock().SteadyNow() + kPatience;
    const ServerMemory& memory = harness_.memory();
    while (memory.requests->bytes() + memory.results->bytes() + memory.queries->bytes() != 0 &&
           SystemClock().SteadyNow() < by) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(memory.requests->bytes(), 0U);
    EXPECT_EQ(memory.results->bytes(), 0U);
    EXPECT_EQ(memory.queries->bytes(), 0U);
  }

  FakeReplica replica_{&SystemClock()};
  ServiceHarness harness_{&replica_, std::chrono::seconds(60), 2 << 20};
  rpc::TimerQueue timers_{&SystemClock()};
  std::shared_ptr<rpc::SessionChannel> channel_;
};

TEST_F(MemoryBoundsTest, AUnaryRequestThatFindsNoMemoryIsNotApplied) {
  const auto answer =
      harness_.Call("/cairn.v1.Database/Execute", WriteOf(1 << 20).SerializeAsString());
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(answer.status.error_message().find("memory-bytes-max"), std::string::npos);
  EXPECT_TRUE(replica_.fake_state().commands().empty());
  EXPECT_TRUE(harness_.Call("/cairn.v1.Database/Execute", WriteOf(1 << 10).SerializeAsString())
                  .status.ok());
  ExpectNothingHeld();
}

TEST_F(MemoryBoundsTest, OfASessionsRequestsThoseAreRefusedThatFindNoMemory) {
  v1::SessionRequest small;
  *small.mutable_execute() = WriteOf(10);
  v1::SessionRequest large;
  *large.mutable_execute() = WriteOf(512 << 10);
  auto first = Ask(small);
  auto second = Ask(large);
  auto third = Ask(small);
  EXPECT_TRUE(first.get().has_execute());
  const v1::SessionResponse refused = second.get();
  EXPECT_EQ(refused.error().code(), static_cast<int>(StatusCode::kResourceExhausted));
  EXPECT_EQ(refused.error().detail().outcome(), v1::OUTCOME_NOT_APPLIED);
  EXPECT_TRUE(third.get().has_execute());
  ExpectNothingHeld();
}

TEST_F(MemoryBoundsTest, AResultThatFindsNoMemoryIsLeftOut) {
  v1::SessionRequest query;
  query.mutable_query()->mutable_statement()->set_sql("100000");
  const v1::SessionResponse large = Ask(query).get();
  EXPECT_EQ(large.error().code(), static_cast<int>(StatusCode::kResourceExhausted));
  EXPECT_NE(large.error().message().find("too many results"), std::string::npos);
  query.mutable_query()->mutable_statement()->set_sql("100");
  EXPECT_EQ(Ask(query).get().query().rows_size(), 100);
  ExpectNothingHeld();
}

TEST_F(MemoryBoundsTest, AnErrorThatFindsNoMemoryStaysThatError) {
  MemoryShare* const results = harness_.memory().results;
  ASSERT_TRUE(results->TryTake(results->bytes_max()));
  replica_.fake_state().EchoRefusals(true);
  v1::SessionRequest request;
  request.mutable_execute()->add_statements()->set_sql("SELECT " + std::string(9'000, 'x'));
  const v1::SessionResponse refused = Ask(request).get();
  results->Give(results->bytes_max());
  EXPECT_EQ(refused.error().code(), static_cast<int>(StatusCode::kInvalidArgument));
  EXPECT_EQ(refused.error().detail().outcome(), v1::OUTCOME_NOT_APPLIED);
  EXPECT_LE(refused.error().message().size(), 256U);
  ExpectNothingHeld();
}

TEST_F(MemoryBoundsTest, AStreamWhoseChunkFindsNoMemoryEndsWithAnErrorAndIsNeverCutShort) {
  const auto database = v1::Database::NewStub(harness_.channel());
  MemoryShare* const results = harness_.memory().results;
  ASSERT_TRUE(results->TryTake(results->bytes_max()));
  // Several chunks, then exactly one chunk with no row after it that could report.
  for (const char* rows : {"20000", "1024"}) {
    grpc::ClientContext context;
    v1::QueryRequest query;
    query.mutable_statement()->set_sql(rows);
    const auto stream = database->Query(&context, query);
    v1::QueryResponse chunk;
    while (stream->Read(&chunk)) {
    }
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << rows;
  }
  results->Give(results->bytes_max());
  ExpectNothingHeld();
}

TEST_F(MemoryBoundsTest, RequestsUnderWayHoldTheirMemoryUntilTheyAreAnswered) {
  replica_.HoldBarriers(true);
  v1::SessionRequest query;
  query.mutable_query()->mutable_statement()->set_sql("1");
  query.mutable_query()->mutable_statement()->add_positional()->set_text(std::string(30'000, 'x'));
  std::vector<std::future<v1::SessionResponse>> answers;
  for (int i = 0; i < 50; ++i) answers.push_back(Ask(query));
  // The last answer is a refusal, so all requests have been judged. The share has 768 KiB.
  answers.back().wait();
  replica_.HoldBarriers(false);
  int refused = 0;
  for (auto& answer : answers) {
    const v1::SessionResponse response = answer.get();
    if (response.has_error()) ++refused;
  }
  EXPECT_GT(refused, 30);
  EXPECT_LT(refused, 50);
  ExpectNothingHeld();
}

TEST_F(MemoryBoundsTest, MoreOpenStreamsThanThereIsMemoryForAreRefused) {
  v1::SessionRequest query;
  query.mutable_query()->mutable_statement()->set_sql("1");
  // The first stream is open before the others ask: a busy machine may connect them in any order.
  ASSERT_TRUE(Ask(query).get().has_query());
  std::vector<std::shared_ptr<rpc::SessionChannel>> channels;
  rpc::SessionChannel::Options options;
  options.endpoint = harness_.address();
  std::promise<void> refused;
  std::atomic<int> broken{0};
  options.on_broken = [&](const Status&) {
    if (++broken == 1) refused.set_value();
  };
  // 128 KiB for streams of 16 KiB.
  for (int i = 0; i < 8; ++i) {
    channels.push_back(rpc::SessionChannel::Open(options, &timers_, &SystemClock()));
  }
  EXPECT_EQ(refused.get_future().wait_for(kPatience), std::future_status::ready);
  for (auto& channel : channels) {
    channel->Close();
    channel->AwaitEnd();
  }
  EXPECT_TRUE(Ask(query).get().has_query());
}

}  // namespace
}  // namespace cairn::server
