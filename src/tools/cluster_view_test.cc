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

TEST(ClusterView, AMemberThatIsDownIsToldInPlainWords) {
  FakeNode node(std::make_shared<FakeDatabase>());
  NodeClient client(node.address());
  const auto rows = MembersTable(&client, std::chrono::seconds(10));
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 2U);
  EXPECT_EQ(std::get<std::string>(rows->back()[4]), "unreachable");
  EXPECT_EQ(std::get<std::string>(rows->back().back()),
            "cannot connect to 127.0.0.1:1: is a node running there?");
}

TEST(ClusterView, AnErrorSaysWhetherTheStatementTookEffect) {
  const Status failed = FailedPrecondition("CHECK constraint failed").With(Outcome::kApplied);
  EXPECT_NE(ErrorInWords(failed).find("it changed nothing"), std::string::npos);
  // A trigger may raise these words.
  const Status raised = Aborted("applied, but not really").With(Outcome::kApplied);
  EXPECT_NE(ErrorInWords(raised).find("it changed nothing"), std::string::npos);
  const Status untold = ResourceExhausted("its result is larger than 10 bytes")
                            .With(Outcome::kApplied)
                            .With(Reason::kResultTooLarge);
  EXPECT_EQ(ErrorInWords(untold).find("it changed nothing"), std::string::npos);
  EXPECT_NE(ErrorInWords(untold).find("do not run it again"), std::string::npos);
}

TEST(ClusterView, TheStatusShowsWhatApplyIsBusyWith) {
  v1::StatusResponse status;
  ASSERT_EQ(StatusColumns().size(), StatusRow(status).size());
  EXPECT_EQ(std::get<std::string>(StatusRow(status).back()), "");
  v1::BusyApply* const busy = status.mutable_busy_apply();
  busy->set_index(7);
  busy->set_command(2);
  busy->set_session("app");
  busy->set_principal("host:192.0.2.7");
  busy->set_sequence(3);
  busy->set_statement("DELETE\nFROM t");
  busy->set_for_ms(4500);
  EXPECT_EQ(std::get<std::string>(StatusRow(status).back()),
            "for 4 s with command 2 of entry 7, of host:192.0.2.7, request app/3: DELETE FROM t");
}

}  // namespace
}  // namespace cairn::tools
