#include "server/principal.h"

#include <gtest/gtest.h>

namespace cairn::server {
namespace {

TEST(Principal, IsTheHostThatAClientConnectsFromWhateverItsPort) {
  EXPECT_EQ(PrincipalOfPeer("ipv4:192.0.2.7:51000"), "host:192.0.2.7");
  EXPECT_EQ(PrincipalOfPeer("ipv6:%5B::ffff:192.0.2.7%5D:51000"), "host:192.0.2.7");
  EXPECT_EQ(PrincipalOfPeer("ipv6:[::1]:51000"), "host:::1");
  EXPECT_EQ(PrincipalOfPeer("unix:/run/socket"), "host:local");
  EXPECT_EQ(PrincipalOfPeer(""), "host:local");
}

// Otherwise one host would count as up to 2^64 clients, one for each of its addresses.
TEST(Principal, OfIpv6IsTheNetworkOfTheHost) {
  const std::string network = "host:2001:db8:1:2::/64";
  EXPECT_EQ(PrincipalOfPeer("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:51000"), network);
  EXPECT_EQ(PrincipalOfPeer("ipv6:[2001:db8:1:2:ffff::1]:51001"), network);
  EXPECT_EQ(PrincipalOfPeer("ipv6:%5Bfe80::1%25eth0%5D:51000"), "host:fe80::/64");
}

TEST(Principal, IsWhomTheCertificateNames) {
  EXPECT_EQ(PrincipalOf({1, 0, "alice"}), "principal:alice");
  EXPECT_EQ(PrincipalOf({1, 7, ""}), "node:7");
  // No name can look like another kind.
  EXPECT_EQ(PrincipalOf({1, 0, "node"}), "principal:node");
}

TEST(Principal, AnAddressIsTheHostOfThePeer) {
  EXPECT_EQ(AddressOfPeer("ipv4:192.0.2.7:4711"), "192.0.2.7");
  EXPECT_EQ(AddressOfPeer("ipv6:%5B2001:db8::7%5D:4711"), "2001:db8::7");
  EXPECT_EQ(AddressOfPeer("unix:/tmp/x"), "local");
}

}  // namespace
}  // namespace cairn::server
