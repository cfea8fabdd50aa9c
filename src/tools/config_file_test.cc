#include "tools/config_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace cairn::tools {
namespace {

class ConfigFiles : public testing::Test {
 protected:
  std::string Write(const std::string& text) {
    std::string path = testing::TempDir() + "/config_" +
                       testing::UnitTest::GetInstance()->current_test_info()->name() + ".toml";
    std::ofstream(path) << text;
    return path;
  }
};

TEST_F(ConfigFiles, TheCompleteFileHasEachSettingAndItsDefault) {
  const Result<std::string> text = ConfigFileText({});
  ASSERT_TRUE(text.ok()) << text.status();
  // Each assignment that is a comment becomes one that counts.
  std::istringstream lines(*text);
  std::string uncommented;
  for (std::string line; std::getline(lines, line);) {
    const bool assigns = line.starts_with("# ") && line.find(" = ") != line.npos &&
                         FindSetting(line.substr(2, line.find(" = ") - 2)) != nullptr;
    if (assigns) uncommented += line.substr(2) + "\n";
  }
  Result<ServeOptions> options = DefaultServerSettings();
  ASSERT_TRUE(options.ok());
  const Result<ConfigFile> file = ReadConfigFile(Write(uncommented), &*options);
  ASSERT_TRUE(file.ok()) << file.status();
  std::vector<std::string> unread = file->problems;
  // The form of an address is no address.
  std::erase_if(unread, [](const std::string& p) { return p.find(" advertise: ") != p.npos; });
  EXPECT_EQ(unread, std::vector<std::string>()) << uncommented;
  for (const ServerSetting& setting : ServerSettings()) {
    if (setting.name == "advertise") continue;
    const auto entry = file->entries.find(setting.name);
    ASSERT_NE(entry, file->entries.end()) << setting.name;
    if (setting.default_text.empty()) continue;
    EXPECT_EQ(entry->second.value, setting.default_text) << setting.name;
  }
}

TEST_F(ConfigFiles, TheCompleteFileAsItIsSetsWhatWasAskedAlone) {
  const Result<std::string> text =
      ConfigFileText({{"db", "/var/lib/a \"b\".db"}, {"port", "7"}, {"log-bytes-max", "1GiB"}});
  ASSERT_TRUE(text.ok()) << text.status();
  ServeOptions options;
  const Result<ConfigFile> file = ReadConfigFile(Write(*text), &options);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->problems.empty()) << file->problems.front();
  EXPECT_EQ(file->entries.size(), 3u);
  EXPECT_EQ(options.server.db_path, "/var/lib/a \"b\".db");
  EXPECT_EQ(options.server.port, 7);
  EXPECT_EQ(options.server.log_bytes_max, 1u << 30);
}

TEST_F(ConfigFiles, AFileIsNotMadeOfWhatNoServerTakes) {
  EXPECT_FALSE(ConfigFileText({{"prot", "7"}}).ok());
  const Result<std::string> bad = ConfigFileText({{"port", "70000"}});
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.status().message().find("port: '70000' is not"), std::string::npos);
}

TEST_F(ConfigFiles, AllProblemsAreToldInTheOrderOfTheirLines) {
  ServeOptions options;
  const Result<ConfigFile> file =
      ReadConfigFile(Write("prot = 1\nport = 2\nid = \"3\"\nhost = \"a\"\nbee = 0\n"), &options);
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(file->problems.size(), 3u);
  EXPECT_NE(file->problems[0].find(":1: unknown setting 'prot'"), std::string::npos);
  EXPECT_NE(file->problems[1].find(":3: id: must be a whole number"), std::string::npos);
  EXPECT_NE(file->problems[2].find(":5: unknown setting 'bee'"), std::string::npos);
  EXPECT_NE(file->problems[2].find("cairn config default"), std::string::npos);
  EXPECT_EQ(options.server.port, 2);
}

TEST_F(ConfigFiles, TheEffectiveSettingsAreAFileAgain) {
  ServeOptions options;
  const std::string path = Write("port = 9\n[peers]\n9 = \"h:1\"\n");
  const Result<ConfigFile> file = ReadConfigFile(path, &options);
  ASSERT_TRUE(file.ok());
  const std::string text = EffectiveConfigText(*file, path);
  EXPECT_NE(text.find("port = 9  # " + path + ":1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("id = 1  # default\n"), std::string::npos) << text;
  ServeOptions again;
  const Result<ConfigFile> reread = ReadConfigFile(Write(text), &again);
  ASSERT_TRUE(reread.ok());
  EXPECT_TRUE(reread->problems.empty()) << reread->problems.front();
  EXPECT_EQ(again.server.peers, options.server.peers);
}

}  // namespace
}  // namespace cairn::tools
