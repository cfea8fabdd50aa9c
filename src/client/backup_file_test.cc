#include "client/backup_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace cairn::client {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class BackupFileTest : public ::testing::Test {
 protected:
  BackupFileTest() { fs::create_directory(directory_); }
  ~BackupFileTest() override { fs::remove_all(directory_); }

  void Make(const std::string& path) { std::ofstream(path) << "old"; }
  Status Create() { return BackupFile::Create(path_).status(); }

  const std::string directory_ =
      ::testing::TempDir() + "backup_file_test." + std::to_string(::getpid());
  const std::string path_ = directory_ + "/b.db";
};

// The node would go on writing the file under no name, and would not find its data at the next start.
TEST_F(BackupFileTest, TheDatabaseOfANodeIsNotReplaced) {
  for (const char* suffix : {".cairn", "-wal", "-journal"}) {
    Make(path_ + suffix);
    const Status refused = Create();
    EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(refused.message(), HasSubstr("a database in use"));
    fs::remove(path_ + suffix);
  }
}

TEST_F(BackupFileTest, AFileThatIsNoBackupIsNotReplaced) {
  Make(path_);
  const Status refused = Create();
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), HasSubstr("is no backup"));
  EXPECT_FALSE(fs::exists(path_ + ".partial"));
}

TEST_F(BackupFileTest, ABackupWhoseMachineStoppedBeforeItsChecksumHadItsNameIsReplaced) {
  Make(path_);
  Make(path_ + ".sha256.partial");
  EXPECT_TRUE(Create().ok()) << Create();
}

TEST_F(BackupFileTest, TheBackupOfTheNameIsReplaced) {
  for (const std::string text : {"first", "second"}) {
    auto file = BackupFile::Create(path_);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE((*file)->Append(text).ok());
    ASSERT_TRUE((*file)->Commit({}).ok());
    std::string found;
    std::getline(std::ifstream(path_), found);
    EXPECT_EQ(found, text);
  }
  EXPECT_FALSE(fs::exists(path_ + ".partial"));
}

TEST_F(BackupFileTest, OneBackupOfANameAtATime) {
  const auto first = BackupFile::Create(path_);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(Create().code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace cairn::client
