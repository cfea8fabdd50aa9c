// Statements whose text is longer than kSqlBytesMax: a photo as X'...'.

#include <gtest/gtest.h>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/replicas_test_util.h"

namespace cairn::state_machine {
namespace {

constexpr size_t kPhotoBytes = 3 << 20;

std::string Photo() { return "X'" + std::string(2 * kPhotoBytes, 'a') + "'"; }

class LongTextTest : public ::testing::Test {
 protected:
  explicit LongTextTest(uint64_t level = kLevelDataPlatform) {
    EXPECT_TRUE(Apply({{}, 0, RaiseLevel{level}}).ok());
    EXPECT_TRUE(Run("CREATE TABLE t(a INTEGER PRIMARY KEY, photo)").ok());
  }
  Status Apply(const Command& command) {
    const raft::Entry entry =
        MakeEntry(next_, {1'700'000'000'000, 1, 1'000, 50'000'000}, {command});
    next_ = next_ + 1;
    return replica_.Apply(std::vector{entry}).at(0).results.at(0).status;
  }
  Status Run(const std::string& sql) { return Apply(ExecuteCommand(sql)); }
  std::string Lengths() {
    replica_.Close();
    TestDatabase db(replica_.path());
    const std::string lengths = db.Text("SELECT group_concat(length(photo)) FROM t");
    replica_.Open();
    return lengths;
  }

  TestReplica replica_;
  LogIndex next_{1};
};

TEST_F(LongTextTest, LongLiteralsOfRowsAreNotCounted) {
  EXPECT_TRUE(Run("INSERT INTO t VALUES (1, " + Photo() + ")").ok());
  EXPECT_TRUE(Run("replace into t values (2, 'a''" + std::string(kPhotoBytes, 'b') + "')").ok());
  EXPECT_TRUE(Run("INSERT INTO t VALUES (3, NULL)").ok());
  EXPECT_TRUE(Run("UPDATE t SET photo = " + Photo() + " WHERE a = 3").ok());
  EXPECT_EQ(Lengths(), "3145728,3145730,3145728");
}

TEST_F(LongTextTest, OtherTextIsCounted) {
  const std::string comment = "/*" + std::string(kSqlBytesMax, 'x') + "*/";
  const std::string name = "\"" + std::string(kSqlBytesMax, 'n') + "\"";
  std::string short_literals;
  for (size_t i = 0; i <= kSqlBytesMax / 512; ++i) {
    short_literals += ", ('" + std::string(512, 's') + "')";
  }
  const std::string sqls[] = {
      "INSERT INTO t VALUES (1, " + Photo() + ") " + comment,
      "INSERT INTO t(a, " + name + ") VALUES (1, 2)",
      "INSERT INTO t(photo) VALUES ('first')" + short_literals,
  };
  for (const std::string& sql : sqls) {
    const Status refused = Run(sql);
    EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument) << refused;
    EXPECT_NE(refused.message().find("at most 1048576"), std::string::npos) << refused;
  }
}

// A long DEFAULT would be read by every connection of every node.
TEST_F(LongTextTest, TheSchemaTakesNoLongLiterals) {
  for (const std::string& sql :
       {"CREATE TABLE d(x DEFAULT " + Photo() + ")",
        "ALTER TABLE t ADD COLUMN x DEFAULT " + Photo(),
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET photo = " + Photo() + "; END"}) {
    EXPECT_EQ(Run(sql).code(), StatusCode::kInvalidArgument);
  }
}

class LongTextAtLevelTwoTest : public LongTextTest {
 protected:
  LongTextAtLevelTwoTest() : LongTextTest(kLevelExpectations) {}
};

TEST_F(LongTextAtLevelTwoTest, IsRefusedAsByTheBuildsOfThatLevel) {
  const std::string insert = "INSERT INTO t VALUES (1, " + Photo() + ")";
  EXPECT_EQ(Run(insert).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(Apply({{}, 0, RaiseLevel{kLevelDataPlatform}}).ok());
  EXPECT_TRUE(Run(insert).ok());
}

}  // namespace
}  // namespace cairn::state_machine
