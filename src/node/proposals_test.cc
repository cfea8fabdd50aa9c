// The bounds of the queue of writes, and what becomes of writes whose callers go, in a ReplicaCore.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "node/replica_core_test_util.h"

namespace cairn::node {
namespace {

using std::chrono::milliseconds;

class ProposalsTest : public ReplicaCoreTest {
 protected:
  struct Asked {
    std::shared_ptr<std::atomic<bool>> gone = std::make_shared<std::atomic<bool>>(false);
    std::shared_ptr<Status> answer = std::make_shared<Status>(StatusCode::kUnknown, "pending");
    std::weak_ptr<PendingCommand> command;  // gone with its memory

    bool pending() const { return answer->message() == "pending"; }
  };

  Asked Ask(state_machine::Command command, SteadyTime timeout = std::chrono::seconds(100)) {
    Asked asked;
    const auto pending = std::make_shared<PendingCommand>(
        state_machine::EncodeCommand(command), clock_.SteadyNow() + timeout,
        [answer = asked.answer](const Result<state_machine::CommandResult>& r) {
          *answer = r.status();
        },
        TraitsOf(command), asked.gone);
    asked.command = pending;
    core_->Propose(pending);
    core_->Flush();
    return asked;
  }
  Asked AskInsert(size_t bytes = 10) {
    state_machine::Command command;
    command.id = {"s" + std::to_string(++sessions_), 1};
    const std::string text = "INSERT INTO t VALUES('" + std::string(bytes, 'x') + "')";
    command.operation = state_machine::Execute{{{text, {}, {}}}};
    return Ask(std::move(command));
  }
  uint64_t Refused(WriteRefusal why) const {
    return options_.counts->writes_refused[static_cast<size_t>(why)].value();
  }
  // Leads, with one entry on its way to the disk, so that what is asked now waits.
  Asked LeadBusily() {
    Lead();
    return AskInsert();
  }

