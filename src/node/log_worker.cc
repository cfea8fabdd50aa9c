#include "node/log_worker.h"

#include <cstdlib>
#include <iterator>
#include <utility>

#include "base/log.h"

namespace cairn::node {
namespace {

// Payload bytes that several persists may be joined to, in one atomic batch.
constexpr size_t kJoinedBytesMax = 4 << 20;
constexpr SteadyTime kIdleAfter = std::chrono::seconds(1);
constexpr SteadyTime kFullRetry = std::chrono::milliseconds(200);

[[noreturn]] void Abort(const std::string& what, const Status& status) {
  LOG_ERROR("{} failed, and what is on the disk is unknown now; the process ends: {}", what,
            status.ToString());
  spdlog::default_logger()->flush();
  std::abort();
}

size_t PayloadBytes(const std::vector<raft::Entry>& entries) {
  size_t bytes = 0;
  for (const raft::Entry& entry : entries) bytes += entry.payload->size();
  return bytes;
}

log_store::GroupWrite ToWrite(GroupId group, raft::Persist* persist) {
  log_store::GroupWrite write;
  write.group = group;
  write.hard_state = persist->hard_state;
  if (persist->reset_to) {
    write.reset_to = {persist->reset_to->index, persist->reset_to->term};
  }
  write.truncate_from = persist->truncate_from;
  write.entries = std::move(persist->entries);
  return write;
}

}  // namespace

LogWorker::LogWorker(const ReplicaOptions& options, FileSystem* fs, log_store::LogStore* log,
                     LogWorkerEvents* events)
    : options_(options), fs_(fs), log_(log), events_(events), tasks_(0) {}

void LogWorker::Start() {
  thread_ = std::thread([this] { Run(); });
}

void LogWorker::Stop() {
  tasks_.Close();
  if (thread_.joinable()) thread_.join();
}

void LogWorker::Run() {
  CheckFreeBytes();
  auto next_check = std::chrono::steady_clock::now() + kIdleAfter;
  std::vector<Task> tasks;
  while (!gave_up_ && (!deferred_.empty() || tasks_.PopAll(&tasks, kIdleAfter))) {
    if (!deferred_.empty()) {
      RunTasks(std::exchange(deferred_, {}));
    } else if (tasks.empty()) {
      OnIdle();
    } else {
      RunTasks(std::exchange(tasks, {}));
    }
    if (std::chrono::steady_clock::now() >= next_check) {
      CheckFreeBytes();
      next_check = std::chrono::steady_clock::now() + kIdleAfter;
    }
  }
}

void LogWorker::RunTasks(std::vector<Task> tasks) {
  // Persists keep their order among each other, and fetches see all that was asked to be written
  // before them.
  std::vector<raft::Persist> persists;
  auto write_out = [&] {
    if (!persists.empty()) WriteBatches(std::exchange(persists, {}));
  };
  for (Task& task : tasks) {
    if (gave_up_) return;
    if (auto* persist = std::get_if<raft::Persist>(&task)) {
      persists.push_back(std::move(*persist));
      continue;
    }
    write_out();
    if (auto* fetch = std::get_if<raft::Fetch>(&task)) {
      RunFetch(*fetch);
    } else if (auto* point = std::get_if<CompactionPoint>(&task)) {
      Compact(*point);
    } else {
      Status s = SaveIdentity(*fs_, options_.data_directory, std::get<IdentityRecord>(task));
      if (!s.ok()) Abort("writing the identity", s);
      events_->OnIdentitySaved();
    }
  }
  write_out();
}

void LogWorker::WriteBatches(std::vector<raft::Persist> persists) {
  std::vector<raft::Message> send;
  std::vector<raft::AppendTicket> tickets;
  std::optional<log_store::GroupWrite> joined;
  size_t joined_bytes = 0;
  bool wrote = false;
  auto write_joined = [&] {
    if (joined && !gave_up_) wrote |= WriteOrWait(*joined);
    joined.reset();
  };
  for (raft::Persist& persist : persists) {
    tickets.push_back(persist.ticket);
    std::move(persist.send_after.begin(), persist.send_after.end(), std::back_inserter(send));
    if (persist.empty()) continue;
    const size_t bytes = PayloadBytes(persist.entries);
    // Only plain appends can be joined to what stands before them: within one write the log is
    // first truncated, then appended to.
    const bool joinable = joined && !persist.reset_to && !persist.truncate_from &&
                          joined_bytes + bytes <= kJoinedBytesMax;
    if (!joinable) {
      write_joined();
      joined = ToWrite(options_.group, &persist);
      joined_bytes = bytes;
      continue;
    }
    if (persist.hard_state) joined->hard_state = persist.hard_state;
    std::move(persist.entries.begin(), persist.entries.end(), std::back_inserter(joined->entries));
    joined_bytes += bytes;
  }
  write_joined();
  if (gave_up_) return;
  if (wrote) {
    if (Status s = log_->Sync(); !s.ok()) Abort("syncing the log", s);
  }
  events_->OnDurable(std::move(send), std::move(tickets));
}

// False: told to stop while the disk was full.
bool LogWorker::WriteOrWait(const log_store::GroupWrite& write) {
  bool full = false;
  for (;;) {
    const Status s = log_->Write({write});
    if (s.ok()) break;
    // RESOURCE_EXHAUSTED: nothing was written, the batch can be tried as it is.
    if (s.code() != StatusCode::kResourceExhausted) Abort("writing the log", s);
    full = true;
    events_->OnLogFull(s);
    std::vector<Task> late;
    if (!tasks_.PopAll(&late, kFullRetry)) {
      LOG_WARN("told to stop while the disk is full: the last batches are not written");
      gave_up_ = true;
      return false;
    }
    // Compaction may pass, and must: it may be what frees the space. The rest waits its turn.
    for (Task& task : late) {
      if (auto* point = std::get_if<CompactionPoint>(&task)) {
        Compact(*point);
      } else {
        deferred_.push_back(std::move(task));
      }
    }
    CheckFreeBytes();
  }
  if (full) events_->OnLogFull(OkStatus());
  return true;
}

void LogWorker::Compact(CompactionPoint point) {
  const Status s = log_->Compact(options_.group, point.index, point.term);
  // Without room to note it, it is tried again with the next compaction.
  if (!s.ok() && s.code() != StatusCode::kResourceExhausted) Abort("compacting the log", s);
}

void LogWorker::RunFetch(const raft::Fetch& fetch) {
  Result<std::vector<raft::Entry>> entries =
      log_->Read(options_.group, fetch.from, fetch.to, fetch.bytes_max);
  // What was once durable can not be read any more: this node can neither lead nor apply.
  if (!entries.ok()) Abort("reading the log", entries.status());
  events_->OnFetched(raft::Fetched{fetch.fetch_id, std::move(entries).value()});
}

void LogWorker::OnIdle() {
  if (Status s = log_->SealIdle(); !s.ok()) {
    if (s.code() == StatusCode::kResourceExhausted) return;
    Abort("sealing the log", s);
  }
}

void LogWorker::CheckFreeBytes() {
  const Result<uint64_t> free = fs_->FreeBytes(options_.data_directory);
  if (free.ok()) {
    events_->OnFreeBytes(*free);
  } else {
    LOG_WARN("cannot tell how much of the disk is free: {}", free.status().message());
  }
}

}  // namespace cairn::node
