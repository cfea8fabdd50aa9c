#include "server/router.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "server/fake_replica_test_util.h"
#include "server/service_harness_test_util.h"
#include "server/session_link.h"
#include "testing/sanitized.h"

namespace cairn::server {
namespace {

using state_machine::Command;
using state_machine::CommandResult;
using Fate = FakeReplica::Fate;
using std::chrono::milliseconds;

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() {
    Router::Options options;
    options.address = "self:1";
    options.leader_wait = milliseconds(200);
    options.relay_after = milliseconds(20);
    options.node_id = 7;
    router_ = std::make_unique<Router>(
        &replica_, &timers_, &clock_,
        SessionLinks(nullptr, &timers_, &clock_, options.writes_max, options.write_bytes_max),
        options);
  }
  ~RouterTest() override {
    router_->Stop();
    replica_.Shutdown(SteadyTime(0));
    router_->Close();
    timers_.Stop();
  }

  static Command Insert(const std::string& sql, state_machine::RequestId id = {}) {
    Command command;
    command.id = std::move(id);
    command.operation = state_machine::Execute{{{sql, {}, {}}}};
    return command;
  }

  Result<CommandResult> Write(Command command,
                              milliseconds timeout = milliseconds(5000) * kSlowness,
                              Origin origin = Origin::kClient) {
    std::promise<Result<CommandResult>> promise;
    router_->Write(
        std::move(command), clock_.SteadyNow() + timeout, origin,
        [&](Result<CommandResult> result) { promise.set_value(std::move(result)); }, nullptr);
    return promise.get_future().get();
  }

