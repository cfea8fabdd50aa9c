#include "state_machine/sqlite/json_aggregates.h"

#include <gtest/gtest.h>

#include <string>

#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

// A connection without a file.
class Connection {
 public:
  Connection() { EXPECT_EQ(sqlite3_open(":memory:", &db_), SQLITE_OK); }
  ~Connection() { EXPECT_EQ(sqlite3_close(db_), SQLITE_OK); }

  // Returns all values, or the error.
  std::string Query(const std::string& sql) {
    sqlite3_stmt* stmt = nullptr;
    if (sqlite3_prepare_v2(db_, sql.c_str(), -1, &stmt, nullptr) != SQLITE_OK) {
      return sqlite3_errmsg(db_);
    }
    std::string out;
    while (sqlite3_step(stmt) == SQLITE_ROW) {
      const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(stmt, 0));
      out.append(text == nullptr ? "NULL" : text).append("\n");
    }
    if (sqlite3_finalize(stmt) != SQLITE_OK) out = sqlite3_errmsg(db_);
    return out;
  }
  sqlite3* db() { return db_; }

 private:
  sqlite3* db_ = nullptr;
};

TEST(JsonAggregates, GiveWhatThoseOfSqliteGive) {
  JsonAggregates aggregates;
  WorkBudget budget;
  Connection plain;
  Connection own;
  ASSERT_TRUE(aggregates.Install(own.db(), &budget).ok());
  const std::string table =
      " FROM (WITH t(i, k, v) AS (VALUES(1, 'a', 1), (2, 'b\"\\c', 2.5), (3, NULL, NULL),"
      " (4, 'd', 'x,y]\"' || char(10, 9, 8, 12, 13, 1, 31, 127)), (5, 5, json('{\"q\":[1,2]}')),"
      " (6, 'e', '[1,2]'), (7, x'61', 'ä' || char(0) || 'b'), (8, 'f', 9e999), (9, '', ''))"
      " SELECT * FROM t)";
  const std::string windows[] = {"",
                                 " FILTER (WHERE i > 100)",
                                 " OVER (ORDER BY i ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
                                 " OVER (ORDER BY i ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING)",
                                 " OVER (ORDER BY i ROWS BETWEEN 3 PRECEDING AND 2 PRECEDING)",
                                 " FILTER (WHERE i % 2) OVER (PARTITION BY i / 4 ORDER BY i)"};
  for (const std::string& window : windows) {
    for (const char* call :
         {"json_group_array(v)", "json_group_array(json(1))", "json_group_object(k, v)",
          "json_group_array(k)", "json_group_object(k, json_array(i, v))"}) {
      const std::string sql = "SELECT " + std::string(call) + window + table;
      EXPECT_EQ(own.Query(sql), plain.Query(sql)) << sql;
    }
  }
  for (const char* sql :
       {"SELECT json_array(json_group_array(1))", "SELECT json_group_array(x'00')",
        "SELECT json_group_array(DISTINCT 1)", "SELECT json_group_object(1, x'00')",
        "SELECT typeof(json_group_array(1)) WHERE 0", "SELECT json_group_array(1, 2)",
        "SELECT json_group_array(1) GROUP BY 2"}) {
    EXPECT_EQ(own.Query(sql), plain.Query(sql)) << sql;
  }
  EXPECT_EQ(aggregates.bytes(), 0u);
}

// Counts its calls, and gives a text of 4 MB.
void Long(sqlite3_context* context, int /*argc*/, sqlite3_value** /*argv*/) {
  ++*static_cast<int*>(sqlite3_user_data(context));
  const std::string text(4'000'000, 'x');
  sqlite3_result_text64(context, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

// Forty rows took a gigabyte, and a statement may have hundreds of such aggregates.
TEST(JsonAggregates, StopAtTheirBoundWhileTheyGrow) {
  JsonAggregates aggregates;
  WorkBudget budget;
  Connection own;
  ASSERT_TRUE(aggregates.Install(own.db(), &budget).ok());
  sqlite3_limit(own.db(), SQLITE_LIMIT_LENGTH, kValueBytesMax);
  int calls = 0;
  sqlite3_create_function(own.db(), "long", 0, SQLITE_UTF8, &calls, &Long, nullptr, nullptr);
  const std::string rows =
      " FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
      " LIMIT 40) SELECT i FROM n)";
  EXPECT_EQ(own.Query("SELECT json_group_array(long())" + rows), "string or blob too big");
  EXPECT_LE(calls, kValueBytesMax / 4'000'000 + 1);
  calls = 0;
  std::string many = "SELECT 1";
  for (int i = 0; i < 100; ++i) many += ", json_group_object(" + std::to_string(i) + ", long())";
  EXPECT_EQ(own.Query(many + rows), "string or blob too big");
  EXPECT_LE(static_cast<size_t>(calls), kJsonAggregatesBytesMax / 4'000'000 + 1);
  EXPECT_EQ(aggregates.bytes(), 0u);
}

TEST(JsonAggregates, AreChargedForEachRow) {
  Replicas replicas;
  replicas.Must("CREATE TABLE t(x)");
  const std::string rows =
      " FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
      " LIMIT 40) SELECT i FROM n)";
  const std::string text = "printf('%.*c', 300000 + i, 'x')";
  for (const std::string& call :
       {"json_group_array(" + text + ")", "json_group_object(i, " + text + ")"}) {
    const CommandResult result = replicas.Must("INSERT INTO t SELECT length(" + call + ")" + rows);
    EXPECT_GT(result.steps, 40u * 300'000u / 4 / kBytesPerStep);
    EXPECT_EQ(replicas
                  .Execute("INSERT INTO t SELECT length(" + call + ")" + rows + ", " +
                           "(SELECT 1 UNION ALL SELECT 2)")
                  .status.code(),
              StatusCode::kResourceExhausted);
  }
  replicas.Check();
}

}  // namespace
}  // namespace cairn::state_machine
