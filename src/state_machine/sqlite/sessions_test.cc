// What sessions remember under load: bounds, owners and age. No answer contradicts an earlier one.

#include "state_machine/sqlite/sessions.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "state_machine/sqlite/bare_ids.h"
#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

Command By(std::string principal, Command command) {
  command.principal = std::move(principal);
  return command;
}
Command Open(const std::string& session) {
  Command command;
  command.operation = OpenSession{};
  return WithId(command, session, 1);
}
Command Insert(const std::string& session, uint64_t sequence, uint64_t acknowledged_below = 0) {
  return WithId(ExecuteCommand("INSERT INTO t VALUES(?1)", {session}), session, sequence,
                acknowledged_below);
}
Command CommitOf(const std::string& tx) {
  Command command;
  command.operation = Commit{tx};
  return command;
}
Command RollbackOf(const std::string& tx) {
  Command command;
  command.operation = Rollback{tx};
  return command;
}
Command PrepareOf(const std::string& tx, const std::string& sql) {
  Command command;
  command.operation = Prepare{tx, {sql, {}, {}}, 0};
  return command;
}

bool IsRefused(const CommandResult& result) {
  return result.status.code() == StatusCode::kResourceExhausted &&
         result.status.outcome() == Outcome::kNotApplied;
}

class SessionsTest : public testing::Test {
 protected:
  void SetUp() override { replicas.Must("CREATE TABLE t(x)"); }
  // Entries of 2,000 commands.
  void Add(Command command) {
    commands_.push_back(std::move(command));
    if (commands_.size() == 2000) Send();
  }
  std::vector<CommandResult> Send() { return replicas.DoAll(std::exchange(commands_, {})); }

  Replicas replicas{/*restarts=*/false};

 private:
  std::vector<Command> commands_;
};

TEST_F(SessionsTest, TwelveThousandOtherIdsDoNotMakeARetryApplyTwice) {
  const CommandResult first = replicas.Do(By("host:a", Insert("A", 1)));
  const CommandResult second = replicas.Do(By("host:a", Insert("A", 2)));
  for (int i = 0; i < 12'000; ++i) Add(By("host:b", Open("other-" + std::to_string(i))));
  for (const CommandResult& each : Send()) EXPECT_TRUE(each.status.ok()) << each.status;
  EXPECT_EQ(EncodeCommandResult(replicas.Do(By("host:a", Insert("A", 1)))),
            EncodeCommandResult(first));
  EXPECT_EQ(EncodeCommandResult(replicas.Do(By("host:a", Insert("A", 2)))),
            EncodeCommandResult(second));
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "2");
  replicas.Check();
}

TEST_F(SessionsTest, ACommitThatFoundNothingStaysAnErrorAfter4116LaterRequests) {
  const Command commit = WithId(CommitOf("never"), "S", 1);
  const CommandResult first = replicas.Do(commit);
  EXPECT_EQ(first.status.code(), StatusCode::kNotFound);
  for (uint64_t i = 2; i < 2 + 4116; ++i) Add(Insert("S", i));
  Send();
  const CommandResult again = replicas.Do(commit);
  EXPECT_EQ(again.status.code(), StatusCode::kNotFound) << again.status;
  EXPECT_EQ(again.status.outcome(), Outcome::kApplied);
  EXPECT_EQ(again.index, first.index);
  replicas.Check();
}

TEST_F(SessionsTest, AnErrorStaysTheSameErrorThoughItsTextIsNotKept) {
  replicas.Must("CREATE TABLE u(x UNIQUE)");
  EXPECT_TRUE(replicas.Do(PrepareOf("tx", "INSERT INTO u VALUES(1)")).status.ok());
  const Command again = WithId(PrepareOf("tx", "INSERT INTO u VALUES(1)"), "S", 1);
  EXPECT_EQ(replicas.Do(again).status.code(), StatusCode::kAlreadyExists);
  const CommandResult gone = replicas.Do(again);
  EXPECT_EQ(gone.status.code(), StatusCode::kAlreadyExists) << gone.status;
  EXPECT_EQ(gone.status.outcome(), Outcome::kApplied);
  EXPECT_FALSE(gone.result_gone);
  replicas.Check();
}

