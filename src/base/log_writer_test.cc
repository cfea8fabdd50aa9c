#include "base/log_writer.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/base_sink.h>

#include <algorithm>
#include <future>
#include <string>
#include <vector>

namespace cairn {
namespace {

// Takes no line until it is let go.
class HungSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  std::vector<std::string> lines() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return lines_;
  }
  std::promise<void> go;

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    gone_.wait();
    lines_.emplace_back(message.payload.data(), message.payload.size());
  }
  void flush_() override {}

 private:
  std::shared_future<void> gone_ = go.get_future().share();
  std::vector<std::string> lines_;
};

spdlog::details::log_msg Line(const std::string& text) {
  return {spdlog::source_loc{}, "n", spdlog::level::info, text};
}

// The thread that decides for a node blocked in its next line, and so did SIGTERM and /metrics.
TEST(LogWriter, NobodyWaitsForAnOutputThatHangs) {
  const auto out = std::make_shared<HungSink>();
  LogWriter writer(out, /*bytes_max=*/10'000);
  for (int i = 0; i < 1000; ++i) writer.log(Line("line " + std::to_string(i)));
  const uint64_t left_out = writer.left_out();
  EXPECT_GT(left_out, 0U);
  EXPECT_LT(left_out, 1000U);
  EXPECT_TRUE(out->lines().empty());
  out->go.set_value();
  writer.flush();
  EXPECT_EQ(writer.left_out(), left_out);
  const std::vector<std::string> lines = out->lines();
  ASSERT_EQ(lines.size(), 1001 - left_out) << "those that waited, and one that tells of the others";
  EXPECT_EQ(
      std::count(lines.begin(), lines.end(),
                 "standard error took no lines: " + std::to_string(left_out) + " were left out"),
      1);
  EXPECT_EQ(lines.back(), "line " + std::to_string(999 - left_out));
}

TEST(LogWriter, WhatWaitsIsWrittenAtTheEnd) {
  const auto out = std::make_shared<HungSink>();
  out->go.set_value();
  {
    LogWriter writer(out, 1 << 20);
    for (int i = 0; i < 100; ++i) writer.log(Line("line"));
  }
  EXPECT_EQ(out->lines().size(), 100U);
}

TEST(LogWriter, AnOutputThatHangsHoldsUpNoEnd) {
  const auto out = std::make_shared<HungSink>();
  {
    LogWriter writer(out, 1 << 20);
    writer.log(Line("line"));
    writer.flush();
  }
  out->go.set_value();
}

}  // namespace
}  // namespace cairn
