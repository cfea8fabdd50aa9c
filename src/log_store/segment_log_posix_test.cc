// The segment log on real files, with its background thread.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "log_store/log_format.h"
#include "log_store/log_store_test_util.h"

namespace cairn::log_store {
namespace {

class SegmentLogPosix : public testing::Test {
 protected:
  SegmentLogPosix() {
    std::string pattern = testing::TempDir() + "cairn_log_XXXXXX";
    root_ = ::mkdtemp(pattern.data());
  }
  ~SegmentLogPosix() override { std::filesystem::remove_all(root_); }
  std::unique_ptr<LogStore> Open(SegmentLogOptions options) {
    auto store = OpenSegmentLog(PosixFileSystem(), root_ + "/log", options);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? std::move(*store) : nullptr;
  }

  std::string root_;
  SegmentLogOptions options_{.segment_bytes = 64 << 10, .batch_bytes_max = 1 << 20};
};

TEST_F(SegmentLogPosix, ManySegmentsPreparedInTheBackgroundAreReadBack) {
  std::unique_ptr<LogStore> store = Open(options_);
  for (uint64_t i = 1; i <= 2000; ++i) {
    GroupWrite write{.group = kGroup,
                     .entries = {MakeEntry(i, 1 + i / 500, std::string(300, 'p'))}};
    ASSERT_OK(store->Write({write}));
    if (i % 100 == 0) ASSERT_OK(store->Sync());
    if (i == 1000) ASSERT_OK(store->Compact(kGroup, LogIndex(900), Term(2)));
  }
  const std::string before = Dump(*store);
  store.reset();
  store = Open(options_);
  EXPECT_EQ(StateOf(*store), "term=0 vote=0 commit=0 snapshot=900@2 last=2000");
  EXPECT_EQ(Dump(*store), before);
  EXPECT_EQ(store->LoadIndex(kGroup).value().size(), 1100U);
}

// The bad schedule without it: many clients connect, and no descriptor is left for the next
// segment. The log fails for good, and the node with it.
TEST_F(SegmentLogPosix, WithoutADescriptorTheLogWaitsAndGoesOn) {
  std::unique_ptr<LogStore> store = Open(options_);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit none{0, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  uint64_t next = 1;
  Status status;
  while (status.ok() && next < 1000) {
    status =
        store->Write({{.group = kGroup, .entries = {MakeEntry(next, 1, std::string(3000, 'd'))}}});
    if (status.ok()) status = store->Sync();
    if (status.ok()) ++next;
  }
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_OK(store->Write({{.group = kGroup, .entries = {MakeEntry(next, 1, "more")}}}));
  ASSERT_OK(store->Sync());
  store.reset();
  store = Open(options_);
  EXPECT_EQ(store->LoadIndex(kGroup).value().size(), next);
}

// Writes for ever and reports each index that is durable.
[[noreturn]] void WriteUntilKilled(const std::string& directory, SegmentLogOptions options,
                                   int out) {
  auto store = OpenSegmentLog(PosixFileSystem(), directory, options);
  if (!store.ok()) ::_exit(1);
  const auto groups = (*store)->Groups();
  uint64_t next = groups.contains(kGroup) ? groups.at(kGroup).last.value() + 1 : 1;
  for (;; ++next) {
    GroupWrite write{.group = kGroup, .entries = {MakeEntry(next, 1, std::string(2000, 'k'))}};
    write.hard_state =
        raft::HardState{.term = Term(next), .vote = MemberId(1), .commit = LogIndex(next - 1)};
    if (!(*store)->Write({write}).ok()) ::_exit(2);
    if (!(*store)->Sync().ok()) ::_exit(3);
    if (next > 40 && !(*store)->Compact(kGroup, LogIndex(next - 40), Term(1)).ok()) ::_exit(4);
    if (::write(out, &next, sizeof next) != sizeof next) ::_exit(5);
  }
}

TEST_F(SegmentLogPosix, OpensAfterEveryKillNineWithAllThatWasAcknowledged) {
  uint64_t acknowledged = 0;
  for (int round = 0; round < 40; ++round) {
    int fds[2];
    ASSERT_EQ(::pipe(fds), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(fds[0]);
      WriteUntilKilled(root_ + "/log", options_, fds[1]);
    }
    ::close(fds[1]);
    for (int i = 0; i < 5 + round; ++i) {
      ASSERT_EQ(::read(fds[0], &acknowledged, sizeof acknowledged), ssize_t{sizeof acknowledged});
    }
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    // What the child had reported before the signal reached it counts too.
    while (::read(fds[0], &acknowledged, sizeof acknowledged) == ssize_t{sizeof acknowledged}) {
    }
    ::close(fds[0]);
    std::unique_ptr<LogStore> store = Open(options_);
    ASSERT_NE(store, nullptr) << "round " << round;
    const GroupState state = store->Groups().at(kGroup);
    ASSERT_GE(state.last.value(), acknowledged);
    ASSERT_GE(state.hard_state.term.value(), acknowledged);
    const auto entries = store->Read(kGroup, state.snapshot_index + 1, state.last + 1, 1 << 30);
    ASSERT_TRUE(entries.ok()) << entries.status();
    ASSERT_EQ(entries->size(), state.last - state.snapshot_index);
  }
}

// The bytes of the hex dump in docs/internals/log_format.md, by offset.
std::string ReadDump(const std::string& path) {
  std::ifstream in(path);
  std::string out, line;
  while (std::getline(in, line)) {
    if (line.rfind("    0000", 0) != 0) continue;
    std::istringstream words(line.substr(0, 4 + 8 + 2 + 16 * 3));
    size_t offset = 0;
    words >> std::hex >> offset;
    unsigned byte = 0;
    while (words >> byte) {
      if (out.size() <= offset) out.resize(offset + 1, '\0');
      out[offset++] = static_cast<char>(byte);
    }
  }
  return out;
}

TEST(LogFormat, TheWorkedExampleOfTheDocumentationIsWhatIsWritten) {
  FaultFileSystem fs(1);
  SegmentLogOptions options = TestOptions(4096);
  std::unique_ptr<LogStore> store = MustOpen(fs, options);
  GroupWrite write{.group = kGroup, .entries = {MakeEntry(1, 1, "hi")}};
  write.hard_state = raft::HardState{.term = Term(1), .vote = MemberId(2), .commit = LogIndex()};
  ASSERT_OK(store->Write({write}));
  ASSERT_OK(store->SealIdle());
  const std::string contents = fs.Contents(SegmentPaths(fs).at(0));
  const std::string dump =
      ReadDump(std::string(CAIRN_SOURCE_DIR) + "/docs/internals/log_format.md");
  EXPECT_GT(dump.size(), 700U) << "the dump is in the documentation";
  std::ostringstream got;
  for (size_t at = 0; at < 712; at += 16) {
    char text[80];
    std::snprintf(text, sizeof text, "    %08zx ", at);
    got << text;
    for (size_t i = at; i < at + 16; ++i) {
      std::snprintf(text, sizeof text, " %02x", static_cast<uint8_t>(contents[i]));
      got << text;
    }
    got << '\n';
  }
  EXPECT_EQ(dump, contents.substr(0, dump.size())) << got.str();
  EXPECT_EQ(contents.find_first_not_of('\0', dump.size()), std::string::npos);
}

TEST(LogFormat, SegmentNamesSortAsTheirSequencesAndNothingElseIsOne) {
  EXPECT_EQ(SegmentName(1), "log-0000000000000001.seg");
  EXPECT_EQ(SegmentName(0xabcdef), "log-0000000000abcdef.seg");
  EXPECT_LT(SegmentName(9), SegmentName(10));
  EXPECT_EQ(ParseSegmentName(SegmentName(~0ULL)), ~0ULL);
  for (const char* name : {"", "log-1.seg", "log-000000000000000A.seg", "log-0000000000000001.tmp",
                           "next.tmp", "log-0000000000000001.seg~"}) {
    EXPECT_EQ(ParseSegmentName(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace cairn::log_store