// Answered OK once, the failed Prepare made a Commit acknowledge half a transaction.
TEST_F(SessionsTest, ASecondPrepareThatFailedStaysAnErrorAfter32MiBOfOtherResults) {
  replicas.Must("CREATE TABLE u(x UNIQUE)");
  EXPECT_TRUE(replicas.Do(PrepareOf("tx", "INSERT INTO u VALUES(1)")).status.ok());
  const Command second = WithId(PrepareOf("tx", "INSERT INTO u VALUES(1)"), "S", 1);
  EXPECT_EQ(replicas.Do(second).status.code(), StatusCode::kAlreadyExists);
  constexpr uint64_t kResultBytes = 60'000;
  const std::string large =
      "INSERT INTO t VALUES(1) RETURNING zeroblob(" + std::to_string(kResultBytes) + ")";
  for (uint64_t i = 0; i * kResultBytes < 2 * kResultsBytesMaxTotal; ++i) {
    Add(By("host:" + std::to_string(i % 16),
           WithId(ExecuteCommand(large), "other-" + std::to_string(i % 16), i / 16 + 1)));
  }
  Send();
  const CommandResult again = replicas.Do(second);
  EXPECT_EQ(again.status.code(), StatusCode::kAlreadyExists) << again.status;
  EXPECT_FALSE(again.result_gone);
  EXPECT_TRUE(replicas.Do(WithId(CommitOf("tx"), "S", 2)).status.ok());
  EXPECT_EQ(replicas.Query("SELECT x FROM u"), "1");
  replicas.Check();
}

