// Grants as replicated rows, and what apply refuses by them.
#include "state_machine/sqlite/access_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/restore_into_test_util.h"
#include "state_machine/sqlite/two_phase_test_util.h"

namespace cairn::state_machine {
namespace {

using testing::HasSubstr;
using Kind = ChangeAccess::Kind;

constexpr char kBob[] = "principal:bob";

Command Change(Kind kind, std::string principal, std::string privilege, std::string pattern = "") {
  Command command;
  command.operation =
      ChangeAccess{kind, std::move(principal), std::move(privilege), std::move(pattern)};
  return command;
}

Command By(std::string principal, Command command) {
  command.principal = std::move(principal);
  command.restricted = true;
  return command;
}

class AccessTest : public RestoreIntoTest {
 protected:
  AccessTest() { cluster_.Must("CREATE TABLE t(a)"); }
  CommandResult Grant(const std::string& principal, const std::string& privilege) {
    return cluster_.Do(Change(Kind::kGrant, principal, privilege));
  }
  CommandResult Revoke(const std::string& principal, const std::string& privilege) {
    return cluster_.Do(Change(Kind::kRevoke, principal, privilege));
  }
  CommandResult InsertBy(const std::string& principal) {
    return cluster_.Do(By(principal, ExecuteCommand("INSERT INTO t VALUES(1)")));
  }
  AccessRightsPtr rights() { return cluster_.first().machine().access(); }
};

TEST_F(AccessTest, WhatIsGrantedIsKnownAtOnceAndAfterARestart) {
  EXPECT_EQ(rights()->generation(), 0u);
  const CommandResult granted = Grant("bob", "writer");
  ASSERT_TRUE(granted.status.ok()) << granted.status;
  EXPECT_EQ(rights()->generation(), granted.index.value());
  EXPECT_EQ(rights()->Of(kBob), PrivilegesOf("writer"));
  ASSERT_TRUE(Grant("bob", "schema").status.ok());
  ASSERT_TRUE(Revoke("bob", "writer").status.ok());
  EXPECT_EQ(rights()->Of(kBob), privilege::kSchema);
  cluster_.Check();  // also the replicas that were restarted, and those that began from a snapshot
}

TEST_F(AccessTest, WhatChangesNothingMovesNothing) {
  ASSERT_TRUE(Grant("bob", "reader").status.ok());
  const uint64_t generation = rights()->generation();
  EXPECT_TRUE(Grant("bob", "reader").status.ok());
  EXPECT_TRUE(Revoke("eve", "reader").status.ok());
  EXPECT_EQ(rights()->generation(), generation);
  cluster_.Check();
}

TEST_F(AccessTest, NonsenseIsRefusedAlike) {
  EXPECT_EQ(Grant("bob", "everything").status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Grant("", "reader").status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Grant(std::string(65, 'x'), "reader").status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(rights()->generation(), 0u);
  cluster_.Check();
}

TEST_F(AccessTest, IsRefusedBelowItsLevel) {
  Replicas old;
  const Status refused = old.Do(Change(Kind::kGrant, "bob", "reader")).status;
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("cairn member upgrade"));
  old.Check();
}

TEST_F(AccessTest, ARestrictedCommandNeedsItsPrivilegeWhenItIsApplied) {
  ASSERT_TRUE(Grant("bob", "writer").status.ok());
  EXPECT_TRUE(InsertBy(kBob).status.ok());
  const CommandResult schema = cluster_.Do(By(kBob, ExecuteCommand("CREATE TABLE u(a)")));
  EXPECT_EQ(schema.status.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(schema.status.outcome(), Outcome::kNotApplied);
  EXPECT_THAT(schema.status.message(), HasSubstr("lacks the privilege schema"));
  EXPECT_EQ(InsertBy("principal:eve").status.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(InsertBy("host:127.0.0.1").status.code(), StatusCode::kPermissionDenied);
  EXPECT_TRUE(InsertBy("principal:admin").status.ok());
  EXPECT_TRUE(InsertBy("node:2").status.ok());
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM t"), "3");
  cluster_.Check();
}

// The bad schedule: bob's insert was sent before the revocation, to a node that lags.
TEST_F(AccessTest, ARevocationHoldsForWhatStandsBehindItInTheSameEntry) {
  ASSERT_TRUE(Grant("bob", "writer").status.ok());
  const Command insert = By(kBob, ExecuteCommand("INSERT INTO t VALUES(1)"));
  const auto results = cluster_.DoAll({insert, Change(Kind::kRevoke, "bob", "writer"), insert,
                                       Change(Kind::kGrant, "bob", "admin"), insert});
  EXPECT_TRUE(results.at(0).status.ok());
  EXPECT_EQ(results.at(2).status.code(), StatusCode::kPermissionDenied);
  EXPECT_TRUE(results.at(4).status.ok());
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM t"), "2");
  cluster_.Check();
}

TEST_F(AccessTest, ADeniedRequestMayBeSentAgainUnderItsName) {
  const Command insert = By(kBob, WithId(ExecuteCommand("INSERT INTO t VALUES(1)"), "s", 1));
  EXPECT_EQ(cluster_.Do(insert).status.code(), StatusCode::kPermissionDenied);
  ASSERT_TRUE(Grant("bob", "writer").status.ok());
  EXPECT_TRUE(cluster_.Do(insert).status.ok());
  ASSERT_TRUE(Revoke("bob", "writer").status.ok());
  // The answer that it had is still its answer.
  EXPECT_TRUE(cluster_.Do(insert).status.ok());
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM t"), "1");
  cluster_.Check();
}

TEST_F(AccessTest, OnlyWhoMayGrantGrants) {
  ASSERT_TRUE(Grant("bob", "writer").status.ok());
  EXPECT_EQ(cluster_.Do(By(kBob, Change(Kind::kGrant, "bob", "admin"))).status.code(),
            StatusCode::kPermissionDenied);
  ASSERT_TRUE(Grant("bob", "security").status.ok());
  EXPECT_TRUE(cluster_.Do(By(kBob, Change(Kind::kGrant, "bob", "admin"))).status.ok());
  EXPECT_EQ(rights()->Of(kBob), privilege::kAll);
  cluster_.Check();
}

TEST_F(AccessTest, NoClientReadsOrWritesTheGrants) {
  ASSERT_TRUE(Grant("bob", "writer").status.ok());
  for (const char* table : {"_cairn_access", "_CAIRN_access_change"}) {
    const std::string name(table);
    EXPECT_FALSE(cluster_.Execute("INSERT INTO t SELECT 1 FROM " + name).status.ok());
    EXPECT_FALSE(cluster_.Execute("DELETE FROM " + name).status.ok());
    EXPECT_FALSE(cluster_.Execute("DROP TABLE " + name).status.ok());
  }
  EXPECT_EQ(InFile("SELECT principal FROM _cairn_access"), "bob");
  cluster_.Check();
}

TEST_F(AccessTest, ThereAreSoManyGrantsAndNoMore) {
  std::vector<Command> grants;
  for (size_t i = 0; i < kGrantsMax; ++i) {
    grants.push_back(Change(Kind::kGrant, "p" + std::to_string(i), "reader"));
    if (grants.size() == 2000) cluster_.DoAll(std::exchange(grants, {}));
  }
  EXPECT_EQ(Grant("one-more", "reader").status.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Revoke("p7", "reader").status.ok());
  EXPECT_TRUE(Grant("one-more", "reader").status.ok());
  cluster_.Check();
}

// ---- Some tables alone

class TableAccessTest : public AccessTest {
 protected:
  TableAccessTest() {
    for (
        const char* sql :
        {"CREATE TABLE mine(id INTEGER PRIMARY KEY, a)", "CREATE TABLE log_a(a)",
         "CREATE TABLE secret(id INTEGER PRIMARY KEY, a)", "INSERT INTO secret VALUES(1, 7)",
         "INSERT INTO mine VALUES(1, 1)", "CREATE TABLE audit(a)",
         "CREATE VIEW seen AS SELECT id, a FROM secret",
         "CREATE TRIGGER on_mine AFTER INSERT ON mine BEGIN INSERT INTO audit SELECT count(*) FROM "
         "secret; END",
         "CREATE TRIGGER on_seen INSTEAD OF UPDATE ON seen BEGIN UPDATE secret SET a = NEW.a WHERE "
         "id = NEW.id; END",
         "CREATE TABLE child(parent REFERENCES mine(id) ON DELETE CASCADE)",
         "CREATE VIRTUAL TABLE words USING fts5(text)", "INSERT INTO words VALUES('hidden')"}) {
      cluster_.Must(sql);
    }
    for (const auto& [privilege, pattern] :
         {std::pair("read", "mine"), std::pair("write", "mine"), std::pair("write", "log_*")}) {
      EXPECT_TRUE(cluster_.Do(Change(Kind::kGrant, "bob", privilege, pattern)).status.ok());
    }
  }
  Status Do(const std::string& sql) { return cluster_.Do(By(kBob, ExecuteCommand(sql))).status; }
};

TEST_F(TableAccessTest, WhatIsGrantedIsDone) {
  for (const char* sql :
       {"INSERT INTO mine(a) VALUES(2)", "UPDATE mine SET a = a + 1", "INSERT INTO log_a VALUES(1)",
        "INSERT INTO LOG_A SELECT a FROM main.\"Mine\"",
        "INSERT INTO mine(a) VALUES(3) RETURNING a",
        "WITH c(n) AS (SELECT 1) INSERT INTO log_a SELECT n FROM c",
        "WITH c AS (SELECT a FROM mine) INSERT INTO log_a SELECT count(*) FROM c",
        "INSERT INTO log_a SELECT value FROM json_each('[1]')", "DELETE FROM mine WHERE id = 1"}) {
    const Status done = Do(sql);
    EXPECT_TRUE(done.ok()) << sql << ": " << done;
  }
  // The trigger ran by the rights of who made it.
  EXPECT_EQ(cluster_.Query("SELECT count(*) > 0 FROM audit"), "1");
  cluster_.Check();
}

TEST_F(TableAccessTest, NothingElseIs) {
  for (const char* sql :
       {"INSERT INTO secret VALUES(2, 2)",
        "UPDATE secret SET a = 1",
        "DELETE FROM secret",
        "REPLACE INTO \"SECRET\" VALUES(1, 2)",
        "INSERT INTO mine(a) SELECT a FROM secret",
        "INSERT INTO mine(a) VALUES((SELECT max(a) FROM secret))",
        "INSERT INTO mine(a) SELECT count(*) FROM secret",
        "WITH c AS (SELECT a FROM secret) INSERT INTO mine(a) SELECT a FROM c",
        "WITH mine AS (SELECT a FROM secret) INSERT INTO log_a SELECT a FROM mine",
        "INSERT INTO mine(a) SELECT m.a FROM mine AS m JOIN secret USING(id)",
        "INSERT INTO mine(a) SELECT m.a FROM mine AS m NATURAL JOIN [secret]",
        "UPDATE mine SET a = s.a FROM secret AS s WHERE s.id = mine.id",
        "DELETE FROM mine WHERE id IN (SELECT id FROM secret)",
        "DELETE FROM mine WHERE EXISTS (SELECT 1 FROM secret WHERE a = 7)",
        "INSERT INTO mine(a) VALUES(1) RETURNING (SELECT a FROM secret)",
        "INSERT INTO mine(id, a) VALUES(1, 1) ON CONFLICT(id) DO UPDATE SET a = (SELECT a FROM "
        "secret)",
        "INSERT INTO mine(a) SELECT a FROM seen",
        "UPDATE seen SET a = 1",
        "UPDATE seen SET a = 1 WHERE (SELECT count(*) FROM secret) > 0",
        "INSERT INTO mine(a) SELECT text FROM words",
        "INSERT INTO words VALUES('x')",
        "INSERT INTO words(words) VALUES('delete-all')",
        "INSERT INTO mine(a) SELECT c0 FROM words_content",
        "INSERT INTO mine(a) SELECT sql FROM sqlite_schema",
        "INSERT INTO mine(a) SELECT name FROM sqlite_master",
        "INSERT INTO mine(a) SELECT count(*) FROM sqlite_schema",
        "INSERT INTO log_a SELECT a FROM log_a",
        "DELETE FROM log_a WHERE a = 1",
        "INSERT INTO child VALUES(1)",
        "CREATE TABLE log_b(a)",
        "DROP TABLE mine",
        "CREATE VIEW v AS SELECT * FROM secret",
        "CREATE TRIGGER x AFTER INSERT ON mine BEGIN DELETE "
        "FROM secret; END",
        "ALTER TABLE mine RENAME TO log_mine",
        "REINDEX mine",
        "ANALYZE mine",
        "PRAGMA user_version = 7"}) {
    const Status denied = Do(sql);
    EXPECT_EQ(denied.code(), StatusCode::kPermissionDenied) << sql << ": " << denied;
    EXPECT_EQ(denied.outcome(), Outcome::kNotApplied) << sql;
    EXPECT_THAT(denied.message(), HasSubstr("principal:bob lacks the privilege")) << sql;
  }
  EXPECT_EQ(cluster_.Query("SELECT id, a FROM secret"), "1|7");
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM log_a"), "0");
  cluster_.Check();
}

TEST_F(TableAccessTest, AViewIsReadByTheRightsOfWhoMadeIt) {
  ASSERT_TRUE(cluster_.Do(Change(Kind::kGrant, "bob", "read", "seen")).status.ok());
  EXPECT_TRUE(Do("INSERT INTO mine(a) SELECT a FROM seen").ok());
  EXPECT_FALSE(Do("UPDATE seen SET a = 8").ok());
  ASSERT_TRUE(cluster_.Do(Change(Kind::kGrant, "bob", "write", "seen")).status.ok());
  EXPECT_TRUE(Do("UPDATE seen SET a = 8").ok());
  // SQLite tells an authorizer that this subquery is within the view.
  EXPECT_FALSE(Do("UPDATE seen SET a = 9 WHERE (SELECT count(*) FROM secret) > 0").ok());
  EXPECT_EQ(cluster_.Query("SELECT a FROM secret"), "8");
  cluster_.Check();
}

TEST_F(TableAccessTest, APreparedStatementIsJudgedWhenItIsPrepared) {
  EXPECT_EQ(cluster_.Do(By(kBob, PrepareCommand("tx", "DELETE FROM secret"))).status.code(),
            StatusCode::kPermissionDenied);
  EXPECT_TRUE(
      cluster_.Do(By(kBob, PrepareCommand("tx", "INSERT INTO mine(a) VALUES(5)"))).status.ok());
  EXPECT_TRUE(cluster_.Do(By(kBob, CommitCommand("tx"))).status.ok());
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM mine WHERE a = 5"), "1");
  cluster_.Check();
}

TEST_F(TableAccessTest, OneStatementThatIsNotGrantedUndoesTheCommand) {
  Execute both;
  both.statements = {{"INSERT INTO mine(a) VALUES(6)", {}, {}}, {"DELETE FROM secret", {}, {}}};
  Command command;
  command.operation = std::move(both);
  EXPECT_EQ(cluster_.Do(By(kBob, command)).status.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM mine WHERE a = 6"), "0");
  cluster_.Check();
}

TEST_F(TableAccessTest, ManyRowsAreWrittenByOneStatement) {
  std::string sql = "INSERT INTO log_a VALUES(0)";
  for (int i = 1; i < 2000; ++i) sql += ", ('secret " + std::to_string(i) + "')";
  EXPECT_TRUE(Do(sql).ok());
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM log_a"), "2000");
  cluster_.Check();
}

TEST_F(TableAccessTest, APatternIsForReadingAndWriting) {
  EXPECT_EQ(cluster_.Do(Change(Kind::kGrant, "bob", "security", "t")).status.code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(rights()->Somewhere(kBob), privilege::kRead | privilege::kWrite);
  ASSERT_TRUE(cluster_.Do(Change(Kind::kRevoke, "bob", "write", "log_*")).status.ok());
  EXPECT_FALSE(Do("INSERT INTO log_a VALUES(1)").ok());
  EXPECT_TRUE(Do("INSERT INTO mine(a) VALUES(1)").ok());
  cluster_.Check();
}

TEST_F(TableAccessTest, ACommitIsJudgedByWhatIsGrantedThen) {
  ASSERT_TRUE(cluster_.Do(Change(Kind::kGrant, "eve", "writer")).status.ok());
  ASSERT_TRUE(cluster_.Do(Change(Kind::kGrant, "eve", "schema")).status.ok());
  const auto by = [](const char* who, Command command) { return By(who, std::move(command)); };
  constexpr char kEve[] = "principal:eve";
  EXPECT_TRUE(cluster_.Do(by(kEve, PrepareCommand("d", "CREATE TABLE evil(a)"))).status.ok());
  ASSERT_TRUE(cluster_.Do(Change(Kind::kRevoke, "eve", "schema")).status.ok());
  const Status denied = cluster_.Do(by(kEve, CommitCommand("d"))).status;
  EXPECT_EQ(denied.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(denied.outcome(), Outcome::kNotApplied);
  EXPECT_EQ(cluster_.Transaction("d").state, TxState::kPrepared);
  EXPECT_TRUE(cluster_.Do(by(kEve, RollbackCommand("d"))).status.ok());
  EXPECT_TRUE(
      cluster_.Do(by(kBob, PrepareCommand("tx", "INSERT INTO mine(a) VALUES(5)"))).status.ok());
  ASSERT_TRUE(cluster_.Do(Change(Kind::kRevoke, "bob", "write", "mine")).status.ok());
  EXPECT_EQ(cluster_.Do(by(kBob, CommitCommand("tx"))).status.code(),
            StatusCode::kPermissionDenied);
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM mine WHERE a = 5"), "0");
  cluster_.Check();
}

TEST_F(TableAccessTest, TheRowsOfAViewAreNotCountedEither) {
  for (const char* sql :
       {"INSERT INTO log_a SELECT 1 FROM seen", "INSERT INTO log_a SELECT count(*) FROM seen",
        "UPDATE mine SET a = 2 FROM seen", "DELETE FROM mine WHERE EXISTS (SELECT 1 FROM seen)"}) {
    EXPECT_EQ(Do(sql).code(), StatusCode::kPermissionDenied) << sql;
  }
  cluster_.Check();
}

TEST_F(TableAccessTest, OnePrincipalHasSoManyGrants) {
  std::vector<Command> grants;
  for (size_t i = 0; i < kGrantsOfOneMax; ++i) {
    grants.push_back(Change(Kind::kGrant, "carol", "read", "t" + std::to_string(i)));
  }
  for (const CommandResult& each : cluster_.DoAll(grants)) EXPECT_TRUE(each.status.ok());
  EXPECT_EQ(cluster_.Do(Change(Kind::kGrant, "carol", "read", "x")).status.code(),
            StatusCode::kResourceExhausted);
  cluster_.Check();
}

TEST_F(TableAccessTest, TheTablesThatAQueryNamesAreTold) {
  auto view = cluster_.first().machine().OpenReadView(std::chrono::seconds(10));
  ASSERT_TRUE(view.ok()) << view.status();
  const auto named = [&](const std::string& sql) {
    const auto tables = (*view)->TablesNamed(sql, QueryLimits());
    EXPECT_TRUE(tables.ok()) << sql << ": " << tables.status();
    std::string text;
    for (const std::string& table : *tables) text += "<" + table + ">";
    return text;
  };
  EXPECT_EQ(named("SELECT a FROM mine"), "<mine>");
  EXPECT_EQ(named("SELECT count(*) FROM \"SEEN\""), "<seen>");
  EXPECT_EQ(named("SELECT 1 FROM mine JOIN secret USING(id)"), "<mine><secret>");
  EXPECT_EQ(named("SELECT c0 FROM words_content"), "<words_content>");
  EXPECT_EQ(named("SELECT sql FROM sqlite_schema"), "<>");
  EXPECT_EQ(named("PRAGMA table_info(secret)"), "<><secret>");
  EXPECT_EQ(named("SELECT value FROM json_each('[1]')"), "");
}

// ---- Restores

// Whoever may restore must not get rights by what the backup says.
TEST_F(AccessTest, ARestoreLeavesTheGrantsOfTheRunningCluster) {
  ASSERT_TRUE(Grant("eve", "admin").status.ok());
  const std::string backup = Backup();
  ASSERT_TRUE(Revoke("eve", "admin").status.ok());
  ASSERT_TRUE(Grant("bob", "reader").status.ok());
  const uint64_t generation = rights()->generation();
  RestoreAll("r", backup);
  EXPECT_EQ(rights()->Of("principal:eve"), 0u);
  EXPECT_EQ(rights()->Of(kBob), PrivilegesOf("reader"));
  EXPECT_EQ(rights()->generation(), generation);
  ASSERT_TRUE(Grant("carol", "reader").status.ok());
  cluster_.Check();
}

TEST_F(AccessTest, ARestoreBringsNoGrantsToAClusterWithoutAny) {
  Replicas other(/*restarts=*/false);
  Command raise;
  raise.operation = cairn::state_machine::RaiseLevel{kLevelDataPlatform};
  ASSERT_TRUE(other.Do(raise).status.ok());
  ASSERT_TRUE(other.Do(Change(Kind::kGrant, "eve", "admin")).status.ok());
  RestoreAll("r", BackupOf(other.first().machine()));
  EXPECT_EQ(rights()->Of("principal:eve"), 0u);
  EXPECT_EQ(rights()->generation(), 0u);
  ASSERT_TRUE(Grant("bob", "reader").status.ok());
  cluster_.Check();
}

// ---- Prepared transactions

TEST_F(AccessTest, ATransactionBelongsToWhoBeganIt) {
  const auto as = [](std::string principal, Command command) {
    command.principal = std::move(principal);
    return command;
  };
  const auto code = [&](const std::string& principal, Command command) {
    return cluster_.Do(as(principal, std::move(command))).status.code();
  };
  const Command prepare = PrepareCommand("tx", "INSERT INTO t VALUES(1)");
  EXPECT_EQ(code(kBob, prepare), StatusCode::kOk);
  for (const char* other : {"principal:eve", "host:127.0.0.1", "node:1"}) {
    EXPECT_EQ(code(other, CommitCommand("tx")), StatusCode::kPermissionDenied) << other;
    EXPECT_EQ(code(other, RollbackCommand("tx")), StatusCode::kPermissionDenied) << other;
    EXPECT_EQ(code(other, prepare), StatusCode::kPermissionDenied) << other;
  }
  EXPECT_EQ(cluster_.Transaction("tx").owner, kBob);
  EXPECT_EQ(code(kBob, CommitCommand("tx")), StatusCode::kOk);
  // Nobody else learns what became of it.
  EXPECT_EQ(code("principal:eve", CommitCommand("tx")), StatusCode::kPermissionDenied);
  EXPECT_EQ(code("principal:eve", RollbackCommand("tx")), StatusCode::kPermissionDenied);
  EXPECT_EQ(code(kBob, CommitCommand("tx")), StatusCode::kOk);
  cluster_.Check();
}

TEST_F(AccessTest, WithoutCertificatesAnyHostMayEndATransaction) {
  Command prepare = PrepareCommand("tx", "INSERT INTO t VALUES(1)");
  prepare.principal = "host:192.0.2.7";
  ASSERT_TRUE(cluster_.Do(prepare).status.ok());
  Command commit = CommitCommand("tx");
  commit.principal = "host:192.0.2.8";
  EXPECT_TRUE(cluster_.Do(commit).status.ok());
  cluster_.Check();
}

TEST_F(AccessTest, BelowTheLevelNobodyAsksWhoBeganATransaction) {
  Replicas old;
  old.Must("CREATE TABLE t(a)");
  Command prepare = PrepareCommand("tx", "INSERT INTO t VALUES(1)");
  prepare.principal = kBob;
  ASSERT_TRUE(old.Do(prepare).status.ok());
  Command commit = CommitCommand("tx");
  commit.principal = "principal:eve";
  EXPECT_TRUE(old.Do(commit).status.ok());
  old.Check();
}

}  // namespace
}  // namespace cairn::state_machine
