#include "rpc/proto_convert.h"

#include <gtest/gtest.h>

namespace cairn::rpc {
namespace {

TEST(ProtoConvert, EveryValueComesBackAsItWent) {
  const Value values[] = {std::monostate(),
                          int64_t{INT64_MIN},
                          -0.5,
                          std::string("a\0b", 3),
                          std::string("\xc3\xa9"),
                          std::string("\xff"),
                          Blob{std::string("\0\xff", 2)},
                          std::string()};
  for (const Value& value : values) {
    v1::Value proto;
    ToProto(Value(value), &proto);
    v1::Value parsed;
    ASSERT_TRUE(parsed.ParseFromString(proto.SerializeAsString()));
    EXPECT_EQ(FromProto(&parsed), value);
  }
}

TEST(ProtoConvert, ANamedNullStaysANull) {
  v1::Statement proto;
  ToProto(Statement{"INSERT", {std::monostate()}, {{":a", std::monostate()}}}, &proto);
  EXPECT_EQ(FromProto(&proto),
            (Statement{"INSERT", {std::monostate()}, {{":a", std::monostate()}}}));
}

TEST(ProtoConvert, AnErrorKeepsCodeOutcomeAndLeader) {
  const Status status =
      Unavailable("gone").With(Outcome::kNotApplied).With(LeaderHint{3, "host:1"});
  v1::Error proto;
  ToProto(status, &proto);
  EXPECT_EQ(FromProto(proto), status);
}

TEST(ProtoConvert, TheTextOfAnErrorIsCutAndAgainByWhoPassesItOn) {
  std::string text(kErrorTextBytesMax - 10, 'x');
  for (int i = 0; i < 20; ++i) text += "\xc3\xa9";
  v1::Error error;
  ToProto(InvalidArgument(text).With(Outcome::kNotApplied), &error);
  EXPECT_LE(error.message().size(), kErrorTextBytesMax);
  EXPECT_TRUE(IsUtf8(error.message()));
  v1::Error again;
  ToProto(FromProto(error), &again);
  EXPECT_EQ(again.message(), error.message());
  EXPECT_EQ(again.detail().outcome(), v1::OUTCOME_NOT_APPLIED);
}

TEST(ProtoConvert, AnErrorOfNoKnownCodeIsNeverTakenForSuccess) {
  for (const int code : {0, -1, 17, 1000}) {
    v1::Error proto;
    proto.set_code(code);
    EXPECT_EQ(FromProto(proto).code(), StatusCode::kUnknown) << code;
    EXPECT_EQ(FromProto(proto).outcome(), Outcome::kUnknown) << code;
  }
}

TEST(ProtoConvert, AReasonCrossesTheWireAndOneThatIsNotKnownIsNone) {
  const Status status =
      FailedPrecondition("gone").With(Outcome::kNotApplied).With(Reason::kSessionExpired);
  v1::Error proto;
  ToProto(status, &proto);
  EXPECT_EQ(FromProto(proto), status);
  for (const int reason : {-1, 200, 1 << 20}) {
    proto.mutable_detail()->set_reason(static_cast<v1::Reason>(reason));
    EXPECT_EQ(FromProto(proto).reason(), Reason::kNone) << reason;
    EXPECT_EQ(FromProto(proto).code(), StatusCode::kFailedPrecondition) << reason;
  }
}

TEST(ProtoConvert, AFailureMadeByGrpcItselfGetsTheCallersOutcome) {
  const Status status =
      FromGrpc(grpc::Status(grpc::StatusCode::UNAVAILABLE, "reset"), {}, Outcome::kUnknown);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(status.outcome(), Outcome::kUnknown);
}

}  // namespace
}  // namespace cairn::rpc
