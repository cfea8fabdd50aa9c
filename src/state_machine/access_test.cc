#include "state_machine/access.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "state_machine/command_access.h"
#include "state_machine/sqlite/named_tables.h"

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

TEST(Access, ALimitedPrincipalMayDoWhatBothMay) {
  const AccessRights rights(1, {{"*", "status", ""},
                                {"alice", "schema", ""},
                                {"alice", "write", "log_*"},
                                {"alice", "writer", ""}});
  EXPECT_EQ(rights.Of("principal:alice/reader"), PrivilegesOf("reader"));
  EXPECT_EQ(rights.Of("principal:alice/write"), kWrite);
  EXPECT_EQ(rights.Of("principal:alice/admin"), rights.Of("principal:alice"));
  EXPECT_EQ(rights.Of("principal:alice/operator"), kStatus);
  EXPECT_EQ(rights.Of("principal:alice/emperor"), Privileges{0});
  EXPECT_EQ(rights.Of("principal:alice/reader/admin"), Privileges{0});
  EXPECT_EQ(rights.On("principal:alice/reader", "log_a"), PrivilegesOf("reader"));
  EXPECT_EQ(rights.Somewhere("principal:eve/admin"), kStatus);
  EXPECT_FALSE(IsSamePrincipal("principal:alice", "principal:alice/reader"));
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
  for (const char* sql :
       {"CREATE TABLE t(a)", " /* INSERT */ drop table t", "-- x\nAlter Table t", "REINDEX",
        "analyze", ";CREATE INDEX i ON t(a)", "PRAGMA user_version = 1"}) {
    EXPECT_TRUE(ChangesSchema(sql)) << sql;
  }
  for (const char* sql : {"INSERT INTO t VALUES('CREATE')", "WITH c AS (SELECT 1) DELETE FROM t",
                          "REPLACE INTO t VALUES(1)", "\"create\"", ""}) {
    EXPECT_FALSE(ChangesSchema(sql)) << sql;
  }
}

TEST(CommandAccess, EachOperationNeedsItsPrivilege) {
  const auto needed = [](Operation operation) {
    Command command;
    command.operation = std::move(operation);
    const Needs needs = NeededBy(command);
    return std::pair(needs.everywhere, needs.somewhere);
  };
  const auto execute = [&](std::vector<std::string> texts) {
    Execute all;
    for (std::string& sql : texts) all.statements.push_back({std::move(sql), {}, {}});
    return needed(std::move(all));
  };
  const auto on = [](Privileges everywhere, Privileges somewhere) {
    return std::pair(everywhere, somewhere);
  };
  EXPECT_EQ(execute({"INSERT INTO t VALUES(1)"}), on(0, kWrite));
  EXPECT_EQ(execute({"INSERT INTO t VALUES(1)", "DROP TABLE t"}),
            on(kRead | kWrite | kSchema, kWrite));
  EXPECT_EQ(needed(Prepare{"tx", {"CREATE TABLE t(a)", {}, {}}}), on(kRead | kWrite | kSchema, 0));
  EXPECT_EQ(needed(Commit{"tx"}), on(0, kWrite));
  EXPECT_EQ(needed(Rollback{"tx"}), on(0, 0));
  EXPECT_EQ(needed(OpenSession{}), on(0, kWrite));
  EXPECT_EQ(needed(RetainChanges{"t"}), on(kSchema, 0));
  EXPECT_EQ(needed(Restore{}), on(kRestore, 0));
  EXPECT_EQ(needed(ChangeAccess{}), on(kSecurity, 0));
  EXPECT_EQ(needed(RaiseLevel{3}), on(kMembership, 0));
}

