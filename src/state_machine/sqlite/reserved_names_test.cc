// Cairn's own tables stay out of reach, whatever way a client tries.

#include <gtest/gtest.h>

#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

// A foreign key whose parent key is not unique makes every write to the parent fail: a client's
// CREATE TABLE could stop all nodes for good.
TEST(ReservedNames, NoForeignKeyRefersToThem) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  for (const char* sql : {"CREATE TABLE c(x REFERENCES _cairn_versions(version))",
                          "CREATE TABLE c(x REFERENCES \"_CAIRN_requests\"(absent))",
                          "CREATE TABLE c(x, FOREIGN KEY(x) REFERENCES [_cairn_tx](state))",
                          "ALTER TABLE t ADD COLUMN y REFERENCES _cairn_sessions(name)"}) {
    EXPECT_EQ(replicas.Execute(sql).status.code(), StatusCode::kPermissionDenied) << sql;
  }
  replicas.Must("CREATE TABLE c(x DEFAULT '_cairn_' REFERENCES t(x))");
  replicas.Do(WithId(ExecuteCommand("INSERT INTO t VALUES(1)"), "s", 1));
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM t"), "1");
  replicas.Check();
}

TEST(ReservedNames, NoStatementReadsOrWritesThem) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  // A view that cannot be resolved when it is created is refused when it is used.
  replicas.Must("CREATE VIEW v AS SELECT name FROM missing, _cairn_versions");
  replicas.Must("CREATE TABLE missing(x)");
  replicas.Must("CREATE TRIGGER tr AFTER DELETE ON t BEGIN DELETE FROM _cairn_versions; END");
  replicas.Must("INSERT INTO t VALUES(1)");
  for (const char* sql :
       {"INSERT INTO t SELECT name FROM v", "DELETE FROM t",
        "INSERT INTO t SELECT count(*) FROM \"_cairn_sessions\"",
        "CREATE TABLE c AS SELECT * FROM _cairn_state", "DROP TABLE _cairn_tx",
        "ALTER TABLE _cairn_tx RENAME TO mine", "ALTER TABLE t RENAME TO _Cairn_mine",
        "ALTER TABLE _cairn_tx ADD COLUMN y", "CREATE INDEX i ON _cairn_requests(hash)",
        "CREATE VIRTUAL TABLE _cairn USING fts5(x)", "CREATE VIRTUAL TABLE _cairn USING fts4(x)",
        "CREATE VIRTUAL TABLE _cairn USING rtree(a, b, c)", "CREATE VIEW _cairn_v AS SELECT 1",
        "CREATE TRIGGER q AFTER INSERT ON _cairn_tx BEGIN SELECT 1; END",
        "UPDATE t SET x = (SELECT applied_index FROM main._cairn_state)",
        "INSERT INTO t VALUES(1) RETURNING (SELECT count(*) FROM _cairn_tx)"}) {
    EXPECT_FALSE(replicas.Execute(sql).status.ok()) << sql;
  }
  for (const char* sql :
       {"CREATE VIRTUAL TABLE f5 USING fts5(name, content='_cairn_versions')",
        "CREATE VIRTUAL TABLE f4 USING fts4(name, content='_cairn_versions')",
        "INSERT INTO f5(f5) VALUES('rebuild')", "INSERT INTO f4(f4) VALUES('rebuild')"}) {
    replicas.Do(MaintenanceCommand(sql));
  }
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'f_\\_content' "
                           "ESCAPE '\\'"),
            "0");
  replicas.Must("ANALYZE _cairn_versions");
  replicas.Must("REINDEX");
  replicas.Must("INSERT INTO t VALUES(2)");
  replicas.Check();
}

TEST(ReservedNames, NoViewOrFullTextIndexIsMadeOverThem) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  for (const char* sql :
       {"CREATE VIEW v AS SELECT name FROM _cairn_versions",
        "CREATE VIEW IF NOT EXISTS v AS SELECT count(*) FROM \"_CAIRN_tx\"",
        "CREATE VIEW v AS SELECT x, (SELECT max(applied_index) FROM '_cairn_state') FROM t",
        "CREATE VIEW v(a) AS WITH c AS (SELECT name FROM main._cairn_sessions) SELECT * FROM c",
        "CREATE VIRTUAL TABLE f USING fts5(name, content='_cairn_versions')",
        "CREATE VIRTUAL TABLE f USING fts4(name, content=\"_cairn_Versions\")"}) {
    EXPECT_EQ(replicas.Execute(sql).status.code(), StatusCode::kPermissionDenied) << sql;
  }
  EXPECT_EQ(replicas.Query("SELECT count(*) FROM sqlite_schema WHERE name IN ('v', 'f')"), "0");
  // A text that only mentions reserved names, and a function that a query may call and a write may
  // not.
  replicas.Must(
      "CREATE VIEW v AS SELECT name, sqlite_version() FROM sqlite_schema WHERE name NOT LIKE "
      "'_cairn_%'");
  EXPECT_EQ(replicas.Query("SELECT name FROM v WHERE name = 't'"), "t");
  replicas.Must("CREATE VIEW later AS SELECT * FROM not_made_yet");
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
