#include "state_machine/sqlite/index_commands.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace cairn::state_machine {
namespace {

std::string OwnNames(const std::string& sql) {
  std::string values;
  for (const std::optional<std::string>& value : ValuesForOwnName(sql, "f")) {
    values += value.value_or("?") + ";";
  }
  return values;
}

TEST(ValuesForOwnName, AreFoundInEachInsertAndRow) {
  EXPECT_EQ(OwnNames("INSERT INTO f(f) VALUES('rebuild')"), "rebuild;");
  EXPECT_EQ(
      OwnNames("REPLACE INTO main.\"F\" AS g([a], 'F', b) VALUES(('x'), 'it''s', 1), (1, 2, 3),"
               " (f, 'x' || 'y', (SELECT ',')) ON CONFLICT DO NOTHING"),
      "it's;?;?;");
  EXPECT_EQ(OwnNames("INSERT INTO f(f, rowid) SELECT 'delete', 1"), "?;");
  EXPECT_EQ(OwnNames("INSERT INTO f(f) VALUES(?1)"), "?;");
  EXPECT_EQ(OwnNames("CREATE TRIGGER r AFTER DELETE ON t BEGIN"
                     " INSERT INTO f(f, rowid, a) VALUES('delete', old.id, old.a);"
                     " INSERT INTO f(rowid, a) VALUES(1, 2); INSERT INTO g(f) VALUES('x'); END"),
            "delete;");
  EXPECT_EQ(OwnNames("INSERT INTO f VALUES('rebuild')"), "");
  EXPECT_EQ(OwnNames("INSERT INTO f(f"), "?;");
  EXPECT_EQ(OwnNames("INSERT INTO f(f) VALUES("), "?;");
}

}  // namespace
}  // namespace cairn::state_machine