  Clock& clock_ = SystemClock();
  rpc::TimerQueue timers_{&clock_};
  FakeReplica replica_{&clock_};
  std::unique_ptr<Router> router_;
};

TEST_F(RouterTest, NamesAWriteThatHasNoIdOutOfASessionThatItOpensFirst) {
  ASSERT_TRUE(Write(Insert("a")).ok());
  ASSERT_TRUE(Write(Insert("b")).ok());
  const std::vector<Command> commands = replica_.fake_state().commands();
  ASSERT_EQ(commands.size(), 3U);
  EXPECT_TRUE(std::holds_alternative<state_machine::OpenSession>(commands[0].operation));
  EXPECT_EQ(commands[0].id.sequence, 1U);
  EXPECT_EQ(commands[1].id, (state_machine::RequestId{commands[0].id.session, 2}));
  EXPECT_EQ(commands[0].named_by, 7U);
  EXPECT_EQ(commands[1].named_by, 7U);
  EXPECT_EQ(commands[2].id, (state_machine::RequestId{commands[0].id.session, 3}));
  EXPECT_EQ(commands[2].acknowledged_below, 3U);
}

TEST_F(RouterTest, KeepsTheClientsOwnId) {
  ASSERT_TRUE(Write(Insert("a", {"mine", 1})).ok());
  ASSERT_EQ(replica_.fake_state().commands().size(), 1U);
  EXPECT_EQ(replica_.fake_state().commands()[0].id, (state_machine::RequestId{"mine", 1}));
}

TEST_F(RouterTest, AWriteWhoseAnswerWasLostIsSentAgainUnderTheSameIdAndTakesEffectOnce) {
  replica_.Script({Fate::kAppliedUnknown, Fate::kNotApplied, Fate::kLostUnknown});
  const Result<CommandResult> result = Write(Insert("a"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(replica_.fake_state().executions("a"), 1);
  EXPECT_EQ(result->statements[0].rows_affected, 1) << "the retry gets the first answer";
}

TEST_F(RouterTest, AReplicatedFailureIsAResultAndNotTriedAgain) {
  const Result<CommandResult> result = Write(Insert("FAIL"));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->status.code(), StatusCode::kAborted);
  EXPECT_EQ(replica_.fake_state().commands().size(), 2U);
}

// A trigger may RAISE these words. If the write were sent again under new sessions, the tries would
// never end.
TEST_F(RouterTest, AReplicatedFailureThatSpeaksOfAnExpiredSessionIsAResultToo) {
  const Result<CommandResult> result = Write(Insert("FAIL session expired"));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(replica_.fake_state().commands().size(), 2U);
}

TEST_F(RouterTest, WithoutALeaderItWaitsABoundedTimeAndSaysNotApplied) {
  replica_.SetLeader(false, std::nullopt);
  const SteadyTime before = clock_.SteadyNow();
  const Result<CommandResult> result = Write(Insert("a"));
  EXPECT_GE(clock_.SteadyNow() - before, milliseconds(190));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(result.status().outcome(), Outcome::kNotApplied);
}

TEST_F(RouterTest, AfterATryOfUnknownOutcomeOnlyUnknownIsTrueWithoutALeader) {
  ASSERT_TRUE(Write(Insert("warm")).ok());
  replica_.Script({Fate::kLostUnknown, Fate::kNotApplied, Fate::kNotApplied, Fate::kNotApplied,
                   Fate::kNotApplied,  Fate::kNotApplied, Fate::kNotApplied, Fate::kNotApplied,
                   Fate::kNotApplied,  Fate::kNotApplied, Fate::kNotApplied, Fate::kNotApplied,
                   Fate::kNotApplied,  Fate::kNotApplied, Fate::kNotApplied, Fate::kNotApplied,
                   Fate::kNotApplied,  Fate::kNotApplied, Fate::kNotApplied, Fate::kNotApplied});
  const Result<CommandResult> result = Write(Insert("a"), milliseconds(150));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().outcome(), Outcome::kUnknown);
}

TEST_F(RouterTest, ALeaderThatComesInTimeIsUsed) {
  replica_.SetLeader(false, std::nullopt);
  std::promise<Result<CommandResult>> promise;
  router_->Write(
      Insert("a"), clock_.SteadyNow() + milliseconds(5000) * kSlowness, Origin::kClient,
      [&](Result<CommandResult> result) { promise.set_value(std::move(result)); }, nullptr);
  replica_.SetLeader(true, LeaderHint{1, "self:1"});
  const Result<CommandResult> result = promise.get_future().get();
  EXPECT_TRUE(result.ok()) << result.status();
}

TEST_F(RouterTest, AWriteWhoseCallerWentWhileNobodyLedIsNotTriedAgain) {
  replica_.SetLeader(false, std::nullopt);
  const auto gone = std::make_shared<std::atomic<bool>>(false);
  std::promise<Result<CommandResult>> promise;
  router_->Write(
      Insert("a", {"s", 1}), clock_.SteadyNow() + milliseconds(5000) * kSlowness, Origin::kClient,
      [&](Result<CommandResult> result) { promise.set_value(std::move(result)); }, gone);
  *gone = true;
  replica_.SetLeader(true, LeaderHint{1, "self:1"});
  const Result<CommandResult> result = promise.get_future().get();
  EXPECT_EQ(result.status().code(), StatusCode::kCancelled);
  EXPECT_EQ(result.status().outcome(), Outcome::kNotApplied);
  EXPECT_EQ(replica_.fake_state().executions("a"), 0);
}

// Time stands still, so only news can cause a try.
TEST(RouterNews, AWriteThatWaitsToBeTriedAgainIsTriedAtOnceWhenAnotherNodeLeads) {
  ManualClock clock;
  rpc::TimerQueue timers(&clock);
  FakeReplica replica(&SystemClock());
  Router router(&replica, &timers, &clock, nullptr, {.address = "self:1"});
  replica.SetLeaderWatcher([&] { router.OnLeaderChanged(); });
  replica.Script({Fate::kLostUnknown});
  std::promise<Result<CommandResult>> promise;
  Command command;
  command.id = {"s", 1};
  command.operation = state_machine::Execute{{{"a", {}, {}}}};
  router.Write(
      command, clock.SteadyNow() + milliseconds(5000), Origin::kClient,
      [&](Result<CommandResult> result) { promise.set_value(std::move(result)); }, nullptr);
  std::future<Result<CommandResult>> future = promise.get_future();
  EXPECT_EQ(future.wait_for(milliseconds(50)), std::future_status::timeout);
  for (int i = 0; i < 200 && future.wait_for(milliseconds(50)) != std::future_status::ready; ++i) {
    replica.SetLeader(true, LeaderHint{1, "self:1"});
  }
  ASSERT_EQ(future.wait_for(milliseconds(0)), std::future_status::ready);
  EXPECT_TRUE(future.get().ok());
  EXPECT_EQ(replica.fake_state().executions("a"), 1);
  router.Stop();
  replica.Shutdown(SteadyTime(0));
  router.Close();
  timers.Stop();
}

TEST(RouterNews, AWriteThatMayBeAppliedIsUnknownAlsoWhenItsCallerHasGone) {
  ManualClock clock;
  rpc::TimerQueue timers(&clock);
  FakeReplica replica(&SystemClock());
  Router router(&replica, &timers, &clock, nullptr, {.address = "self:1"});
  replica.SetLeaderWatcher([&] { router.OnLeaderChanged(); });
  replica.Script({Fate::kAppliedUnknown});
  const auto gone = std::make_shared<std::atomic<bool>>(false);
  std::promise<Result<CommandResult>> promise;
  Command command;
  command.id = {"s", 1};
  command.operation = state_machine::Execute{{{"a", {}, {}}}};
  router.Write(
      command, clock.SteadyNow() + milliseconds(5000), Origin::kClient,
      [&](Result<CommandResult> result) { promise.set_value(std::move(result)); }, gone);
  replica.AwaitIdle();
  *gone = true;
  std::future<Result<CommandResult>> future = promise.get_future();
  for (int i = 0; i < 200 && future.wait_for(milliseconds(50)) != std::future_status::ready; ++i) {
    replica.SetLeader(true, LeaderHint{1, "self:1"});
  }
  const Status status = future.get().status();
  EXPECT_EQ(status.code(), StatusCode::kCancelled) << status;
  EXPECT_EQ(status.outcome(), Outcome::kUnknown);
  EXPECT_EQ(replica.fake_state().executions("a"), 1);
}

TEST_F(RouterTest, AForwardedWriteThatReachesANonLeaderIsRefusedWithAHintAndNeverForwarded) {
  replica_.SetLeader(false, LeaderHint{2, "127.0.0.1:1"});
  const Result<CommandResult> result =
      Write(Insert("a", {"s", 1}), milliseconds(5000), Origin::kForwarder);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(result.status().outcome(), Outcome::kNotApplied);
  ASSERT_TRUE(result.status().leader_hint().has_value());
  EXPECT_EQ(result.status().leader_hint()->address, "127.0.0.1:1");
}

TEST_F(RouterTest, AnUnreachableLeaderMeansNotAppliedBecauseNothingWasSent) {
  replica_.SetLeader(false, LeaderHint{2, "127.0.0.1:1"});
  const Result<CommandResult> result = Write(Insert("a", {"s", 1}), milliseconds(300));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().outcome(), Outcome::kNotApplied) << result.status();
}

