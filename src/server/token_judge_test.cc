#include "server/token_judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "security/security_test_util.h"
#include "security/token_test_util.h"
#include "server/fake_replica_test_util.h"
#include "server/principal.h"

namespace cairn::server {
namespace {

using security::CertifiedName;
using security::TokenClaims;
using state_machine::AccessRights;
using state_machine::TokenRule;
using state_machine::TokenRuleKind;
using testing::HasSubstr;

constexpr int64_t kNow = 1'995'000'000;  // within the life of kGoodClaims

class TrustingState final : public FakeState {
 public:
  state_machine::AccessRightsPtr access() const override {
    return std::make_shared<const AccessRights>(1, std::vector<state_machine::Grant>(), rules);
  }
  state_machine::TokenRules rules;
};

class TokenJudgeTest : public testing::Test {
 protected:
  TokenJudgeTest() : clock_(At(kNow)), site_(0xc1, clock_), key_(*security::NewTokenKey()) {
    Result<security::TlsPtr> tls = security::Tls::ForServer(site_.Node(1), &clock_);
    EXPECT_TRUE(tls.ok()) << tls.status();
    judge_ = std::make_unique<TokenJudge>(&state_, *tls);
    Trust("k1", key_);
  }
  static ManualClock At(int64_t now_s) {
    ManualClock clock;
    clock.SetWallMs(now_s * 1000);
    return clock;
  }
  void Trust(const std::string& name, const security::TokenKeyPair& key) {
    state_.rules[{TokenRuleKind::kKey, name}] = {
        security::ToHex(*security::TokenKeyBytes(key.public_pem)), kNow};
  }
  std::string Issue(TokenClaims claims) {
    Result<std::string> text = security::SignToken(claims, key_.private_pem);
    EXPECT_TRUE(text.ok()) << text.status();
    return *text;
  }
  Result<CertifiedName> Judge(const std::string& token) {
    return judge_->CallerOf("Bearer " + token);
  }
  // What the token is refused with; empty: it is taken.
  std::string Why(const std::string& token) { return Judge(token).status().message(); }

  ManualClock clock_;
  security::TestSite site_;
  const security::TokenKeyPair key_;
  TrustingState state_;
  std::unique_ptr<TokenJudge> judge_;
  const TokenClaims good_{"k1", "id", "alice", "", 0xc1, kNow - 100, 0, kNow + 100};
};

TEST_F(TokenJudgeTest, ATokenNamesItsPrincipal) {
  const Result<CertifiedName> caller = Judge(Issue(good_));
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(PrincipalOf(*caller), "principal:alice");
  TokenClaims limited = good_;
  limited.role = "reader";
  EXPECT_EQ(PrincipalOf(*Judge(Issue(limited))), "principal:alice/reader");
}

TEST_F(TokenJudgeTest, TheSignatureIsCheckedOnceAndARevocationCountsAtOnce) {
  const std::string token = Issue(good_);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(Judge(token).ok());
  EXPECT_EQ(judge_->checked(), 1u);
  state_.rules[{TokenRuleKind::kToken, "id"}] = {"", kNow};
  EXPECT_THAT(Why(token), HasSubstr("is revoked"));
  state_.rules.erase({TokenRuleKind::kToken, "id"});
  state_.rules[{TokenRuleKind::kPrincipal, "alice"}] = {"", kNow};
  EXPECT_THAT(Why(token), HasSubstr("all tokens of alice"));
  TokenClaims later = good_;
  later.issued_s = kNow + security::kTokenLeewaySeconds;
  EXPECT_FALSE(Judge(Issue(later)).ok());
  clock_.Advance(std::chrono::seconds(20));
  later.issued_s = kNow + security::kTokenLeewaySeconds + 1;
  EXPECT_TRUE(Judge(Issue(later)).ok());
  state_.rules.erase({TokenRuleKind::kPrincipal, "alice"});
  EXPECT_TRUE(Judge(token).ok());
  clock_.SetWallMs((kNow + 100) * 1000);
  EXPECT_THAT(Why(token), HasSubstr("expired"));
}

TEST_F(TokenJudgeTest, KeysOverlapAndAreDistrusted) {
  const std::string token = Issue(good_);
  const security::TokenKeyPair next = *security::NewTokenKey();
  Trust("k2", next);
  TokenClaims claims = good_;
  claims.key = "k2";
  const std::string newer = *security::SignToken(claims, next.private_pem);
  EXPECT_TRUE(Judge(token).ok());
  EXPECT_TRUE(Judge(newer).ok());
  state_.rules.erase({TokenRuleKind::kKey, "k1"});
  EXPECT_THAT(Why(token), HasSubstr("not trusted any more"));
  EXPECT_TRUE(Judge(newer).ok());
  // Another key under the old name does not bring the old tokens back.
  Trust("k1", next);
  EXPECT_FALSE(Judge(token).ok());
}

TEST_F(TokenJudgeTest, NobodyElseIsLetIn) {
  const auto with = [&](auto change) {
    TokenClaims claims = good_;
    change(&claims);
    return Why(Issue(claims));
  };
  EXPECT_THAT(with([](TokenClaims* c) { c->principal = "admin"; }), HasSubstr("admin"));
  EXPECT_THAT(with([](TokenClaims* c) { c->cluster_id = 7; }), HasSubstr("is for cluster"));
  EXPECT_THAT(with([](TokenClaims* c) { c->role = "emperor"; }), HasSubstr("limited to 'emperor'"));
  EXPECT_THAT(with([](TokenClaims* c) { c->key = "k9"; }), HasSubstr("not trusted here"));
  EXPECT_THAT(with([](TokenClaims* c) { c->expires_s = kNow; }), HasSubstr("expired"));
  EXPECT_THAT(with([](TokenClaims* c) { c->not_before_s = kNow + 60; }), HasSubstr("counts from"));
  EXPECT_THAT(with([](TokenClaims* c) { c->expires_s += 400 * 86400; }), HasSubstr("366 days"));
  const std::string good = Issue(good_);
  for (const std::string& authorization :
       {"bearer " + good, good, "Bearer" + good, "Bearer  " + good, std::string("Basic YTpi"),
        std::string("Bearer "), std::string(), "Digest " + good, "Bearer " + good + ", " + good}) {
    EXPECT_EQ(judge_->CallerOf(authorization).status().code(), StatusCode::kUnauthenticated)
        << authorization;
  }
  const uint64_t checked = judge_->checked();
  size_t attempts = 0;
  for (const auto& [what, text] : security::BadTokens(key_)) {
    EXPECT_EQ(Judge(text).status().code(), StatusCode::kUnauthenticated) << what;
    ++attempts;
  }
  EXPECT_LT(judge_->checked(), checked + 20) << "what is malformed costs no signature";
  std::cout << "attempts at the judge: " << attempts << std::endl;
  EXPECT_GE(attempts, 200u);
}

TEST_F(TokenJudgeTest, ManyTokensAreBoundedInMemory) {
  TokenClaims claims = good_;
  for (size_t i = 0; i < kKnownTokensMax + 10; ++i) {
    claims.id = "t" + std::to_string(i);
    EXPECT_TRUE(Judge(Issue(claims)).ok());
  }
  EXPECT_EQ(judge_->checked(), kKnownTokensMax + 10);
}

}  // namespace
}  // namespace cairn::server
