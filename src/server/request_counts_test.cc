#include "server/request_counts.h"

#include <gtest/gtest.h>

namespace cairn::server {
namespace {

using std::chrono::milliseconds;

uint64_t Count(const RequestCounts& counts, Method method, Ending ending) {
  uint64_t count = 0;
  for (const uint64_t each : counts.times(method, ending).Read().counts) count += each;
  return count;
}

TEST(RequestCounts, ARequestIsCountedByItsEndAndItsStatus) {
  RequestCounts counts;
  ManualClock clock;
  int answered = 0;
  std::function<void(Result<int>)> done =
      counts.Count<int>(Method::kVersion, &clock, [&answered](const Result<int>&) { ++answered; });
  EXPECT_EQ(counts.in_flight(Method::kVersion), 1u);
  clock.Advance(milliseconds(3));
  done(7);
  EXPECT_EQ(answered, 1);
  EXPECT_EQ(counts.in_flight(Method::kVersion), 0u);
  EXPECT_EQ(counts.ended(Method::kVersion, StatusCode::kOk), 1u);
  EXPECT_EQ(counts.times(Method::kVersion, Ending::kOk).Read().sum, 3'000'000u);
}

TEST(RequestCounts, AWriteEndsByItsOutcomeAndAReadDoesNot) {
  RequestCounts counts;
  const auto end = [&counts](Method method, Status status) {
    counts.Begin(method);
    counts.End(method, milliseconds(1), status);
  };
  end(Method::kWrite, InvalidArgument("constraint").With(Outcome::kApplied));
  end(Method::kWrite, Unavailable("lost").With(Outcome::kUnknown));
  end(Method::kWrite, Unavailable("no leader").With(Outcome::kNotApplied));
  end(Method::kWrite, InvalidArgument("syntax"));
  end(Method::kQuery, Unavailable("no leader"));
  EXPECT_EQ(Count(counts, Method::kWrite, Ending::kFailed), 1u);
  EXPECT_EQ(Count(counts, Method::kWrite, Ending::kUnknown), 1u);
  EXPECT_EQ(Count(counts, Method::kWrite, Ending::kNotApplied), 2u);
  EXPECT_EQ(Count(counts, Method::kQuery, Ending::kFailed), 1u);
  EXPECT_EQ(counts.ended(Method::kWrite, StatusCode::kUnavailable), 2u);
  EXPECT_EQ(counts.ended(Method::kWrite, StatusCode::kInvalidArgument), 2u);
}

}  // namespace
}  // namespace cairn::server
