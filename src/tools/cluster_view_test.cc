#include "tools/cluster_view.h"

#include <gtest/gtest.h>

#include "tools/fake_cluster_test_util.h"

namespace cairn::tools {
namespace {

TEST(ClusterView, ANodeNamesTheOtherMembers) {
  FakeNode node(std::make_shared<FakeDatabase>());
  const auto others = OtherMembers(node.address(), std::chrono::seconds(10));
  ASSERT_TRUE(others.ok()) << others.status();
  EXPECT_EQ(*others, std::vector<std::string>{"127.0.0.1:1"});
}

TEST(ClusterView, ANodeThatDoesNotAnswerNamesNobody) {
  const auto others = OtherMembers("127.0.0.1:1", std::chrono::seconds(10));
  EXPECT_EQ(others.status().code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace cairn::tools
