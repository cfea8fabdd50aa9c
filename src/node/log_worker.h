// LogWorker: the thread that owns the log store and the identity file.
#pragma once

#include <deque>
#include <optional>
#include <string>
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

// The owner of the worker. The worker calls these on its own thread.
class LogWorkerEvents {
 public:
  virtual ~LogWorkerEvents() = default;
  // The batches are durable. First the messages `send` may leave, then the core is told.
  virtual void OnDurable(std::vector<raft::Message> send,
                         std::vector<raft::AppendTicket> tickets) = 0;
  virtual void OnFetched(raft::Fetched fetched) = 0;
  virtual void OnIdentitySaved() = 0;
  virtual void OnLogFull(const Status& status) = 0;
  virtual void OnFreeBytes(uint64_t bytes) = 0;
  // What is on the disk is unknown now. The call ends the process. The simulator cannot end the
  // process and ends the node instead; after this the worker does nothing any more.
  virtual void OnLogFailed(const std::string& what, const Status& status);
};

// All tasks that are queued when the thread wakes share one sync. A write or sync that fails ends
// the process, unless the disk was full before anything was written: what is on the disk is then
// unknown, and a second sync may report success for bytes that the kernel has dropped.
class LogWorker {
 public:
  // The data directory is a copy (boot_file.h): the note to write.
  struct CopyNote {
    std::string why;
  };
  using Task = std::variant<raft::Persist, raft::Fetch, CompactionPoint, IdentityRecord, CopyNote>;

  LogWorker(const ReplicaOptions& options, FileSystem* fs, log_store::LogStore* log,
            LogWorkerEvents* events);
  ~LogWorker() { Stop(); }

  void Start();
  void Push(Task task) { tasks_.Push(std::move(task)); }
  // Does what is queued, then ends the thread. While the disk is full, gives up what is queued;
  // nothing of it was acknowledged.
  void Stop();

  // The body of the thread, one round at a time. The simulator, which has no threads, calls these
  // and never Start.
  //
  // Does `tasks` after what is left of earlier rounds. False: the disk is full and the rest waits.
  // Call again after kFullRetry, or with more tasks.
  bool RunTasks(std::vector<Task> tasks);
  // No task came for kIdleAfter.
  void OnIdle();
  void CheckFreeBytes();  // every kIdleAfter

  static constexpr SteadyTime kIdleAfter = std::chrono::seconds(1);
  static constexpr SteadyTime kFullRetry = std::chrono::milliseconds(200);

 private:
  // Batches that share one sync, and the messages to send once the batches are durable.
  struct Round {
    std::deque<log_store::GroupWrite> writes;
    std::vector<raft::Message> send;
    std::vector<raft::AppendTicket> tickets;
    bool wrote = false;
  };

  void Run();
  void RunTask(Task* task);
  void JoinPersists(std::vector<raft::Persist> persists);
  bool FinishRound();
  // The first write of the round; RESOURCE_EXHAUSTED if the disk has no room for it.
  Status WriteFirst();
  void Compact(CompactionPoint point);
  void RunFetch(const raft::Fetch& fetch);
  void Fail(const std::string& what, const Status& status);

  const ReplicaOptions options_;
  FileSystem* const fs_;
  log_store::LogStore* const log_;
  LogWorkerEvents* const events_;
  Mailbox<Task> tasks_;
  std::deque<Task> queue_;  // taken from the mailbox, not yet begun
  std::optional<Round> round_;
  bool full_ = false;    // the round waits for room
  bool failed_ = false;  // see OnLogFailed
  std::thread thread_;
};

}  // namespace cairn::node
