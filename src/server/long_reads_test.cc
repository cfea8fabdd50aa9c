#include "server/long_reads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "server/fake_replica_test_util.h"

namespace cairn::server {
namespace {

class Consumer final : public QueryConsumer {
 public:
  Status OnColumns(const std::vector<state_machine::Column>&) override { return OkStatus(); }
  Status OnRow(state_machine::Row) override { return OkStatus(); }
  bool Full() override { return false; }
  void Begin(LogIndex, bool) override {}
  void End(const Status& status) override { ended.set_value(status); }

  std::promise<Status> ended;
};

// One thread. Members run different builds, and do not agree until the test says so.
class LongReadsTest : public ::testing::Test {
 protected:
  struct Query {
    std::future<Status> ended;
    std::shared_ptr<std::atomic<bool>> gone = std::make_shared<std::atomic<bool>>(false);
  };
  LongReadsTest() {
    state_machine::Command command;
    command.id = {"s", 1};
    command.operation = state_machine::OpenSession{};
    replica_.fake_state().ApplyOne(command);
    replica_.Compare(true);
  }
  ~LongReadsTest() override {
    replica_.Shutdown(SteadyTime(0));
    reads_->Stop();
    timers_.Stop();
  }
  void MakeReads(SteadyTime agreement_wait) {
    LongReads::Options options;
    options.threads = 1;
    options.agreement_wait = agreement_wait;
    reads_ = std::make_unique<LongReads>(&replica_, &timers_, options);
  }
  Query Read(node::ReadLevel level, SteadyTime timeout = std::chrono::hours(1)) {
    Query query;
    auto consumer = std::make_shared<Consumer>();
    query.ended = consumer->ended.get_future();
    QueryRequest request;
    request.statement.sql = "10";
    request.read.level = level;
    QueryTask::Limits limits;
    limits.deadline = SystemClock().SteadyNow() + timeout;
    limits.gone = query.gone;
    reads_->Submit(std::make_shared<QueryTask>(&SystemClock(), std::move(request), ++connections_,
                                               std::move(limits), consumer));
    return query;
  }
  void AwaitHeld(int n) {
    while (replica_.held_barriers() < n) std::this_thread::yield();
  }

  FakeReplica replica_{&SystemClock()};
  rpc::TimerQueue timers_{&SystemClock()};
  std::unique_ptr<LongReads> reads_;
  uint64_t connections_ = 0;
};

// The one thread was held by a query that waited for a majority, and stale queries waited as well.
TEST_F(LongReadsTest, QueriesThatWaitForAnAgreementHoldNoThread) {
  MakeReads(std::chrono::hours(1));
  std::vector<Query> waiting;
  for (int i = 1; i <= 5; ++i) {
    waiting.push_back(Read(node::ReadLevel::kLinearizable));
    AwaitHeld(i);
    EXPECT_TRUE(Read(node::ReadLevel::kStale).ended.get().ok());
  }
  replica_.Compare(false);
  replica_.HoldBarriers(false);
  for (Query& query : waiting) EXPECT_TRUE(query.ended.get().ok());
}

TEST_F(LongReadsTest, AQueryThatWaitsForAnAgreementEndsWhenItsClientGoesOrItsTimeIsOver) {
  MakeReads(std::chrono::hours(1));
  Query left = Read(node::ReadLevel::kLinearizable);
  AwaitHeld(1);
  *left.gone = true;
  EXPECT_EQ(left.ended.get().code(), StatusCode::kCancelled);
  EXPECT_EQ(Read(node::ReadLevel::kLinearizable, std::chrono::milliseconds(20)).ended.get().code(),
            StatusCode::kDeadlineExceeded);
}

TEST_F(LongReadsTest, WithoutAnAgreementAQueryIsUnavailableAfterABoundedWait) {
  MakeReads(std::chrono::milliseconds(20));
  EXPECT_EQ(Read(node::ReadLevel::kLinearizable).ended.get().code(), StatusCode::kUnavailable);
}

TEST_F(LongReadsTest, StopEndsQueriesThatWaitForAnAgreement) {
  MakeReads(std::chrono::hours(1));
  Query waiting = Read(node::ReadLevel::kLinearizable);
  AwaitHeld(1);
  reads_->Stop();
  EXPECT_EQ(waiting.ended.get().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace cairn::server
