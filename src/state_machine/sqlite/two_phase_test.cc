// Prepare, Commit and Rollback as the log sees them.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/request_memory.h"
#include "state_machine/sqlite/transactions.h"
#include "state_machine/sqlite/two_phase_test_util.h"

namespace cairn::state_machine {
namespace {

class TwoPhase : public testing::Test {
 protected:
  void SetUp() override {
    replicas.Must("CREATE TABLE t(x UNIQUE, at DEFAULT CURRENT_TIMESTAMP, r DEFAULT (random()))");
    replicas.Must("CREATE TABLE other(x)");
  }
  StatusCode Code(Command command) { return replicas.Do(std::move(command)).status.code(); }

  Replicas replicas;
};

TEST_F(TwoPhase, CommitAppliesAllStatementsAndCountsThem) {
  const int64_t version = replicas.Version("");
  const int64_t of_t = replicas.Version("t");
  EXPECT_EQ(Code(PrepareCommand("tx", "INSERT INTO t(x) VALUES(?1)", {int64_t{1}})),
            StatusCode::kOk);
  EXPECT_EQ(Code(PrepareCommand("tx", "INSERT INTO t(x) SELECT x + 1 FROM t")), StatusCode::kOk);
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "0");
  EXPECT_EQ(replicas.Version(""), version);
  EXPECT_EQ(replicas.Transaction("tx").statements, 2u);
  const CommandResult result = replicas.Do(CommitCommand("tx"));
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.statements.size(), 2u);
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "1 2");
  EXPECT_EQ(replicas.Version(""), version + 2);
  EXPECT_EQ(replicas.Version("t"), of_t + 2);
  const TxInfo info = replicas.Transaction("tx");
  EXPECT_EQ(info.state, TxState::kCommitted);
  EXPECT_EQ(info.finished_index, result.index);
  replicas.Check();
}

// Nodes of Cairn 0.2.0 take notes_archive for storage of notes.
TEST_F(TwoPhase, APreparedFullTextTableHoldsNoTableThatIsOnlyNamedLikeIt) {
  replicas.Must("CREATE VIRTUAL TABLE notes USING fts5(x)");
  replicas.Must("CREATE TABLE notes_archive(x)");
  const Command insert = ExecuteCommand("INSERT INTO notes VALUES('a')");
  EXPECT_EQ(Code(PrepareCommand("tx", "INSERT INTO notes_archive VALUES(1)")), StatusCode::kOk);
  EXPECT_EQ(Code(insert), StatusCode::kAborted);
  EXPECT_EQ(Code(CommitCommand("tx")), StatusCode::kOk);
  EXPECT_EQ(Code({{}, 0, RaiseLevel{kLevelDataPlatform}}), StatusCode::kOk);
  EXPECT_EQ(Code(PrepareCommand("tx2", "INSERT INTO notes_archive VALUES(1)")), StatusCode::kOk);
  EXPECT_EQ(Code(insert), StatusCode::kOk);
  EXPECT_EQ(Code(CommitCommand("tx2")), StatusCode::kOk);
  replicas.Check();
}

TEST_F(TwoPhase, CommitUsesTheTimeAndTheRandomnessOfPrepare) {
  replicas.header.wall_ms = 1'600'000'000'000 - 1000;
  const CommandResult prepared =
      replicas.Do(PrepareCommand("tx", "INSERT INTO t(x) VALUES(1) RETURNING at, r"));
  replicas.header.wall_ms += 86'400'000;
  replicas.header.random_seed += 17;
  const CommandResult committed = replicas.Do(CommitCommand("tx"));
  EXPECT_EQ(prepared.statements.at(0).rows, committed.statements.at(0).rows);
  EXPECT_EQ(replicas.Query("SELECT at FROM t"), "2020-09-13 12:26:40");
  replicas.Check();
}

