#include "base/log_sink.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <algorithm>
#include <sstream>

namespace cairn {
namespace {

using std::chrono::milliseconds;

class LogSinkTest : public testing::Test {
 protected:
  void Open(LogBounds bounds) {
    sink_ =
        std::make_shared<LogSink>(std::make_shared<spdlog::sinks::ostream_sink_st>(out_), bounds);
    sink_->set_pattern("%l %v");
  }
  // A line at that time since the beginning.
  void Log(milliseconds at, const std::string& text,
           spdlog::level::level_enum level = spdlog::level::info) {
    sink_->log({spdlog::log_clock::time_point(std::chrono::hours(1)) + at, spdlog::source_loc{},
                "n", level, text});
  }
  size_t lines() const {
    const std::string text = out_.str();
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  std::ostringstream out_;
  std::shared_ptr<LogSink> sink_;
};

TEST_F(LogSinkTest, ABurstIsWrittenWholeAndAFloodIsNot) {
  Open({.lines_per_second = 10, .burst_lines = 100, .recent_bytes = 1 << 20});
  for (int i = 0; i < 1000; ++i) Log(milliseconds(0), "line " + std::to_string(i));
  EXPECT_EQ(lines(), 100u);
  EXPECT_EQ(sink_->left_out(), 900u);
  // After a second there is room again, and one line tells of the gap.
  Log(milliseconds(1000), "later");
  EXPECT_NE(out_.str().find("warning too many lines came: 900 were left out\ninfo later\n"),
            std::string::npos);
  EXPECT_EQ(sink_->left_out(), 900u);
}

TEST_F(LogSinkTest, ASteadyLogIsWrittenWhole) {
  Open({.lines_per_second = 10, .burst_lines = 100, .recent_bytes = 1 << 20});
  for (int i = 0; i < 1000; ++i) Log(milliseconds(100 * i), "line");
  EXPECT_EQ(lines(), 1000u);
  EXPECT_EQ(sink_->left_out(), 0u);
}

TEST_F(LogSinkTest, AFloodHidesNoErrors) {
  Open({.lines_per_second = 10, .burst_lines = 100, .reserve_lines = 5, .recent_bytes = 1 << 20});
  for (int i = 0; i < 1000; ++i) Log(milliseconds(0), "refused", spdlog::level::warn);
  Log(milliseconds(0), "more");
  Log(milliseconds(0), "fenced", spdlog::level::err);
  EXPECT_EQ(lines(), 107u) << out_.str();
  EXPECT_EQ(out_.str().find("info more"), std::string::npos);
  EXPECT_NE(out_.str().find("error fenced\n"), std::string::npos);
}

TEST_F(LogSinkTest, TheLastLinesAreKept) {
  Open({.lines_per_second = 1000, .burst_lines = 1000, .recent_bytes = 50});
  for (int i = 0; i < 100; ++i) Log(milliseconds(i), "line " + std::to_string(i));
  EXPECT_EQ(sink_->Recent(),
            (std::vector<std::string>{"info line 97\n", "info line 98\n", "info line 99\n"}));
}

TEST_F(LogSinkTest, AClockThatIsSetBackRefillsNothing) {
  Open({.lines_per_second = 10, .burst_lines = 5, .recent_bytes = 1 << 20});
  for (int i = 0; i < 5; ++i) Log(milliseconds(10'000), "before");
  Log(milliseconds(0), "after");
  EXPECT_EQ(lines(), 5u);
  Log(milliseconds(200), "after");
  EXPECT_NE(out_.str().find("info after"), std::string::npos);
}

}  // namespace
}  // namespace cairn
