#include "server/data_directory.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "node/boot_file.h"

namespace cairn::server {
namespace {

class DataDirectoryTest : public ::testing::Test {
 protected:
  DataDirectoryTest() {
    std::string path = std::filesystem::temp_directory_path() / "cairn_data_directory_XXXXXX";
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    directory_ = path;
    database_ = directory_ + "/a.db";
  }
  ~DataDirectoryTest() override { std::filesystem::remove_all(directory_); }

  // Data of a node, which are then found to be a copy.
  void MakeCopy(const std::string& content) {
    std::filesystem::create_directories(database_ + ".cairn");
    std::ofstream(database_) << content;
    EXPECT_TRUE(node::RememberCopy(fs_, database_ + ".cairn", "a copy").ok());
  }
  Status Open() { return DataDirectory::Open(fs_, database_, 1, /*lists_others=*/true).status(); }
  static std::string Read(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

  FileSystem& fs_ = PosixFileSystem();
  std::string directory_;
  std::string database_;
};

TEST_F(DataDirectoryTest, DataPutAsideLaterDoNotTakeThePlaceOfTheFirst) {
  for (const char* content : {"first", "second", "third", "fourth", "fifth"}) {
    MakeCopy(content);
    const Status opened = Open();
    ASSERT_TRUE(opened.ok()) << opened;
    EXPECT_FALSE(std::filesystem::exists(database_));
  }
  EXPECT_EQ(Read(database_ + ".copy"), "first");
  EXPECT_EQ(Read(database_ + ".copy2"), "second");
  EXPECT_EQ(Read(database_ + ".copy3"), "third");
  EXPECT_EQ(Read(database_ + ".copy4"), "fifth") << "the last gives way: their number is bounded";
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/a.db.copy4.cairn"));
  EXPECT_FALSE(std::filesystem::exists(database_ + ".copy5"));
}

// The next start goes on with the set that the one before has begun.
TEST_F(DataDirectoryTest, AStartThatWasCutShortWhileItPutDataAsideIsTakenUp) {
  MakeCopy("first");
  std::filesystem::rename(database_, database_ + ".copy");
  const Status opened = Open();
  ASSERT_TRUE(opened.ok()) << opened;
  EXPECT_EQ(Read(database_ + ".copy"), "first");
  EXPECT_FALSE(std::filesystem::exists(database_ + ".copy2"));
  EXPECT_TRUE(std::filesystem::exists(directory_ + "/a.db.copy.cairn"));
}

}  // namespace
}  // namespace cairn::server
