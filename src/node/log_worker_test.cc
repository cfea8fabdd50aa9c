#include "node/log_worker.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "base/check.h"
#include "base/fault_file_system.h"
#include "base/file_system.h"
#include "base/log.h"
#include "log_store/log_store.h"
#include "log_store/segment_log.h"
#include "testing/memory_log.h"

namespace cairn::node {
namespace {

// A log whose next write or sync fails once. The one after it would "succeed".
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

// Returns whether the worker reported a vote as durable.
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

// The kernel drops the pages of a failed sync. A second sync reports success for bytes that are
// nowhere.
TEST(LogWorkerDeathTest, AFailedSyncOrWriteEndsTheProcessAndIsNeverTriedAgain) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  ASSERT_TRUE(InitLog("test", "error"));  // the log goes to standard error, where the test sees it
  EXPECT_TRUE(WriteVote(false, false));
  EXPECT_DEATH(WriteVote(false, true), "syncing the log failed");
  EXPECT_DEATH(WriteVote(true, false), "writing the log failed");
}

// A log whose disk is full to the last byte.
class FullDisk : public testing::Test, public LogWorkerEvents {
 protected:
  FullDisk() {
    options_.data_directory = "/data";
    CHECK(fs_.CreateDirectories("/data").ok());
    log_store::SegmentLogOptions log_options;
    log_options.segment_bytes = 16 << 10;
    log_options.prepare_in_background = false;
    log_ = log_store::OpenSegmentLog(fs_, "/data/log", log_options).value();
    worker_ = std::make_unique<LogWorker>(options_, &fs_, log_.get(), this);
    for (uint64_t index = 1; index <= 40; ++index) EXPECT_TRUE(Append(index));
    constexpr uint64_t kRoom = 1 << 30;
    fs_.SetCapacity(kRoom);
    fs_.SetCapacity(kRoom - *fs_.FreeBytes("/data"));
    while (durable_ > 0 && Append(++last_)) {
    }
    EXPECT_TRUE(full_);
    durable_ = 0;
  }
  bool Append(uint64_t index) {
    raft::Persist persist;
    persist.entries.push_back({Term(1), LogIndex(index), raft::EntryType::kNormal,
                               std::make_shared<const std::string>(4000, 'x')});
    last_ = index;
    return Run(std::move(persist));
  }
  bool Run(LogWorker::Task task) {
    std::vector<LogWorker::Task> tasks;
    tasks.push_back(std::move(task));
    return worker_->RunTasks(std::move(tasks));
  }
  void OnDurable(std::vector<raft::Message>, std::vector<raft::AppendTicket>) override {
    ++durable_;
  }
  void OnFetched(raft::Fetched fetched) override { fetched_ = fetched.entries.size(); }
  void OnIdentitySaved() override {}
  void OnLogFull(const Status& status) override { full_ = !status.ok(); }
  void OnFreeBytes(uint64_t) override {}

  FaultFileSystem fs_{1};
  ReplicaOptions options_;
  std::unique_ptr<log_store::LogStore> log_;
  std::unique_ptr<LogWorker> worker_;
  uint64_t last_ = 0;
  int durable_ = 0;
  size_t fetched_ = 0;
  bool full_ = false;
};

TEST_F(FullDisk, WhatCompactionReleasesMakesRoomForTheBatchThatWaits) {
  EXPECT_TRUE(Run(CompactionPoint{LogIndex(30), Term(1)}));
  EXPECT_FALSE(full_);
  EXPECT_EQ(durable_, 1);
}

TEST_F(FullDisk, EntriesAreFetchedAllTheSame) {
  EXPECT_FALSE(Run(raft::Fetch{1, LogIndex(1), LogIndex(3), 1 << 20}));
  EXPECT_EQ(fetched_, 2u);
  EXPECT_TRUE(full_);
}

}  // namespace
}  // namespace cairn::node
