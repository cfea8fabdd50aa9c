#include "transport/identity_check.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn::transport {
namespace {

Identity Member(uint64_t id) {
  Identity identity;
  identity.cluster_id = 42;
  identity.member = MemberId(id);
  identity.address = "host:1";
  return identity;
}

StatusCode Check(const Identity& caller) {
  return CheckCaller(2, caller, MemberId(2), Member(2), 2).code();
}

// The bad schedule: a peer says hello with an address of megabytes. The node keeps it, tells it to
// clients as the leader's, and writes it into the log of every member.
TEST(IdentityCheck, AHelloOfMegabytesIsRefused) {
  EXPECT_EQ(Check(Member(1)), StatusCode::kOk);
  const std::string large(1 << 20, 'x');
  Identity caller = Member(1);
  caller.address = large;
  EXPECT_EQ(Check(caller), StatusCode::kInvalidArgument);
  caller = Member(1);
  caller.engine.build = large;
  EXPECT_EQ(Check(caller), StatusCode::kInvalidArgument);
  caller = Member(1);
  caller.engine.machine = large;
  EXPECT_EQ(Check(caller), StatusCode::kInvalidArgument);
  caller = Member(1);
  caller.start.earlier.resize(1 << 20);
  EXPECT_EQ(Check(caller), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace cairn::transport
