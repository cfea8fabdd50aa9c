// A retry returns the first result; versions count what took effect, once.

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/sessions.h"

namespace cairn::state_machine {
namespace {

Command Insert(int64_t x, uint64_t sequence, uint64_t acknowledged_below = 0) {
  return WithId(ExecuteCommand("INSERT INTO t VALUES(?1) RETURNING x", {x}), "s", sequence,
                acknowledged_below);
}

TEST(ExactlyOnce, ARetryReturnsTheFirstResultAndChangesNothing) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  const CommandResult first = replicas.Do(Insert(1, 1));
  const CommandResult again = replicas.Do(Insert(1, 1));
  EXPECT_EQ(EncodeCommandResult(first), EncodeCommandResult(again));
  EXPECT_EQ(again.index, LogIndex(2));
  const auto both = replicas.DoAll({Insert(2, 2), Insert(2, 2)});
  EXPECT_EQ(EncodeCommandResult(both[0]), EncodeCommandResult(both[1]));
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "1 2");
  EXPECT_EQ(replicas.Version("t"), 3);
  replicas.Check();
}

TEST(ExactlyOnce, AFailureIsAResultToo) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x UNIQUE)");
  replicas.Do(Insert(1, 1));
  const CommandResult failed = replicas.Do(Insert(1, 2));
  EXPECT_EQ(failed.status.code(), StatusCode::kAlreadyExists);
  replicas.Must("DELETE FROM t");
  const CommandResult again = replicas.Do(Insert(1, 2));
  EXPECT_EQ(again.status.code(), failed.status.code());
  EXPECT_EQ(again.status.outcome(), failed.status.outcome());
  EXPECT_EQ(again.index, failed.index);
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "0");
  replicas.Check();
}

TEST(ExactlyOnce, TheSameIdWithAnotherRequestIsRefused) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Do(Insert(1, 1));
  const CommandResult other = replicas.Do(Insert(2, 1));
  EXPECT_EQ(other.status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(other.status.outcome(), Outcome::kNotApplied);
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "1");
  replicas.Check();
}

TEST(ExactlyOnce, WhetherARequestOfAnUnknownSessionWasAppliedIsUnknown) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  const CommandResult result = replicas.Do(Insert(1, 2));
  EXPECT_EQ(result.status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(result.status.outcome(), Outcome::kUnknown);
  EXPECT_EQ(result.status.reason(), Reason::kSessionExpired);
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "0");
  replicas.Check();
}

TEST(ExactlyOnce, SequencesOfAKnownSessionMayComeInAnyOrder) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  Command open;
  open.operation = OpenSession{};
  EXPECT_TRUE(replicas.Do(WithId(open, "s", 1)).status.ok());
  for (const int64_t sequence : {5, 3, 2, 4, 3, 5}) {
    EXPECT_TRUE(replicas.Do(Insert(sequence, static_cast<uint64_t>(sequence))).status.ok());
  }
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "5 3 2 4");
  replicas.Check();
}

TEST(ExactlyOnce, OfAnAcknowledgedRequestNothingIsKnown) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  for (int64_t i = 1; i <= 5; ++i) replicas.Do(Insert(i, static_cast<uint64_t>(i)));
  replicas.Do(Insert(6, 6, 5));
  EXPECT_EQ(replicas.Do(Insert(2, 2)).status.outcome(), Outcome::kUnknown);
  EXPECT_TRUE(replicas.Do(Insert(5, 5)).status.ok());
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "6");
  replicas.first().Close();
  TestDatabase file(replicas.first().path());
  EXPECT_EQ(file.Number("SELECT count(*) FROM _cairn_requests"), 2);
  replicas.first().Open();
  replicas.Check();
}

TEST(ExactlyOnce, AResultTooLargeToKeepIsAppliedOnce) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  const Command large =
      WithId(ExecuteCommand("INSERT INTO t VALUES(zeroblob(100000)) RETURNING x"), "s", 1);
  EXPECT_EQ(replicas.Do(large).statements.at(0).rows.size(), 1u);
  const CommandResult again = replicas.Do(large);
  EXPECT_TRUE(again.status.ok());
  EXPECT_TRUE(again.result_gone);
  EXPECT_EQ(again.index, LogIndex(2));
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "1");
  replicas.Check();
}

