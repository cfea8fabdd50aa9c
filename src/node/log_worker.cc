#include "node/log_worker.h"

#include <cstdlib>
#include <iterator>
#include <utility>

#include "base/log.h"
#include "base/thread_name.h"
#include "node/boot_file.h"

namespace cairn::node {
namespace {

// How many payload bytes several persists may be joined into, in one atomic batch.
constexpr size_t kJoinedBytesMax = 4 << 20;

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

void LogWorkerEvents::OnLogFailed(const std::string& what, const Status& status) {
  LOG_ERROR("{} failed, and what is on the disk is unknown now; the process ends: {}", what,
            status.ToString());
  FlushLog();
  std::abort();
}

LogWorker::LogWorker(const ReplicaOptions& options, FileSystem* fs, log_store::LogStore* log,
                     LogWorkerEvents* events)
    : options_(options), fs_(fs), log_(log), events_(events) {}

void LogWorker::Start() {
  thread_ = std::thread([this] {
    NameThread("cairn-log");
    Run();
  });
}

void LogWorker::Stop() {
  tasks_.Close();
  if (thread_.joinable()) thread_.join();
}

void LogWorker::Run() {
  CheckFreeBytes();
  SteadyTime next_check = SystemClock().SteadyNow() + kIdleAfter;
  bool waits = false;
  std::vector<Task> tasks;
  while (tasks_.PopAll(&tasks, waits ? kFullRetry : kIdleAfter)) {
    if (tasks.empty() && !waits) {
      OnIdle();
    } else {
      waits = !RunTasks(std::exchange(tasks, {}));
    }
    if (waits || SystemClock().SteadyNow() >= next_check) {
      CheckFreeBytes();
      next_check = SystemClock().SteadyNow() + kIdleAfter;
    }
  }
  if (waits) LOG_WARN("told to stop while the disk is full: the last batches are not written");
}

bool LogWorker::RunTasks(std::vector<Task> tasks) {
  for (Task& task : tasks) {
    // While the disk is full, compaction may pass, and must: it may be what frees the space.
    // Fetches may pass, too: they read what is durable, and apply, and so compaction, waits for
    // them. The rest waits its turn.
    if (full_ && (std::holds_alternative<CompactionPoint>(task) ||
                  std::holds_alternative<raft::Fetch>(task))) {
      RunTask(&task);
    } else {
      queue_.push_back(std::move(task));
    }
  }
  for (;;) {
    if (failed_) return true;
    if (round_ && !FinishRound()) return false;
    if (queue_.empty()) return true;
    // Persists keep their order, and fetches see all writes that were ordered before them.
    std::vector<raft::Persist> persists;
    while (!queue_.empty() && std::holds_alternative<raft::Persist>(queue_.front())) {
      persists.push_back(std::move(std::get<raft::Persist>(queue_.front())));
      queue_.pop_front();
    }
    if (!persists.empty()) {
      JoinPersists(std::move(persists));
      continue;
    }
    Task task = std::move(queue_.front());
    queue_.pop_front();
    RunTask(&task);
  }
}

void LogWorker::RunTask(Task* task) {
  if (auto* fetch = std::get_if<raft::Fetch>(task)) return RunFetch(*fetch);
  if (auto* point = std::get_if<CompactionPoint>(task)) return Compact(*point);
  if (auto* note = std::get_if<CopyNote>(task)) {
    // If the note cannot be written, the peers or the log tell the next process again.
    Status noted = RememberCopy(*fs_, options_.data_directory, note->why);
    if (!noted.ok()) LOG_WARN("cannot note that this data is a copy: {}", noted.message());
    return;
  }
  Status s = SaveIdentity(*fs_, options_.data_directory, std::get<IdentityRecord>(*task));
  if (!s.ok()) return Fail("writing the identity", s);
  events_->OnIdentitySaved();
}

// Joins the persists into a round of as few batches as possible.
void LogWorker::JoinPersists(std::vector<raft::Persist> persists) {
  round_ = Round{};
  size_t joined_bytes = 0;
  for (raft::Persist& persist : persists) {
    round_->tickets.push_back(persist.ticket);
    std::move(persist.send_after.begin(), persist.send_after.end(),
              std::back_inserter(round_->send));
    if (persist.empty()) continue;
    const size_t bytes = PayloadBytes(persist.entries);
    options_.counts->log_bytes_written.Add(bytes);
    // Only plain appends can be joined to the writes before them: within one write the log is first
    // truncated, then appended to.
    const bool joinable = !round_->writes.empty() && !persist.reset_to && !persist.truncate_from &&
                          joined_bytes + bytes <= kJoinedBytesMax;
    if (!joinable) {
      round_->writes.push_back(ToWrite(options_.group, &persist));
      joined_bytes = bytes;
      continue;
    }
    log_store::GroupWrite& joined = round_->writes.back();
    if (persist.hard_state) joined.hard_state = persist.hard_state;
    std::move(persist.entries.begin(), persist.entries.end(), std::back_inserter(joined.entries));
    joined_bytes += bytes;
  }
}

Status LogWorker::WriteFirst() {
  Status s = log_->Write({round_->writes.front()});
  if (s.code() != StatusCode::kResourceExhausted) return s;
  // Segments that compaction has released are removed only with a sync, and may be the room that is
  // missing. Without this sync the round would wait for room, and the sync for the round.
  RETURN_IF_ERROR(log_->Sync());
  return log_->Write({round_->writes.front()});
}

// False: the disk is full.
bool LogWorker::FinishRound() {
  const SteadyTime began = SystemClock().SteadyNow();
  while (!round_->writes.empty()) {
    const Status s = WriteFirst();
    if (s.code() == StatusCode::kResourceExhausted) {
      // Nothing was written, so the batch can be tried again as it is.
      if (!std::exchange(full_, true)) options_.counts->log_fulls.Add();
      events_->OnLogFull(s);
      return false;
    }
    if (!s.ok()) {
      Fail("writing the log", s);
      return true;
    }
    round_->wrote = true;
    round_->writes.pop_front();
    if (std::exchange(full_, false)) events_->OnLogFull(OkStatus());
  }
  if (round_->wrote) {
    if (const Status s = log_->Sync(); !s.ok()) {
      Fail("syncing the log", s);
      return true;
    }
    options_.counts->log_sync.Observe(SystemClock().SteadyNow() - began);
  }
  Round done = *std::exchange(round_, std::nullopt);
  events_->OnDurable(std::move(done.send), std::move(done.tickets));
  return true;
}

void LogWorker::Fail(const std::string& what, const Status& status) {
  failed_ = true;
  round_.reset();
  queue_.clear();
  events_->OnLogFailed(what, status);
}

void LogWorker::Compact(CompactionPoint point) {
  const Status s = log_->Compact(options_.group, point.index, point.term);
  // Without room for the note, compaction is tried again the next time.
  if (!s.ok() && s.code() != StatusCode::kResourceExhausted) Fail("compacting the log", s);
}

void LogWorker::RunFetch(const raft::Fetch& fetch) {
  Result<std::vector<raft::Entry>> entries =
      log_->Read(options_.group, fetch.from, fetch.to, fetch.bytes_max);
  // What was once durable cannot be read any more: this node can neither lead nor apply.
  if (!entries.ok()) return Fail("reading the log", entries.status());
  events_->OnFetched(raft::Fetched{fetch.fetch_id, std::move(entries).value()});
}

void LogWorker::OnIdle() {
  if (failed_) return;
  if (Status s = log_->SealIdle(); !s.ok()) {
    if (s.code() == StatusCode::kResourceExhausted) return;
    Fail("sealing the log", s);
  }
}

void LogWorker::CheckFreeBytes() {
  const Result<uint64_t> free = fs_->FreeBytes(options_.data_directory);
  if (free.ok()) {
    options_.counts->free_bytes.Set(*free);
    events_->OnFreeBytes(*free);
  } else {
    LOG_WARN("cannot tell how much of the disk is free: {}", free.status().message());
  }
}

}  // namespace cairn::node
