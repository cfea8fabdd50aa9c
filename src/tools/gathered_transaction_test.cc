#include "tools/gathered_transaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn::tools {
namespace {

using Next = GatheredTransaction::Next;
using testing::ElementsAre;

class GatheredTransactionTest : public testing::Test {
 protected:
  Result<Next> Take(const std::string& sql) { return transaction_.Take({sql, ++line_}); }
  void Given(const std::string& sql) { EXPECT_TRUE(Take(sql).ok()) << sql; }
  std::vector<std::string> Sent() {
    std::vector<std::string> out;
    for (const auto& each : transaction_.TakeStatements()) out.push_back(each.sql);
    return out;
  }

  GatheredTransaction transaction_;
  size_t line_ = 0;
};

TEST_F(GatheredTransactionTest, GathersFromBeginToCommit) {
  EXPECT_EQ(*Take("INSERT 0"), Next::kRunAlone);
  EXPECT_EQ(*Take("begin /* now */ immediate transaction"), Next::kBegan);
  EXPECT_TRUE(transaction_.open());
  EXPECT_EQ(transaction_.line(), 2u);
  EXPECT_EQ(*Take("INSERT 1"), Next::kGathered);
  EXPECT_EQ(*Take("INSERT 2"), Next::kGathered);
  EXPECT_EQ(*Take("END TRANSACTION"), Next::kSend);
  EXPECT_THAT(Sent(), ElementsAre("INSERT 1", "INSERT 2"));
  EXPECT_FALSE(transaction_.open());
}

TEST_F(GatheredTransactionTest, AByteOrderMarkHidesNoBegin) {
  EXPECT_EQ(*Take("\xef\xbb\xbf"
                  "BEGIN"),
            Next::kBegan);
}

TEST_F(GatheredTransactionTest, RollbackDropsTheStatements) {
  Given("BEGIN");
  Given("INSERT 1");
  EXPECT_EQ(*Take("ROLLBACK"), Next::kDropped);
  EXPECT_FALSE(transaction_.open());
  EXPECT_EQ(*Take("BEGIN"), Next::kBegan);
  EXPECT_EQ(*Take("COMMIT"), Next::kSend);
  EXPECT_TRUE(Sent().empty());
}

// PRAGMA foreign_keys = OFF gathers statements outside of BEGIN, too. In SQLite each of those is a
// transaction of its own, which a later ROLLBACK does not undo.
TEST_F(GatheredTransactionTest, RollbackKeepsWhatCameBeforeItsBegin) {
  for (const bool spoiled : {false, true}) {
    Given("PRAGMA foreign_keys = OFF");
    Given("INSERT 1");
    Given("BEGIN");
    Given("INSERT 2");
    if (spoiled) transaction_.Spoil();
    EXPECT_EQ(*Take("ROLLBACK"), Next::kDropped);
    Given("INSERT 3");
    EXPECT_EQ(*Take("PRAGMA foreign_keys = ON"), Next::kSend);
    EXPECT_THAT(Sent(), ElementsAre("INSERT 1", "INSERT 3"));
  }
}

// A paste of too many statements: the first of them alone are not what was meant.
TEST_F(GatheredTransactionTest, NothingRunsOfATransactionThatIsTooLarge) {
  Given("BEGIN");
  for (int i = 0; i < 16'384; ++i) Given("INSERT 1");
  EXPECT_EQ(Take("INSERT 2").status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Take("INSERT 3").status().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(transaction_.open());
  EXPECT_EQ(Take("COMMIT").status().code(), StatusCode::kAborted);
  EXPECT_FALSE(transaction_.open());
  EXPECT_EQ(*Take("INSERT 4"), Next::kRunAlone);
}

TEST_F(GatheredTransactionTest, RollbackEndsASpoiledTransaction) {
  Given("BEGIN");
  Given("INSERT 1");
  transaction_.Spoil();
  EXPECT_FALSE(Take("ROLLBACK TO s").ok());
  EXPECT_TRUE(transaction_.open());
  EXPECT_EQ(*Take("ROLLBACK"), Next::kDropped);
  EXPECT_FALSE(transaction_.waits());
}

TEST_F(GatheredTransactionTest, ForeignKeysEndASpoiledGroupWithoutBegin) {
  Given("PRAGMA foreign_keys = OFF");
  Given("INSERT 1");
  transaction_.Spoil();
  EXPECT_EQ(Take("DROP TABLE t").status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Take("PRAGMA foreign_keys = ON").status().code(), StatusCode::kAborted);
  EXPECT_FALSE(transaction_.waits());
  EXPECT_FALSE(transaction_.keys_off());
}

TEST_F(GatheredTransactionTest, SavepointsSayWhichStatementsAreSent) {
  Given("BEGIN");
  Given("INSERT 1");
  Given("SAVEPOINT a");
  Given("INSERT 2");
  Given("SAVEPOINT \"B\"");
  Given("INSERT 3");
  EXPECT_EQ(*Take("ROLLBACK TRANSACTION TO SAVEPOINT b"), Next::kGathered);
  Given("INSERT 4");
  EXPECT_EQ(*Take("RELEASE b"), Next::kGathered);
  EXPECT_FALSE(Take("ROLLBACK TO b").ok());
  EXPECT_EQ(*Take("ROLLBACK TO A"), Next::kGathered);
  Given("INSERT 5");
  EXPECT_THAT(Sent(), ElementsAre("INSERT 1", "INSERT 5"));
}

TEST_F(GatheredTransactionTest, WhatIsRefusedChangesNothing) {
  for (const char* alone : {"COMMIT", "END", "ROLLBACK", "RELEASE a", "SAVEPOINT a"}) {
    EXPECT_EQ(Take(alone).status().code(), StatusCode::kFailedPrecondition) << alone;
  }
  Given("BEGIN");
  Given("INSERT 1");
  for (const char* within : {"BEGIN", "SELECT 1", "WITH a AS (SELECT 1) SELECT * FROM a",
                             "PRAGMA table_info(t)", "RELEASE nothing"}) {
    EXPECT_EQ(Take(within).status().code(), StatusCode::kFailedPrecondition) << within;
  }
  EXPECT_THAT(Sent(), ElementsAre("INSERT 1"));
}

TEST_F(GatheredTransactionTest, HoldsNoMoreThanOneRequest) {
  Given("BEGIN");
  const std::string large = "INSERT " + std::string(1 << 20, 'x');
  for (int i = 0; i < 15; ++i) EXPECT_TRUE(Take(large).ok());
  EXPECT_EQ(Take(large).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(*Take("ROLLBACK"), Next::kDropped);
  Given("BEGIN");
  EXPECT_EQ(*Take(large), Next::kGathered) << "the bytes of a dropped transaction are given back";
}

TEST_F(GatheredTransactionTest, ForeignKeysAreOffForWhatIsGathered) {
  EXPECT_EQ(*Take("PRAGMA main.foreign_keys = off"), Next::kKeysOff);
  EXPECT_EQ(*Take("SELECT 1"), Next::kRunAlone);
  Given("BEGIN");
  Given("DROP TABLE t");
  EXPECT_EQ(*Take("PRAGMA foreign_key_check"), Next::kGathered);
  EXPECT_FALSE(Take("PRAGMA foreign_keys = ON").ok());
  EXPECT_EQ(*Take("COMMIT"), Next::kSend);
  EXPECT_EQ(transaction_.foreign_keys(), ForeignKeys::kCheckedAtEnd);
  EXPECT_THAT(Sent(), ElementsAre("DROP TABLE t"));
  EXPECT_EQ(*Take("PRAGMA foreign_keys(1)"), Next::kGathered);
  EXPECT_EQ(transaction_.foreign_keys(), ForeignKeys::kEnforced);
  EXPECT_EQ(*Take("DROP TABLE t"), Next::kRunAlone);
  EXPECT_EQ(*Take("PRAGMA foreign_keys = ON"), Next::kRunAlone);
}

TEST_F(GatheredTransactionTest, ForeignKeysThatAreOffNeedNoBegin) {
  EXPECT_EQ(*Take("PRAGMA defer_foreign_keys=ON"), Next::kGathered);
  Given("PRAGMA foreign_keys=OFF");
  EXPECT_FALSE(transaction_.waits());
  Given("DROP TABLE t");
  EXPECT_TRUE(transaction_.waits());
  EXPECT_FALSE(Take("SELECT 1").ok());
  EXPECT_EQ(*Take("PRAGMA defer_foreign_keys=ON"), Next::kGathered);
  Given("ALTER TABLE n RENAME TO t");
  EXPECT_EQ(*Take("PRAGMA foreign_keys=ON"), Next::kSend);
  EXPECT_EQ(transaction_.foreign_keys(), ForeignKeys::kCheckedAtEnd);
  EXPECT_THAT(Sent(), ElementsAre("DROP TABLE t", "ALTER TABLE n RENAME TO t"));
  EXPECT_EQ(transaction_.foreign_keys(), ForeignKeys::kEnforced);
}

}  // namespace
}  // namespace cairn::tools
