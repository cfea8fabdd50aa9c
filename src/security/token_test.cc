#include "security/token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "security/security_test_util.h"
#include "security/token_test_util.h"

namespace cairn::security {
namespace {

using testing::HasSubstr;

class TokenTest : public testing::Test {
 protected:
  TokenTest() : key_(*NewTokenKey()), public_key_(*TokenKeyBytes(key_.public_pem)) {}
  std::string Sign(const std::string& header, const std::string& claims) {
    return SignedText(header, claims, key_.private_pem);
  }

  const TokenKeyPair key_;
  const std::string public_key_;
};

TEST_F(TokenTest, WhatIsSignedIsReadBack) {
  for (const TokenClaims& claims : {TokenClaims{"k1", "id", "alice", "", 0xc1, 100, 0, 200},
                                    TokenClaims{"k.2", "id-2", "a@b", "reader", 0xffffffffffffffff,
                                                1'793'491'200, 1'793'491'300, 1'793'500'000}}) {
    const Result<std::string> text = SignToken(claims, key_.private_pem);
    ASSERT_TRUE(text.ok()) << text.status();
    const Result<ParsedToken> parsed = ParseToken(*text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->claims, claims);
    EXPECT_TRUE(IsSignedBy(*parsed, public_key_));
    EXPECT_FALSE(IsSignedBy(*parsed, std::string(32, 'x')));
    EXPECT_FALSE(IsSignedBy(*parsed, ""));
    EXPECT_FALSE(IsSignedBy(*parsed, *TokenKeyBytes(NewTokenKey()->public_pem)));
  }
  EXPECT_TRUE(ParseToken(Sign(kGoodHeader, kGoodClaims)).ok());
  EXPECT_EQ(*TokenKeyBytes(key_.private_pem), public_key_);
  EXPECT_EQ(FromHex(ToHex(public_key_)), public_key_);
  EXPECT_EQ(FromHex("abc"), "");
  EXPECT_EQ(FromHex(std::string(64, 'G')), "");
}

// The vector of RFC 8037, appendix A.4: others sign as this does.
TEST(Token, TheSignatureIsThatOfTheStandard) {
  const std::string text =
      "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvM"
      "g3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
  ParsedToken token;
  token.signed_part = std::string_view(text).substr(0, text.rfind('.'));
  const std::string signature =
      "860c98d2297f3060a33f42739672d61b53cf3adefed3d3c672f320dc021b411e"
      "9d59b8628dc351e248b88b29468e0e41855b0fb7d83bb15be902bfccb8cd0a02";
  token.signature = FromHex(signature.substr(0, 64)) + FromHex(signature.substr(64));
  const std::string key =
      FromHex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  EXPECT_TRUE(IsSignedBy(token, key));
  token.signature[5] ^= 1;
  EXPECT_FALSE(IsSignedBy(token, key));
}

TEST_F(TokenTest, EverythingElseIsRefused) {
  size_t attempts = 0;
  for (const auto& [what, text] : BadTokens(key_)) {
    ++attempts;
    const Result<ParsedToken> parsed = ParseToken(text);
    EXPECT_FALSE(parsed.ok() && IsSignedBy(*parsed, public_key_)) << what;
    if (!parsed.ok()) {
      EXPECT_EQ(parsed.status().code(), StatusCode::kUnauthenticated) << what;
      if (text.size() < 40) continue;
      EXPECT_EQ(parsed.status().message().find(text.substr(0, 40)), std::string::npos) << what;
    }
  }
  std::cout << "attempts with tokens that are none: " << attempts << std::endl;
  EXPECT_GE(attempts, 100u);
}

// Of a good token no bit may be another.
TEST_F(TokenTest, NoOtherTextMeansTheSame) {
  const std::string good = Sign(kGoodHeader, kGoodClaims);
  for (size_t i = 0; i < good.size(); ++i) {
    for (const char other : {'A', 'B', 'Q', '_', '=', '.', ' ', '\0'}) {
      std::string text = good;
      if (std::exchange(text[i], other) == other) continue;
      const Result<ParsedToken> parsed = ParseToken(text);
      EXPECT_FALSE(parsed.ok() && IsSignedBy(*parsed, public_key_)) << i << other;
    }
  }
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(ParseToken(std::string_view(good).substr(0, size)).ok()) << size;
  }
}

TEST(Token, ItCountsForItsTimeAlone) {
  TokenClaims claims{"k", "id", "alice", "", 1, 1000, 0, 2000};
  EXPECT_TRUE(CheckTokenTime(claims, 1000).ok());
  EXPECT_TRUE(CheckTokenTime(claims, 1000 - kTokenLeewaySeconds).ok());
  EXPECT_FALSE(CheckTokenTime(claims, 999 - kTokenLeewaySeconds).ok());
  EXPECT_TRUE(CheckTokenTime(claims, 1999).ok());
  EXPECT_THAT(CheckTokenTime(claims, 2000).message(), HasSubstr("expired at 1970-01-01"));
  claims.not_before_s = 1500;
  EXPECT_FALSE(CheckTokenTime(claims, 1400).ok());
  EXPECT_TRUE(CheckTokenTime(claims, 1500).ok());
  claims.expires_s = claims.issued_s + kTokenSecondsMax;
  EXPECT_TRUE(CheckTokenTime(claims, 1500).ok());
  ++claims.expires_s;
  EXPECT_THAT(CheckTokenTime(claims, 1500).message(), HasSubstr("366 days"));
}

TEST(Token, OtherKeysAreNone) {
  const TestSite site;
  const std::string client = site.directory() + "/site/issuing.key";  // P-256
  EXPECT_THAT(TokenKeyBytes(*ReadSecretFile(client)).status().message(), HasSubstr("Ed25519"));
  EXPECT_FALSE(TokenKeyBytes("").ok());
  EXPECT_FALSE(TokenKeyBytes("-----BEGIN PUBLIC KEY-----\nxx\n-----END PUBLIC KEY-----\n").ok());
  EXPECT_FALSE(SignToken({"k", "id", "alice", "", 1, 1, 0, 2}, *ReadSecretFile(client)).ok());
  EXPECT_FALSE(SignToken({"k", "id", "a/b", "", 1, 1, 0, 2}, NewTokenKey()->private_pem).ok());
}

}  // namespace
}  // namespace cairn::security
