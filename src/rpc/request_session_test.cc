#include "rpc/request_session.h"

#include <gtest/gtest.h>

namespace cairn::rpc {
namespace {

TEST(RequestSession, AcknowledgesOnlyWhatIsBelowEveryOpenRequest) {
  RequestSession session;
  const std::string name = session.name();
  EXPECT_EQ(name.size(), 32U);
  EXPECT_EQ(session.Begin(), 2U);
  EXPECT_EQ(session.Begin(), 3U);
  EXPECT_EQ(session.Begin(), 4U);
  session.Finished(name, 3);
  EXPECT_EQ(session.acknowledged_below(), 2U);
  session.Finished(name, 2);
  EXPECT_EQ(session.acknowledged_below(), 4U);
  session.Finished(name, 4);
  EXPECT_EQ(session.acknowledged_below(), 5U);
}

TEST(RequestSession, ARenewedSessionIsNotTouchedByLateNewsOfTheOld) {
  RequestSession session;
  const std::string old = session.name();
  session.Begin();
  session.Renew();
  EXPECT_NE(session.name(), old);
  EXPECT_EQ(session.state(), RequestSession::State::kNew);
  EXPECT_EQ(session.Begin(), 2U);
  session.Finished(old, 2);
  EXPECT_EQ(session.acknowledged_below(), 2U);
}

}  // namespace
}  // namespace cairn::rpc
