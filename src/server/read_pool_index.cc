// The reads of a ReadPool that wait for an index.
#include <algorithm>
#include <memory>
#include <utility>

#include "server/read_pool.h"

namespace cairn::server {
namespace {

// A read that waits for an index looks this often whether its client is still there.
constexpr SteadyTime kIndexWait = std::chrono::seconds(1);

}  // namespace

// A read with a condition of its own has a barrier of its own. It waits for a leader as long as any
// other read does, or a node that is cut off would keep it until its deadline. For the index that
// it asks for it waits until its deadline: that may be the index of a write that this node has yet
// to apply. The wait ends earlier if the client goes, or if the leader has no such index.
void ReadPool::AwaitAlone(ReadTask task) {
  auto read = std::make_shared<Alone>();
  read->awaited = task.options;
  read->counted = WaitsForIndex(task);
  read->ask_leader_at = clock_->SteadyNow() + options_.leader_wait;
  read->task = std::move(task);
  if (read->task.options.level == node::ReadLevel::kLinearizable) {
    AskLeader(read, /*first=*/true);
  } else {
    AwaitIndex(read);
  }
}

void ReadPool::AwaitIndex(const AlonePtr& read) {
  const SteadyTime by = std::min(read->task.deadline, clock_->SteadyNow() + kIndexWait);
  replica_->ReadBarrier(read->awaited, by, [this, read, by](const Result<LogIndex>& index) {
    OnIndexAwaited(read, by, index);
  });
}

void ReadPool::OnIndexAwaited(const AlonePtr& read, SteadyTime by, const Result<LogIndex>& index) {
  if (index.ok()) return Found(read, *index);
  const SteadyTime now = clock_->SteadyNow();
  const bool over = now < by || now >= read->task.deadline;
  if (over || index.status().code() != StatusCode::kDeadlineExceeded) {
    return Refuse(read, index.status());
  }
  if (stopped_) return Refuse(read, ShuttingDown());
  if (read->task.gone != nullptr && *read->task.gone) {
    return Refuse(read, Cancelled("the client has gone"));
  }
  // The age of the state was judged when the read arrived.
  read->awaited.staleness_max.reset();
  if (now < read->ask_leader_at) return AwaitIndex(read);
  AskLeader(read, /*first=*/false);
}

// Asks for a read index, and waits until this node has applied it.
void ReadPool::AskLeader(const AlonePtr& read, bool first) {
  const SteadyTime now = clock_->SteadyNow();
  read->ask_leader_at = now + options_.leader_wait;
  const SteadyTime by =
      std::min<SteadyTime>(read->task.deadline, now + (first ? options_.leader_wait : kIndexWait));
  replica_->ReadBarrier(
      node::ReadOptions(), by,
      [this, read, first](const Result<LogIndex>& index) { OnLeaderAsked(read, first, index); });
}

void ReadPool::OnLeaderAsked(const AlonePtr& read, bool first, const Result<LogIndex>& index) {
  const LogIndex wanted = read->task.options.index_min;
  if (index.ok() && *index >= wanted) return Found(read, *index);
  if (first && !index.ok()) {
    return Refuse(read, WhyNoLeader(read->task, index.status(), clock_->SteadyNow()));
  }
  if (!first && index.ok()) {
    return Refuse(read, Unavailable("the read waits for index " + ToString(wanted) +
                                    ", and the leader has none above " + ToString(*index)));
  }
  if (stopped_) return Refuse(read, ShuttingDown());
  if (first) {
    read->awaited.level = node::ReadLevel::kStale;
    read->awaited.index_min = std::max(*index, wanted);
  }
  AwaitIndex(read);
}

void ReadPool::GiveIndexBack(const Alone& read) {
  if (!read.counted) return;
  const auto found = indexes_.find(read.task.principal);
  if (--found->second == 0) indexes_.erase(found);
}

void ReadPool::Found(const AlonePtr& read, LogIndex index) {
  {
    MutexLock lock(mutex_);
    GiveIndexBack(*read);
  }
  Batch batch;
  batch.push_back({std::move(read->task), SteadyTime(0), index});
  MakeReady(std::move(batch));
}

void ReadPool::Refuse(const AlonePtr& read, const Status& why) {
  {
    MutexLock lock(mutex_);
    GiveIndexBack(*read);
    --tasks_;
    bytes_ -= read->task.bytes;
  }
  read->task.run(why);
}

Status ReadPool::WhyNoLeader(const ReadTask& task, const Status& status, SteadyTime now) {
  if (now >= task.deadline || status.code() != StatusCode::kDeadlineExceeded) return status;
  Status why = Unavailable("no leader answered in time: " + status.message());
  if (status.leader_hint()) why = std::move(why).With(*status.leader_hint());
  return why;
}

}  // namespace cairn::server
