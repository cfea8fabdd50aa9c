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

// A disk of `bytes`, on which the databases in `directory` take room.
class FullerDisk final : public FileSystem {
 public:
  FullerDisk(std::string directory, uint64_t bytes)
      : directory_(std::move(directory)), bytes_(bytes) {}
  Result<std::unique_ptr<File>> Open(const std::string& path, bool create) override {
    return real_.Open(path, create);
  }
  Result<bool> Exists(const std::string& path) override { return real_.Exists(path); }
  Result<std::vector<std::string>> List(const std::string& path) override {
    return real_.List(path);
  }
  Result<uint64_t> SizeOf(const std::string& path) override { return real_.SizeOf(path); }
  Status CreateDirectories(const std::string& path) override {
    return real_.CreateDirectories(path);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    return real_.Rename(from, to);
  }
  Status Remove(const std::string& path) override { return real_.Remove(path); }
  Status SyncDirectory(const std::string& path) override { return real_.SyncDirectory(path); }
  Result<uint64_t> FreeBytes(const std::string&) override {
    uint64_t used = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      if (entry.is_regular_file()) used += entry.file_size();
    }
    return used < bytes_ ? bytes_ - used : 0;
  }

 private:
  FileSystem& real_ = PosixFileSystem();
  const std::string directory_;
  const uint64_t bytes_;
};

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

// Four sets of a database of 2 GB once stayed on a disk that had no room for the fifth.
TEST_F(DataDirectoryTest, DataPutAsideMakeRoomForTheDatabaseThatComesTheOldestFirst) {
  FullerDisk disk(directory_, /*bytes=*/350);
  const auto open = [&] {
    return DataDirectory::Open(disk, database_, 1, /*lists_others=*/true, /*free_bytes_min=*/10)
        .status();
  };
  for (const char letter : {'1', '2'}) {
    MakeCopy(std::string(100, letter));
    ASSERT_TRUE(open().ok());
  }
  EXPECT_EQ(Read(database_ + ".copy")[0], '1');
  EXPECT_EQ(Read(database_ + ".copy2")[0], '2');
  MakeCopy(std::string(100, '3'));
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(Read(database_ + ".copy")[0], '3') << "the oldest gave its place";
  EXPECT_EQ(Read(database_ + ".copy2")[0], '2');
  EXPECT_FALSE(std::filesystem::exists(database_ + ".copy3"));
  MakeCopy(std::string(200, '4'));
  ASSERT_TRUE(open().ok());
  for (const char* set : {".copy", ".copy2", ".copy3"}) {
    EXPECT_FALSE(std::filesystem::exists(database_ + set)) << "not even the newest one fits";
  }
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/a.db.copy.cairn"));
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
