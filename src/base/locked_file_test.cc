#include "base/locked_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

namespace cairn {
namespace {

namespace fs = std::filesystem;

class LockedFileTest : public ::testing::Test {
 protected:
  LockedFileTest() { fs::create_directory(directory_); }
  ~LockedFileTest() override { fs::remove_all(directory_); }

  const std::string directory_ =
      ::testing::TempDir() + "locked_file_test." + std::to_string(::getpid());
  const std::string path_ = directory_ + "/file";
};

TEST_F(LockedFileTest, OneHolderAtATime) {
  auto first = LockedFile::Acquire(path_);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(LockedFile::Acquire(path_).status().code(), StatusCode::kFailedPrecondition);
  first->reset();
  EXPECT_TRUE(LockedFile::Acquire(path_).ok());
}

TEST_F(LockedFileTest, ANewFileOfTheNameIsFreeAfterARename) {
  const auto first = LockedFile::Acquire(path_);
  ASSERT_TRUE(first.ok()) << first.status();
  fs::rename(path_, path_ + ".done");
  const auto second = LockedFile::Acquire(path_);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(LockedFile::Acquire(path_ + ".done").status().code(), StatusCode::kFailedPrecondition);
}

TEST_F(LockedFileTest, ALinkInTheFilesPlaceIsNotFollowed) {
  fs::create_symlink(directory_ + "/elsewhere", path_);
  EXPECT_FALSE(LockedFile::Acquire(path_).ok());
  EXPECT_FALSE(fs::exists(directory_ + "/elsewhere"));
}

}  // namespace
}  // namespace cairn
