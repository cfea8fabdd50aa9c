#include "base/host_port.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(HostPort, TakesNamesAndAddresses) {
  EXPECT_EQ(*ParseHostPort("hub-3.local:50051"), (HostPort{"hub-3.local", 50051}));
  EXPECT_EQ(*ParseHostPort("192.168.1.7:1"), (HostPort{"192.168.1.7", 1}));
  EXPECT_EQ(*ParseHostPort("[::1]:65535"), (HostPort{"::1", 65535}));
  EXPECT_EQ(*ParseHostPort("[fe80::1%eth0]:80"), (HostPort{"fe80::1%eth0", 80}));
}

TEST(HostPort, RefusesWhatIsNone) {
  for (const char* bad : {"", "host", "host:", ":1", "host:0", "host:70000", "host:+1", "host:1x",
                          "h:1/x", "h /:1", "[]:1", "[nonsense]:1", "[::1]", "a b:1"}) {
    EXPECT_EQ(ParseHostPort(bad).status().code(), StatusCode::kInvalidArgument) << bad;
  }
  EXPECT_NE(ParseHostPort("::1:50051").status().message().find("goes in brackets"),
            std::string::npos);
}

TEST(HostPort, IsWrittenWithBracketsAroundIpv6) {
  EXPECT_EQ(JoinHostPort("::1", 5), "[::1]:5");
  EXPECT_EQ(JoinHostPort("[::1]", 5), "[::1]:5");
  EXPECT_EQ(JoinHostPort("127.0.0.1", 5), "127.0.0.1:5");
  EXPECT_EQ(JoinHostPort("node", 5), "node:5");
}

TEST(HostPort, KnowsTheAddressesThatLeadNobodyAnywhere) {
  for (const char* all : {"0.0.0.0", "::", "[::]", "0", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0", "*"}) {
    EXPECT_TRUE(IsWildcardHost(all)) << all;
  }
  for (const char* one : {"127.0.0.1", "::1", "10.0.0.1", "zero", "0.0.0.0.example"}) {
    EXPECT_FALSE(IsWildcardHost(one)) << one;
  }
  EXPECT_TRUE(CheckReachable("10.0.0.1:1").ok());
  EXPECT_FALSE(CheckReachable("[::]:1").ok());
  EXPECT_FALSE(CheckReachable("10.0.0.1").ok());
}

TEST(HostPort, KnowsLoopback) {
  for (const char* here : {"localhost", "::1", "[::1]", "127.0.0.1", "127.1.2.3"}) {
    EXPECT_TRUE(IsLoopbackHost(here)) << here;
  }
  EXPECT_FALSE(IsLoopbackHost("10.0.0.1"));
  EXPECT_FALSE(IsLoopbackHost("127.0.0.1.example"));
}

}  // namespace
}  // namespace cairn
