#include "state_machine/access.h"

#include <gtest/gtest.h>

#include "state_machine/command_access.h"

namespace cairn::state_machine {
namespace {

using namespace privilege;

TEST(Access, ARoleIsWhatItsPrivilegesAre) {
  EXPECT_EQ(PrivilegesOf("admin"), kAll);
  EXPECT_EQ(PrivilegesOf("reader"), kRead | kWatch | kStatus);
  EXPECT_EQ(PrivilegesOf("writer"), kRead | kWrite | kWatch | kStatus);
  EXPECT_EQ(PrivilegesOf("operator") & (kRead | kWrite | kSecurity | kRestore), 0u);
  EXPECT_EQ(PrivilegesOf("schema"), kSchema);
  EXPECT_EQ(PrivilegesOf("Admin"), 0u);
  EXPECT_EQ(PrivilegesOf(""), 0u);
}

TEST(Access, OnlyAdminMayGrantOrRestore) {
  for (const char* role : {"operator", "writer", "reader", "monitor", "edge", "hub"}) {
    EXPECT_EQ(PrivilegesOf(role) & (kSecurity | kRestore), 0u) << role;
  }
}

TEST(Access, APrincipalHasItsOwnGrantsAndThoseOfEverybody) {
  const AccessRights rights(5,
                            {{"*", "status", ""}, {"alice", "read", ""}, {"alice", "write", ""}});
  EXPECT_EQ(rights.generation(), 5u);
  EXPECT_EQ(rights.Of("principal:alice"), kRead | kWrite | kStatus);
  EXPECT_EQ(rights.Of("principal:bob"), kStatus);
  EXPECT_EQ(rights.Of("principal:*"), kStatus);
}

TEST(Access, WithoutAGrantOnlyAdminAndNodesMayDoAnything) {
  const AccessRights none;
  EXPECT_EQ(none.Of("principal:admin"), kAll);
  EXPECT_EQ(none.Of("node:1"), kAll);
  EXPECT_EQ(none.Of("principal:alice"), 0u);
  EXPECT_EQ(none.Of("principal:administrator"), 0u);
  // What has proved nothing has no name.
  EXPECT_EQ(none.Of("host:127.0.0.1"), 0u);
  EXPECT_EQ(none.Of("admin"), 0u);
  EXPECT_EQ(none.Of(""), 0u);
  const AccessRights all(1, {{"*", "reader", ""}});
  EXPECT_EQ(all.Of("host:127.0.0.1"), 0u);
}

TEST(Access, AGrantOnSomeTablesIsNoneOnOthers) {
  const AccessRights rights(1, {{"alice", "read", ""}, {"alice", "write", "log_*"}});
  EXPECT_EQ(rights.Of("principal:alice"), kRead);
  EXPECT_EQ(rights.Somewhere("principal:alice"), kRead | kWrite);
  EXPECT_EQ(rights.On("principal:alice", "log_a"), kRead | kWrite);
  EXPECT_EQ(rights.On("principal:alice", "blog_a"), kRead);
}

TEST(Access, APatternHasStarsForAnyCharacters) {
  EXPECT_TRUE(MatchesPattern("t", "t"));
  EXPECT_FALSE(MatchesPattern("t", "tt"));
  EXPECT_TRUE(MatchesPattern("*", ""));
  EXPECT_TRUE(MatchesPattern("a*c*", "abcbd"));
  EXPECT_TRUE(MatchesPattern("*_log", "a_log_log"));
  EXPECT_FALSE(MatchesPattern("*_log", "a_logs"));
  EXPECT_FALSE(MatchesPattern("a?", "ab"));
  EXPECT_FALSE(MatchesPattern("", "a"));
  // No pattern takes long.
  EXPECT_FALSE(MatchesPattern("*a*a*a*a*a*a*a*a*b", std::string(10'000, 'a')));
}

TEST(Access, HostsAreNotToldApartFromEachOther) {
  EXPECT_TRUE(IsSamePrincipal("host:a", "host:b"));
  EXPECT_TRUE(IsSamePrincipal("", "principal:alice"));
  EXPECT_TRUE(IsSamePrincipal("principal:alice", "principal:alice"));
  EXPECT_FALSE(IsSamePrincipal("principal:alice", "principal:bob"));
  EXPECT_FALSE(IsSamePrincipal("principal:alice", "host:a"));
  EXPECT_FALSE(IsSamePrincipal("host:a", "principal:alice"));
  EXPECT_FALSE(IsSamePrincipal("node:1", "node:2"));
}

TEST(CommandAccess, AStatementThatChangesTheSchemaIsTold) {
  for (const char* sql : {"CREATE TABLE t(a)", " /* INSERT */ drop table t", "-- x\nAlter Table t",
                          "REINDEX", "analyze", ";CREATE INDEX i ON t(a)"}) {
    EXPECT_TRUE(ChangesSchema(sql)) << sql;
  }
  for (const char* sql :
       {"INSERT INTO t VALUES('CREATE')", "WITH c AS (SELECT 1) DELETE FROM t",
        "REPLACE INTO t VALUES(1)", "\"create\"", "", "PRAGMA user_version = 1"}) {
    EXPECT_FALSE(ChangesSchema(sql)) << sql;
  }
}

TEST(CommandAccess, EachOperationNeedsItsPrivilege) {
  const auto needed = [](Operation operation) {
    Command command;
    command.operation = std::move(operation);
    return NeededBy(command);
  };
  const auto execute = [&](std::vector<std::string> texts) {
    Execute all;
    for (std::string& sql : texts) all.statements.push_back({std::move(sql), {}, {}});
    return needed(std::move(all));
  };
  EXPECT_EQ(execute({"INSERT INTO t VALUES(1)"}), kRead | kWrite);
  EXPECT_EQ(execute({"INSERT INTO t VALUES(1)", "DROP TABLE t"}), kRead | kWrite | kSchema);
  EXPECT_EQ(needed(Prepare{"tx", {"CREATE TABLE t(a)", {}, {}}}), kRead | kWrite | kSchema);
  EXPECT_EQ(needed(Commit{"tx"}), kWrite);
  EXPECT_EQ(needed(Rollback{"tx"}), kWrite);
  EXPECT_EQ(needed(OpenSession{}), 0u);
  EXPECT_EQ(needed(RetainChanges{"t"}), kSchema);
  EXPECT_EQ(needed(Restore{}), kRestore);
  EXPECT_EQ(needed(ChangeAccess{}), kSecurity);
  EXPECT_EQ(needed(RaiseLevel{3}), kMembership);
}

TEST(CommandAccess, ARefusalSaysWhatIsMissingAndWhoCanHelp) {
  const Status denied = CheckPrivileges("principal:bob", kRead, kRead | kWrite | kSchema);
  EXPECT_EQ(denied.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(denied.outcome(), Outcome::kNotApplied);
  EXPECT_EQ(denied.message(),
            "principal:bob lacks the privilege write, schema: a principal with the privilege "
            "security can grant it (cairn grant)");
  EXPECT_TRUE(CheckPrivileges("principal:bob", kRead, kRead).ok());
}

}  // namespace
}  // namespace cairn::state_machine