TEST_F(SessionsTest, AnAcknowledgementPastTheRequestsOwnSequenceIsRefusedAtApply) {
  replicas.Do(Insert("S", 1));
  const CommandResult result = replicas.Do(Insert("S", 5, /*acknowledged_below=*/100));
  EXPECT_EQ(result.status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(result.status.outcome(), Outcome::kNotApplied);
  // Neither of a request without a session, nor of a bare id.
  EXPECT_EQ(replicas.Do(WithId(ExecuteCommand("DELETE FROM t"), "", 0, 1)).status.code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(replicas.Do(Insert("S", 0, 1)).status.code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(replicas.Do(Insert("S", 5)).status.ok());
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "2");
  replicas.Check();
}

TEST_F(SessionsTest, ASessionBelongsToWhoOpenedIt) {
  replicas.Do(By("user:a", Insert("S", 1)));
  replicas.Do(By("user:a", Insert("S", 2)));
  const CommandResult fresh = replicas.Do(By("user:b", Insert("S", 3, 3)));
  EXPECT_EQ(fresh.status.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(fresh.status.outcome(), Outcome::kNotApplied);
  // Another principal does not learn the outcome of the first try.
  const CommandResult retry = replicas.Do(By("user:b", Insert("S", 2)));
  EXPECT_EQ(retry.status.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(retry.status.outcome(), Outcome::kUnknown);
  EXPECT_TRUE(replicas.Do(By("user:a", Insert("S", 2))).status.ok()) << "it was acknowledged away";
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "2");
  replicas.Check();
}

TEST_F(SessionsTest, HostsDoNotReachNodesSessionsButEachOthers) {
  Command of_node = By("host:a", Open("N"));
  of_node.named_by = 3;
  replicas.Do(of_node);
  EXPECT_EQ(replicas.Do(By("host:a", Insert("N", 2))).status.code(), StatusCode::kPermissionDenied);
  of_node = By("host:b", Insert("N", 2));
  of_node.named_by = 3;
  EXPECT_TRUE(replicas.Do(of_node).status.ok());
  of_node.named_by = 4;
  EXPECT_EQ(replicas.Do(of_node).status.code(), StatusCode::kPermissionDenied);
  // A client that fails over from the node on its own machine comes from another address.
  const CommandResult first = replicas.Do(By("host:127.0.0.1", Insert("C", 1)));
  EXPECT_EQ(EncodeCommandResult(replicas.Do(By("host:192.0.2.7", Insert("C", 1)))),
            EncodeCommandResult(first));
  replicas.Check();
}

TEST_F(SessionsTest, OneClientHoldsAnEighthOfAllSessionsAndTheOthersFindRoom) {
  const uint64_t each = kSessionBytes + kRequestBytes + 6;
  const uint64_t fit = kSessionsBytesMax / 8 / each;
  for (uint64_t i = 0; i < fit; ++i) Add(By("host:a", Open(std::to_string(100'000 + i))));
  const auto last = Send();
  EXPECT_TRUE(last.back().status.ok()) << last.back().status;
  EXPECT_TRUE(IsRefused(replicas.Do(By("host:a", Open("one-more")))));
  EXPECT_TRUE(IsRefused(replicas.Do(By("host:a", Insert("one-more", 1)))));
  EXPECT_TRUE(replicas.Do(By("host:b", Open("one-more"))).status.ok());
  Command of_node = By("host:a", Open("of-node"));
  of_node.named_by = 1;
  EXPECT_TRUE(replicas.Do(of_node).status.ok());
  EXPECT_TRUE(
      replicas.Do(By("host:a", ExecuteCommand("INSERT INTO t VALUES('none')"))).status.ok());
  // Not sooner than the setting says.
  replicas.header.lease_ms += replicas.header.request_ttl_ms - 1;
  EXPECT_TRUE(IsRefused(replicas.Do(By("host:a", Open("again")))));
  replicas.header.lease_ms += 1;
  EXPECT_TRUE(replicas.Do(By("host:a", Open("again"))).status.ok());
  EXPECT_EQ(replicas.Query("SELECT group_concat(x) FROM t"), "none");
  replicas.Check();
}

TEST_F(SessionsTest, WhereRequestsFindNoRoomAnAcknowledgementMakesSome) {
  Command open = By("host:a", Open("S"));
  replicas.Do(open);
  uint64_t sequence = 1;
  const uint64_t fit = (kSessionsBytesMax / 8 - kSessionBytes - 1) / kRequestBytes;
  while (sequence < fit) {
    Command next = open;
    next.id.sequence = ++sequence;
    Add(std::move(next));
  }
  const auto last = Send();
  EXPECT_TRUE(last.back().status.ok()) << last.back().status;
  EXPECT_TRUE(IsRefused(replicas.Do(By("host:a", Insert("S", sequence + 1)))));
  // Retries do not get the refusal for ever.
  EXPECT_TRUE(replicas.Do(By("host:a", Insert("S", sequence + 1, 1000))).status.ok());
  EXPECT_TRUE(replicas.Do(By("host:a", Insert("S", sequence + 1))).status.ok());
  Command first = open;
  first.id.sequence = 1000;
  EXPECT_TRUE(replicas.Do(first).status.ok()) << "young ones are not forgotten for others";
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "1");
  replicas.Check();
}

TEST_F(SessionsTest, OneWhoseOwnerIsNotKnownGoesOnBesideAllOthersOfVersion01) {
  replicas.Do(Open("S"));
  uint64_t sequence = 1;
  while (sequence <= kSessionsBytesMax / 8 / kRequestBytes) {
    Command next = Open("S");
    next.id.sequence = ++sequence;
    Add(std::move(next));
  }
  const auto last = Send();
  EXPECT_TRUE(last.back().status.ok()) << last.back().status;
  EXPECT_TRUE(replicas.Do(Insert("S", sequence + 1)).status.ok());
  replicas.Check();
}

// One client asked for large results, and the retries of all others got "applied, result gone".
TEST_F(SessionsTest, OneClientsResultsDoNotPushOutThoseOfTheOthers) {
  const std::string sql = "INSERT INTO t VALUES(1) RETURNING zeroblob(60000)";
  const auto bare = [&](const char* principal, uint64_t i) {
    return By(principal, WithId(ExecuteCommand(sql), principal + std::to_string(i), 0));
  };
  const auto named = [&](const char* principal, uint64_t i) {
    return By(principal, WithId(ExecuteCommand(sql), principal, i));
  };
  replicas.DoAll({named("host:a", 1), bare("host:a", 1)});
  Command of_node = named("host:b", 1);
  of_node.id.session = "N";
  of_node.named_by = 3;
  replicas.Do(of_node);
  for (uint64_t i = 1; i <= kResultsBytesMaxTotal / 60'000 + 1; ++i) {
    Add(named("host:b", i));
    Add(bare("host:b", i));
    if (i % 100 == 0) Send();
  }
  Send();
  for (int i = 0; i < 2; ++i, replicas.first().Restart()) {
    const auto held = replicas.DoAll(
        {named("host:a", 1), bare("host:a", 1), of_node, named("host:b", 1), bare("host:b", 1)});
    EXPECT_EQ(held[0].statements.size(), 1u) << held[0].status;
    EXPECT_EQ(held[1].statements.size(), 1u) << held[1].status;
    EXPECT_EQ(held[2].statements.size(), 1u) << held[2].status;
    EXPECT_TRUE(held[3].result_gone);
    EXPECT_TRUE(held[4].result_gone);
  }
  const auto bytes = [&](const char* what) {
    return TestDatabase(replicas.first().path()).Number(what);
  };
  EXPECT_LE(bytes("SELECT sum(length(requests)) FROM _cairn_requests"),
            static_cast<int64_t>(kResultsBytesMaxTotal / 8 + (1 << 20)));
  EXPECT_LE(bytes("SELECT sum(length(results)) FROM _cairn_id_results"),
            static_cast<int64_t>(kBareResultsBytesMax / 8 + (1 << 20)));
}

// Past the bound of all clients the oldest results of all go. A restarted node and a node that saw
// what other clients held meanwhile must drop the same results.
TEST(ResultsOfManyClients, AreTheSameWhereverBatchesEndAndOnNodesThatRestart) {
  Rng rng(7);
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  const std::string sql = "INSERT INTO t VALUES(1) RETURNING zeroblob(60000)";
  uint64_t gone = 0;
  for (int entry = 0; entry < 60; ++entry) {
    std::vector<Command> commands;
    for (uint64_t left = 1 + rng.Below(20); left > 0; --left) {
      // Some clients send much, then others do.
      const uint64_t client = rng.Below(4) + (entry / 4 % 4) * 4;
      const std::string name = "c" + std::to_string(client);
      const bool bare = rng.Below(4) != 0;
      const std::string id = name + (bare ? "-" + std::to_string(rng.Below(60)) : "");
      commands.push_back(
          By("host:" + name, WithId(ExecuteCommand(sql), id, bare ? 0 : 1 + rng.Below(60))));
    }
    for (const CommandResult& each : replicas.DoAll(commands)) gone += each.result_gone ? 1 : 0;
  }
  EXPECT_GT(gone, 0u);
  EXPECT_GT(TestDatabase(replicas.first().path()).Number("SELECT results_from FROM _cairn_state"),
            0);
  replicas.Check();
}

// The sum of clock and setting passed 2^64, and all young requests were forgotten.
TEST_F(SessionsTest, AnySettingOfTheTimeIsHonoured) {
  replicas.header.request_ttl_ms = UINT64_MAX - 500;
  Command bare = Insert("bare", 0);
  const CommandResult first = replicas.Do(Insert("S", 1));
  const CommandResult first_bare = replicas.Do(bare);
  replicas.header.lease_ms += 1000;
  EXPECT_EQ(EncodeCommandResult(replicas.Do(bare)), EncodeCommandResult(first_bare));
  replicas.Do(Insert("S", 2));
  EXPECT_EQ(EncodeCommandResult(replicas.Do(Insert("S", 1))), EncodeCommandResult(first));
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "3");
  replicas.Check();
}

// "All below" could not include a request with no number behind it.
TEST_F(SessionsTest, TheLastSequenceIsRefused) {
  replicas.Do(Insert("S", 1));
  const CommandResult last = replicas.Do(Insert("S", UINT64_MAX));
  EXPECT_EQ(last.status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(last.status.outcome(), Outcome::kNotApplied);
  EXPECT_TRUE(replicas.Do(Insert("S", UINT64_MAX - 1)).status.ok());
  replicas.header.lease_ms += replicas.header.request_ttl_ms - 1;
  replicas.Do(Open("S"));
  replicas.header.lease_ms += 1;
  replicas.Do(Open("S"));
  EXPECT_EQ(replicas.Do(Insert("S", UINT64_MAX - 1)).status.outcome(), Outcome::kUnknown);
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "2");
  replicas.Check();
}

TEST_F(SessionsTest, ARequestIsRememberedUntilItIsAsOldAsTheEntrysSetting) {
  const uint64_t ttl = replicas.header.request_ttl_ms = 60'000;
  const CommandResult first = replicas.Do(Insert("S", 1));
  replicas.header.lease_ms += ttl - 1;
  replicas.Do(Insert("S", 2));
  EXPECT_EQ(EncodeCommandResult(replicas.Do(Insert("S", 1))), EncodeCommandResult(first));
  replicas.header.lease_ms += 1;
  const CommandResult old = replicas.Do(Insert("S", 1));
  EXPECT_EQ(old.status.outcome(), Outcome::kUnknown) << old.status;
  EXPECT_EQ(old.status.message().find("session expired"), std::string::npos);
  EXPECT_TRUE(replicas.Do(Insert("S", 2)).status.ok());
  // All nodes use the value in the entry.
  replicas.header.request_ttl_ms = 10'000;
  replicas.header.lease_ms += 10'000;
  EXPECT_EQ(replicas.Do(Insert("S", 3)).status.outcome(), Outcome::kUnknown) << "expired";
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "2");
  replicas.Check();
}

TEST_F(SessionsTest, ANodesOwnSessionIsNeverRefusedAndItsLowestRequestsGo) {
  Command command;
  command.operation = OpenSession{};
  command.id = {"N", 1};
  command.named_by = 2;
  for (; command.id.sequence <= kRequestsPerNodeMax + 10; ++command.id.sequence) Add(command);
  for (const CommandResult& each : Send()) EXPECT_TRUE(each.status.ok()) << each.status;
  command.id.sequence = 10;
  EXPECT_EQ(replicas.Do(command).status.outcome(), Outcome::kUnknown);
  command.id.sequence = 11;
  EXPECT_TRUE(replicas.Do(command).status.ok());
  replicas.Check();
}

// Requests in any order, acknowledgements, lapses of time, large results, and batches that are
// undone: every replica answers the same, and no answer contradicts an earlier one.
class RandomRequests : public testing::TestWithParam<uint64_t> {};

TEST_P(RandomRequests, AreAnsweredTheSameWhereverBatchesEndAndAreUndone) {
  Rng rng(GetParam());
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE u(x UNIQUE)");
  replicas.Must("CREATE TABLE v(x)");
  const auto two_phase = [&](const std::string& tx) {
    switch (rng.Below(3)) {
      case 0: return CommitOf(tx);
      case 1: return RollbackOf(tx);
      default: return PrepareOf(tx, "INSERT INTO v VALUES(1)");
    }
  };
  const auto draw = [&] {
    Command command;
    const auto n = static_cast<int64_t>(rng.Below(8));
    switch (rng.Below(5)) {
      case 0: command = ExecuteCommand("INSERT INTO t VALUES(1) RETURNING zeroblob(60000)"); break;
      case 1: command = ExecuteCommand("INSERT OR ROLLBACK INTO u VALUES(?1)", {n}); break;
      case 2: command = ExecuteCommand("DELETE FROM u WHERE x = ?1", {n}); break;
      case 3: command = two_phase("tx" + std::to_string(n)); break;
      default: command = ExecuteCommand("INSERT INTO t VALUES(?1)", {n}); break;
    }
    command.id = {"s" + std::to_string(rng.Below(5)), rng.Below(30)};
    if (rng.Below(4) == 0) command.acknowledged_below = rng.Below(command.id.sequence + 2);
    command.principal = rng.Below(9) == 0 ? "user:x" : "host:y";
    return command;
  };
  for (int entry = 0; entry < 120; ++entry) {
    std::vector<Command> commands;
    for (uint64_t left = 1 + rng.Below(8); left > 0; --left) commands.push_back(draw());
    if (rng.Below(3) == 0) replicas.header.lease_ms += rng.Below(6) * 60'000;
    replicas.DoAll(commands);
  }
  replicas.Check();
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomRequests, testing::Range<uint64_t>(1, 6));

}  // namespace
}  // namespace cairn::state_machine
