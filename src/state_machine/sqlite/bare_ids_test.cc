#include "state_machine/sqlite/bare_ids.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/sessions.h"

namespace cairn::state_machine {
namespace {

Command Named(std::string id, Command command, std::string principal = "host:a") {
  command.id = {std::move(id), 0};
  command.principal = std::move(principal);
  return command;
}
Command Insert(const std::string& id) {
  return Named(id, ExecuteCommand("INSERT INTO t VALUES(?1) RETURNING x", {id}));
}
// Does nothing.
Command Nothing(const std::string& id, const std::string& principal) {
  Command command;
  command.operation = OpenSession{};
  return Named(id, command, principal);
}

TEST(BareIds, ARetryGetsTheFirstAnswerAndAnErrorStaysOne) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x UNIQUE)");
  const CommandResult first = replicas.Do(Insert("order-17"));
  EXPECT_EQ(EncodeCommandResult(replicas.Do(Insert("order-17"))), EncodeCommandResult(first));
  const Command fails = Named("fails", ExecuteCommand("INSERT INTO t VALUES('order-17')"));
  const auto both = replicas.DoAll({fails, fails});
  EXPECT_EQ(both[0].status.code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(both[1].status.code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(both[1].status.outcome(), Outcome::kApplied);
  EXPECT_EQ(both[1].index, both[0].index);
  const CommandResult other = replicas.Do(Named("order-17", ExecuteCommand("DELETE FROM t")));
  EXPECT_EQ(other.status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(other.status.outcome(), Outcome::kNotApplied);
  // A session of that name is something else.
  Command of_session = Insert("order-18");
  EXPECT_TRUE(replicas.Do(of_session).status.ok());
  of_session.id.sequence = 1;
  EXPECT_EQ(replicas.Do(of_session).status.code(), StatusCode::kAlreadyExists);
  replicas.Check();
}

TEST(BareIds, BelongToWhoUsedThemFirst) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  Command command = Insert("i");
  command.principal = "user:a";
  replicas.Do(command);
  command.principal = "user:b";
  const CommandResult other = replicas.Do(command);
  EXPECT_EQ(other.status.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(other.status.outcome(), Outcome::kUnknown);
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "1");
  replicas.Check();
}

TEST(BareIds, AreRememberedForExactlyAsLongAsTheEntrysSettingSays) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Do(Insert("a"));
  replicas.header.lease_ms += kRequestTtlDefaultMs - 1;
  replicas.DoAll({Insert("b"), Insert("a")});
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "a b");
  replicas.header.lease_ms += 1;
  replicas.DoAll({Insert("a"), Insert("b"), Insert("a")});
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "a b a");
  EXPECT_EQ(TestDatabase(replicas.first().path()).Number("SELECT count(*) FROM _cairn_ids"), 2);
  replicas.Check();
}

TEST(BareIds, WhoseResultIsGoneStillTellWhetherItWasAnError) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x UNIQUE)");
  const Command fails = Named("fails", ExecuteCommand("INSERT INTO t VALUES(NULL), (1), (1)"));
  const Command succeeds = Insert("succeeds");
  replicas.DoAll({fails, succeeds});
  std::vector<Command> commands;
  Command last;
  for (size_t i = 0; i < kBareResultsBytesMax / 60'000 + 1; ++i) {
    last = Named("n" + std::to_string(i),
                 ExecuteCommand("INSERT INTO t VALUES(NULL) RETURNING zeroblob(60000)"));
    commands.push_back(last);
    if (commands.size() == 40) replicas.DoAll(std::exchange(commands, {}));
  }
  replicas.DoAll(commands);
  const auto gone = replicas.DoAll({fails, succeeds, last});
  EXPECT_EQ(gone[0].status.code(), StatusCode::kAlreadyExists) << gone[0].status;
  EXPECT_EQ(gone[0].status.outcome(), Outcome::kApplied);
  EXPECT_TRUE(gone[1].status.ok());
  EXPECT_TRUE(gone[1].result_gone);
  EXPECT_FALSE(gone[2].result_gone);
  EXPECT_LE(TestDatabase(replicas.first().path())
                .Number("SELECT sum(length(results)) FROM _cairn_id_results"),
            static_cast<int64_t>(kBareResultsBytesMax + 2 * kChunkBytesMax));
  replicas.Check();
}

// One entry forgot a million ids, and took as long as a heavy command.
TEST(BareIds, AnEntryForgetsSomeAndTheNextOnesTheRest) {
  Replicas replicas;
  constexpr size_t kIds = 3 * 4096;
  std::vector<Command> commands;
  for (size_t i = 0; i < kIds; ++i) {
    commands.push_back(Nothing(std::to_string(i), "host:a"));
    if (commands.size() == 4096) replicas.DoAll(std::exchange(commands, {}));
  }
  const auto rows = [&] {
    return TestDatabase(replicas.first().path()).Number("SELECT count(*) FROM _cairn_ids");
  };
  EXPECT_EQ(rows(), 3);
  replicas.header.lease_ms += kRequestTtlDefaultMs;
  Command advance;
  advance.operation = AdvanceLease{};
  replicas.Do(advance);
  EXPECT_EQ(rows(), 1);
  // The remaining ids are still known.
  EXPECT_TRUE(replicas.Do(Nothing(std::to_string(kIds - 1), "host:a")).status.ok());
  replicas.Do(advance);
  replicas.Check();
}

TEST(BareIds, OneClientHoldsAnEighthAndTheOthersFindRoom) {
  TestReplica replica;
  uint64_t index = 0;
  uint64_t sent = 0;
  BatchHeader header{1'700'000'000'000, 1, 1'000, 50'000'000};
  const auto apply = [&](const std::vector<Command>& commands) {
    const raft::Entry entry = MakeEntry(LogIndex(++index), header, commands);
    return replica.Apply({&entry, 1}).at(0).results;
  };
  while (sent < kBareIdsMax / 8) {
    std::vector<Command> commands;
    for (int i = 0; i < 4096; ++i) commands.push_back(Nothing(std::to_string(sent++), "host:a"));
    for (const CommandResult& each : apply(commands)) ASSERT_TRUE(each.status.ok());
  }
  replica.Restart();
  const auto results =
      apply({Nothing("one more", "host:a"), Nothing("0", "host:a"), Nothing("b", "host:b")});
  EXPECT_EQ(results[0].status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(results[0].status.outcome(), Outcome::kNotApplied);
  EXPECT_TRUE(results[1].status.ok()) << "a retry of one that is remembered";
  EXPECT_TRUE(results[2].status.ok());
  header.lease_ms += kRequestTtlDefaultMs;
  EXPECT_TRUE(apply({Nothing("one more", "host:a")})[0].status.ok());
}

}  // namespace
}  // namespace cairn::state_machine