class KeptResults : public testing::TestWithParam<uint64_t> {};

TEST_P(KeptResults, OfAllSessionsTogetherStayBoundedAndTheOldestGoFirst) {
  constexpr uint64_t kRequests = 700;
  const uint64_t per_entry = GetParam();
  constexpr size_t kRowBytes = 60'000;
  static_assert(kRowBytes < kResultBytesMax && kRequests * kRowBytes > kResultsBytesMaxTotal);
  const std::string sql =
      "INSERT INTO t VALUES(1) RETURNING zeroblob(" + std::to_string(kRowBytes) + ")";
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  const auto request = [&sql](uint64_t i) {
    return WithId(ExecuteCommand(sql), "s" + std::to_string(i % 7), i / 7 + 1);
  };
  std::vector<Command> commands;
  for (uint64_t i = 0; i < kRequests; ++i) {
    commands.push_back(request(i));
    if (commands.size() == per_entry) replicas.DoAll(std::exchange(commands, {}));
  }
  // The results of commands from the newest results_from on are held.
  const auto from =
      static_cast<uint64_t>(TestDatabase(replicas.first().path())
                                .Number("SELECT max(results_from) FROM _cairn_sessions"));
  const auto entries_gone = IndexOfCommand(from).value() - 2;
  const uint64_t gone = entries_gone * per_entry + (from & (kCommandsPerBatchMax - 1));
  const size_t held_bytes = (kRequests - gone) * (kRowBytes + kResultOverheadBytes);
  EXPECT_LE(held_bytes, kResultsBytesMaxTotal);
  EXPECT_GT(held_bytes, kResultsBytesMaxTotal - 2 * kResultBytesMax) << "no more went than had to";
  // They do not stay in the file either, unless another request shares their row.
  EXPECT_LE(TestDatabase(replicas.first().path())
                .Number("SELECT sum(length(requests)) FROM _cairn_requests"),
            static_cast<int64_t>(kResultsBytesMaxTotal + 7 * 2 * kChunkBytesMax));
  for (const auto& [i, is_gone] : {std::pair<uint64_t, bool>{0, true},
                                   {gone - 1, true},
                                   {gone, false},
                                   {kRequests - 1, false}}) {
    const CommandResult again = replicas.Do(request(i));
    EXPECT_TRUE(again.status.ok()) << again.status;
    EXPECT_EQ(again.result_gone, is_gone) << i;
    EXPECT_EQ(again.index, LogIndex(2 + i / per_entry));
    EXPECT_EQ(again.statements.empty(), is_gone);
  }
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), std::to_string(kRequests));
  replicas.Check();
}

// In one entry: the dropped results are of rows that were never written.
INSTANTIATE_TEST_SUITE_P(CommandsAnEntry, KeptResults, testing::Values(50, 700));

// One row for the requests that an entry added to a session. The row may hold several requests.
// Restarts, and a member with other batches, must find and leave the same row.
TEST(ExactlyOnce, TheRequestsOfAnEntryShareARowUntilTheLastIsAcknowledged) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  const auto rows = [&] {
    return TestDatabase(replicas.first().path()).Number("SELECT count(*) FROM _cairn_requests");
  };
  replicas.DoAll({Insert(1, 1), Insert(2, 2), Insert(4, 4)});
  replicas.DoAll({Insert(3, 3), Insert(5, 5)});
  EXPECT_EQ(rows(), 2);
  replicas.Do(Insert(6, 6, /*acknowledged_below=*/4));  // of the first entry 4 is left
  EXPECT_EQ(rows(), 3);
  EXPECT_EQ(replicas.Do(Insert(3, 3)).status.outcome(), Outcome::kUnknown);
  EXPECT_TRUE(replicas.Do(Insert(4, 4)).status.ok());
  replicas.Do(Insert(7, 7, /*acknowledged_below=*/5));
  EXPECT_EQ(rows(), 3) << "the first went, and one came";
  // All requests of an entry are acknowledged within it, and so are later ones.
  replicas.DoAll({Insert(8, 8), Insert(9, 9, /*acknowledged_below=*/9), Insert(10, 10)});
  EXPECT_EQ(rows(), 1);
  for (const int64_t x : {9, 10}) {
    EXPECT_TRUE(replicas.Do(Insert(x, static_cast<uint64_t>(x))).status.ok());
  }
  EXPECT_EQ(replicas.Do(Insert(8, 8)).status.outcome(), Outcome::kUnknown);
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "10");
  replicas.Check();
}

