// A site for tests: an authority in a directory of its own, and certificates of it.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "security/authority.h"
#include "security/tls_files.h"

namespace cairn::security {

class TestSite {
 public:
  explicit TestSite(uint64_t cluster_id = 0xc1, const Clock& clock = SystemClock())
      : authority_(Authority::Init(Make() + "/site", cluster_id, clock)) {
    EXPECT_TRUE(authority_.ok()) << authority_.status();
  }
  ~TestSite() { std::filesystem::remove_all(directory_); }
  TestSite(const TestSite&) = delete;
  TestSite& operator=(const TestSite&) = delete;

  const std::string& directory() const { return directory_; }
  Authority& authority() { return *authority_; }

  // Each returns a TLS directory.
  std::string Node(uint64_t id, int64_t days = 30) {
    return Issue({{authority_->cluster_id(), id, ""}, {"127.0.0.1", "localhost"}, days});
  }
  std::string Client(const std::string& name, int64_t days = 30) {
    return Issue({{authority_->cluster_id(), 0, name}, {}, days});
  }
  std::string Issue(const Authority::Request& request) {
    std::string out = directory_ + "/" + std::to_string(++issued_);
    const Result<Authority::Issued> made = authority_->Issue(request, out);
    EXPECT_TRUE(made.ok()) << made.status();
    if (made.ok()) serial_ = made->serial;
    return out;
  }
  // Of the certificate that was issued last.
  const std::string& serial() const { return serial_; }

 private:
  const std::string& Make() {
    char name[] = "/tmp/cairn-site-XXXXXX";
    directory_ = mkdtemp(name);
    return directory_;
  }

  std::string directory_;
  Result<Authority> authority_;
  int issued_ = 0;
  std::string serial_;
};

inline TlsFiles FilesOf(const std::string& directory) {
  Result<TlsFiles> files = ReadTlsFiles(directory);
  EXPECT_TRUE(files.ok()) << files.status();
  return files.ok() ? *std::move(files) : TlsFiles();
}

}  // namespace cairn::security
