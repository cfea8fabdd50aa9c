#include "server/read_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

#include "server/fake_replica_test_util.h"
#include "testing/sanitized.h"

namespace cairn::server {
namespace {

using std::chrono::milliseconds;

class ReadPoolTest : public ::testing::Test {
 protected:
  ReadPoolTest() { MakePool(1); }
  ~ReadPoolTest() override {
    replica_.Shutdown(SteadyTime(0));
    pool_->Stop();
  }

  void MakePool(size_t threads, milliseconds leader_wait = milliseconds(100)) {
    ReadPool::Options options;
    options.threads = threads;
    options.tasks_max = 100;
    options.bytes_max = 1000;
    options.leader_wait = leader_wait;
    pool_ = std::make_unique<ReadPool>(&replica_, &clock_, options);
  }
  std::future<Status> Read(node::ReadOptions options = {},
                           milliseconds timeout = milliseconds(5000) * kSlowness,
                           size_t bytes = 0) {
    auto promise = std::make_shared<std::promise<Status>>();
    pool_->Submit({options, clock_.SteadyNow() + timeout,
                   [promise](const Result<state_machine::ReadView*>& view) {
                     promise->set_value(view.status());
                   },
                   bytes});
    return promise->get_future();
  }

  Clock& clock_ = SystemClock();
  FakeReplica replica_{&clock_};
  std::unique_ptr<ReadPool> pool_;
};

TEST_F(ReadPoolTest, ReadsThatComeDuringABarrierShareTheNextOne) {
  replica_.HoldBarriers(true);
  std::vector<std::future<Status>> reads(50);
  for (std::future<Status>& read : reads) read = Read();
  // Two rounds are under way with one read each. The other 48 reads have gathered for one more
  // round.
  EXPECT_EQ(replica_.barriers(), 2);
  replica_.HoldBarriers(false);
  for (auto& read : reads) EXPECT_TRUE(read.get().ok());
  EXPECT_LE(replica_.barriers(), 4);
  EXPECT_LE(replica_.fake_state().views_opened(), 4);
}

TEST_F(ReadPoolTest, AStaleReadNeedsNoLeader) {
  replica_.SetLeader(false, std::nullopt);
  node::ReadOptions stale;
  stale.level = node::ReadLevel::kStale;
  EXPECT_TRUE(Read(stale).get().ok());
}

TEST_F(ReadPoolTest, WithoutALeaderALinearizableReadIsUnavailableAfterABoundedWait) {
  replica_.SetLeader(false, std::nullopt);
  const SteadyTime before = clock_.SteadyNow();
  EXPECT_EQ(Read().get().code(), StatusCode::kUnavailable);
  EXPECT_GE(clock_.SteadyNow() - before, milliseconds(90));
}

// It asks for its own index, and used to wait for a leader until its deadline.
TEST_F(ReadPoolTest, WithoutALeaderAReadOfAnIndexIsUnavailableAfterTheSameWait) {
  replica_.SetLeader(false, std::nullopt);
  node::ReadOptions options;
  options.index_min = LogIndex(1);
  EXPECT_EQ(Read(options, std::chrono::hours(1)).get().code(), StatusCode::kUnavailable);
}

// A read of an index that nobody has written, such as one of another cluster.
TEST_F(ReadPoolTest, AReadOfAnIndexThatTheLeaderDoesNotHaveIsUnavailableLongBeforeItsDeadline) {
  node::ReadOptions options;
  options.index_min = LogIndex(uint64_t{1} << 62);
  EXPECT_EQ(Read(options, std::chrono::hours(1)).get().code(), StatusCode::kUnavailable);
  options.level = node::ReadLevel::kStale;
  EXPECT_EQ(Read(options, std::chrono::hours(1)).get().code(), StatusCode::kUnavailable);
}

// One client asked for an index that never came, a day long. All reads of all others were refused.
TEST_F(ReadPoolTest, ReadsThatWaitForAnIndexLeaveRoomForTheReadsOfOthers) {
  ReadPool::Options options;
  options.threads = 1;
  options.tasks_max = 100;
  options.indexes_per_principal_max = 10;
  options.leader_wait = std::chrono::hours(1);
  pool_ = std::make_unique<ReadPool>(&replica_, &clock_, options);
  const auto gone = std::make_shared<std::atomic<bool>>(false);
  const auto read = [&](const std::string& principal, uint64_t index) {
    auto promise = std::make_shared<std::promise<Status>>();
    ReadTask task;
    task.options.level = node::ReadLevel::kStale;
    task.options.index_min = LogIndex(index);
    task.deadline = clock_.SteadyNow() + std::chrono::hours(24);
    task.principal = principal;
    task.gone = gone;
    task.run = [promise](const Result<state_machine::ReadView*>& view) {
      promise->set_value(view.status());
    };
    pool_->Submit(std::move(task));
    return promise->get_future();
  };
  std::vector<std::future<Status>> waiting;
  for (int i = 0; i < 10; ++i) waiting.push_back(read("host:a", 1'000'000));
  EXPECT_EQ(read("host:a", 1'000'000).get().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(read("host:a", 0).get().ok()) << "it waits for nothing";
  waiting.push_back(read("host:b", 1'000'000));
  // The reads end with their clients.
  *gone = true;
  for (auto& each : waiting) EXPECT_EQ(each.get().code(), StatusCode::kCancelled);
  *gone = false;
  auto again = read("host:a", 1'000'000);
  EXPECT_EQ(again.wait_for(milliseconds(0)), std::future_status::timeout);
  *gone = true;
  EXPECT_EQ(again.get().code(), StatusCode::kCancelled);
}

TEST_F(ReadPoolTest, OneImpatientReadDoesNotFailThoseThatShareItsBarrier) {
  replica_.HoldBarriers(true);
  std::vector<std::future<Status>> first;
  first.push_back(Read());
  first.push_back(Read());
  auto impatient = Read({}, milliseconds(20));
  auto patient = Read();
  EXPECT_EQ(replica_.barriers(), 2);
  replica_.HoldBarriers(false);  // the two first; then a shared one for the others
  EXPECT_TRUE(patient.get().ok());
  const Status late = impatient.get();
  EXPECT_TRUE(late.ok() || late.code() == StatusCode::kDeadlineExceeded) << late;
}

TEST_F(ReadPoolTest, TooManyWaitingReadsAreRefused) {
  replica_.HoldBarriers(true);
  std::vector<std::future<Status>> reads(100);
  for (std::future<Status>& read : reads) read = Read();
  EXPECT_EQ(Read().get().code(), StatusCode::kResourceExhausted);
  replica_.HoldBarriers(false);
  for (auto& read : reads) EXPECT_TRUE(read.get().ok());
}

TEST_F(ReadPoolTest, TheBytesOfWhatWaitsAreBoundedAndGivenBack) {
  for (int round = 0; round < 3; ++round) {
    replica_.HoldBarriers(true);
    std::vector<std::future<Status>> reads(4);
    for (std::future<Status>& read : reads) read = Read({}, milliseconds(5000), 250);
    EXPECT_EQ(Read({}, milliseconds(5000), 1).get().code(), StatusCode::kResourceExhausted);
    replica_.HoldBarriers(false);
    for (auto& read : reads) EXPECT_TRUE(read.get().ok());
  }
}

TEST_F(ReadPoolTest, AReadThatTakesLongHoldsUpNoneOfThoseThatShareItsView) {
  MakePool(2);
  replica_.HoldBarriers(true);
  std::vector<std::future<Status>> others(2);
  for (std::future<Status>& read : others) read = Read();  // two rounds of their own
  std::promise<void> release;
  std::promise<state_machine::ReadView*> slow;
  pool_->Submit({{},
                 clock_.SteadyNow() + std::chrono::seconds(60),
                 [&, until = release.get_future().share()](Result<state_machine::ReadView*> view) {
                   slow.set_value(view.ok() ? *view : nullptr);
                   until.wait();
                 }});
  for (int i = 0; i < 30; ++i) others.push_back(Read({}, std::chrono::seconds(60)));
  replica_.HoldBarriers(false);
  EXPECT_NE(slow.get_future().get(), nullptr);
  for (auto& read : others) {
    ASSERT_EQ(read.wait_for(std::chrono::seconds(20) * kSlowness), std::future_status::ready);
    EXPECT_TRUE(read.get().ok());
  }
  release.set_value();
}

// One thread, which a read that waited for a majority used to hold: stale reads waited as well.
TEST_F(ReadPoolTest, ReadsThatWaitForAnAgreementHoldNoThread) {
  MakePool(1, std::chrono::seconds(60) * kSlowness);
  state_machine::Command command;
  command.id = {"s", 1};
  command.operation = state_machine::OpenSession{};
  replica_.fake_state().ApplyOne(command);
  replica_.Compare(true);
  const auto timeout = std::chrono::hours(1);
  std::vector<std::future<Status>> reads;
  node::ReadOptions stale;
  stale.level = node::ReadLevel::kStale;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 10; ++i) reads.push_back(Read({}, timeout));
    while (replica_.held_barriers() < 1) std::this_thread::yield();
    EXPECT_TRUE(Read(stale).get().ok());
  }
  EXPECT_EQ(replica_.held_barriers(), 1) << "one view waits at a time";
  replica_.Compare(false);
  replica_.HoldBarriers(false);
  for (auto& read : reads) EXPECT_TRUE(read.get().ok());
}

TEST_F(ReadPoolTest, WithoutAnAgreementAReadIsUnavailableAfterABoundedWait) {
  state_machine::Command command;
  command.id = {"s", 1};
  command.operation = state_machine::OpenSession{};
  replica_.fake_state().ApplyOne(command);
  replica_.Compare(true);
  std::vector<std::future<Status>> reads;
  for (int i = 0; i < 20; ++i) reads.push_back(Read({}, std::chrono::hours(1)));
  for (auto& read : reads) EXPECT_EQ(read.get().code(), StatusCode::kUnavailable);
  EXPECT_EQ(Read({}, milliseconds(20)).get().code(), StatusCode::kDeadlineExceeded);
}

// The read had its read index when the state machine fell back to an older snapshot.
TEST_F(ReadPoolTest, AReadIsNotAnsweredFromAStateOlderThanItsReadIndex) {
  for (uint64_t i = 1; i <= 3; ++i) {
    state_machine::Command command;
    command.id = {"s", i};
    command.operation = state_machine::OpenSession{};
    replica_.fake_state().ApplyOne(command);
  }
  std::promise<void> busy;
  std::promise<void> release;
  pool_->Submit({{},
                 clock_.SteadyNow() + std::chrono::seconds(60),
                 [&](const Result<state_machine::ReadView*>&) {
                   busy.set_value();
                   release.get_future().wait();
                 }});
  busy.get_future().wait();
  auto waiting = Read({}, std::chrono::seconds(60));
  node::ReadOptions own_writes;
  own_writes.level = node::ReadLevel::kStale;
  own_writes.index_min = LogIndex(3);
  auto local = Read(own_writes, std::chrono::seconds(60));
  while (replica_.barriers() < 3) std::this_thread::yield();
  replica_.AwaitIdle();
  replica_.fake_state().GoBackTo(2);
  release.set_value();
  EXPECT_EQ(waiting.get().code(), StatusCode::kUnavailable);
  EXPECT_EQ(local.get().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(Read().get().ok());
}

TEST_F(ReadPoolTest, StopAnswersWhatWaits) {
  replica_.HoldBarriers(true);
  std::vector<std::future<Status>> reads(10);
  for (std::future<Status>& read : reads) read = Read();
  replica_.Shutdown(SteadyTime(0));
  pool_->Stop();
  for (auto& read : reads) EXPECT_FALSE(read.get().ok());
}

}  // namespace
}  // namespace cairn::server
