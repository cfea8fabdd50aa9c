#include "tools/shell.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tools/cluster_view.h"
#include "tools/fake_cluster_test_util.h"

namespace cairn::tools {
namespace {

using testing::HasSubstr;
using Verdict = Shell::Verdict;

class ShellOnAFakeNode : public testing::Test {
 protected:
  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }

  FakeNode fake_{std::make_shared<FakeDatabase>()};
  NodeClient node_{fake_.address()};
  std::ostringstream out_;
  std::ostringstream err_;
  Shell shell_{&node_, {}, &out_, &err_};
};

TEST_F(ShellOnAFakeNode, RunsWhatALineCompletes) {
  EXPECT_EQ(shell_.TakeLine("CREATE TABLE t (a);"), Verdict::kDone);
  EXPECT_EQ(shell_.TakeLine("INSERT INTO t VALUES (1),"), Verdict::kDone);
  EXPECT_TRUE(shell_.in_statement());
  EXPECT_EQ(shell_.TakeLine("(2); SELECT count(*) AS n"), Verdict::kDone);
  EXPECT_THAT(out(), HasSubstr("ok, 2 rows changed\n"));
  EXPECT_EQ(shell_.TakeEnd(), Verdict::kDone);
  EXPECT_THAT(out(), HasSubstr("│ 1 │\n"));
  EXPECT_EQ(err(), "");
}

TEST_F(ShellOnAFakeNode, StopsALineAtItsFirstError) {
  EXPECT_EQ(shell_.TakeLine("CREATE TABLE t (a); DROP TABLE u; DROP TABLE t; SELECT"),
            Verdict::kFailed);
  EXPECT_THAT(err(), HasSubstr("error: FAILED_PRECONDITION: no such table: u"));
  EXPECT_FALSE(shell_.in_statement());
  EXPECT_EQ(shell_.TakeLine("INSERT INTO t VALUES (1);"), Verdict::kDone) << err();
}

TEST_F(ShellOnAFakeNode, ADotInsideAStatementIsNoCommand) {
  shell_.TakeLine("SELECT 1");
  EXPECT_EQ(shell_.TakeLine(".5 AS half;"), Verdict::kFailed);
  EXPECT_THAT(err(), HasSubstr("error: INVALID_ARGUMENT"));
}

TEST_F(ShellOnAFakeNode, ReadStopsAtAnErrorAndSaysWhere) {
  const std::string path = testing::TempDir() + "/shell_test.sql";
  std::ofstream(path) << "CREATE TABLE t (a);\nDROP TABLE u;\nDROP TABLE t;\n";
  EXPECT_EQ(shell_.TakeLine(".read " + path), Verdict::kFailed);
  EXPECT_THAT(err(), HasSubstr("error: " + path + ":2: FAILED_PRECONDITION: no such table: u"));
  EXPECT_THAT(err(), HasSubstr("\n  in: DROP TABLE u\n"));
  EXPECT_EQ(shell_.TakeLine(".read /no/such"), Verdict::kFailed);
}

TEST_F(ShellOnAFakeNode, AnErrorAfterAReadIsOfTheLineOfTheOuterSource) {
  const std::string path = testing::TempDir() + "/shell_test_inner.sql";
  std::ofstream(path) << "CREATE TABLE t (a);\n\n\n";
  shell_.BeginSource("outer");
  EXPECT_EQ(shell_.TakeLine(".read " + path), Verdict::kDone) << err();
  EXPECT_EQ(shell_.TakeLine("-- a comment"), Verdict::kDone);
  EXPECT_EQ(shell_.TakeLine("DROP TABLE u;"), Verdict::kFailed);
  EXPECT_THAT(err(), HasSubstr("error: outer:3: "));
}

TEST_F(ShellOnAFakeNode, SlicesGoOnUntilOneIsNotFull) {
  shell_.TakeLine("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3), (4), (5);");
  EXPECT_EQ(shell_.TakeLine(".slices 2 DELETE FROM t WHERE a > 1"), Verdict::kDone) << err();
  EXPECT_THAT(out(), HasSubstr("ok, 4 rows changed in 3 slices\n"));
  EXPECT_EQ(shell_.TakeLine(".slices 2 DELETE FROM u"), Verdict::kFailed);
  EXPECT_THAT(err(), HasSubstr("after 0 rows changed in 0 slices: no such table: u"));
}

TEST_F(ShellOnAFakeNode, SlicesOfADeleteGoOnPastRowsThatATriggerKeeps) {
  shell_.TakeLine("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3), (4), (5);");
  shell_.TakeLine(
      "CREATE TRIGGER keep BEFORE DELETE ON t WHEN old.a = 1 BEGIN SELECT RAISE(IGNORE); END;");
  EXPECT_EQ(shell_.TakeLine(".slices 2 DELETE FROM t"), Verdict::kDone) << err();
  EXPECT_EQ(shell_.TakeLine("SELECT count(*) AS n FROM t;"), Verdict::kDone);
  EXPECT_THAT(out(), HasSubstr("ok, 4 rows changed"));
}

TEST_F(ShellOnAFakeNode, ATransactionIsOneCommandAllOrNothing) {
  shell_.BeginSource("script");
  shell_.TakeLine("CREATE TABLE t (a);");
  EXPECT_EQ(shell_.TakeLine("BEGIN; INSERT INTO t VALUES (1), (2);"), Verdict::kDone) << err();
  EXPECT_TRUE(shell_.in_transaction());
  EXPECT_EQ(shell_.TakeLine("INSERT INTO t VALUES (3);"), Verdict::kDone) << err();
  EXPECT_EQ(shell_.TakeLine("COMMIT;"), Verdict::kDone) << err();
  EXPECT_FALSE(shell_.in_transaction());
  EXPECT_THAT(out(), HasSubstr("the statements up to COMMIT are gathered into one command\n"));
  EXPECT_THAT(out(), HasSubstr("ok, 3 rows changed by 2 statements in one command\n"));
  shell_.TakeLine("BEGIN; DELETE FROM t;");
  shell_.TakeLine("DELETE FROM nowhere;");
  EXPECT_EQ(shell_.TakeLine("COMMIT;"), Verdict::kFailed);
  EXPECT_THAT(err(), HasSubstr("error: script:6: FAILED_PRECONDITION: statement 2 of the "
                               "transaction that begins in line 5: no such table: nowhere"));
  EXPECT_THAT(err(), HasSubstr("  in: DELETE FROM nowhere\n"));
  shell_.TakeLine("SELECT count(*) || ' rows' AS n FROM t;");
  EXPECT_THAT(out(), HasSubstr("3 rows"));
}

TEST_F(ShellOnAFakeNode, AFailureInAScriptForgetsItsTransaction) {
  shell_.BeginSource("script");
  shell_.TakeLine("BEGIN; CREATE TABLE t (a);");
  EXPECT_EQ(shell_.TakeLine("SELECT * FROM t;"), Verdict::kFailed);
  EXPECT_THAT(err(), HasSubstr("Run the query before BEGIN or after COMMIT"));
  EXPECT_THAT(err(), HasSubstr("nothing has run of the transaction that begins in line 1\n"));
  EXPECT_FALSE(shell_.in_transaction());
}

TEST_F(ShellOnAFakeNode, APersonGoesOnWithATransactionAfterAMistake) {
  shell_.TakeLine("BEGIN; CREATE TABLE t (a);");
  EXPECT_EQ(shell_.TakeLine("SELECT * FROM t;"), Verdict::kFailed);
  EXPECT_EQ(shell_.TakeLine(".slices DELETE FROM t"), Verdict::kFailed);
  EXPECT_TRUE(shell_.in_transaction());
  EXPECT_EQ(shell_.TakeLine("COMMIT;"), Verdict::kDone);
  EXPECT_EQ(shell_.TakeLine("INSERT INTO t VALUES (1);"), Verdict::kDone) << err();
}

TEST_F(ShellOnAFakeNode, ATransactionWithoutItsCommitIsAnError) {
  shell_.BeginSource("script");
  shell_.TakeLine("CREATE TABLE t (a);");
  shell_.TakeLine("BEGIN; INSERT INTO t VALUES (1);");
  EXPECT_EQ(shell_.TakeLine(".quit"), Verdict::kFailed);
  shell_.TakeLine("BEGIN; INSERT INTO t VALUES (1);");
  EXPECT_EQ(shell_.TakeEnd(), Verdict::kDone);
  EXPECT_EQ(shell_.TakeEndOfAll(), Verdict::kFailed);
  EXPECT_THAT(err(),
              HasSubstr("error: script:4: the transaction has no COMMIT: nothing of it has"));
  const std::string path = testing::TempDir() + "/shell_test_begin.sql";
  std::ofstream(path) << "BEGIN;\nINSERT INTO t VALUES (1);\n";
  EXPECT_EQ(shell_.TakeLine(".read " + path), Verdict::kFailed);
  EXPECT_THAT(err(), HasSubstr("error: " + path + ":1: the transaction has no COMMIT"));
}

// Pasted as a whole. Without the rest of the file the DELETE is not what was meant.
TEST_F(ShellOnAFakeNode, WhatFollowsAFileThatFailedInATransactionDoesNotRun) {
  const std::string path = testing::TempDir() + "/shell_test_failing.sql";
  std::ofstream(path) << "INSERT INTO t VALUES (2);\nSELECT * FROM t;\n";
  shell_.TakeLine("CREATE TABLE t (a);");
  shell_.TakeLine("INSERT INTO t VALUES (1);");
  for (const std::string& file : {path, std::string("/no/such/file.sql")}) {
    shell_.TakeLine("BEGIN;");
    EXPECT_EQ(shell_.TakeLine(".read " + file), Verdict::kFailed);
    EXPECT_EQ(shell_.TakeLine("DELETE FROM t;"), Verdict::kFailed);
    EXPECT_EQ(shell_.TakeLine("COMMIT;"), Verdict::kFailed);
    EXPECT_THAT(err(), HasSubstr("nothing of the transaction has run"));
    EXPECT_FALSE(shell_.in_transaction());
  }
  shell_.TakeLine("SELECT count(*) || ' row' AS n FROM t;");
  EXPECT_THAT(out(), HasSubstr("1 row"));
}

TEST_F(ShellOnAFakeNode, AFileThatIsReadInsideATransactionIsPartOfIt) {
  const std::string path = testing::TempDir() + "/shell_test_part.sql";
  std::ofstream(path) << "INSERT INTO t VALUES (1);\n";
  shell_.TakeLine("BEGIN; CREATE TABLE t (a);");
  EXPECT_EQ(shell_.TakeLine(".read " + path), Verdict::kDone) << err();
  EXPECT_EQ(shell_.TakeLine("COMMIT;"), Verdict::kDone) << err();
  EXPECT_THAT(out(), HasSubstr("ok, 1 row changed by 2 statements in one command\n"));
}

TEST_F(ShellOnAFakeNode, NothingRunsOnceTheProgramEnds) {
  EXPECT_FALSE(shell_.End());
  EXPECT_EQ(shell_.TakeLine("CREATE TABLE t (a); SELECT 1;"), Verdict::kQuit);
  EXPECT_EQ(shell_.TakeLine(".help"), Verdict::kQuit);
  EXPECT_EQ(out(), "");
}

TEST_F(ShellOnAFakeNode, NothingRunsThatAnInterruptCouldStop) {
  EXPECT_FALSE(shell_.Interrupt());
  EXPECT_EQ(shell_.TakeLine("CREATE TABLE t (a);"), Verdict::kDone) << err();
}

TEST_F(ShellOnAFakeNode, AFileThatReadsItselfEnds) {
  const std::string path = testing::TempDir() + "/shell_test_loop.sql";
  std::ofstream(path) << ".read " << path << "\n";
  EXPECT_EQ(shell_.TakeLine(".read " + path), Verdict::kFailed);
  EXPECT_THAT(err(), HasSubstr("nested too deep"));
}

TEST_F(ShellOnAFakeNode, SchemaAndModeAndQuit) {
  shell_.TakeLine("CREATE TABLE t (a);");
  EXPECT_EQ(shell_.TakeLine(".schema T"), Verdict::kDone) << err();
  EXPECT_THAT(out(), HasSubstr("CREATE TABLE t (a);\n"));
  EXPECT_EQ(shell_.TakeLine(".mode json"), Verdict::kDone);
  EXPECT_EQ(shell_.TakeLine(".tables"), Verdict::kDone) << err();
  EXPECT_THAT(out(), HasSubstr("[{\"name\":\"t\",\"type\":\"table\"}]\n"));
  EXPECT_EQ(shell_.TakeLine(".mode loud"), Verdict::kFailed);
  EXPECT_EQ(shell_.TakeLine(".quit"), Verdict::kQuit);
}

TEST_F(ShellOnAFakeNode, BytesThatAreNoTextAreRefusedHere) {
  EXPECT_EQ(shell_.TakeLine("SELECT '\xff';"), Verdict::kFailed);
  EXPECT_THAT(err(), HasSubstr("not valid UTF-8"));
}

TEST_F(ShellOnAFakeNode, NodesShowsWhoDoesNotAnswer) {
  shell_.TakeLine(".mode csv");
  EXPECT_EQ(shell_.TakeLine(".nodes"), Verdict::kDone) << err();
  EXPECT_THAT(out(), HasSubstr("1,0," + fake_.address() + ",voter,leader,"));
  EXPECT_THAT(out(), HasSubstr("\n2,0,127.0.0.1:1,learner,unreachable,"));
}

TEST(ErrorInWords, SaysWhatBecameOfTheWriteAndWhereTheLeaderIs) {
  EXPECT_EQ(ErrorInWords(Unavailable("no quorum").With(Outcome::kNotApplied)),
            "UNAVAILABLE: no quorum (not applied: safe to try again)");
  EXPECT_EQ(ErrorInWords(InvalidArgument("syntax error").With(Outcome::kNotApplied)),
            "INVALID_ARGUMENT: syntax error (not applied)");
  EXPECT_EQ(
      ErrorInWords(DeadlineExceeded("slow").With(Outcome::kUnknown).With(LeaderHint{2, "h:1"})),
      "DEADLINE_EXCEEDED: slow (unknown: it may or may not have been applied); the leader is "
      "node 2 at h:1");
}

TEST(ParseAddress, TakesUrlsToo) {
  EXPECT_EQ(*ParseAddress("127.0.0.1:50051"), "127.0.0.1:50051");
  EXPECT_EQ(*ParseAddress("http://node:1/"), "node:1");
  for (const char* bad :
       {"", "host", "host:", ":1", "host:0", "host:70000", "https://h:1", "h:1/x"}) {
    EXPECT_FALSE(ParseAddress(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace cairn::tools
