#include "security/certified_name.h"

#include <gtest/gtest.h>

namespace cairn::security {
namespace {

TEST(CertifiedName, RoundTrips) {
  const CertifiedName node{0xff, 12, ""};
  EXPECT_EQ(ToUri(node), "cairn://00000000000000ff/node/12");
  EXPECT_EQ(ParseUri(ToUri(node)), node);
  const CertifiedName principal{0xab, 0, "till-2@shop.example"};
  EXPECT_EQ(ToUri(principal), "cairn://00000000000000ab/principal/till-2@shop.example");
  EXPECT_EQ(ParseUri(ToUri(principal)), principal);
  EXPECT_EQ(InWords(node), "node 12 of cluster 00000000000000ff");
}

TEST(CertifiedName, OtherSpellingsNameNobody) {
  for (const std::string uri : {
           "",
           "cairn://",
           "cairn:///node/1",
           "CAIRN://00000000000000ff/node/1",
           "cairn://ff/node/1",
           "cairn://00000000000000FF/node/1",
           "cairn://0000000000000000/node/1",
           "cairn://00000000000000ff/node/0",
           "cairn://00000000000000ff/node/01",
           "cairn://00000000000000ff/node/+1",
           "cairn://00000000000000ff/node/1 ",
           "cairn://00000000000000ff/node/1/",
           "cairn://00000000000000ff/node/1000001",
           "cairn://00000000000000ff/node/18446744073709551617",
           "cairn://00000000000000ff/node/",
           "cairn://00000000000000ff/node",
           "cairn://00000000000000ff/Node/1",
           "cairn://00000000000000ff/principal/",
           "cairn://00000000000000ff/principal/a/b",
           "cairn://00000000000000ff/principal/a b",
           "cairn://00000000000000ff/principal/../node/1",
           "cairn://user@00000000000000ff/node/1",
       }) {
    EXPECT_EQ(ParseUri(uri), std::nullopt) << uri;
  }
  EXPECT_EQ(ParseUri(std::string("cairn://00000000000000ff/principal/a\0b", 39)), std::nullopt);
  EXPECT_EQ(ParseUri("cairn://00000000000000ff/principal/" + std::string(65, 'a')), std::nullopt);
}

}  // namespace
}  // namespace cairn::security
