// LogWorker: the thread that owns the log store, and the identity file.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/mailbox.h"
#include "log_store/log_store.h"
#include "node/identity_file.h"
#include "node/log_extent.h"
#include "node/replica.h"
#include "raft/core.h"

namespace cairn::node {

// What the worker tells, on its own thread.
class LogWorkerEvents {
 public:
  virtual ~LogWorkerEvents() = default;
  // The batches are durable: messages may leave, then the core is told.
  virtual void OnDurable(std::vector<raft::Message> send,
                         std::vector<raft::AppendTicket> tickets) = 0;
  virtual void OnFetched(raft::Fetched fetched) = 0;
  virtual void OnIdentitySaved() = 0;
  virtual void OnLogFull(const Status& status) = 0;
  virtual void OnFreeBytes(uint64_t bytes) = 0;
};

// All that is queued when the thread wakes shares one sync. Any other failure to write or sync than
// a full disk before anything was written ends the process: what is on the disk is then unknown,
// and a second sync may report success for bytes that the kernel has dropped.
class LogWorker {
 public:
  using Task = std::variant<raft::Persist, raft::Fetch, CompactionPoint, IdentityRecord>;

  LogWorker(const ReplicaOptions& options, FileSystem* fs, log_store::LogStore* log,
            LogWorkerEvents* events);
  ~LogWorker() { Stop(); }

  void Start();
  void Push(Task task) { tasks_.Push(std::move(task)); }
  // Does what is queued, then ends the thread. While the disk is full: gives up what is queued, of
  // which nothing was acknowledged.
  void Stop();

 private:
  void Run();
  void RunTasks(std::vector<Task> tasks);
  void WriteBatches(std::vector<raft::Persist> persists);
  bool WriteOrWait(const log_store::GroupWrite& write);
  void Compact(CompactionPoint point);
  void RunFetch(const raft::Fetch& fetch);
  void OnIdle();
  void CheckFreeBytes();

  const ReplicaOptions options_;
  FileSystem* const fs_;
  log_store::LogStore* const log_;
  LogWorkerEvents* const events_;
  Mailbox<Task> tasks_;
  // Came while a full disk was waited for; to be done first.
  std::vector<Task> deferred_;
  bool gave_up_ = false;  // told to stop while the disk was full
  std::thread thread_;
};

}  // namespace cairn::node
