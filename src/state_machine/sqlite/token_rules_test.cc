// What is believed of tokens, as replicated rows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "state_machine/sqlite/access_tables.h"
#include "state_machine/sqlite/replicas_test_util.h"
#include "state_machine/sqlite/restore_into_test_util.h"
#include "state_machine/sqlite/two_phase_test_util.h"

namespace cairn::state_machine {
namespace {

using testing::HasSubstr;
using Kind = ChangeAccess::Kind;

const std::string kKeyA(kTokenKeyDigits, 'a');
const std::string kKeyB(kTokenKeyDigits, 'b');

Command Change(Kind kind, std::string name, uint64_t time_s = 1000, std::string key = "") {
  Command command;
  command.operation = ChangeAccess{kind, std::move(name), std::move(key), "", time_s};
  return command;
}

class TokenRulesTest : public RestoreIntoTest {
 protected:
  TokenRulesTest() { cluster_.Must("CREATE TABLE t(a)"); }
  Status Do(Command command) { return cluster_.Do(std::move(command)).status; }
  Status TrustKey(const std::string& name, const std::string& key = kKeyA) {
    return Do(Change(Kind::kTrustKey, name, 1000, key));
  }
  AccessRightsPtr rights() { return cluster_.first().machine().access(); }
  bool Has(TokenRuleKind kind, const std::string& name) {
    return rights()->tokens().contains({kind, name});
  }
};

TEST_F(TokenRulesTest, WhatIsSaidIsKnownAtOnceAndAfterARestart) {
  ASSERT_TRUE(TrustKey("k1").ok());
  ASSERT_TRUE(TrustKey("k2", kKeyB).ok());
  ASSERT_TRUE(Do(Change(Kind::kRevokeToken, "id", 2000)).ok());
  ASSERT_TRUE(Do(Change(Kind::kRevokeTokens, "alice", 3000)).ok());
  ASSERT_TRUE(Do(Change(Kind::kDistrustKey, "k2")).ok());
  const TokenRules expected = {{{TokenRuleKind::kKey, "k1"}, {kKeyA, 1000}},
                               {{TokenRuleKind::kToken, "id"}, {"", 2000}},
                               {{TokenRuleKind::kPrincipal, "alice"}, {"", 3000}}};
  EXPECT_EQ(rights()->tokens(), expected);
  cluster_.Check();  // also the replicas that were restarted, and those that began from a snapshot
}

// A node with grants from before there were tokens did not start.
TEST_F(TokenRulesTest, ADatabaseMayHaveGrantsAndNoTableOfTokens) {
  Command grant;
  grant.operation = ChangeAccess{Kind::kGrant, "bob", "writer", ""};
  ASSERT_TRUE(Do(std::move(grant)).ok());
  EXPECT_EQ(InFile("SELECT count(*) FROM sqlite_schema WHERE name = '_cairn_token'"), "0");
  cluster_.first().Restart();
  const std::string backup = Backup();
  RestoreAll("r", backup);
  EXPECT_EQ(InFile("SELECT count(*) FROM sqlite_schema WHERE name = '_cairn_token'"), "0");
  ASSERT_TRUE(TrustKey("k1").ok());
  EXPECT_TRUE(Has(TokenRuleKind::kKey, "k1"));
  cluster_.first().Restart();
  EXPECT_TRUE(Has(TokenRuleKind::kKey, "k1"));
  cluster_.Check();
}

TEST_F(TokenRulesTest, EachChangeMovesTheGenerationAndNothingElseDoes) {
  ASSERT_TRUE(TrustKey("k1").ok());
  const uint64_t first = rights()->generation();
  EXPECT_NE(first, 0u);
  EXPECT_TRUE(TrustKey("k1").ok());
  EXPECT_TRUE(Do(Change(Kind::kDistrustKey, "k9")).ok());
  EXPECT_EQ(rights()->generation(), first);
  ASSERT_TRUE(Do(Change(Kind::kRevokeTokens, "alice", 3000)).ok());
  const uint64_t second = rights()->generation();
  EXPECT_GT(second, first);
  // A clock that is behind takes nothing back.
  EXPECT_TRUE(Do(Change(Kind::kRevokeTokens, "alice", 2000)).ok());
  EXPECT_EQ(rights()->generation(), second);
  EXPECT_TRUE(Do(Change(Kind::kRevokeTokens, "alice", 4000)).ok());
  EXPECT_EQ(rights()->tokens().at({TokenRuleKind::kPrincipal, "alice"}).time_s, 4000u);
  EXPECT_GT(rights()->generation(), second);
  cluster_.Check();
}

TEST_F(TokenRulesTest, AnotherKeyDoesNotTakeTheNameOfOne) {
  ASSERT_TRUE(TrustKey("k1").ok());
  const Status other = TrustKey("k1", kKeyB);
  EXPECT_EQ(other.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(other.message(), HasSubstr("another key is trusted as 'k1'"));
  ASSERT_TRUE(Do(Change(Kind::kDistrustKey, "k1")).ok());
  EXPECT_TRUE(TrustKey("k1", kKeyB).ok());
  cluster_.Check();
}

TEST_F(TokenRulesTest, NonsenseIsRefusedAlike) {
  for (const std::string& key : {std::string(), std::string(63, 'a'), std::string(65, 'a'),
                                 std::string(64, 'A'), std::string(64, 'g')}) {
    EXPECT_EQ(TrustKey("k", key).code(), StatusCode::kInvalidArgument) << key;
  }
  for (const Kind kind :
       {Kind::kTrustKey, Kind::kDistrustKey, Kind::kRevokeToken, Kind::kRevokeTokens}) {
    for (const std::string& name : {std::string(), std::string(65, 'x')}) {
      EXPECT_EQ(Do(Change(kind, name, 1, kKeyA)).code(), StatusCode::kInvalidArgument);
    }
    EXPECT_EQ(Do(Change(kind, "x", uint64_t{1} << 60, kKeyA)).code(), StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(rights()->generation(), 0u);
  cluster_.Check();
}

TEST_F(TokenRulesTest, OnlyWhoMayGrantMaySayIt) {
  Command grant;
  grant.operation = ChangeAccess{Kind::kGrant, "bob", "writer", ""};
  ASSERT_TRUE(Do(std::move(grant)).ok());
  for (const char* who : {"principal:bob", "principal:admin/writer", "host:127.0.0.1"}) {
    Command change = Change(Kind::kTrustKey, "k1", 1000, kKeyA);
    change.principal = who;
    change.restricted = true;
    EXPECT_EQ(Do(std::move(change)).code(), StatusCode::kPermissionDenied) << who;
  }
  cluster_.Check();
}

TEST_F(TokenRulesTest, ThereAreSoManyAndTheExpiredGiveWay) {
  for (size_t i = 0; i < kTokenKeysMax; ++i) {
    ASSERT_TRUE(TrustKey("k" + std::to_string(i)).ok());
  }
  EXPECT_EQ(TrustKey("one-more").code(), StatusCode::kResourceExhausted);
  std::vector<Command> all;
  for (size_t i = 0; i < kTokenRevocationsMax; ++i) {
    all.push_back(Change(Kind::kRevokeToken, "t" + std::to_string(i), i < 10 ? 1000 : 2000));
  }
  cluster_.DoAll(std::move(all));
  EXPECT_EQ(Do(Change(Kind::kRevokeToken, "x", 2000)).code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(Do(Change(Kind::kRevokeTokens, "x", 2000)).ok());
  // Those of the first ten have all expired.
  EXPECT_TRUE(Do(Change(Kind::kRevokeToken, "x", 1001 + kTokenRevocationSeconds)).ok());
  EXPECT_TRUE(Has(TokenRuleKind::kToken, "x"));
  EXPECT_FALSE(Has(TokenRuleKind::kToken, "t0"));
  EXPECT_TRUE(Has(TokenRuleKind::kToken, "t10"));
  EXPECT_TRUE(Has(TokenRuleKind::kKey, "k0"));
  cluster_.Check();
}

// A backup knows nothing of what was revoked since, and its keys may be those of a thief.
TEST_F(TokenRulesTest, ARestoreLeavesThemAsTheyAre) {
  ASSERT_TRUE(TrustKey("old").ok());
  const std::string backup = Backup();
  ASSERT_TRUE(Do(Change(Kind::kDistrustKey, "old")).ok());
  ASSERT_TRUE(TrustKey("new", kKeyB).ok());
  ASSERT_TRUE(Do(Change(Kind::kRevokeToken, "id")).ok());
  const TokenRules before = rights()->tokens();
  const uint64_t generation = rights()->generation();
  RestoreAll("r", backup);
  EXPECT_EQ(rights()->tokens(), before);
  EXPECT_EQ(rights()->generation(), generation);
  ASSERT_TRUE(Do(Change(Kind::kRevokeTokens, "alice")).ok());
  cluster_.Check();
}

TEST_F(TokenRulesTest, NoClientReadsOrWritesThem) {
  ASSERT_TRUE(TrustKey("k1").ok());
  EXPECT_FALSE(cluster_.Execute("INSERT INTO t SELECT 1 FROM _cairn_token").status.ok());
  EXPECT_FALSE(cluster_.Execute("DELETE FROM _cairn_token").status.ok());
  EXPECT_FALSE(
      cluster_.Execute("UPDATE _cairn_token SET public_key = '" + kKeyB + "'").status.ok());
  EXPECT_EQ(InFile("SELECT name FROM _cairn_token"), "k1");
  cluster_.Check();
}

}  // namespace
}  // namespace cairn::state_machine