TEST_F(RouterTest, AForgottenSessionIsRenewedWhenNoTryCanHaveBeenApplied) {
  ASSERT_TRUE(Write(Insert("a")).ok());
  replica_.fake_state().ForgetSessions();
  const Result<CommandResult> result = Write(Insert("b"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->status.ok()) << result->status;
  EXPECT_EQ(replica_.fake_state().executions("b"), 1);
}

TEST_F(RouterTest, AForgottenSessionAfterAnUnknownTryStaysUnknown) {
  ASSERT_TRUE(Write(Insert("a")).ok());
  replica_.Script({Fate::kLostUnknown});
  replica_.fake_state().ForgetSessions();
  const Result<CommandResult> result = Write(Insert("b"));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().outcome(), Outcome::kUnknown);
  EXPECT_EQ(replica_.fake_state().executions("b"), 0);
}

TEST_F(RouterTest, AfterStopNewWritesAreRefusedAsNotApplied) {
  router_->Stop();
  const Result<CommandResult> result = Write(Insert("a"));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(result.status().outcome(), Outcome::kNotApplied);
}

TEST_F(RouterTest, AWriteAtANodeThatKnowsNoLeaderIsRelayedThroughAMemberThatDoes) {
  FakeReplica other(&clock_);
  const ServiceHarness node(&other);
  replica_.SetMembers({"self:1", node.address()});
  replica_.SetLeader(false, std::nullopt);
  const Result<CommandResult> result = Write(Insert("a", {"s", 1}));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(other.fake_state().executions("a"), 1);
}

