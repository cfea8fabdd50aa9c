#include "state_machine/sqlite/pragmas.h"

#include <gtest/gtest.h>

#include <string>

#include "state_machine/sqlite/database_test_util.h"
#include "state_machine/sqlite/proposal_check.h"
#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

class PragmasTest : public testing::Test {
 protected:
  Status Ask(const std::string& sql, RowCollector* rows) {
    auto view = replica_.machine().OpenReadView(std::chrono::seconds(5));
    EXPECT_TRUE(view.ok()) << view.status();
    const Statement query{sql, {}, {}};
    return (*view)->Query(query, {}, rows);
  }
  Value One(const std::string& sql) {
    RowCollector rows;
    const Status status = Ask(sql, &rows);
    EXPECT_TRUE(status.ok()) << sql << ": " << status;
    return rows.rows.size() == 1 && rows.rows[0].size() == 1 ? rows.rows[0][0] : Value("no value");
  }

  TestReplica replica_;
};

// As drivers send them for each connection.
TEST_F(PragmasTest, ThoseThatSetUpAConnectionAreAnsweredAndChangeNothing) {
  EXPECT_EQ(One("PRAGMA journal_mode"), Value("wal"));
  EXPECT_EQ(One(" ; pragma Main.journal_mode = DELETE ;"), Value("wal"));
  EXPECT_EQ(One("PRAGMA synchronous"), Value(int64_t{2}));
  EXPECT_EQ(One("PRAGMA busy_timeout = 5000"), Value(int64_t{0}));
  EXPECT_EQ(One("PRAGMA locking_mode(EXCLUSIVE)"), Value("normal"));
  EXPECT_EQ(One("PRAGMA cache_size"), Value(int64_t{-2000}));
  for (const char* sql :
       {"PRAGMA synchronous = NORMAL", "PRAGMA cache_size = -64000", "PRAGMA foreign_keys = ON",
        "PRAGMA foreign_keys(1)", "PRAGMA encoding = \"UTF-8\"", "PRAGMA optimize",
        "PRAGMA optimize(0x10002)", "PRAGMA temp_store = MEMORY", "PRAGMA query_only = OFF",
        "PRAGMA recursive_triggers = 'off'", "/* a driver */ PRAGMA page_size = 8192 -- twice"}) {
    RowCollector rows;
    const Status status = Ask(sql, &rows);
    EXPECT_TRUE(status.ok()) << sql << ": " << status;
    EXPECT_TRUE(rows.rows.empty()) << sql;
  }
  EXPECT_EQ(One("PRAGMA foreign_keys"), Value(int64_t{1}));
}

TEST_F(PragmasTest, WhatWouldChangeSomethingIsRefusedWithAdvice) {
  RowCollector rows;
  const Status off = Ask("PRAGMA foreign_keys = OFF", &rows);
  EXPECT_EQ(off.code(), StatusCode::kPermissionDenied) << off;
  EXPECT_NE(off.message().find("DEFERRABLE"), std::string::npos) << off;
  ProposalChecker checker;
  const Status write = checker.Check(ExecuteCommand("PRAGMA foreign_keys = OFF"));
  EXPECT_EQ(write.message(), off.message());
}

TEST_F(PragmasTest, NoneIsRefusedWithoutAdvice) {
  RowCollector checkpoint;
  ASSERT_TRUE(Ask("PRAGMA wal_checkpoint(TRUNCATE)", &checkpoint).ok());
  EXPECT_EQ(checkpoint.rows, (std::vector<Row>{{int64_t{0}, int64_t{-1}, int64_t{-1}}}));
  EXPECT_EQ(One("PRAGMA soft_heap_limit = 100000"), Value(int64_t{0}));
  EXPECT_EQ(One("PRAGMA max_page_count"), Value(int64_t{4294967294}));
  EXPECT_EQ(One("PRAGMA short_column_names"), Value(int64_t{1}));
  EXPECT_NE(One("PRAGMA schema_version"), Value("no value"));
  for (const char* sql :
       {"PRAGMA shrink_memory", "PRAGMA empty_result_callbacks = 1", "PRAGMA count_changes = OFF",
        "PRAGMA full_column_names = 0", "PRAGMA reverse_unordered_selects = false"}) {
    RowCollector rows;
    const Status status = Ask(sql, &rows);
    EXPECT_TRUE(status.ok()) << sql << ": " << status;
    EXPECT_TRUE(rows.rows.empty()) << sql;
  }
  ProposalChecker checker;
  for (const auto& [sql, advice] : std::vector<std::pair<std::string, std::string>>{
           {"PRAGMA full_column_names = 1", "by AS"},
           {"PRAGMA short_column_names = 0", "by AS"},
           {"PRAGMA count_changes = 1", "how many rows"},
           {"PRAGMA reverse_unordered_selects = ON", "ORDER BY"},
           {"PRAGMA temp_store_directory = '/tmp'", "SQLITE_TMPDIR"},
           {"PRAGMA max_page_count = 100", "disk"},
           {"PRAGMA schema_version = 5", "user_version"},
           {"PRAGMA stats", "sqlite_stat1"},
           {"PRAGMA foreign_keys = OFF", "foreign_keys_off of cairn.v1 Execute"}}) {
    RowCollector rows;
    const Status asked = Ask(sql, &rows);
    EXPECT_EQ(asked.code(), StatusCode::kPermissionDenied) << sql << ": " << asked;
    EXPECT_NE(asked.message().find(advice), std::string::npos) << asked;
    const Status write = checker.Check(ExecuteCommand(sql));
    EXPECT_EQ(write.message(), asked.message());
  }
}

}  // namespace
}  // namespace cairn::state_machine
