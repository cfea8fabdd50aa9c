// The batcher alone: when a batch goes, and what is in it. proposals_test.cc has the batcher in its
// place.
#include "node/batcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>

namespace cairn::node {
namespace {

using state_machine::CommandResult;

struct Answer {
  int calls = 0;
};

PendingCommandPtr Command(Answer* answer, size_t bytes = 10, int64_t deadline = 1000,
                          CallerGone gone = nullptr) {
  return std::make_shared<PendingCommand>(
      std::string(bytes, 'x'), SteadyTime(deadline),
      [answer](const Result<CommandResult>&) { ++answer->calls; }, CommandTraits(),
      std::move(gone));
}

constexpr SteadyTime kNow(1'000'000);
constexpr SteadyTime kCommitTook(1'000);

TEST(Batcher, ASingleCommandGoesAtOnceAndLaterOnesGatherBehindTheCommit) {
  Answer answer;
  Batcher batcher({100, 10, 4});
  EXPECT_FALSE(batcher.Ready(0, kNow));
  batcher.Add(Command(&answer));
  EXPECT_TRUE(batcher.Ready(0, kNow));
  EXPECT_FALSE(batcher.Ready(1, kNow));
  for (int i = 0; i < 9; ++i) batcher.Add(Command(&answer));
  EXPECT_TRUE(batcher.Ready(1, kNow)) << "a full batch does not wait";
  EXPECT_TRUE(batcher.Ready(3, kNow));
  EXPECT_FALSE(batcher.Ready(4, kNow));
  EXPECT_EQ(batcher.TakeBatch().commands.size(), 10u);
  EXPECT_TRUE(batcher.empty());
}

TEST(Batcher, ALoneClientThatComesBackNeverWaits) {
  Answer answer;
  Batcher batcher({1000, 100, 4});
  for (int i = 0; i < 3; ++i) {
    batcher.OnCommitted(1, kCommitTook, kNow);
    EXPECT_EQ(batcher.gather_until(), SteadyTime::max()) << "nothing is there that could go";
    batcher.Add(Command(&answer));
    EXPECT_TRUE(batcher.Ready(0, kNow));
    batcher.TakeBatch();
  }
}

// Otherwise two halves of the clients would take turns for ever, in twice as many entries.
TEST(Batcher, TheNextEntryWaitsForThoseWhoWereJustAnsweredButNotForEver) {
  Answer answer;
  Batcher batcher({1000, 100, 4});
  batcher.Add(Command(&answer));
  batcher.OnCommitted(2, kCommitTook, kNow);
  EXPECT_EQ(batcher.gather_until(), kNow + kCommitTook);
  EXPECT_FALSE(batcher.Ready(0, kNow)) << "two were answered and will be back";
  batcher.Add(Command(&answer));
  EXPECT_FALSE(batcher.Ready(0, kNow));
  batcher.Add(Command(&answer));
  EXPECT_TRUE(batcher.Ready(0, kNow)) << "all are here";
  EXPECT_EQ(batcher.TakeBatch().commands.size(), 3u);

  batcher.Add(Command(&answer));
  batcher.OnCommitted(3, kCommitTook, kNow);
  EXPECT_FALSE(batcher.Ready(0, kNow + kCommitTook - SteadyTime(1)));
  EXPECT_TRUE(batcher.Ready(0, kNow + kCommitTook));
}

TEST(Batcher, WhereClientsDoNotComeBackItSoonWaitsNoMore) {
  Answer answer;
  Batcher batcher({1000, 100, 4});
  int waited = 0;
  for (int i = 0; i < 100; ++i) {
    batcher.OnCommitted(8, kCommitTook, kNow);
    batcher.Add(Command(&answer));
    waited += batcher.Ready(0, kNow) ? 0 : 1;
    EXPECT_TRUE(batcher.Ready(0, kNow + kCommitTook));
    batcher.TakeBatch();
  }
  EXPECT_GT(waited, 1) << "it tries again now and then";
  EXPECT_LT(waited, 10);
}

TEST(Batcher, BatchesAreBoundedInBytesAndALargerCommandGoesAlone) {
  Answer answer;
  Batcher batcher({100, 10, 4});
  for (const size_t bytes : {60, 60, 500, 10}) batcher.Add(Command(&answer, bytes));
  for (const size_t expected : {60, 60, 500, 10}) {
    const Batcher::Batch batch = batcher.TakeBatch();
    ASSERT_EQ(batch.commands.size(), 1u);
    EXPECT_EQ(batch.commands[0]->bytes(), expected);
  }
  EXPECT_EQ(batcher.bytes(), 0u);
}

TEST(Batcher, BatchesAreBoundedInTheWorkThatIsExpected) {
  Answer answer;
  Batcher batcher({.batch_bytes_max = 1000, .batch_commands_max = 10, .batch_steps_max = 100});
  for (const uint64_t steps : {0, 60, 60, 500, 10}) {
    const PendingCommandPtr command = Command(&answer);
    command->set_expected_steps(steps);
    batcher.Add(command);
  }
  for (const size_t expected : {2, 1, 1, 1})
    EXPECT_EQ(batcher.TakeBatch().commands.size(), expected);
}

TEST(Batcher, WhatExpiresInTheQueueWasNeverInTheLog) {
  Answer early, late;
  Batcher batcher({100, 10, 4});
  batcher.Add(Command(&early, 10, 5));
  batcher.Add(Command(&late, 10, 50));
  const auto expired =
      batcher.TakeIf([](const PendingCommand& each) { return each.deadline() <= SteadyTime(10); });
  ASSERT_EQ(expired.size(), 1u);
  EXPECT_EQ(batcher.bytes(), 10u);
}

TEST(Batcher, ABatchHasNoMoreCommandsThanItMay) {
  Answer answer;
  Batcher batcher({.batch_bytes_max = 1000, .batch_commands_max = 3});
  for (int i = 0; i < 7; ++i) batcher.Add(Command(&answer));
  EXPECT_EQ(batcher.commands(), 7u);
  for (const size_t expected : {3, 3, 1}) {
    EXPECT_EQ(batcher.TakeBatch().commands.size(), expected);
  }
  EXPECT_EQ(batcher.commands(), 0u);
}

TEST(Batcher, NothingGathersForLongerThanTheDelay) {
  Answer answer;
  constexpr SteadyTime kDelay(300);
  Batcher batcher({.delay_max = kDelay});
  batcher.OnCommitted(5, kCommitTook, kNow);
  batcher.Add(Command(&answer));
  EXPECT_EQ(batcher.gather_until(), kNow + kDelay) << "the last commit took longer";
  EXPECT_FALSE(batcher.Ready(0, kNow + kDelay - SteadyTime(1)));
  EXPECT_TRUE(batcher.Ready(0, kNow + kDelay));
}

TEST(Batcher, WithoutADelayNothingGathers) {
  Answer answer;
  Batcher batcher({.delay_max = SteadyTime(0)});
  for (int i = 0; i < 3; ++i) {
    batcher.OnCommitted(5, kCommitTook, kNow);
    batcher.Add(Command(&answer));
    EXPECT_TRUE(batcher.Ready(0, kNow));
    EXPECT_EQ(batcher.TakeBatch().end, BatchEnd::kIdle);
  }
}

TEST(Batcher, EntriesInFlightAreBoundedAlsoWhereBatchesAreFull) {
  Answer answer;
  for (const size_t entries : {1, 2, 9}) {
    Batcher batcher({.batch_commands_max = 1, .entries_in_flight_max = entries});
    for (int i = 0; i < 20; ++i) batcher.Add(Command(&answer));
    size_t in_flight = 0;
    while (batcher.Ready(in_flight, kNow)) {
      batcher.TakeBatch();
      ++in_flight;
    }
    EXPECT_EQ(in_flight, entries);
  }
}

TEST(Batcher, ABatchSaysWhatEndedIt) {
  Answer answer;
  Batcher batcher({.batch_bytes_max = 100, .batch_commands_max = 4, .batch_steps_max = 1000});
  const auto next = [&](SteadyTime now) {
    EXPECT_TRUE(batcher.Ready(0, now));
    return batcher.TakeBatch().end;
  };
  batcher.Add(Command(&answer));
  EXPECT_EQ(next(kNow), BatchEnd::kIdle);
  batcher.OnCommitted(1, kCommitTook, kNow);
  batcher.Add(Command(&answer));
  EXPECT_EQ(next(kNow), BatchEnd::kAllCame);
  batcher.OnCommitted(2, kCommitTook, kNow);
  batcher.Add(Command(&answer));
  EXPECT_FALSE(batcher.Ready(0, kNow));
  EXPECT_EQ(next(kNow + kCommitTook), BatchEnd::kDelay);
  for (int i = 0; i < 5; ++i) batcher.Add(Command(&answer));
  EXPECT_EQ(next(kNow), BatchEnd::kCommands);
  batcher.TakeAll();
  for (int i = 0; i < 2; ++i) batcher.Add(Command(&answer, 60));
  EXPECT_EQ(next(kNow), BatchEnd::kBytes);
  batcher.TakeAll();
  for (int i = 0; i < 2; ++i) {
    const PendingCommandPtr command = Command(&answer);
    command->set_expected_steps(600);
    batcher.Add(command);
  }
  EXPECT_EQ(next(kNow), BatchEnd::kWork);
}

TEST(Batcher, CommandsWhoseCallersHaveGoneAreLeftOutAndTakeNoPlace) {
  Answer stays, gone;
  const auto left = std::make_shared<std::atomic<bool>>(false);
  Batcher batcher({.batch_bytes_max = 100, .batch_commands_max = 2});
  batcher.Add(Command(&stays));
  batcher.Add(Command(&gone, 95, 1000, left));
  batcher.Add(Command(&stays));
  *left = true;
  const Batcher::Batch batch = batcher.TakeBatch();
  EXPECT_EQ(batch.commands.size(), 2u);
  ASSERT_EQ(batch.left_out.size(), 1u);
  EXPECT_EQ(batch.left_out[0]->bytes(), 95u);
  EXPECT_TRUE(batcher.empty());
  EXPECT_EQ(batcher.bytes(), 0u);
}

TEST(Batcher, WhatIsTakenOutOfTheQueueLeavesTheOthersInTheirOrder) {
  Answer answer;
  Batcher batcher({});
  for (size_t bytes = 1; bytes <= 6; ++bytes) batcher.Add(Command(&answer, bytes));
  const auto odd = batcher.TakeIf([](const PendingCommand& each) { return each.bytes() % 2 == 1; });
  EXPECT_EQ(odd.size(), 3u);
  EXPECT_EQ(batcher.commands(), 3u);
  EXPECT_EQ(batcher.bytes(), 12u);
  const Batcher::Batch rest = batcher.TakeBatch();
  ASSERT_EQ(rest.commands.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(rest.commands[i]->bytes(), 2 * i + 2);
}

}  // namespace
}  // namespace cairn::node
