// The bounds on prepared transactions, and on all ids.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/transactions.h"
#include "state_machine/sqlite/two_phase_test_util.h"

namespace cairn::state_machine {
namespace {

// Forty transactions of 8 MB took 362 MB on every node.
TEST(PreparedBytes, OfAllTransactionsAreBoundedAndNoClientHoldsMoreThanAnEighth) {
  TestReplica replica;
  uint64_t index = 0;
  const auto apply = [&](const Command& command) {
    const raft::Entry entry =
        MakeEntry(LogIndex(++index), {1'700'000'000'000, 1, 1'000, 50'000'000}, {command});
    return replica.Apply({&entry, 1}).at(0).results.at(0);
  };
  const auto prepare = [&](int i, const std::string& principal) {
    Command command = PrepareCommand("tx" + std::to_string(i),
                                     "INSERT INTO t" + std::to_string(i) + " VALUES(?1)",
                                     {Blob{std::string(8'000'000, 'x')}});
    command.principal = principal;
    return apply(command).status;
  };
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(apply(ExecuteCommand("CREATE TABLE t" + std::to_string(i) + "(x)")).status.ok());
  }
  EXPECT_TRUE(prepare(0, "host:0").ok());
  const Status second = prepare(1, "host:0");
  EXPECT_EQ(second.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(second.outcome(), Outcome::kNotApplied);
  int fit = 1;
  for (int i = 1; i < 40; ++i) fit += prepare(i, "host:" + std::to_string(i)).ok() ? 1 : 0;
  EXPECT_EQ(fit, 8);
  replica.Restart();
  EXPECT_EQ(prepare(39, "host:39").code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(apply(RollbackCommand("tx0")).status.ok());
  EXPECT_TRUE(prepare(39, "host:39").ok());
  EXPECT_TRUE(apply(CommitCommand("tx39")).status.ok());
}

// Transactions of version 0.1 have no owner. They counted as one client's, and none of them could
// go on.
TEST(PreparedBytes, OfUnknownOwnersAreBoundedTogetherButNotAsOneClient) {
  TestReplica replica;
  uint64_t index = 0;
  const auto apply = [&](const Command& command) {
    const raft::Entry entry =
        MakeEntry(LogIndex(++index), {1'700'000'000'000, 1, 1'000, 50'000'000}, {command});
    return replica.Apply({&entry, 1}).at(0).results.at(0).status;
  };
  int fit = 0;
  for (int i = 0; i < 9; ++i) {
    ASSERT_TRUE(apply(ExecuteCommand("CREATE TABLE t" + std::to_string(i) + "(x)")).ok());
  }
  for (int i = 0; i < 9; ++i) {
    const std::string n = std::to_string(i);
    fit += apply(PrepareCommand("tx" + n, "INSERT INTO t" + n + " VALUES(?1)",
                                {Blob{std::string(8'000'000, 'x')}}))
                   .ok()
               ? 1
               : 0;
  }
  EXPECT_EQ(fit, 8);
}

TEST(TxIds, OneClientHoldsAnEighthAndTheOthersFindRoom) {
  Replicas replicas(/*restarts=*/false);
  replicas.Must("CREATE TABLE t(x)");
  const auto by = [](std::string principal, Command command) {
    command.principal = std::move(principal);
    return command;
  };
  const uint64_t fit = kTxIdsBytesMaxTotal / 8 / (kKnownTxBytes + 6);
  std::vector<Command> commands;
  for (uint64_t i = 0; i < fit; ++i) {
    commands.push_back(by("host:a", RollbackCommand(std::to_string(100'000 + i))));
    if (commands.size() == 4000) replicas.DoAll(std::exchange(commands, {}));
  }
  const auto last = replicas.DoAll(commands);
  EXPECT_TRUE(last.back().status.ok()) << last.back().status;
  for (Command command : {RollbackCommand("one more"), PrepareCommand("two", "DELETE FROM t")}) {
    const CommandResult refused = replicas.Do(by("host:a", command));
    EXPECT_EQ(refused.status.code(), StatusCode::kResourceExhausted);
    EXPECT_EQ(refused.status.outcome(), Outcome::kNotApplied);
  }
  // Known transactions, and other clients, are not refused.
  EXPECT_TRUE(replicas.Do(by("host:a", RollbackCommand("100000"))).status.ok());
  EXPECT_TRUE(replicas.Do(by("host:b", PrepareCommand("b", "DELETE FROM t"))).status.ok());
  EXPECT_TRUE(replicas.Do(by("host:b", CommitCommand("b"))).status.ok());
  replicas.header.lease_ms += replicas.header.request_ttl_ms;
  EXPECT_TRUE(replicas.Do(by("host:a", RollbackCommand("one more"))).status.ok());
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