TEST_F(TwoPhase, HeldTablesFailOtherWritersAtOnce) {
  replicas.Must("CREATE TABLE read_only(x)");
  EXPECT_EQ(Code(PrepareCommand("tx", "INSERT INTO t(x) SELECT x FROM read_only")),
            StatusCode::kOk);
  const CommandResult conflict = replicas.Execute("INSERT INTO t(x) VALUES(5)");
  EXPECT_EQ(conflict.status.code(), StatusCode::kAborted) << conflict.status;
  EXPECT_EQ(replicas.Execute("INSERT INTO read_only VALUES(5)").status.code(),
            StatusCode::kAborted);
  EXPECT_EQ(replicas.Execute("CREATE TABLE u(x)").status.code(), StatusCode::kAborted);
  EXPECT_EQ(replicas.Execute("ANALYZE").status.code(), StatusCode::kAborted);
  EXPECT_EQ(Code(PrepareCommand("tx2", "DELETE FROM t")), StatusCode::kAborted);
  EXPECT_EQ(Code(PrepareCommand("tx2", "INSERT INTO other SELECT x FROM t")), StatusCode::kAborted);
  EXPECT_EQ(replicas.Transaction("tx2").state, TxState::kUnknown);
  replicas.Must("INSERT INTO other VALUES(1)");
  replicas.Must("INSERT INTO other SELECT x FROM t");
  EXPECT_EQ(Code(PrepareCommand("tx", "INSERT INTO t(x) VALUES(7)")), StatusCode::kOk);
  EXPECT_EQ(Code(CommitCommand("tx")), StatusCode::kOk);
  replicas.Must("INSERT INTO t(x) VALUES(5)");
  replicas.Check();
}

TEST_F(TwoPhase, TriggersAndCascadesAreHeldToo) {
  replicas.Must("CREATE TABLE p(id INTEGER PRIMARY KEY)");
  replicas.Must("CREATE TABLE c(p REFERENCES p ON DELETE CASCADE)");
  replicas.Must("CREATE TABLE log(x)");
  replicas.Must("CREATE TRIGGER tr AFTER DELETE ON c BEGIN INSERT INTO log VALUES(1); END");
  EXPECT_EQ(Code(PrepareCommand("tx", "DELETE FROM p")), StatusCode::kOk);
  for (const char* sql : {"INSERT INTO p VALUES(1)", "DELETE FROM c", "DELETE FROM log"}) {
    EXPECT_EQ(replicas.Execute(sql).status.code(), StatusCode::kAborted) << sql;
  }
  EXPECT_EQ(Code(RollbackCommand("tx")), StatusCode::kOk);
  replicas.Must("INSERT INTO p VALUES(1)");
  replicas.Check();
}

TEST_F(TwoPhase, AStatementThatFailsIsNotStaged) {
  replicas.Must("INSERT INTO t(x) VALUES(1)");
  EXPECT_EQ(Code(PrepareCommand("tx", "INSERT INTO t(x) VALUES(1)")), StatusCode::kAlreadyExists);
  EXPECT_EQ(replicas.Transaction("tx").state, TxState::kUnknown);
  EXPECT_EQ(Code(PrepareCommand("tx", "INSERT INTO t(x) VALUES(2)")), StatusCode::kOk);
  EXPECT_EQ(Code(PrepareCommand("tx", "INSERT INTO t(x) VALUES(2)")), StatusCode::kAlreadyExists);
  EXPECT_EQ(Code(PrepareCommand("tx", "SELECT 1")), StatusCode::kInvalidArgument);
  EXPECT_EQ(replicas.Transaction("tx").statements, 1u);
  EXPECT_EQ(Code(CommitCommand("tx")), StatusCode::kOk);
  EXPECT_EQ(replicas.Query("SELECT x FROM t ORDER BY x"), "1 2");
  replicas.Check();
}

