// Files that must not take the place of the database of a running cluster.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "state_machine/sqlite/restore_into_test_util.h"

namespace cairn::state_machine {
namespace {

TEST_F(RestoreIntoTest, WhatIsNoBackupIsRefusedAndNothingIsChanged) {
  cluster_.Must("CREATE TABLE t(id)");
  cluster_.Must("INSERT INTO t VALUES(1)");
  const std::string backup = Backup();
  std::string flipped = backup;
  flipped[flipped.size() - 2] = static_cast<char>(flipped[flipped.size() - 2] ^ 1);
  std::string other_rows = backup;
  const size_t row = other_rows.find("CREATE TABLE t");
  ASSERT_NE(row, std::string::npos);
  other_rows[row + 13] = 'u';
  for (const std::string& bad : {std::string(20'000, 'x'), backup.substr(0, 8192), other_rows}) {
    Stage("r", bad);
    const CommandResult refused = Finish("r");
    EXPECT_EQ(refused.status.code(), StatusCode::kFailedPrecondition) << refused.status;
    EXPECT_EQ(refused.status.outcome(), Outcome::kApplied) << "the verdict is final";
  }
  // The bytes are not those that were said.
  std::vector<Command> steps = StagingOf("r", backup);
  std::get<Restore>(steps.front().operation).bytes = SumOf(flipped);
  cluster_.DoAll(steps);
  const CommandResult refused = Finish("r");
  EXPECT_EQ(refused.status.code(), StatusCode::kDataLoss) << refused.status;
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM t"), "1");
  cluster_.Must("INSERT INTO t VALUES(2)");
  cluster_.Check();
}

// Such a file passed the look at pages and rows. It then failed the first write of Cairn to it, on
// every node at one entry, for ever.
TEST_F(RestoreIntoTest, ABackupWithOtherTablesOfCairnIsRefused) {
  cluster_.Must("CREATE TABLE t(id)");
  cluster_.Must("INSERT INTO t VALUES(1)");
  const std::string backup = Backup();
  int n = 0;
  const auto refused = [&](const std::string& bad, const std::string& what) {
    const std::string id = "r" + std::to_string(++n);
    Stage(id, bad);
    const CommandResult result = Finish(id);
    EXPECT_EQ(result.status.code(), StatusCode::kFailedPrecondition) << what << result.status;
  };
  for (const char* sql :
       {"DROP TABLE _cairn_digest", "DROP TABLE _cairn_versions",
        "DROP TABLE _cairn_state; CREATE TABLE _cairn_state(id)",
        "CREATE TRIGGER x BEFORE INSERT ON _CAIRN_STATE BEGIN SELECT RAISE(ABORT, 'x'); END",
        "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM _cairn_sessions; END",
        "CREATE UNIQUE INDEX x ON _cairn_sessions(owner)", "CREATE VIEW _cairn_restore AS SELECT 1",
        "CREATE TABLE y(x REFERENCES _cairn_state(id))",
        "CREATE TABLE _cairn_retention(retain_ms, since_index, since_ordinal, bytes);"
        "CREATE TABLE _cairn_changes(x); CREATE TABLE _cairn_changed_tables(x)"}) {
    const std::string path = cluster_.first().directory() / "changed.db";
    std::ofstream(path, std::ios::binary) << backup;
    {
      TestDatabase changed(path);
      changed.Run("PRAGMA journal_mode = DELETE");
      changed.Run(sql);
    }
    std::ifstream in(path, std::ios::binary);
    refused(std::string(std::istreambuf_iterator<char>(in), {}), sql);
  }
  for (const size_t at : {18, 19, 47, 59}) {
    std::string bad = backup;
    bad[at] = 9;
    refused(bad, "byte " + std::to_string(at) + ": ");
  }
  cluster_.Must("INSERT INTO t VALUES(2)");
  RestoreAll("good", backup);
  EXPECT_EQ(cluster_.Query("SELECT count(*) FROM t"), "1");
  cluster_.Check();
}

}  // namespace
}  // namespace cairn::state_machine
