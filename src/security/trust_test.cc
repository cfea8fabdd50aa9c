#include "security/trust.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "security/security_test_util.h"

namespace cairn::security {
namespace {

using testing::HasSubstr;
using Role = Trust::Role;

constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kDay = 24 * 3600;

class TrustTest : public testing::Test {
 protected:
  TrustTest() { clock_.SetWallMs(kNow * 1000); }

  Result<Verified> Verify(const std::string& directory, Role role, int64_t now_s = kNow) {
    const TlsFiles own = FilesOf(directory);
    const auto trust = Trust::Make(ca_.empty() ? own.authorities : ca_, revoked_);
    if (!trust.ok()) return trust.status();
    return (*trust)->Verify(own.certificate, own.certificate, role, now_s);
  }

  ManualClock clock_;
  TestSite site_{0xc1, clock_};
  std::string ca_;
  std::string revoked_;
};

TEST_F(TrustTest, ANodeIsServerAndClient) {
  const std::string node = site_.Node(3);
  for (const Role role : {Role::kServer, Role::kClient}) {
    const Result<Verified> verified = Verify(node, role);
    ASSERT_TRUE(verified.ok()) << verified.status();
    EXPECT_EQ(verified->name, (CertifiedName{0xc1, 3, ""}));
    EXPECT_EQ(verified->serial, site_.serial());
    EXPECT_EQ(verified->expires_s, kNow + 30 * kDay);
    EXPECT_TRUE(IsForHost(verified->leaf.get(), "127.0.0.1"));
    EXPECT_TRUE(IsForHost(verified->leaf.get(), "localhost"));
    EXPECT_FALSE(IsForHost(verified->leaf.get(), "127.0.0.2"));
    EXPECT_FALSE(IsForHost(verified->leaf.get(), "example.com"));
  }
}

TEST_F(TrustTest, APrincipalIsNoServer) {
  const std::string client = site_.Client("alice");
  const Result<Verified> verified = Verify(client, Role::kClient);
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->name, (CertifiedName{0xc1, 0, "alice"}));
  const Status refused = Verify(client, Role::kServer).status();
  EXPECT_EQ(refused.code(), StatusCode::kUnauthenticated);
  EXPECT_THAT(refused.message(), HasSubstr("not for this use"));
}

TEST_F(TrustTest, AMachineWithoutAClockBootsIn1970) {
  EXPECT_TRUE(Verify(site_.Node(1), Role::kServer, 5).ok());
}

TEST_F(TrustTest, AnExpiredCertificateIsRefused) {
  const std::string node = site_.Node(1, /*days=*/10);
  EXPECT_TRUE(Verify(node, Role::kClient, kNow + 10 * kDay - 1).ok());
  const Status refused = Verify(node, Role::kClient, kNow + 10 * kDay + 1).status();
  EXPECT_EQ(refused.code(), StatusCode::kUnauthenticated);
  EXPECT_THAT(refused.message(), HasSubstr("expired at 2027-01-25"));
  EXPECT_THAT(refused.message(), HasSubstr("cairn cert renew"));
}

TEST_F(TrustTest, AnotherSiteIsRefused) {
  TestSite other(0xc1, clock_);  // with the same cluster id
  ca_ = FilesOf(site_.Node(1)).authorities;
  const Status refused = Verify(other.Node(1), Role::kClient).status();
  EXPECT_EQ(refused.code(), StatusCode::kUnauthenticated);
  EXPECT_THAT(refused.message(), HasSubstr("not signed by an authority"));
}

TEST_F(TrustTest, ARevokedCertificateIsRefusedAndOthersAreNot) {
  const std::string other = site_.Node(1);
  const std::string node = site_.Node(2);
  EXPECT_EQ(site_.authority().Revoke("00").code(), StatusCode::kNotFound);
  ASSERT_TRUE(site_.authority().Revoke(site_.serial()).ok());
  const std::string revoked_serial = site_.serial();
  revoked_ = FilesOf(site_.Client("later")).revoked;
  EXPECT_TRUE(Verify(other, Role::kClient).ok());
  const Status refused = Verify(node, Role::kClient).status();
  EXPECT_EQ(refused.code(), StatusCode::kUnauthenticated);
  EXPECT_THAT(refused.message(), HasSubstr(revoked_serial + ") is revoked"));
  // The list is as old as it may be: what it revokes stays revoked.
  EXPECT_FALSE(Verify(node, Role::kClient, kNow + 20 * kDay).ok());
}

TEST_F(TrustTest, ARevocationListOfAnotherAuthorityIsRefused) {
  TestSite other(0xc1, clock_);
  const TlsFiles files = FilesOf(other.Node(1));
  const auto trust = Trust::Make(FilesOf(site_.Node(1)).authorities, files.revoked);
  EXPECT_THAT(trust.status().message(), HasSubstr("signed by none of the authorities"));
}

TEST_F(TrustTest, OnlyAnAuthorityIsAnAuthority) {
  const TlsFiles files = FilesOf(site_.Node(1));
  const auto trust =
      Trust::Make(files.certificate.substr(0, files.certificate.find("-----BEGIN", 1)), "");
  EXPECT_THAT(trust.status().message(), HasSubstr("not the certificate of an authority"));
}

// A client of the site signs a certificate for itself that names a node.
TEST_F(TrustTest, AClientCannotIssue) {
  const TlsFiles client = FilesOf(site_.Client("mallory"));
  const KeyPtr key = std::move(ParseKey(client.key)).value();
  const auto chain = std::move(ParseCertificates(client.certificate)).value();
  const CertificatePtr forged(X509_new());
  X509* const made = forged.get();
  X509_set_version(made, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(made), 77);
  X509_time_adj_ex(X509_getm_notBefore(made), 0, 0, nullptr);
  ASN1_TIME_set(X509_getm_notBefore(made), 0);
  ASN1_TIME_set(X509_getm_notAfter(made), kNow + kDay);
  X509_set_pubkey(made, key.get());
  X509_set_issuer_name(made, X509_get_subject_name(chain[0].get()));
  const std::unique_ptr<X509_EXTENSION, FreeBy<X509_EXTENSION_free>> names(X509V3_EXT_conf_nid(
      nullptr, nullptr, NID_subject_alt_name, "URI:cairn://00000000000000c1/node/1"));
  X509_add_ext(made, names.get(), -1);
  X509_sign(made, key.get(), EVP_sha256());
  const auto trust = Trust::Make(client.authorities, "");
  const Result<Verified> verified =
      (*trust)->Verify(ToPem(made), client.certificate, Role::kClient, kNow);
  EXPECT_EQ(verified.status().code(), StatusCode::kUnauthenticated) << verified.status();
}

TEST_F(TrustTest, MalformedTextIsRefused) {
  const TlsFiles files = FilesOf(site_.Node(1));
  const auto trust = Trust::Make(files.authorities, "");
  const std::string huge(kPemBytesMax + 1, 'x');
  for (const std::string& leaf : {std::string("nonsense"), std::string(), huge,
                                  files.certificate.substr(0, 200), files.key}) {
    EXPECT_EQ((*trust)->Verify(leaf, "", Role::kClient, kNow).status().code(),
              StatusCode::kUnauthenticated);
  }
  std::string chain;
  for (int i = 0; i < 40; ++i) chain += files.certificate;
  EXPECT_FALSE((*trust)->Verify(files.certificate, chain, Role::kClient, kNow).ok());
  EXPECT_FALSE(Trust::Make("", "").ok());
  EXPECT_FALSE(Trust::Make(files.authorities, "nonsense").ok());
}

}  // namespace
}  // namespace cairn::security