// The Prepare has done the same work, so a Commit fails only with another build of SQLite, or as
// here: a statement is changed behind Cairn's back. SQLITE_CORRUPT ends the whole batch. The tables
// of the transaction were then held until it expired.
TEST(CommitThatFails, EndsItsTransactionAlsoWhereItEndsTheWholeBatch) {
  for (const std::string statement : {"DELETE FROM j INDEXED BY i WHERE subtype(a) = 74",
                                      "INSERT INTO t VALUES(7) /* UNIQUE is violated */"}) {
    TestReplica replica;
    uint64_t index = 0;
    const auto apply = [&](const std::vector<Command>& commands) {
      const raft::Entry entry =
          MakeEntry(LogIndex(++index), {1'700'000'000'000, 1, 1'000, 50'000'000}, commands);
      return replica.Apply({&entry, 1}).at(0).results;
    };
    apply({ExecuteCommand("CREATE TABLE t(x UNIQUE)"), ExecuteCommand("CREATE TABLE u(x)"),
           ExecuteCommand("INSERT INTO t VALUES(7)"), ExecuteCommand("CREATE TABLE j(a, b)"),
           ExecuteCommand("CREATE INDEX i ON j(a) WHERE subtype(a) = 74"),
           ExecuteCommand("INSERT INTO j VALUES(json('[1]'), 1), (2, 2)"),
           ExecuteCommand("DELETE FROM j WHERE b = 1")});
    ASSERT_TRUE(apply({PrepareCommand("tx", "INSERT INTO t VALUES(8)")}).at(0).status.ok());
    replica.Close();
    const std::string bad = EncodeStatement({statement, {}, {}});
    std::string hex;
    for (const char c : bad) {
      constexpr char kDigits[] = "0123456789abcdef";
      hex += {kDigits[static_cast<uint8_t>(c) >> 4], kDigits[static_cast<uint8_t>(c) & 15]};
    }
    TestDatabase(replica.path()).Run("UPDATE _cairn_tx_statements SET statement = x'" + hex + "'");
    replica.Open();
    const auto results = apply({ExecuteCommand("INSERT INTO u VALUES(1)"), CommitCommand("tx"),
                                ExecuteCommand("INSERT INTO t VALUES(9)"), CommitCommand("tx")});
    EXPECT_TRUE(results.at(0).status.ok()) << results.at(0).status;
    EXPECT_EQ(results.at(1).status.code(), StatusCode::kInternal) << results.at(1).status;
    EXPECT_EQ(results.at(1).status.outcome(), Outcome::kApplied);
    EXPECT_TRUE(results.at(2).status.ok()) << statement << ": " << results.at(2).status;
    EXPECT_EQ(results.at(3).status.code(), StatusCode::kFailedPrecondition) << results.at(3).status;
  }
}

TEST_F(TwoPhase, EveryStepMayBeRepeated) {
  EXPECT_EQ(Code(PrepareCommand("tx", "INSERT INTO t(x) VALUES(1)")), StatusCode::kOk);
  const CommandResult first = replicas.Do(CommitCommand("tx"));
  const CommandResult again = replicas.Do(CommitCommand("tx"));
  EXPECT_TRUE(again.status.ok());
  EXPECT_EQ(again.index, first.index);
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "1");
  EXPECT_EQ(Code(RollbackCommand("tx")), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Code(PrepareCommand("tx", "DELETE FROM t")), StatusCode::kFailedPrecondition);

  EXPECT_EQ(Code(PrepareCommand("tx2", "DELETE FROM t")), StatusCode::kOk);
  EXPECT_EQ(Code(RollbackCommand("tx2")), StatusCode::kOk);
  EXPECT_EQ(Code(RollbackCommand("tx2")), StatusCode::kOk);
  EXPECT_EQ(Code(CommitCommand("tx2")), StatusCode::kFailedPrecondition);

  EXPECT_EQ(Code(CommitCommand("never")), StatusCode::kNotFound);
  // A Prepare that was delayed behind the Rollback must not hold anything.
  EXPECT_EQ(Code(RollbackCommand("late")), StatusCode::kOk);
  EXPECT_EQ(Code(PrepareCommand("late", "DELETE FROM t")), StatusCode::kFailedPrecondition);
  replicas.Check();
}

TEST_F(TwoPhase, WhoReadsTheStorageOfAHeldFullTextTableConflicts) {
  replicas.Must("CREATE VIRTUAL TABLE f USING fts5(body)");
  EXPECT_EQ(Code(PrepareCommand("tx", "INSERT INTO f VALUES('words')")), StatusCode::kOk);
  EXPECT_EQ(Code(PrepareCommand("tx2", "INSERT INTO other SELECT c0 FROM f_content")),
            StatusCode::kAborted);
  EXPECT_EQ(Code(RollbackCommand("tx")), StatusCode::kOk);
  EXPECT_EQ(Code(PrepareCommand("tx3", "INSERT INTO other SELECT c0 FROM f_content")),
            StatusCode::kOk);
  EXPECT_EQ(replicas.Execute("INSERT INTO f VALUES('words')").status.code(), StatusCode::kAborted);
  replicas.Check();
}

TEST_F(TwoPhase, WhoReadsAFullTextTableHoldsItsExternalContent) {
  replicas.Must("CREATE TABLE Articles(id INTEGER PRIMARY KEY, body)");
  replicas.Must("INSERT INTO articles VALUES(1, 'words')");
  replicas.Must("CREATE VIEW recent AS SELECT id, body FROM articles");
  replicas.Must(
      "CREATE VIRTUAL TABLE f USING fts5(body, content = \"articles\", content_rowid=id)");
  replicas.Must("CREATE VIRTUAL TABLE g USING fts5(body, content=recent, content_rowid=id)");
  replicas.Must("CREATE VIRTUAL TABLE words USING fts5vocab(f, 'row')");
  replicas.Must("CREATE VIRTUAL TABLE recent_words USING fts5vocab(g, 'row')");
  replicas.Maintain("INSERT INTO f(f) VALUES('rebuild')");
  int round = 0;
  for (const char* sql :
       {"INSERT INTO other SELECT body FROM f", "INSERT INTO other SELECT term FROM words",
        "INSERT INTO other SELECT term FROM recent_words"}) {
    const std::string n = std::to_string(++round);
    EXPECT_EQ(Code(PrepareCommand("a" + n, sql)), StatusCode::kOk) << sql;
    EXPECT_EQ(replicas.Execute("DELETE FROM articles").status.code(), StatusCode::kAborted) << sql;
    EXPECT_EQ(Code(RollbackCommand("a" + n)), StatusCode::kOk);
    EXPECT_EQ(Code(PrepareCommand("b" + n, "UPDATE articles SET body = 'x'")), StatusCode::kOk);
    EXPECT_EQ(Code(PrepareCommand("c" + n, sql)), StatusCode::kAborted) << sql;
    EXPECT_EQ(Code(RollbackCommand("b" + n)), StatusCode::kOk);
    replicas.Must("UPDATE articles SET body = body");
  }
  replicas.Check();
}

TEST_F(TwoPhase, ThePreparedExpireByTheLeaseClock) {
  EXPECT_EQ(Code(PrepareCommand("tx", "DELETE FROM t", {}, 5000)), StatusCode::kOk);
  EXPECT_EQ(replicas.first().machine().NextDeadlineLeaseMs(), replicas.header.lease_ms + 5000);
  replicas.header.wall_ms += 1'000'000;
  replicas.header.lease_ms += 4999;
  EXPECT_EQ(replicas.Execute("INSERT INTO t(x) VALUES(1)").status.code(), StatusCode::kAborted);
  replicas.header.lease_ms += 1;
  Command advance;
  advance.operation = AdvanceLease{};
  EXPECT_EQ(Code(advance), StatusCode::kOk);
  EXPECT_EQ(replicas.Transaction("tx").state, TxState::kExpired);
  EXPECT_EQ(replicas.first().machine().NextDeadlineLeaseMs(), std::nullopt);
  EXPECT_EQ(Code(CommitCommand("tx")), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Code(RollbackCommand("tx")), StatusCode::kOk);
  replicas.Must("INSERT INTO t(x) VALUES(1)");
  EXPECT_EQ(Code(PrepareCommand("tx3", "DELETE FROM t", {}, kPrepareTimeoutMaxMs + 1)),
            StatusCode::kInvalidArgument);
  replicas.Check();
}

Command Numbered(Command command, uint64_t number) {
  if (auto* prepare = std::get_if<Prepare>(&command.operation)) {
    prepare->number = number;
  } else {
    std::get<Commit>(command.operation).statements = number;
  }
  return command;
}

// The late statement began a new transaction. Its Commit applied half and returned OK.
TEST_F(TwoPhase, ALateStatementOfATransactionThatIsForgottenIsRefused) {
  const Command first = Numbered(PrepareCommand("tx", "INSERT INTO other VALUES(1)"), 1);
  const Command second = Numbered(PrepareCommand("tx", "INSERT INTO other VALUES(2)"), 2);
  EXPECT_EQ(Code(first), StatusCode::kOk);
  replicas.header.lease_ms += kPrepareTimeoutDefaultMs;
  Command advance;
  advance.operation = AdvanceLease{};
  replicas.Do(advance);
  EXPECT_EQ(replicas.Transaction("tx").state, TxState::kExpired);
  EXPECT_EQ(Code(second), StatusCode::kFailedPrecondition);
  replicas.header.lease_ms += replicas.header.request_ttl_ms;
  replicas.Do(advance);
  EXPECT_EQ(replicas.Transaction("tx").state, TxState::kUnknown);
  EXPECT_EQ(Code(second), StatusCode::kFailedPrecondition);
  EXPECT_EQ(replicas.Transaction("tx").state, TxState::kUnknown);
  // A late first statement begins the whole transaction. The Commit says how many statements it
  // has.
  EXPECT_EQ(Code(first), StatusCode::kOk);
  EXPECT_EQ(Code(Numbered(CommitCommand("tx"), 2)), StatusCode::kFailedPrecondition);
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM other"), "0");
  EXPECT_EQ(Code(second), StatusCode::kOk);
  EXPECT_EQ(Code(Numbered(CommitCommand("tx"), 2)), StatusCode::kOk);
  EXPECT_EQ(replicas.Query("SELECT x FROM other"), "1 2");
  replicas.Check();
}

TEST_F(TwoPhase, AStatementThatIsSentAgainUnderItsNumberIsStagedOnce) {
  const auto insert = [](int value, uint64_t number) {
    return Numbered(PrepareCommand("tx", "INSERT INTO other VALUES(" + std::to_string(value) + ")"),
                    number);
  };
  EXPECT_EQ(Code(insert(1, 1)), StatusCode::kOk);
  EXPECT_EQ(Code(insert(1, 1)), StatusCode::kOk);
  EXPECT_EQ(Code(insert(2, 1)), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Code(insert(3, 3)), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Code(insert(1, 2)), StatusCode::kOk);
  EXPECT_EQ(Code(insert(1, 1)), StatusCode::kOk);
  EXPECT_EQ(replicas.Transaction("tx").statements, 2u);
  EXPECT_EQ(Code(Numbered(CommitCommand("tx"), 1)), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Code(Numbered(CommitCommand("tx"), 2)), StatusCode::kOk);
  EXPECT_EQ(replicas.Query("SELECT x FROM other"), "1 1");
  replicas.Check();
}

TEST_F(TwoPhase, ASchemaChangeCanBePreparedAndHoldsAll) {
  EXPECT_EQ(Code(PrepareCommand("tx", "CREATE TABLE fresh(x)")), StatusCode::kOk);
  EXPECT_EQ(Code(PrepareCommand("tx", "INSERT INTO fresh VALUES(1)")), StatusCode::kOk);
  EXPECT_EQ(replicas.Execute("INSERT INTO other VALUES(1)").status.code(), StatusCode::kAborted);
  EXPECT_EQ(Code(CommitCommand("tx")), StatusCode::kOk);
  EXPECT_EQ(replicas.Query("SELECT x FROM fresh"), "1");
  replicas.Must("INSERT INTO other VALUES(1)");
  replicas.Check();
}

TEST_F(TwoPhase, ARefusalForWantOfRoomIsNotWhatARetryIsAnsweredWith) {
  std::vector<Command> commands;
  for (int i = 0; i < 127; ++i) {
    replicas.Must("CREATE TABLE t" + std::to_string(i) + "(x)");
  }
  const auto prepare = [](int i) {
    const std::string n = std::to_string(i);
    Command command = PrepareCommand("tx" + n, "INSERT INTO t" + n + " VALUES(1)");
    command.principal = "host:a";
    return WithId(std::move(command), "s" + n, 1);
  };
  for (int i = 0; i < 127; ++i) commands.push_back(prepare(i));
  const auto results = replicas.DoAll(commands);
  EXPECT_TRUE(results.at(125).status.ok()) << results.at(125).status;
  EXPECT_EQ(results.at(126).status.code(), StatusCode::kOk) << results.at(126).status;
  Command last = WithId(PrepareCommand("last", "INSERT INTO other VALUES(1)"), "last", 1);
  last.principal = "host:a";
  const CommandResult refused = replicas.Do(last);
  EXPECT_EQ(refused.status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.status.outcome(), Outcome::kNotApplied);
  EXPECT_EQ(Code(RollbackCommand("tx5")), StatusCode::kOk);
  EXPECT_TRUE(replicas.Do(last).status.ok());
  replicas.Check();
}

// The 10,000th later transaction made a committed one unknown, and a repeated Commit was answered
// that there is no such transaction.
TEST_F(TwoPhase, WhatHasEndedIsRememberedAsLongAsAnsweredRequests) {
  EXPECT_EQ(Code(PrepareCommand("tx", "INSERT INTO other VALUES(1)")), StatusCode::kOk);
  const CommandResult committed = replicas.Do(CommitCommand("tx"));
  std::vector<Command> commands;
  for (size_t i = 0; i < 12'000; ++i) {
    commands.push_back(RollbackCommand("r" + std::to_string(i)));
    if (commands.size() == 4000) replicas.DoAll(std::exchange(commands, {}));
  }
  replicas.header.lease_ms += replicas.header.request_ttl_ms - 1;
  EXPECT_EQ(replicas.Do(CommitCommand("tx")).index, committed.index);
  EXPECT_EQ(replicas.Do(CommitCommand("never")).status.outcome(), Outcome::kApplied);
  replicas.header.lease_ms += 1;
  const CommandResult again = replicas.Do(CommitCommand("tx"));
  EXPECT_EQ(again.status.code(), StatusCode::kNotFound);
  EXPECT_EQ(again.status.outcome(), Outcome::kUnknown) << again.status;
  EXPECT_EQ(replicas.Transaction("tx").state, TxState::kUnknown);
  // The rest goes with a later entry.
  EXPECT_EQ(replicas.Transaction("r11999").state, TxState::kRolledBack);
  EXPECT_EQ(replicas.Do(CommitCommand("tx")).status.outcome(), Outcome::kUnknown);
  EXPECT_EQ(replicas.Transaction("r11999").state, TxState::kUnknown);
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM other"), "1");
  EXPECT_EQ(TestDatabase(replicas.first().path()).Number("SELECT count(*) FROM _cairn_tx"), 0);
  replicas.Check();
}

// One entry may forget some of the transactions that expired together, and a later entry the rest.
// A restarted member must forget them in the same order.
TEST_F(TwoPhase, WhatExpiredTogetherIsForgottenInOneOrderAlsoAfterARestart) {
  std::vector<Command> commands;
  for (size_t i = 0; i < kForgottenPerEntryMax - 1; ++i) {
    commands.push_back(RollbackCommand("r" + std::to_string(i)));
    if (commands.size() == 4000) replicas.DoAll(std::exchange(commands, {}));
  }
  replicas.DoAll(commands);
  for (const char* id : {"a", "b", "c"}) {
    replicas.Must(std::string("CREATE TABLE of_") + id + "(x)");
  }
  for (const std::string id : {"a", "b", "c"}) {
    // The last transaction expires first.
    EXPECT_EQ(Code(PrepareCommand(id, "DELETE FROM of_" + id, {}, id == "c" ? 10 : 20)),
              StatusCode::kOk);
  }
  Command advance;
  advance.operation = AdvanceLease{};
  replicas.header.lease_ms += 1000;
  replicas.Do(advance);
  EXPECT_EQ(replicas.Transaction("c").state, TxState::kExpired);
  replicas.header.lease_ms += replicas.header.request_ttl_ms;
  replicas.Do(advance);
  EXPECT_EQ(replicas.Transaction("a").state, TxState::kExpired);
  EXPECT_EQ(replicas.Transaction("b").state, TxState::kExpired);
  EXPECT_EQ(replicas.Transaction("c").state, TxState::kUnknown);
  replicas.Do(advance);
  EXPECT_EQ(replicas.Transaction("a").state, TxState::kUnknown);
  replicas.Check();
}

// An unknown id is not remembered as an answer either: a repeated request is judged anew.
TEST_F(TwoPhase, ACommitWhoseOutcomeIsNotKnownMayBeAskedAgain) {
  EXPECT_EQ(Code(RollbackCommand("old")), StatusCode::kOk);
  replicas.header.lease_ms += replicas.header.request_ttl_ms;
  const Command commit = WithId(CommitCommand("tx"), "S", 1);
  EXPECT_EQ(replicas.Do(commit).status.outcome(), Outcome::kUnknown);
  EXPECT_EQ(Code(PrepareCommand("tx", "INSERT INTO other VALUES(1)")), StatusCode::kOk);
  EXPECT_EQ(replicas.Do(commit).status.code(), StatusCode::kOk);
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