  int sessions_ = 0;
};

TEST_F(ProposalsTest, TheQueueIsFullWhereItHoldsAsManyCommandsAsItMay) {
  options_.proposal_queue_commands_max = 3;
  const Asked under_way = LeadBusily();
  std::vector<Asked> queued;
  for (int i = 0; i < 3; ++i) queued.push_back(AskInsert());
  EXPECT_EQ(core_->status().queued_commands, 3u);
  EXPECT_EQ(core_->status().entries_in_flight, 1u);
  const Asked refused = AskInsert();
  EXPECT_EQ(refused.answer->code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.answer->outcome(), Outcome::kNotApplied);
  EXPECT_EQ(Refused(WriteRefusal::kQueueFull), 1u);
  Settle();
  EXPECT_TRUE(under_way.answer->ok());
  for (const Asked& each : queued) EXPECT_TRUE(each.answer->ok());
  EXPECT_EQ(core_->status().queued_commands, 0u);
  const Asked later = AskInsert();
  Settle();
  EXPECT_TRUE(later.answer->ok()) << "there is room again";
}

TEST_F(ProposalsTest, TheQueueIsFullWhereItHoldsAsManyBytesAsItMay) {
  options_.proposal_queue_bytes_max = 10'000;
  const Asked under_way = LeadBusily();
  const Asked first = AskInsert(6000);
  const Asked second = AskInsert(6000);
  EXPECT_TRUE(first.pending());
  EXPECT_EQ(second.answer->code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(second.answer->outcome(), Outcome::kNotApplied);
  const Asked small = AskInsert();
  EXPECT_TRUE(small.pending()) << "a small one still finds room";
  EXPECT_EQ(Refused(WriteRefusal::kQueueFull), 1u);
  Settle();
  EXPECT_TRUE(first.answer->ok());
  EXPECT_TRUE(small.answer->ok());
}

TEST_F(ProposalsTest, AWriteWaitsInTheQueueNoLongerThanItMay) {
  options_.proposal_queue_wait_max = milliseconds(50);
  const Asked in_log = LeadBusily();
  const Asked early = AskInsert();
  Tick(3);
  const Asked late = AskInsert();
  Tick();
  EXPECT_TRUE(early.pending());
  Tick(2);
  EXPECT_EQ(early.answer->code(), StatusCode::kResourceExhausted) << *early.answer;
  EXPECT_EQ(early.answer->outcome(), Outcome::kNotApplied);
  EXPECT_TRUE(late.pending());
  EXPECT_TRUE(in_log.pending()) << "the bound is of the queue, not of what is in the log";
  EXPECT_EQ(Refused(WriteRefusal::kQueueWait), 1u);
  Settle();
  Tick();  // it may gather for a moment
  Settle();
  EXPECT_TRUE(late.answer->ok());
  EXPECT_TRUE(in_log.answer->ok());
  EXPECT_EQ(commands_, 2u);
}

TEST_F(ProposalsTest, AQueuedWriteWhoseCallerGoesIsGivenUpAtOnceWithItsMemory) {
  const Asked in_log = LeadBusily();
  const Asked cancelled = AskInsert(5000);
  const Asked stays = AskInsert();
  *cancelled.gone = true;
  core_->OnCallersGone();
  EXPECT_EQ(cancelled.answer->code(), StatusCode::kCancelled);
  EXPECT_EQ(cancelled.answer->outcome(), Outcome::kNotApplied);
  EXPECT_TRUE(cancelled.command.expired()) << "its memory is given back";
  EXPECT_LT(core_->queued_bytes(), 5000u);
  EXPECT_EQ(core_->status().queued_commands, 1u);
  EXPECT_EQ(Refused(WriteRefusal::kCancelled), 1u);
  Settle();
  EXPECT_TRUE(stays.answer->ok());
  EXPECT_TRUE(in_log.answer->ok());
  EXPECT_EQ(commands_, 2u);
}

// The flag alone is enough: the news of it may come after the batch.
TEST_F(ProposalsTest, AQueuedWriteWhoseCallerHasGoneIsLeftOutOfTheNextEntry) {
  LeadBusily();
  const Asked cancelled = AskInsert();
  const Asked stays = AskInsert();
  *cancelled.gone = true;
  Settle();
  EXPECT_EQ(cancelled.answer->code(), StatusCode::kCancelled);
  EXPECT_EQ(cancelled.answer->outcome(), Outcome::kNotApplied);
  EXPECT_TRUE(stays.answer->ok());
  EXPECT_EQ(commands_, 2u);
  const Asked last = AskInsert();
  const Asked alone = AskInsert();
  *alone.gone = true;
  Settle();
  Tick();
  Settle();
  EXPECT_EQ(alone.answer->code(), StatusCode::kCancelled);
  EXPECT_TRUE(last.answer->ok());
  EXPECT_EQ(commands_, 3u) << "no entry is made for nobody";
}

TEST_F(ProposalsTest, AWriteInTheLogIsNotTouchedWhenItsCallerGoes) {
  const Asked in_log = LeadBusily();
  *in_log.gone = true;
  core_->OnCallersGone();
  Tick();
  EXPECT_TRUE(in_log.pending());
  Settle();
  EXPECT_TRUE(in_log.answer->ok());
  EXPECT_EQ(commands_, 1u);
  EXPECT_EQ(Refused(WriteRefusal::kCancelled), 0u);
}

TEST_F(ProposalsTest, AWriteWhoseCallerWentOnTheWayIsNotQueued) {
  LeadBusily();
  Asked asked;
  *asked.gone = true;
  state_machine::Command command;
  command.id = {"late", 1};
  command.operation = state_machine::OpenSession{};
  core_->Propose(std::make_shared<PendingCommand>(
      state_machine::EncodeCommand(command), clock_.SteadyNow() + std::chrono::seconds(10),
      [answer = asked.answer](const Result<state_machine::CommandResult>& r) {
        *answer = r.status();
      },
      TraitsOf(command), asked.gone));
  EXPECT_EQ(asked.answer->code(), StatusCode::kCancelled);
  EXPECT_EQ(core_->status().queued_commands, 0u);
}

TEST_F(ProposalsTest, AHeavyWriteWhoseCallerGoesDoesNotTakeItsTurn) {
  Lead();
  state_machine::Command heavy;
  heavy.operation = state_machine::Execute{{{"DELETE FROM t", {}, {}}}};
  AppliedReport learned = report_;
  learned.costs = {{TraitsOf(heavy), options_.request_steps_max / 2}};
  core_->OnApplied(learned);
  std::vector<Asked> asked;
  for (int i = 0; i < 4; ++i) asked.push_back(Ask(heavy));
  ASSERT_TRUE(asked[1].pending());
  EXPECT_EQ(core_->status().queued_commands, 3u) << "one at a time";
  *asked[1].gone = true;
  *asked[3].gone = true;
  Settle();
  EXPECT_EQ(asked[1].answer->code(), StatusCode::kCancelled);
  EXPECT_EQ(asked[1].answer->outcome(), Outcome::kNotApplied);
  EXPECT_TRUE(asked[0].answer->ok());
  EXPECT_TRUE(asked[2].answer->ok());
  EXPECT_EQ(asked[3].answer->code(), StatusCode::kCancelled);
  EXPECT_EQ(commands_, 2u);
}

}  // namespace
}  // namespace cairn::node
