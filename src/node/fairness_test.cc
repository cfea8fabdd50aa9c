// Who goes first: heavy commands, batches where more waits than one takes, and what commands are
// expected to cost.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "node/batcher.h"
#include "node/heavy_commands.h"
#include "node/work_estimates.h"

namespace cairn::node {
namespace {

using state_machine::CommandResult;

struct Answer {
  int calls = 0;
};

PendingCommandPtr CommandOf(uint64_t client, Answer* answer, int64_t deadline = 1000) {
  return std::make_shared<PendingCommand>(
      std::to_string(client), SteadyTime(deadline),
      [answer](const Result<CommandResult>&) { ++answer->calls; },
      CommandTraits{client, 1, false, 0, false});
}

TEST(HeavyCommands, ClientsTakeTurnsAndEachKeepsItsOrder) {
  Answer answer;
  HeavyCommands heavy;
  std::vector<PendingCommandPtr> of_one;
  for (int i = 0; i < 3; ++i) {
    of_one.push_back(CommandOf(1, &answer));
    heavy.Add(of_one.back());
  }
  heavy.Add(CommandOf(2, &answer));
  heavy.Add(CommandOf(0, &answer));
  heavy.Add(CommandOf(0, &answer));
  EXPECT_TRUE(heavy.Holds(1));
  EXPECT_FALSE(heavy.Holds(0)) << "no client is named: nobody's order is kept";
  std::string order;
  std::vector<PendingCommandPtr> taken;
  while (!heavy.empty()) {
    taken.push_back(heavy.Take());
    order += taken.back()->encoded();
  }
  EXPECT_EQ(order, "120011");
  EXPECT_EQ(taken[0], of_one[0]);
  EXPECT_EQ(taken[4], of_one[1]);
  EXPECT_EQ(taken[5], of_one[2]);
  EXPECT_EQ(heavy.bytes(), 0u);
}

PendingCommandPtr CommandBy(uint64_t principal, uint64_t client, Answer* answer) {
  CommandTraits traits;
  traits.principal = principal;
  traits.client = client;
  return std::make_shared<PendingCommand>(
      std::to_string(principal), SteadyTime(1000),
      [answer](const Result<CommandResult>&) { ++answer->calls; }, traits);
}

// Each session, and each call without one, had a turn of its own.
TEST(HeavyCommands, ManySessionsOfOneHostTakeTheTurnsOfOne) {
  Answer answer;
  HeavyCommands heavy;
  for (uint64_t i = 0; i < 20; ++i) heavy.Add(CommandBy(1, i % 2 == 0 ? 0 : 100 + i, &answer));
  for (int i = 0; i < 3; ++i) heavy.Add(CommandBy(2, 7, &answer));
  std::string order;
  for (int i = 0; i < 6; ++i) order += heavy.Take()->encoded();
  EXPECT_EQ(order, "121212");
  heavy.TakeAll();
}

TEST(HeavyCommands, HostsGetTheSameMeasuredWork) {
  Answer answer;
  HeavyCommands heavy;
  for (int i = 0; i < 20; ++i) heavy.Add(CommandBy(1, 0, &answer));
  for (int i = 0; i < 20; ++i) heavy.Add(CommandBy(2, 0, &answer));
  std::string order;
  for (int i = 0; i < 10; ++i) {
    const PendingCommandPtr command = heavy.Take();
    order += command->encoded();
    heavy.Charge(command->traits().principal, command->traits().principal == 1 ? 4000 : 1000);
  }
  EXPECT_EQ(order, "1222212222");
  heavy.TakeAll();
}

// Commands that are not heavy stand in one queue. A host that sends very many, or many that cost
// more, does not push back those of another.
TEST(Batcher, HostsTakeTurnsWhereABatchDoesNotTakeAll) {
  Answer answer;
  Batcher batcher({.batch_bytes_max = 1000, .batch_commands_max = 10});
  const auto of_two = [&] {
    int found = 0;
    for (const PendingCommandPtr& each : batcher.TakeBatch().commands) {
      found += each->traits().principal == 2 ? 1 : 0;
    }
    return found;
  };
  for (uint64_t i = 0; i < 100; ++i) batcher.Add(CommandBy(1, i, &answer));
  for (int i = 0; i < 5; ++i) batcher.Add(CommandBy(2, 7, &answer));
  EXPECT_EQ(of_two(), 5);
  for (int i = 0; i < 100; ++i) batcher.Add(CommandBy(2, 7, &answer));
  batcher.Charge(2, 1'000'000);
  EXPECT_EQ(of_two(), 0) << "the other has had less";
  batcher.TakeAll();
}

TEST(WorkEstimates, AHostThatHidesItsHeavyCommandsIsNotTrustedForAWhile) {
  const auto traits = [](const std::string& host, const std::string& session,
                         const std::string& sql) {
    state_machine::Command command;
    command.principal = host;
    command.id = {session, 1};
    command.operation = state_machine::Execute{{{sql, {}, {}}}};
    return TraitsOf(command);
  };
  WorkEstimates estimates;
  constexpr uint64_t kHeavy = 50'000'000;
  int hidden = 0;
  for (char name = 'A'; name <= 'Z'; ++name) {
    const std::string fresh(1, name);
    const CommandTraits each = traits("host:a", "s" + fresh, "DELETE FROM " + fresh);
    if (estimates.Expect(each) < kHeavy / 16) ++hidden;
    estimates.Learn({each, kHeavy});
  }
  EXPECT_EQ(hidden, 1);
  EXPECT_EQ(estimates.Expect(traits("host:b", "s", "INSERT INTO t VALUES(1)")), 0u);
  CommandTraits older = traits("host:a", "old", "INSERT INTO t VALUES(1)");
  older.is_new = false;
  EXPECT_EQ(estimates.Expect(older), 0u);
  int distrusted = 0;
  while (estimates.Expect(traits("host:a", "s", "INSERT INTO t VALUES(1)")) >= kHeavy / 16) {
    ++distrusted;
  }
  EXPECT_LT(distrusted, 30);
}

// Those of all clients without a session came under one name of their node, and waited in one
// queue.
TEST(WorkEstimates, CallsWithoutASessionAreOfNoClient) {
  state_machine::Command command;
  command.id = {"session of a node", 5};
  command.named_by = 1;
  command.principal = "host:a";
  EXPECT_EQ(TraitsOf(command).client, 0u);
  EXPECT_NE(TraitsOf(command).principal, 0u);
  command.id = {"bare", 0};
  command.named_by = 0;
  EXPECT_EQ(TraitsOf(command).client, 0u);
  command.id = {"session", 5};
  EXPECT_NE(TraitsOf(command).client, 0u);
}

TEST(HeavyCommands, WhatExpiresGoesAndTheOthersKeepTheirOrder) {
  Answer answer;
  HeavyCommands heavy;
  heavy.Add(CommandOf(1, &answer, 10));
  heavy.Add(CommandOf(1, &answer, 1000));
  heavy.Add(CommandOf(2, &answer, 1000));
  const auto expired =
      heavy.TakeIf([](const PendingCommand& each) { return each.deadline() <= SteadyTime(500); });
  EXPECT_EQ(expired.size(), 1u);
  EXPECT_EQ(heavy.commands(), 2u);
  EXPECT_EQ(heavy.Take()->encoded(), "1");
  EXPECT_EQ(heavy.Take()->encoded(), "2");
  EXPECT_TRUE(heavy.empty());
}

TEST(WorkEstimates, AreLearnedByClientAndByTextWithoutItsDigits) {
  const auto traits = [](const std::string& session, const std::string& sql) {
    state_machine::Command command;
    if (!session.empty()) command.id = {session, 1};
    command.operation = state_machine::Execute{{{sql, {}, {}}}};
    return TraitsOf(command);
  };
  WorkEstimates estimates;
  for (int i = 0; i < 20; ++i) estimates.Learn({traits("a", "DELETE FROM t WHERE x = 1"), 1000});
  EXPECT_GT(estimates.Expect(traits("b", "DELETE FROM t WHERE x = 234")), 900u);
  EXPECT_GT(estimates.Expect(traits("a", "INSERT INTO t VALUES(1)")), 900u);
  EXPECT_EQ(estimates.Expect(traits("b", "INSERT INTO t VALUES(1)")), 0u);
  for (int i = 0; i < 20; ++i) estimates.Learn({traits("a", "DELETE FROM t WHERE x = 1"), 0});
  EXPECT_LT(estimates.Expect(traits("a", "DELETE FROM t WHERE x = 5")), 10u);
  // What was not seen for long is forgotten, because the memory is bounded.
  estimates.Learn({traits("", "DELETE FROM u"), 1'000'000});
  for (int i = 0; i < 10'000; ++i)
    estimates.Learn({{0, static_cast<uint64_t>(2 * i + 1), false, 0, false}, 9});
  EXPECT_EQ(estimates.Expect(traits("", "DELETE FROM u")), 0u);
}

}  // namespace
}  // namespace cairn::node
