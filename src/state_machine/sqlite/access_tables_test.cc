// Grants as replicated rows, and what apply refuses by them.
#include "state_machine/sqlite/access_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/restore_into_test_util.h"
#include "state_machine/sqlite/two_phase_test_util.h"

namespace cairn::state_machine {
namespace {

using testing::HasSubstr;
using Kind = ChangeAccess::Kind;

constexpr char kBob[] = "principal:bob";

Command Change(Kind kind, std::string principal, std::string privilege) {
  Command command;
  command.operation = ChangeAccess{kind, std::move(principal), std::move(privilege), ""};
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