TEST(CommandAccess, ARefusalSaysWhatIsMissingAndWhoCanHelp) {
  const Status denied = CheckNeeds("principal:bob", kRead, kRead, {kRead | kWrite | kSchema, 0});
  EXPECT_EQ(denied.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(denied.outcome(), Outcome::kNotApplied);
  EXPECT_EQ(denied.message(),
            "principal:bob lacks the privilege write, schema: a principal with the privilege "
            "security can grant it (cairn grant)");
  EXPECT_TRUE(CheckNeeds("principal:bob", kRead, kRead, {kRead, 0}).ok());
  EXPECT_TRUE(CheckNeeds("principal:bob", 0, kRead, {0, kRead}).ok());
  EXPECT_FALSE(CheckNeeds("principal:bob", 0, kRead, {kRead, 0}).ok());
  EXPECT_NE(Lacking("principal:bob", kRead, "t").message().find("privilege read on t"),
            std::string::npos);
}

TEST(CommandAccess, ReadingAndWritingAloneGoByTables) {
  EXPECT_TRUE(CheckPattern("read", "log_*").ok());
  EXPECT_TRUE(CheckPattern("admin", "").ok());
  EXPECT_FALSE(CheckPattern("admin", "t").ok());
  EXPECT_FALSE(CheckPattern("security", "*").ok());
  EXPECT_FALSE(CheckPattern("read", "*a*b*c*d*").ok());
  EXPECT_FALSE(CheckPattern("read", std::string(65, 'a')).ok());
  // What came in all the same gives no more.
  const AccessRights rights(1, {{"eve", "admin", "t"}});
  EXPECT_EQ(rights.Somewhere("principal:eve"), kRead | kWrite);
  EXPECT_EQ(rights.Of("principal:eve"), 0u);
}

TEST(CommandAccess, MaintenanceAndLooseForeignKeysNeedTheSchema) {
  Command command;
  Execute execute{{{"DELETE FROM t", {}, {}}}};
  execute.maintenance = true;
  command.operation = execute;
  EXPECT_EQ(NeededBy(command).everywhere, kRead | kWrite | kSchema);
  execute.maintenance = false;
  execute.foreign_keys = ForeignKeys::kUnchecked;
  command.operation = execute;
  EXPECT_EQ(NeededBy(command).everywhere, kRead | kWrite | kSchema);
}

TEST(NamedTables, TheTextAndTheSchemaDecide) {
  const auto named = [](const char* sql) {
    const std::set<std::string> objects = {"mine", "secret", "view"};
    const NamedTables all =
        TablesNamedBy(sql, [&objects](const std::string& name) { return objects.contains(name); });
    std::string text = all.target + ":";
    for (const std::string& name : all.reads) text += " " + name;
    return text + (all.reads_more ? " all" : "");
  };
  EXPECT_EQ(named("INSERT INTO mine VALUES(1)"), "mine:");
  EXPECT_EQ(named("insert or ignore into main.\"Mine\"(a) values(1)"), "mine:");
  EXPECT_EQ(named("REPLACE INTO [mine] SELECT a FROM `secret`"), "mine: secret");
  EXPECT_EQ(named("INSERT INTO mine SELECT a FROM mine"), "mine: mine");
  EXPECT_EQ(named("INSERT INTO mine VALUES(1) RETURNING a"), "mine: mine");
  EXPECT_EQ(named("INSERT INTO mine VALUES(1) ON CONFLICT DO UPDATE SET a = 1"), "mine: mine");
  EXPECT_EQ(named("WITH c AS (SELECT a FROM secret) INSERT INTO mine SELECT a FROM c"),
            "mine: secret");
  EXPECT_EQ(named("UPDATE OR ROLLBACK mine SET a = 1"), "mine: mine");
  EXPECT_EQ(named("DELETE FROM mine"), "mine: mine");
  EXPECT_EQ(named("UPDATE view SET a = 1 WHERE (SELECT count(*) FROM secret)"),
            "view: secret view");
  EXPECT_EQ(named("SELECT count(*) FROM view"), ": view");
  EXPECT_EQ(named("SELECT 1 FROM mine NATURAL JOIN 'secret'"), ": mine secret");
  EXPECT_EQ(named("SELECT value FROM json_each('[1]')"), ":");
  EXPECT_EQ(named("SELECT sql FROM sqlite_schema"), ": all");
  EXPECT_EQ(named("EXPLAIN QUERY PLAN PRAGMA x"), ": all");
  EXPECT_EQ(named("SELECT * FROM pragma_table_info('mine')"), ": mine all");
  EXPECT_EQ(named("SELECT * FROM vector_top_k('i', x'', 1)"), ": all");
  EXPECT_EQ(named("SELECT * FROM dbstat"), ": all");
  EXPECT_EQ(named("garbage ( UPDATE"), ":");
}

TEST(Access, SameRightsAreTold) {
  const AccessRights before(1, {{"*", "status", ""}, {"a", "read", "t"}});
  const AccessRights other(2, {{"*", "status", ""}, {"a", "read", "t"}, {"b", "read", ""}});
  const AccessRights less(3, {{"*", "status", ""}, {"a", "read", "u"}});
  EXPECT_TRUE(before.SameFor("principal:a", other));
  EXPECT_FALSE(before.SameFor("principal:a", less));
  EXPECT_FALSE(before.SameFor("principal:b", other));
}

}  // namespace
}  // namespace cairn::state_machine
