#include "security/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "security/security_test_util.h"
#include "security/token.h"

namespace cairn::security {
namespace {

using testing::HasSubstr;

constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kDay = 24 * 3600;

class TlsTest : public testing::Test {
 protected:
  TlsTest() { clock_.SetWallMs(kNow * 1000); }
  Result<CertifiedName> Call(Tls* server, const std::string& client) {
    const TlsFiles files = FilesOf(client);
    return server->CallerOf(files.certificate, files.certificate);
  }
  Result<CertifiedName> Serve(Tls* client, const std::string& server, const std::string& host) {
    const TlsFiles files = FilesOf(server);
    return client->ServerOf(files.certificate, files.certificate, host);
  }
  TlsPtr Server(const std::string& directory) {
    Result<TlsPtr> tls = Tls::ForServer(directory, &clock_);
    EXPECT_TRUE(tls.ok()) << tls.status();
    return *tls;
  }

  ManualClock clock_;
  TestSite site_{0xc1, clock_};
};

TEST_F(TlsTest, AServerKnowsItsCallers) {
  const TlsPtr server = Server(site_.Node(1));
  EXPECT_EQ(server->own_name(), (CertifiedName{0xc1, 1, ""}));
  EXPECT_EQ(*Call(server.get(), site_.Node(2)), (CertifiedName{0xc1, 2, ""}));
  const std::string alice = site_.Client("alice");
  EXPECT_EQ(*Call(server.get(), alice), (CertifiedName{0xc1, 0, "alice"}));
  EXPECT_EQ(*Call(server.get(), alice), (CertifiedName{0xc1, 0, "alice"}));  // remembered
  const Status none = server->CallerOf("", "").status();
  EXPECT_EQ(none.code(), StatusCode::kUnauthenticated);
  EXPECT_THAT(none.message(), HasSubstr("--tls-dir"));
}

TEST_F(TlsTest, ACallerOfAnotherClusterOfTheSameAuthorityIsRefused) {
  const TlsPtr server = Server(site_.Node(1));
  const Status refused = Call(server.get(), site_.Issue({{0xc2, 2, ""}, {}, 30})).status();
  EXPECT_EQ(refused.code(), StatusCode::kUnauthenticated);
  EXPECT_THAT(refused.message(), HasSubstr("node 2 of cluster 00000000000000c2"));
}

TEST_F(TlsTest, ARememberedCallerExpires) {
  const TlsPtr server = Server(site_.Node(1, 300));
  const std::string alice = site_.Client("alice", 10);
  ASSERT_TRUE(Call(server.get(), alice).ok());
  clock_.Advance(std::chrono::hours(24 * 11));
  EXPECT_THAT(Call(server.get(), alice).status().message(), HasSubstr("expired"));
}

// The box's own clock stands in 1970. The cluster has written later times.
TEST_F(TlsTest, ExpiryIsJudgedByTheLaterOfTheClockAndTheClustersTime) {
  const TlsPtr server = Server(site_.Node(1, 300));
  const std::string alice = site_.Client("alice", 10);
  clock_.SetWallMs(1000);
  EXPECT_TRUE(Call(server.get(), alice).ok());
  server->NoteTime((kNow + 11 * kDay) * 1000);
  EXPECT_THAT(Call(server.get(), alice).status().message(), HasSubstr("expired"));
  server->NoteTime(kNow * 1000);  // an older time changes nothing
  EXPECT_FALSE(Call(server.get(), alice).ok());
}

// A leader's clock ran in 2050 once, and the time of the log never goes back.
TEST_F(TlsTest, AReplicatedTimeFarAheadOfASoundClockEndsNoCertificate) {
  const TlsPtr server = Server(site_.Node(1, 300));
  const std::string alice = site_.Client("alice", 10);
  server->NoteTime((kNow + 20 * 365 * kDay) * 1000);
  EXPECT_TRUE(Call(server.get(), alice).ok());
  clock_.Advance(std::chrono::hours(24 * 9 + 1));  // a day counts
  EXPECT_FALSE(Call(server.get(), alice).ok());
}

TEST_F(TlsTest, ARevocationListIsNotTakenBack) {
  const std::string directory = site_.Node(1);
  const std::string alice = site_.Client("alice");
  const std::string list = directory + "/ca.crl";
  const std::string older = site_.directory() + "/older.crl";
  std::filesystem::copy_file(list, older);
  clock_.Advance(std::chrono::seconds(5));
  ASSERT_TRUE(site_.authority().Revoke(site_.serial()).ok());
  std::filesystem::copy_file(site_.directory() + "/site/ca.crl", list,
                             std::filesystem::copy_options::overwrite_existing);
  const TlsPtr server = Server(directory);
  ASSERT_FALSE(Call(server.get(), alice).ok());
  // Older, empty (the first moment of a copy), and none.
  std::filesystem::copy_file(older, list, std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(server->Refresh().message(), HasSubstr("what was revoked stays revoked"));
  EXPECT_FALSE(Call(server.get(), alice).ok());
  std::filesystem::resize_file(list, 0);
  EXPECT_THAT(server->Refresh().message(), HasSubstr("ca.crl is empty"));
  EXPECT_FALSE(Call(server.get(), alice).ok());
  std::filesystem::remove(list);
  EXPECT_THAT(server->Refresh().message(), HasSubstr("what was revoked stays revoked"));
  EXPECT_FALSE(Call(server.get(), alice).ok());
}

TEST_F(TlsTest, AListThatRevokesTheNodeItselfCountsForAllOthers) {
  const std::string directory = site_.Node(1);
  const std::string own = site_.serial();
  const std::string alice = site_.Client("alice");
  const TlsPtr server = Server(directory);
  ASSERT_TRUE(Call(server.get(), alice).ok());
  clock_.Advance(std::chrono::seconds(5));
  ASSERT_TRUE(site_.authority().Revoke(site_.serial()).ok());
  ASSERT_TRUE(site_.authority().Revoke(own).ok());
  std::filesystem::copy_file(site_.directory() + "/site/ca.crl", directory + "/ca.crl",
                             std::filesystem::copy_options::overwrite_existing);
  const Status told = server->Refresh();
  EXPECT_THAT(told.message(), HasSubstr("the new revocation list counts"));
  EXPECT_THAT(told.message(), HasSubstr(own + ") is revoked"));
  EXPECT_FALSE(Call(server.get(), alice).ok());
  EXPECT_EQ(server->own_name()->node_id, 1u);
  // A process that starts with it says what is wrong.
  EXPECT_FALSE(Tls::ForServer(directory, &clock_).ok());
}

TEST_F(TlsTest, FilesThatOthersMayChangeAreRefused) {
  const std::string directory = site_.Node(1);
  for (const std::string& path : {directory + "/ca.crt", directory + "/ca.crl", directory}) {
    struct stat before {};
    ASSERT_EQ(stat(path.c_str(), &before), 0);
    ASSERT_EQ(chmod(path.c_str(), before.st_mode | S_IWOTH), 0);
    EXPECT_THAT(Tls::ForServer(directory, &clock_).status().message(),
                HasSubstr("chmod go-w " + path));
    ASSERT_EQ(chmod(path.c_str(), before.st_mode), 0);
  }
  EXPECT_TRUE(Tls::ForServer(directory, &clock_).ok());
}

TEST_F(TlsTest, RevokingForgetsNobodyWhoseFileIsGone) {
  site_.Client("bob");
  const std::string bob = site_.serial();
  ASSERT_TRUE(site_.authority().Revoke(bob).ok());
  std::filesystem::remove(site_.directory() + "/site/issued/" + bob + ".crt");
  site_.Client("carl");
  ASSERT_TRUE(site_.authority().Revoke(site_.serial()).ok());
  const TlsFiles files = FilesOf(site_.Node(1));
  const auto lists = std::move(ParseCrls(files.revoked)).value();
  EXPECT_EQ(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(lists[0].get())), 2);
}

TEST_F(TlsTest, AnAuthorityWhoseRootKeyWasTakenAwayIsNotOverwritten) {
  const std::string directory = site_.directory() + "/moved";
  ASSERT_TRUE(Authority::Init(directory, 7, clock_).ok());
  std::filesystem::remove(directory + "/root.key");
  EXPECT_EQ(Authority::Init(directory, 8, clock_).status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(Authority::Open(directory, clock_)->cluster_id(), 7u);
}

TEST_F(TlsTest, AClientKnowsItsServer) {
  Result<TlsPtr> client = Tls::ForClient(site_.Client("alice"), &clock_);
  ASSERT_TRUE(client.ok()) << client.status();
  // By its name, wherever it is.
  EXPECT_TRUE(Serve(client->get(), site_.Node(1), "10.1.2.3").ok());
  const Status other =
      Serve(client->get(), site_.Issue({{0xc2, 1, ""}, {"127.0.0.1"}, 30}), "127.0.0.1").status();
  EXPECT_THAT(other.message(), HasSubstr("cluster 00000000000000c2"));
  const Status principal = Serve(client->get(), site_.Client("mallory"), "127.0.0.1").status();
  EXPECT_THAT(principal.message(), HasSubstr("not for this use"));
}

TEST_F(TlsTest, AClientsTokenIsReadAgainWhenItChanges) {
  const std::string directory = site_.Client("alice");
  const std::string path = directory + "/token";
  const TokenKeyPair key = *NewTokenKey();
  TokenClaims claims{"k", "one", "alice", "", 0xc1, kNow, 0, kNow + 60};
  const std::string first = *SignToken(claims, key.private_pem);
  claims.id = "two";
  const std::string second = *SignToken(claims, key.private_pem);
  EXPECT_FALSE(Tls::ForClient(directory, &clock_, path).ok()) << "there is no such file";
  ASSERT_TRUE(WriteTlsFile(path, first + "\n", /*secret=*/false).ok());
  EXPECT_THAT(Tls::ForClient(directory, &clock_, path).status().message(), HasSubstr("chmod 600"));
  ASSERT_TRUE(WriteTlsFile(path, first + "\n", /*secret=*/true).ok());
  Result<TlsPtr> client = Tls::ForClient(directory, &clock_, path);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ((*client)->token(), first);
  ASSERT_TRUE(WriteTlsFile(path, second + "\r\n", /*secret=*/true).ok());
  EXPECT_EQ((*client)->token(), first);
  clock_.Advance(std::chrono::seconds(2));
  EXPECT_EQ((*client)->token(), second);
  // Half of a copy: the token before still goes with calls.
  ASSERT_TRUE(WriteTlsFile(path, first.substr(0, 50), /*secret=*/true).ok());
  clock_.Advance(std::chrono::seconds(2));
  EXPECT_EQ((*client)->token(), second);
  const Status half = Tls::ForClient(directory, &clock_, path).status();
  EXPECT_THAT(half.message(), HasSubstr(path));
  EXPECT_EQ(half.message().find(first.substr(0, 20)), std::string::npos);
}

TEST_F(TlsTest, NewFilesCountAtOnceAndBadOnesDoNot) {
  const std::string directory = site_.Node(1);
  const std::string alice = site_.Client("alice");
  const TlsPtr server = Server(directory);
  const uint64_t first = server->generation();
  ASSERT_TRUE(server->Refresh().ok());
  EXPECT_EQ(server->generation(), first);
  ASSERT_TRUE(Call(server.get(), alice).ok());

  // A key that does not belong to the certificate: half of a replacement.
  std::filesystem::copy_file(site_.Node(1) + "/tls.key", directory + "/tls.key",
                             std::filesystem::copy_options::overwrite_existing);
  const Status half = server->Refresh();
  EXPECT_THAT(half.message(), HasSubstr("not the key of the first certificate"));
  EXPECT_TRUE(server->Refresh().ok()) << "the same files are named once";
  EXPECT_EQ(server->refusal(), half.message()) << "but they still do not count";
  EXPECT_EQ(server->generation(), first);

  ASSERT_TRUE(site_.authority().Issue({{0xc1, 1, ""}, {}, 60}, directory).ok());
  EXPECT_TRUE(server->Refresh().ok());
  EXPECT_EQ(server->refusal(), "");
  EXPECT_EQ(server->generation(), first + 1);
  EXPECT_EQ(server->expires_s(), kNow + 60 * kDay);

  // A certificate of another node does not make this process that node.
  ASSERT_TRUE(site_.authority().Issue({{0xc1, 2, ""}, {}, 60}, directory).ok());
  EXPECT_THAT(server->Refresh().message(), HasSubstr("names node 2"));
  EXPECT_EQ(server->own_name()->node_id, 1u);
}

TEST_F(TlsTest, ARevokedCallerIsRefusedOnceTheListIsThere) {
  const std::string directory = site_.Node(1);
  const std::string alice = site_.Client("alice");
  ASSERT_TRUE(site_.authority().Revoke(site_.serial()).ok());
  const TlsPtr server = Server(directory);
  ASSERT_TRUE(Call(server.get(), alice).ok());
  std::filesystem::copy_file(site_.directory() + "/site/ca.crl", directory + "/ca.crl",
                             std::filesystem::copy_options::overwrite_existing);
  ASSERT_TRUE(server->Refresh().ok());
  EXPECT_THAT(Call(server.get(), alice).status().message(), HasSubstr("is revoked"));
}

TEST_F(TlsTest, AKeyThatOthersReadIsRefused) {
  const std::string directory = site_.Node(1);
  ASSERT_EQ(chmod((directory + "/tls.key").c_str(), 0644), 0);
  const Status refused = Tls::ForServer(directory, &clock_).status();
  EXPECT_THAT(refused.message(), HasSubstr("chmod 600"));
  EXPECT_THAT(refused.message(), HasSubstr("0644"));
}

TEST_F(TlsTest, WhatIsMissingIsNamed) {
  const std::string directory = site_.Node(1);
  ASSERT_EQ(unlink((directory + "/tls.key").c_str()), 0);
  EXPECT_THAT(Tls::ForServer(directory, &clock_).status().message(), HasSubstr("belong together"));
  ASSERT_EQ(unlink((directory + "/tls.crt").c_str()), 0);
  EXPECT_THAT(Tls::ForServer(directory, &clock_).status().message(), HasSubstr("are missing"));
  EXPECT_TRUE(Tls::ForClient(directory, &clock_).ok());
  ASSERT_EQ(unlink((directory + "/ca.crt").c_str()), 0);
  EXPECT_THAT(Tls::ForClient(directory, &clock_).status().message(),
              HasSubstr("ca.crt is missing"));
}

TEST_F(TlsTest, APrincipalsCertificateServesNobody) {
  const Status refused = Tls::ForServer(site_.Client("alice"), &clock_).status();
  EXPECT_THAT(refused.message(), HasSubstr("of no use"));
}

// The operator must find a process that says what is wrong, and not one that has ended.
TEST_F(TlsTest, AServerStartsWithAnExpiredCertificate) {
  const std::string directory = site_.Node(1, 10);
  clock_.Advance(std::chrono::hours(24 * 20));
  EXPECT_EQ(Server(directory)->expires_s(), kNow + 10 * kDay);
}

TEST_F(TlsTest, ASecondProcessMayNotUseTheAuthority) {
  const Status second = Authority::Open(site_.directory() + "/site", clock_).status();
  EXPECT_EQ(second.code(), StatusCode::kFailedPrecondition);
}

TEST_F(TlsTest, SecretsAreReadableByTheirOwnerAlone) {
  const std::string node = site_.Node(1);
  for (const std::string& path : {node + "/tls.key", site_.directory() + "/site/root.key",
                                  site_.directory() + "/site/issuing.key"}) {
    struct stat facts {};
    ASSERT_EQ(stat(path.c_str(), &facts), 0) << path;
    EXPECT_EQ(facts.st_mode & 0777, 0600u) << path;
  }
}

}  // namespace
}  // namespace cairn::security
