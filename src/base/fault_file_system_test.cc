#include "base/fault_file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn {
namespace {

using Fault = FaultFileSystem::Fault;
using Unsynced = FaultFileSystem::Unsynced;

class FaultFileSystemTest : public testing::Test {
 protected:
  FaultFileSystemTest() { EXPECT_TRUE(fs_.CreateDirectories("d").ok()); }
  std::unique_ptr<File> Open(const std::string& path, bool create = true) {
    auto file = fs_.Open(path, create);
    EXPECT_TRUE(file.ok()) << file.status();
    return std::move(file).value();
  }
  // A file whose name and content are durable.
  std::unique_ptr<File> Durable(const std::string& path, const std::string& content) {
    auto file = Open(path);
    EXPECT_TRUE(file->WriteAt(0, content).ok());
    EXPECT_TRUE(file->Sync().ok());
    EXPECT_TRUE(fs_.SyncDirectory("d").ok());
    return file;
  }

  FaultFileSystem fs_{1};
};

TEST_F(FaultFileSystemTest, ReadsSeeWhatWasWrittenAndACrashDropsWhatWasNotSynced) {
  auto file = Durable("d/f", "old");
  ASSERT_TRUE(file->WriteAt(0, "newer").ok());
  EXPECT_EQ(fs_.Contents("d/f"), "newer");
  EXPECT_EQ(file->ReadAt(1, 100).value(), "ewer");
  fs_.Crash(Unsynced::kDrop);
  EXPECT_EQ(fs_.Contents("d/f"), "old");
  EXPECT_FALSE(file->ReadAt(0, 1).ok()) << "files of before the crash are dead";
}

TEST_F(FaultFileSystemTest, ANameIsDurableOnlyAfterItsDirectoryIsSynced) {
  auto file = Open("d/a");
  ASSERT_TRUE(file->WriteAt(0, "x").ok());
  ASSERT_TRUE(file->Sync().ok());
  fs_.Crash(Unsynced::kDrop);
  EXPECT_FALSE(fs_.Exists("d/a").value());

  Durable("d/a", "x");
  ASSERT_TRUE(fs_.Rename("d/a", "d/b").ok());
  EXPECT_TRUE(fs_.Exists("d/b").value());
  fs_.Crash(Unsynced::kDrop);
  EXPECT_EQ(fs_.List("d").value(), std::vector<std::string>{"a"}) << "the rename is lost";

  ASSERT_TRUE(fs_.Rename("d/a", "d/b").ok());
  ASSERT_TRUE(fs_.SyncDirectory("d").ok());
  ASSERT_TRUE(fs_.Remove("d/b").ok());
  fs_.Crash(Unsynced::kDrop);
  EXPECT_EQ(fs_.Contents("d/b"), "x") << "the removal is lost";
}

TEST_F(FaultFileSystemTest, ACrashKeepsAnySubsetOfTheRenamesThatWereNotSynced) {
  std::set<std::vector<std::string>> found;
  for (int i = 0; i < 100; ++i) {
    for (const char* name : {"d/a", "d/b", "d/A", "d/B"}) (void)fs_.Remove(name);
    Durable("d/a", "x");
    Durable("d/b", "x");
    ASSERT_TRUE(fs_.SyncDirectory("d").ok());
    ASSERT_TRUE(fs_.Rename("d/a", "d/A").ok());
    ASSERT_TRUE(fs_.Rename("d/b", "d/B").ok());
    fs_.Crash(Unsynced::kKeepRandom);
    found.insert(fs_.List("d").value());
  }
  EXPECT_THAT(found, testing::UnorderedElementsAre(
                         testing::ElementsAre("a", "b"), testing::ElementsAre("A", "b"),
                         testing::ElementsAre("B", "a"), testing::ElementsAre("A", "B")));
}

TEST_F(FaultFileSystemTest, ACrashKeepsWholeSectorsOrTornPrefixes) {
  const std::string old_content(8 * 512, 'o'), new_content(8 * 512, 'n');
  std::set<std::string> random, torn;
  for (int i = 0; i < 50; ++i) {
    for (const Unsynced unsynced : {Unsynced::kKeepRandom, Unsynced::kTorn}) {
      Durable("d/f", old_content)->WriteAt(0, new_content).ok();
      fs_.Crash(unsynced);
      std::string shape;
      const std::string now = fs_.Contents("d/f");
      for (size_t at = 0; at < now.size(); at += 512) {
        ASSERT_EQ(now.substr(at, 512), std::string(512, now[at]));
        shape.push_back(now[at]);
      }
      (unsynced == Unsynced::kTorn ? torn : random).insert(shape);
    }
  }
  EXPECT_GT(random.size(), 30U);
  EXPECT_EQ(torn.size(), 9U);
  for (const std::string& shape : torn) EXPECT_TRUE(std::is_sorted(shape.begin(), shape.end()));
}

TEST_F(FaultFileSystemTest, AFailedSyncLeavesDataThatIsReadButNeverStored) {
  auto file = Durable("d/f", "old");
  ASSERT_TRUE(file->WriteAt(0, "new").ok());
  fs_.Inject(1, Fault::kFailOnce);
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_TRUE(file->Sync().ok()) << "the second one says it is fine";
  EXPECT_EQ(fs_.Contents("d/f"), "new");
  fs_.KillProcess();
  EXPECT_EQ(fs_.Contents("d/f"), "new");
  fs_.Crash(Unsynced::kKeepAll);
  EXPECT_EQ(fs_.Contents("d/f"), "old");
}

TEST_F(FaultFileSystemTest, FaultsMeetTheOperationTheyAreMeantFor) {
  auto file = Durable("d/f", "old");
  fs_.Inject(2, Fault::kFailOnce);
  EXPECT_TRUE(file->WriteAt(0, "a").ok());
  EXPECT_FALSE(file->WriteAt(0, "b").ok());
  EXPECT_TRUE(file->WriteAt(0, "c").ok());
  fs_.Inject(1, Fault::kFailForever);
  EXPECT_FALSE(fs_.Rename("d/f", "d/g").ok());
  EXPECT_FALSE(file->Sync().ok());
  fs_.ClearFaults();
  EXPECT_TRUE(file->Sync().ok());
  fs_.Inject(1, Fault::kPowerCut);
  EXPECT_FALSE(file->Sync().ok());
  EXPECT_FALSE(fs_.Open("d/f", false).ok());
  fs_.Crash(Unsynced::kDrop);
  EXPECT_TRUE(fs_.Open("d/f", false).ok());
}

TEST_F(FaultFileSystemTest, AFullDiskRefusesWhatDoesNotFit) {
  auto file = Durable("d/f", "12345678");
  fs_.SetCapacity(10);
  EXPECT_EQ(fs_.FreeBytes("d").value(), 2U);
  EXPECT_EQ(file->WriteAt(8, "abc").code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(file->WriteAt(0, "12345678ab").ok());
  EXPECT_EQ(file->Size().value(), 10U);
}

TEST_F(FaultFileSystemTest, ALyingDiskLosesWhatItSaidItHad) {
  auto file = Durable("d/f", "old");
  fs_.SetSyncLies(true);
  ASSERT_TRUE(file->WriteAt(0, "new").ok());
  ASSERT_TRUE(file->Sync().ok());
  fs_.Crash(Unsynced::kDrop);
  EXPECT_EQ(fs_.Contents("d/f"), "old");
}

TEST_F(FaultFileSystemTest, ASeedGivesOneBehaviour) {
  const auto run = [](uint64_t seed) {
    FaultFileSystem fs(seed);
    fs.CreateDirectories("d").ok();
    auto file = fs.Open("d/f", true).value();
    fs.SyncDirectory("d").ok();
    file->WriteAt(0, std::string(64 * 512, 'o')).ok();
    file->Sync().ok();
    file->WriteAt(0, std::string(64 * 512, 'x')).ok();
    fs.Crash(Unsynced::kKeepRandom);
    return fs.Contents("d/f");
  };
  EXPECT_EQ(run(3), run(3));
  EXPECT_NE(run(3), run(4));
}

}  // namespace
}  // namespace cairn
