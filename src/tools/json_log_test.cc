#include "tools/json_log.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "base/log.h"

namespace cairn::tools {
namespace {

// What the log gives for the message, on a logger of the test's own.
std::string LineOf(const std::string& message) {
  const auto former = spdlog::default_logger();
  EXPECT_TRUE(InitJsonLog("node \"2\"", "info"));
  std::ostringstream out;
  const auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(out);
  const auto made = spdlog::default_logger();
  made->sinks() = {sink};
  UseJsonFormat(made.get());
  LOG_WARN("{}", message);
  spdlog::set_default_logger(former);
  return out.str();
}

TEST(JsonLog, ALineIsOneObject) {
  const std::string line = LineOf("became leader term=3");
  ASSERT_EQ(line.find('\n'), line.size() - 1);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json["level"], "warning");
  EXPECT_EQ(json["name"], "node \"2\"");
  EXPECT_EQ(json["message"], "became leader term=3");
  const std::string time = json["time"];
  EXPECT_EQ(time.size(), std::string("2026-11-30T18:00:00.123Z").size());
}

TEST(JsonLog, AnyBytesMakeSoundJson) {
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  const std::string line = LineOf(all + "\"\\ \xc3\xa9");
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const std::string message = nlohmann::json::parse(line)["message"];
  EXPECT_NE(message.find("\"\\ \xc3\xa9"), std::string::npos);
}

TEST(JsonLog, AnUnknownLevelIsRefused) { EXPECT_FALSE(InitJsonLog("node 1", "loud")); }

}  // namespace
}  // namespace cairn::tools
