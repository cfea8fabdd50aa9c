#include "tools/support_bundle.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tools/tar_file.h"

namespace cairn::tools {
namespace {

// What a command prints.
std::string Printed(const std::string& command) {
  FILE* const pipe = ::popen(command.c_str(), "r");
  std::string text;
  std::array<char, 4096> bytes{};
  for (size_t n = 0; (n = std::fread(bytes.data(), 1, bytes.size(), pipe)) > 0;) {
    text.append(bytes.data(), n);
  }
  EXPECT_EQ(::pclose(pipe), 0) << command;
  return text;
}

class SupportBundle : public testing::Test {
 protected:
  SupportBundle() {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  ~SupportBundle() override { std::filesystem::remove_all(directory_); }

  const std::string directory_ = testing::TempDir() + "/bundle_" +
                                 testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(SupportBundle, TarReadsTheArchive) {
  TarFile tar;
  tar.Add("a/one.txt", "first\n", 1'700'000'000);
  tar.Add("a/large.bin", std::string(100'000, 'x'), 0);
  tar.Add("a/empty", "", 5);
  std::ofstream(directory_ + "/a.tar", std::ios::binary) << tar.Finish();
  EXPECT_EQ(Printed("tar -tf " + directory_ + "/a.tar"), "a/one.txt\na/large.bin\na/empty\n");
  EXPECT_EQ(Printed("tar -xOf " + directory_ + "/a.tar a/one.txt"), "first\n");
  EXPECT_EQ(Printed("tar -xOf " + directory_ + "/a.tar a/large.bin").size(), 100'000u);
}

TEST_F(SupportBundle, IsForItsOwnerAndReplacesNothing) {
  const std::string path = directory_ + "/b.tar.zst";
  ASSERT_TRUE(WriteBundle({{"doctor.txt", "well\n"}}, path, 7).ok());
  struct stat found {};
  ASSERT_EQ(::stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  const Status again = WriteBundle({}, path, 7);
  ASSERT_FALSE(again.ok());
  EXPECT_NE(again.message().find("File exists"), std::string::npos) << again;
}

TEST_F(SupportBundle, OfADirectoryHasNamesAndSizesAndNoData) {
  const std::string data = directory_ + "/a.db.cairn";
  std::filesystem::create_directories(data + "/log");
  std::ofstream(directory_ + "/a.db") << "SECRET ROWS";
  std::ofstream(data + "/log/0001.seg") << "SECRET ENTRIES";
  std::ofstream(data + "/fenced") << "table t: the rows differ\n";
  const Result<Bundle> bundle = BundleOfDirectory(data + "/");
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  const std::string& files = bundle->at("files.txt");
  EXPECT_NE(files.find("14 bytes"), std::string::npos) << files;
  EXPECT_NE(files.find("11 bytes"), std::string::npos) << files;
  EXPECT_NE(files.find("/log/0001.seg\n"), std::string::npos);
  EXPECT_EQ(bundle->at("fenced.txt"), "table t: the rows differ\n");
  EXPECT_NE(bundle->at("disk.txt").find(" bytes free of "), std::string::npos);
  for (const auto& [name, contents] : *bundle) {
    EXPECT_EQ(contents.find("SECRET"), std::string::npos) << name;
  }
  EXPECT_FALSE(BundleOfDirectory(directory_ + "/none").ok());
}

}  // namespace
}  // namespace cairn::tools
