#include "base/file_system.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/fault_file_system.h"

namespace cairn {
namespace {

class PosixFileSystemTest : public testing::Test {
 protected:
  PosixFileSystemTest() {
    std::string pattern = testing::TempDir() + "cairn_fs_XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~PosixFileSystemTest() override { std::filesystem::remove_all(directory_); }
  std::string Path(const std::string& name) const { return directory_ + "/" + name; }

  FileSystem& fs_ = PosixFileSystem();
  std::string directory_;
};

TEST_F(PosixFileSystemTest, WhatIsWrittenIsRead) {
  auto file = fs_.Open(Path("f"), /*create=*/true);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->WriteAt(3, "abc").ok());
  ASSERT_TRUE((*file)->Sync().ok());
  EXPECT_EQ((*file)->Size().value(), 6U);
  EXPECT_EQ((*file)->ReadAt(0, 100).value(), std::string("\0\0\0abc", 6)) << "short at the end";
  EXPECT_EQ((*file)->ReadAt(4, 1).value(), "b");
  EXPECT_EQ((*file)->ReadAt(6, 1).value(), "");
  ASSERT_TRUE((*file)->Truncate(4).ok());
  EXPECT_EQ((*file)->Size().value(), 4U);
  auto again = fs_.Open(Path("f"), /*create=*/true);
  EXPECT_EQ((*again)->Size().value(), 4U) << "opening with create keeps what is there";
}

TEST_F(PosixFileSystemTest, ErrorsNameThePathAndHaveAFittingCode) {
  const auto missing = fs_.Open(Path("none"), /*create=*/false);
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
  EXPECT_NE(missing.status().message().find(Path("none")), std::string::npos);
  EXPECT_EQ(fs_.List(Path("none")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(fs_.Rename(Path("none"), Path("x")).code(), StatusCode::kNotFound);
  EXPECT_TRUE(fs_.Remove(Path("none")).ok()) << "removing what is not there is no error";
}

TEST_F(PosixFileSystemTest, AWriteToAFullDeviceIsResourceExhausted) {
  auto full = fs_.Open("/dev/full", /*create=*/false);
  if (!full.ok()) GTEST_SKIP() << "no /dev/full here";
  EXPECT_EQ((*full)->WriteAt(0, "x").code(), StatusCode::kResourceExhausted);
}

TEST_F(PosixFileSystemTest, DirectoriesAreMadeListedAndSynced) {
  ASSERT_TRUE(fs_.CreateDirectories(Path("a/b/c")).ok());
  ASSERT_TRUE(fs_.CreateDirectories(Path("a/b/c")).ok()) << "they may be there";
  ASSERT_TRUE(fs_.Open(Path("a/z"), true).ok());
  ASSERT_TRUE(fs_.Open(Path("a/m"), true).ok());
  ASSERT_TRUE(fs_.SyncDirectory(Path("a")).ok());
  EXPECT_EQ(fs_.List(Path("a")).value(), (std::vector<std::string>{"b", "m", "z"}));
  EXPECT_TRUE(fs_.Exists(Path("a/m")).value());
  EXPECT_FALSE(fs_.Exists(Path("a/n")).value());
  ASSERT_TRUE(fs_.Rename(Path("a/m"), Path("a/n")).ok());
  ASSERT_TRUE(fs_.Remove(Path("a/z")).ok());
  EXPECT_EQ(fs_.List(Path("a")).value(), (std::vector<std::string>{"b", "n"}));
  EXPECT_GT(fs_.FreeBytes(Path("a")).value(), 0U);
}

TEST_F(PosixFileSystemTest, AWholeFileIsWrittenAtomicallyAndReadWithABound) {
  ASSERT_TRUE(WriteFileAtomically(fs_, Path("f"), "a longer first content").ok());
  ASSERT_TRUE(WriteFileAtomically(fs_, Path("f"), "second").ok());
  EXPECT_EQ(ReadWholeFile(fs_, Path("f"), 6).value(), "second");
  EXPECT_EQ(ReadWholeFile(fs_, Path("f"), 5).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(fs_.List(directory_).value(), std::vector<std::string>{"f"}) << "nothing left over";
}

TEST(WriteFileAtomically, ACrashAtAnyOperationLeavesTheOldOrTheNewContent) {
  using Fault = FaultFileSystem::Fault;
  for (const auto unsynced :
       {FaultFileSystem::Unsynced::kDrop, FaultFileSystem::Unsynced::kKeepRandom,
        FaultFileSystem::Unsynced::kTorn, FaultFileSystem::Unsynced::kKeepAll}) {
    for (const Fault fault : {Fault::kPowerCut, Fault::kFailOnce}) {
      for (uint64_t k = 1; k <= 7; ++k) {
        FaultFileSystem fs(k);
        ASSERT_TRUE(fs.CreateDirectories("d").ok());
        const std::string old_content(2000, 'o'), new_content(3000, 'n');
        ASSERT_TRUE(WriteFileAtomically(fs, "d/f", old_content).ok());
        fs.Inject(k, fault);
        const bool done = WriteFileAtomically(fs, "d/f", new_content).ok();
        fs.Crash(unsynced);
        const std::string now = ReadWholeFile(fs, "d/f", 1 << 20).value();
        EXPECT_TRUE(now == new_content || (!done && now == old_content)) << "operation " << k;
      }
    }
  }
}

}  // namespace
}  // namespace cairn
