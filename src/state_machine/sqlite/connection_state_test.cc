// What a connection of SQLite remembers, and a command may not see.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

TEST(Determinism, ConnectionStateDoesNotSurviveACommand) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  replicas.Must("CREATE TABLE seen(rowid_, changes_, total)");
  replicas.Must("INSERT INTO t VALUES(1), (2), (3)");
  // The replica that restarted has nothing to remember; neither may the others.
  for (const char* sql : {"INSERT INTO seen VALUES(last_insert_rowid(), 0, 0)",
                          "INSERT INTO seen SELECT 0, changes(), 0",
                          "UPDATE t SET x = 1 WHERE total_changes() = 0"}) {
    const CommandResult refused = replicas.Execute(sql);
    EXPECT_EQ(refused.status.code(), StatusCode::kFailedPrecondition) << refused.status;
    EXPECT_THAT(refused.status.message(), testing::HasSubstr("earlier statements"));
  }
  EXPECT_EQ(replicas
                .Execute({{"UPDATE t SET x = 1", {}, {}},
                          {"INSERT INTO seen VALUES(last_insert_rowid(), 0, 0)", {}, {}}})
                .status.code(),
            StatusCode::kFailedPrecondition);
  EXPECT_TRUE(replicas
                  .Execute({{"UPDATE t SET x = 1 WHERE x = 7", {}, {}},
                            {"INSERT INTO seen VALUES(0, changes(), total_changes())", {}, {}},
                            {"UPDATE seen SET rowid_ = last_insert_rowid()", {}, {}}})
                  .status.ok());
  EXPECT_EQ(replicas.Query("SELECT * FROM seen"), "1|0|0");
  const CommandResult ddl = replicas.Must("CREATE TABLE other(x)");
  EXPECT_EQ(ddl.statements[0].rows_affected, 0);
  EXPECT_EQ(ddl.statements[0].last_insert_id, 0);
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