// A link to a router in this process.
class DirectLink final : public WriteLink {
 public:
  DirectLink(Router* to, std::string address, Origin origin)
      : to_(to), address_(std::move(address)), origin_(origin) {}
  void Send(const Command& command, SteadyTime deadline, Done done) override {
    to_->Write(
        command, deadline, origin_,
        [done = std::move(done)](Result<CommandResult> answer) {
          done(OkStatus(), std::move(answer));
        },
        nullptr);
  }
  void Close() override {}
  const std::string& address() const override { return address_; }
  bool broken() const override { return false; }
  bool ready() const override { return true; }
  bool ended() const override { return true; }
  void AwaitEnd() override {}

 private:
  Router* const to_;
  const std::string address_;
  const Origin origin_;
};

// The bad schedule: neither of two nodes reaches a leader, and each takes the other for a node that
// does. A write goes to and fro between them until its time is over, and so does every other.
TEST_F(RouterTest, TwoNodesWithoutALeaderSendNoWriteToAndFro) {
  FakeReplica other(&clock_);
  replica_.SetMembers({"self:1", "other:1"});
  other.SetMembers({"self:1", "other:1"});
  replica_.SetLeader(false, std::nullopt);
  other.SetLeader(false, std::nullopt);
  Router::Options options;
  options.leader_wait = milliseconds(200);
  options.relay_after = milliseconds(20);
  std::atomic<int> there{0};
  std::atomic<int> back{0};
  std::unique_ptr<Router> router;
  options.address = "other:1";
  Router second(
      &other, &timers_, &clock_,
      [&](const std::string& address, Origin origin, uint64_t) {
        ++back;
        return std::make_shared<DirectLink>(router.get(), address, origin);
      },
      options);
  options.address = "self:1";
  router = std::make_unique<Router>(
      &replica_, &timers_, &clock_,
      [&](const std::string& address, Origin origin, uint64_t) {
        EXPECT_EQ(origin, Origin::kRelay);
        ++there;
        return std::make_shared<DirectLink>(&second, address, origin);
      },
      options);
  std::promise<Result<CommandResult>> promise;
  router->Write(
      Insert("a", {"s", 1}), clock_.SteadyNow() + milliseconds(5000) * kSlowness, Origin::kClient,
      [&](Result<CommandResult> result) { promise.set_value(std::move(result)); }, nullptr);
  const Result<CommandResult> result = promise.get_future().get();
  EXPECT_EQ(result.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(result.status().outcome(), Outcome::kNotApplied);
  EXPECT_EQ(there, 1);
  EXPECT_EQ(back, 0);
  router->Stop();
  second.Stop();
  other.Shutdown(SteadyTime(0));
  timers_.Stop();
}

TEST_F(RouterTest, AWriteAtANodeThatDoesNotReachTheLeaderIsRelayed) {
  FakeReplica other(&clock_);
  const ServiceHarness node(&other);
  replica_.SetMembers({"self:1", "127.0.0.1:1", node.address()});
  replica_.SetLeader(false, LeaderHint{2, "127.0.0.1:1"});
  const Result<CommandResult> result = Write(Insert("a", {"s", 1}));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(other.fake_state().executions("a"), 1);
}

TEST_F(RouterTest, WhatIsRelayedIsPassedOnToTheLeaderAndNoFurther) {
  FakeReplica other(&clock_);
  const ServiceHarness node(&other);
  replica_.SetLeader(false, LeaderHint{2, node.address()});
  const auto relayed = [&](uint64_t n) {
    return Write(Insert("a", {"s", n}), milliseconds(5000) * kSlowness, Origin::kRelay);
  };
  EXPECT_TRUE(relayed(1).ok());
  EXPECT_EQ(other.fake_state().executions("a"), 1);
  // The other node does not lead any more, and knows another leader. The node that asked tries
  // again; the other node does not.
  other.SetLeader(false, LeaderHint{3, "127.0.0.1:1"});
  const Result<CommandResult> result = relayed(2);
  EXPECT_EQ(result.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(result.status().outcome(), Outcome::kNotApplied);
  replica_.SetLeader(false, std::nullopt);
  EXPECT_EQ(relayed(3).status().outcome(), Outcome::kNotApplied) << "it relays nothing itself";
}

}  // namespace
}  // namespace cairn::server