TEST(ExactlyOnce, LargeResultsOfAnEntryTakeMoreRowsThanOne) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  std::vector<Command> commands;
  for (uint64_t i = 1; i <= 400; ++i) {
    commands.push_back(
        WithId(ExecuteCommand("INSERT INTO t VALUES(1) RETURNING zeroblob(60000)"), "s", i));
  }
  replicas.DoAll(commands);  // more in all than SQLite takes in one value
  TestDatabase file(replicas.first().path());
  EXPECT_LE(file.Number("SELECT max(length(requests)) FROM _cairn_requests"),
            int64_t{kChunkBytesMax + kResultBytesMax + 64});
  EXPECT_FALSE(replicas.Do(commands[0]).result_gone);
  EXPECT_FALSE(replicas.Do(commands[399]).result_gone);
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "400");
  replicas.Check();
}

TEST(ExactlyOnce, SessionsExpireByTheLeaseClockAlone) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Do(Insert(1, 1));
  replicas.header.wall_ms += 100 * kRequestTtlDefaultMs;
  EXPECT_TRUE(replicas.Do(Insert(2, 2)).status.ok());
  replicas.header.lease_ms += kRequestTtlDefaultMs - 1;
  EXPECT_TRUE(replicas.Do(Insert(3, 3)).status.ok());
  replicas.header.lease_ms += kRequestTtlDefaultMs;
  EXPECT_EQ(replicas.Do(Insert(4, 4)).status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(replicas.Query("SELECT x FROM t"), "1 2 3");
  // The lease clock never goes back, whatever an entry says.
  replicas.Do(WithId(ExecuteCommand("INSERT INTO t VALUES(9)"), "other", 1));
  replicas.header.lease_ms = 5;
  EXPECT_TRUE(
      replicas.Do(WithId(ExecuteCommand("INSERT INTO t VALUES(10)"), "other", 2)).status.ok());
  replicas.Check();
}

// ---- Versions -----------------------------------------------------------------------------------

// Found by fuzzing: after a restart these requests stood before all others of the session, and the
// others were not found any more. So a retry was applied again, on the restarted node alone.
TEST(ExactlyOnce, SequencesOf64BitsDoNotHideOthersAfterARestart) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(a)");
  const Command first = WithId(ExecuteCommand("INSERT INTO t VALUES(1) RETURNING a"), "s", 1);
  const CommandResult answer = replicas.Do(first);
  ASSERT_TRUE(answer.status.ok()) << answer.status;
  for (const uint64_t sequence : {uint64_t{1} << 63, UINT64_MAX - 1, uint64_t{5}}) {
    replicas.Do(WithId(ExecuteCommand("INSERT INTO t VALUES(2)"), "s", sequence));
  }
  EXPECT_EQ(EncodeCommandResult(replicas.Do(first)), EncodeCommandResult(answer));
  replicas.Check();
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t WHERE a = 1"), "1");
}

