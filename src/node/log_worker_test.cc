#include "node/log_worker.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "base/file_system.h"
#include "base/log.h"
#include "log_store/log_store.h"
#include "log_store/memory_log.h"

namespace cairn::node {
namespace {

// A log whose next write or sync fails once; the one after it would "succeed".
class FailingLog final : public log_store::LogStore {
 public:
  bool fail_write = false;
  bool fail_sync = false;

  std::map<GroupId, log_store::GroupState> Groups() const override { return log_->Groups(); }
  Result<std::vector<raft::Entry>> LoadIndex(GroupId group) override {
    return log_->LoadIndex(group);
  }
  Status Write(const std::vector<log_store::GroupWrite>& writes) override {
    if (std::exchange(fail_write, false)) return Internal("write: I/O error");
    return log_->Write(writes);
  }
  Status Sync() override {
    if (std::exchange(fail_sync, false)) return Internal("sync: I/O error");
    return log_->Sync();
  }
  Result<std::vector<raft::Entry>> Read(GroupId group, LogIndex from, LogIndex to,
                                        size_t bytes_max) override {
    return log_->Read(group, from, to, bytes_max);
  }
  Status Compact(GroupId group, LogIndex index, Term term) override {
    return log_->Compact(group, index, term);
  }
  Status SealIdle() override { return log_->SealIdle(); }
  uint64_t SizeBytes() const override { return log_->SizeBytes(); }

 private:
  std::unique_ptr<log_store::MemoryLog> log_ = log_store::NewMemoryLog();
};

class Events final : public LogWorkerEvents {
 public:
  void OnDurable(std::vector<raft::Message>, std::vector<raft::AppendTicket>) override {
    std::lock_guard lock(mutex_);
    ++durable_;
    changed_.notify_all();
  }
  void OnFetched(raft::Fetched) override {}
  void OnIdentitySaved() override {}
  void OnLogFull(const Status&) override {}
  void OnFreeBytes(uint64_t) override {}

  bool AwaitDurable() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [this] { return durable_ > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int durable_ = 0;
};

raft::Persist Vote() {
  raft::Persist persist;
  persist.hard_state.emplace();
  persist.hard_state->term = Term(1);
  return persist;
}

// Gives whether the worker reported a vote as durable.
bool WriteVote(bool fail_write, bool fail_sync) {
  FailingLog log;
  log.fail_write = fail_write;
  log.fail_sync = fail_sync;
  Events events;
  ReplicaOptions options;
  options.data_directory = testing::TempDir();
  LogWorker worker(options, &PosixFileSystem(), &log, &events);
  worker.Start();
  worker.Push(Vote());
  return events.AwaitDurable();
}

// The kernel drops the pages of a failed sync: a second one reports success for bytes that are
// nowhere.
TEST(LogWorkerDeathTest, AFailedSyncOrWriteEndsTheProcessAndIsNeverTriedAgain) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  ASSERT_TRUE(InitLog("test", "error"));  // to standard error, where the test can see it
  EXPECT_TRUE(WriteVote(false, false));
  EXPECT_DEATH(WriteVote(false, true), "syncing the log failed");
  EXPECT_DEATH(WriteVote(true, false), "writing the log failed");
}

}  // namespace
}  // namespace cairn::node
