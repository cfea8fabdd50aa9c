#include "tools/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace cairn::tools {
namespace {

using testing::ElementsAre;

TEST(Audit, TellsTimesFromHowLongAgo) {
  constexpr int64_t kNowMs = 1'796'000'000'000;
  EXPECT_EQ(ParseSince("90m", kNowMs).value(), kNowMs - 90 * 60'000);
  EXPECT_EQ(ParseSince("2h", kNowMs).value(), kNowMs - 2 * 3'600'000);
  EXPECT_EQ(ParseSince("7d", kNowMs).value(), kNowMs - 7 * 86'400'000);
  EXPECT_EQ(ParseSince("2026-12-01", kNowMs).value(), 1'796'083'200'000);
  EXPECT_EQ(ParseSince("2026-12-01T01:00", kNowMs).value(), 1'796'086'800'000);
  EXPECT_EQ(ParseSince("2026-12-01T01:00:01Z", kNowMs).value(), 1'796'086'801'000);
  for (const char* bad : {"", "7", "7w", "d", "-1d", "yesterday", "2026-12-01T25", "2026-12-01x"}) {
    EXPECT_EQ(ParseSince(bad, kNowMs).status().code(), StatusCode::kInvalidArgument) << bad;
  }
}

TEST(Audit, FindsAnchorsInALog) {
  const std::string hash(64, 'a');
  EXPECT_THAT(
      AnchorsIn("12:00:01 I audit head changes=3:" + hash + " denied=12:" + hash + "\n"),
      ElementsAre(AuditAnchor{"changes", "3:" + hash}, AuditAnchor{"denied", "12:" + hash}));
  EXPECT_THAT(AnchorsIn("7:" + hash), ElementsAre(AuditAnchor{"changes", "7:" + hash}));
  EXPECT_TRUE(AnchorsIn("12:00:01 nothing").empty());
}

}  // namespace
}  // namespace cairn::tools