// Found by fuzzing: the file opened, and the retry aborted the process in the middle of the log, at
// every start.
TEST(ExactlyOnce, ADamagedKeptResultIsRefusedWhenTheFileIsOpened) {
  TemporaryDirectory directory;
  const SqliteOptions options{directory / "test.db", directory / "snapshot"};
  const auto open = [&] { return OpenSqliteStateMachine(options, TestConfiguration()); };
  {
    auto machine = open();
    ASSERT_TRUE(machine.ok()) << machine.status();
    const raft::Entry entry =
        MakeEntry(LogIndex(1), {}, {WithId(ExecuteCommand("CREATE TABLE t(a)"), "session", 1)});
    ASSERT_TRUE((*machine)->Apply({&entry, 1}, TestConfiguration(), LogIndex(), [](auto) {}).ok());
  }
  const std::string id = "0001" + std::string(16, '0');  // place 0, sequence 1, hash 0
  for (const auto& [requests, what] : std::map<std::string, std::string>{
           {id + "80" + "02bf00", "damaged at request 1: "},
           {id + "80" + "04bf00", "damaged"},
           {id + "11", "damaged"},  // no code
           {id.substr(0, 10), "damaged"},
           {"0000" + id.substr(4) + "00", "damaged"},                  // sequence 0
           {id + "00" + id + "00", "damaged"},                         // the same command twice
           {"8020" + id.substr(2) + "00", "damaged"},                  // of the next entry
           {"ffffffffffffffffff01" + id.substr(2) + "00", "damaged"},  // of none
           {"", "nothing in it is remembered"}}) {
    TestDatabase(options.path).Run("UPDATE _cairn_requests SET requests = x'" + requests + "'");
    const auto machine = open();
    ASSERT_FALSE(machine.ok()) << requests;
    EXPECT_EQ(machine.status().code(), StatusCode::kDataLoss);
    EXPECT_NE(
        machine.status().message().find("kept of session 'session' from number 4096 on: " + what),
        std::string::npos)
        << machine.status();
  }
}

TEST(Versions, CountStatementsThatSucceedAlsoWithoutRows) {
  Replicas replicas;
  replicas.Must("CREATE TABLE T1(x UNIQUE)");
  replicas.Must("CREATE TABLE t2(x)");
  EXPECT_EQ(replicas.Version(""), 2);
  const int64_t t1 = replicas.Version("t1");
  replicas.Must("INSERT INTO t1 VALUES(1)");
  replicas.Must("UPDATE t1 SET x = 2 WHERE x = 99");
  EXPECT_EQ(replicas.Version("T1"), t1 + 2);
  EXPECT_EQ(replicas.Version(""), 4);
  EXPECT_FALSE(replicas.Execute("INSERT INTO t1 VALUES(1)").status.ok());
  EXPECT_EQ(replicas.Version(""), 4);
  replicas.Execute({{"INSERT INTO t2 VALUES(1)", {}, {}},
                    {"INSERT INTO t1 VALUES(5)", {}, {}},
                    {"DELETE FROM t2", {}, {}}});
  EXPECT_EQ(replicas.Version(""), 7);
  EXPECT_EQ(replicas.Version("t1"), t1 + 3);
  EXPECT_EQ(replicas.Version("unknown"), 0);
  replicas.Check();
}

TEST(Versions, TriggersAndCascadesCount) {
  Replicas replicas;
  replicas.Must("CREATE TABLE p(id INTEGER PRIMARY KEY)");
  replicas.Must("CREATE TABLE c(p REFERENCES p ON DELETE CASCADE)");
  replicas.Must("CREATE TABLE log(x)");
  replicas.Must("CREATE TABLE untouched(x)");
  replicas.Must("CREATE TRIGGER tr AFTER DELETE ON c BEGIN INSERT INTO log VALUES(1); END");
  const int64_t p = replicas.Version("p");
  const int64_t c = replicas.Version("c");
  const int64_t log = replicas.Version("log");
  const int64_t untouched = replicas.Version("untouched");
  replicas.Must("DELETE FROM p");
  EXPECT_EQ(replicas.Version("p"), p + 1);
  EXPECT_EQ(replicas.Version("c"), c + 1);
  EXPECT_EQ(replicas.Version("log"), log + 1);
  EXPECT_EQ(replicas.Version("untouched"), untouched);
  replicas.Check();
}

TEST(Versions, DropRemovesAndRenameMoves) {
  Replicas replicas;
  replicas.Must("CREATE TABLE a(x)");
  replicas.Must("INSERT INTO a VALUES(1)");
  replicas.Must("INSERT INTO a VALUES(2)");
  const int64_t a = replicas.Version("a");
  replicas.Must("ALTER TABLE a RENAME TO b");
  EXPECT_EQ(replicas.Version("a"), 0);
  EXPECT_EQ(replicas.Version("b"), a + 1);
  replicas.Must("DROP TABLE b");
  EXPECT_EQ(replicas.Version("b"), 0);
  replicas.Must("CREATE TABLE b(x)");
  EXPECT_GT(replicas.Version("b"), a + 1);
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
