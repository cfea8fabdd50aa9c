#include "server/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn::server {
namespace {

using testing::HasSubstr;

TEST(ServerSecurity, OnlyLoopbackIsListenedOnWithoutTls) {
  ServerOptions options;
  EXPECT_TRUE(CheckOptions(options).ok());
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"}) {
    options.host = host;
    EXPECT_TRUE(CheckOptions(options).ok()) << host;
  }
  options.advertise = "hub1.example:50051";
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "hub1.example", "127.0.0.1.example"}) {
    options.host = host;
    options.insecure = false;
    const Status refused = CheckOptions(options);
    EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument) << host;
    EXPECT_THAT(refused.message(), HasSubstr("--tls-dir"));
    EXPECT_THAT(refused.message(), HasSubstr("--insecure"));
    options.insecure = true;
    EXPECT_TRUE(CheckOptions(options).ok()) << host;
  }
}

TEST(ServerSecurity, TlsIsForEveryHost) {
  ServerOptions options;
  options.tls_directory = "tls";
  EXPECT_TRUE(CheckOptions(options).ok());
  options.host = "10.0.0.1";
  EXPECT_TRUE(CheckOptions(options).ok());
  options.insecure = true;
  EXPECT_THAT(CheckOptions(options).message(), HasSubstr("contradict"));
}

}  // namespace
}  // namespace cairn::server
