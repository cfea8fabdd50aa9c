#include "server/read_pool.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

namespace cairn::server {
namespace {

// How many rounds of reads are under way at once. The second round keeps the threads busy while the
// first one's answer travels. More rounds would only be smaller.
constexpr size_t kBarriersMax = 2;
// A read that takes longer than this does not keep the reads that share its view waiting.
constexpr SteadyTime kTogetherMax = std::chrono::milliseconds(2);
// How long a batch waits for a connection to read with.
constexpr SteadyTime kViewWait = std::chrono::seconds(5);

}  // namespace

Status NotAgreed() {
  return Unavailable("members with different builds have not agreed in time on the last writes");
}

ReadPool::ReadPool(node::Replica* replica, Clock* clock, Options options)
    : replica_(replica), clock_(clock), options_(options), lanes_(options.threads) {
  for (Lane& lane : lanes_) threads_.emplace_back([this, &lane] { Work(&lane); });
}

ReadPool::~ReadPool() { Stop(); }

void ReadPool::Stop() {
  Batch ended;
  std::deque<Shown> agreed;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    ended.swap(gathering_);
    while (!ready_.empty()) ended.push_back(ready_.Pop());
    std::move(parked_.begin(), parked_.end(), std::back_inserter(ended));
    parked_.clear();
    agreed.swap(agreed_);
    for (Shown& shown : agreed) {
      std::move(shown.reads.begin(), shown.reads.end(), std::back_inserter(ended));
    }
    for (const Waiting& waiting : ended) Forget(waiting);
    work_.NotifyAll();
  }
  for (Waiting& waiting : ended) waiting.task.run(ShuttingDown());
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void ReadPool::Submit(ReadTask task) {
  Status refused;
  {
    MutexLock lock(mutex_);
    refused = Take(task);
  }
  if (!refused.ok()) {
    task.run(refused);
    return;
  }
  const bool linearizable = task.options.level == node::ReadLevel::kLinearizable;
  if (linearizable && task.options.index_min.is_none()) {
    const SteadyTime leader_by = clock_->SteadyNow() + options_.leader_wait;
    Gather({std::move(task), leader_by, LogIndex()});
  } else {
    AwaitAlone(std::move(task));
  }
}

Status ReadPool::Take(const ReadTask& task) {
  if (stopped_) return ShuttingDown();
  if (tasks_ >= options_.tasks_max || bytes_ + task.bytes > options_.bytes_max) {
    return ResourceExhausted("too many reads are waiting on this node: try again later");
  }
  if (WaitsForIndex(task)) {
    size_t& own = indexes_[task.principal];
    if (own >= options_.indexes_per_principal_max) {
      return ResourceExhausted(
          "too many reads of this client wait for an index: ask for fewer at a time");
    }
    ++own;
  }
  ++tasks_;
  bytes_ += task.bytes;
  return OkStatus();
}

void ReadPool::Forget(const Waiting& waiting) {
  --tasks_;
  bytes_ -= waiting.task.bytes;
}

void ReadPool::Gather(Waiting waiting) {
  Batch batch;
  {
    MutexLock lock(mutex_);
    gathering_.push_back(std::move(waiting));
    if (barriers_ >= kBarriersMax) return;
    ++barriers_;
    batch.swap(gathering_);
  }
  StartBarrier(std::move(batch));
}

void ReadPool::StartBarrier(Batch batch) {
  SteadyTime by = SteadyTime::max();
  for (const Waiting& waiting : batch) {
    by = std::min({by, waiting.leader_by, waiting.task.deadline});
  }
  auto shared = std::make_shared<Batch>(std::move(batch));
  replica_->ReadBarrier(node::ReadOptions(), by, [this, shared, by](const Result<LogIndex>& index) {
    OnBarrier(std::move(*shared), by, index);
  });
}

void ReadPool::OnBarrier(Batch batch, SteadyTime barrier_by, const Result<LogIndex>& index) {
  const SteadyTime now = clock_->SteadyNow();
  const Status& status = index.status();
  Batch failed;
  Batch again;
  if (!status.ok()) {
    for (Waiting& waiting : batch) {
      // The barrier ended at the deadline of its most impatient read. The others go into the next
      // barrier.
      const bool over =
          now < barrier_by || now >= std::min(waiting.leader_by, waiting.task.deadline);
      (over ? failed : again).push_back(std::move(waiting));
    }
    batch.clear();
  }
  Batch next;
  {
    MutexLock lock(mutex_);
    for (const Waiting& waiting : failed) Forget(waiting);
    for (Waiting& waiting : again) gathering_.push_back(std::move(waiting));
    if (gathering_.empty() || stopped_) {
      --barriers_;
    } else {
      next.swap(gathering_);
    }
  }
  for (Waiting& waiting : batch) waiting.index = *index;
  if (!batch.empty()) MakeReady(std::move(batch));
  for (Waiting& waiting : failed) {
    waiting.task.run(WhyNoLeader(waiting.task, status, now));
  }
  if (!next.empty()) StartBarrier(std::move(next));
}

void ReadPool::MakeReady(Batch batch) {
  {
    MutexLock lock(mutex_);
    if (!stopped_) {
      for (Waiting& waiting : batch) ready_.Push(waiting.task.connection, std::move(waiting));
      batch.clear();
      work_.NotifyOne();
    }
  }
  for (Waiting& waiting : batch) waiting.task.run(ShuttingDown());
}

void ReadPool::Work(Lane* lane) {
  for (;;) {
    Shown shown;
    {
      MutexLock lock(mutex_);
      if (!FillLane(&lock, lane)) return;
      if (!agreed_.empty()) {
        shown = std::move(agreed_.front());
        agreed_.pop_front();
        std::move(shown.reads.begin(), shown.reads.end(), std::back_inserter(lane->rest));
        lane->since = clock_->SteadyNow();
      }
    }
    if (shown.view == nullptr) {
      RunLane(lane);
    } else {
      RunTasks(lane, shown.view.get());
    }
  }
}

bool ReadPool::FillLane(MutexLock* lock, Lane* lane) {
  for (;;) {
    if (stopped_) return false;
    TakeOverLate();
    if (!agreed_.empty()) return true;
    if (!ready_.empty()) break;
    if (watchers_ == 0 && AnyWaitsInLane()) {
      ++watchers_;
      work_.WaitFor(*lock, kTogetherMax);
      --watchers_;
    } else {
      work_.Wait(*lock);
    }
  }
  const size_t n = std::min(ready_.size(), options_.view_tasks_max);
  for (size_t i = 0; i < n; ++i) lane->rest.push_back(ready_.Pop());
  lane->since = clock_->SteadyNow();
  // Wakes a thread for what is left; or, if no thread does so yet, to look whether the reads in
  // this lane wait long.
  if (!ready_.empty() || (n > 1 && watchers_ == 0)) work_.NotifyOne();
  return true;
}

void ReadPool::TakeOverLate() {
  const SteadyTime now = clock_->SteadyNow();
  for (Lane& lane : lanes_) {
    if (now - lane.since >= kTogetherMax) PutBack(&lane);
  }
}

void ReadPool::PutBack(Lane* lane) {
  for (; !lane->rest.empty(); lane->rest.pop_back()) {
    Waiting& last = lane->rest.back();
    ready_.PushFront(last.task.connection, std::move(last));
  }
}

bool ReadPool::AnyWaitsInLane() const {
  return std::any_of(lanes_.begin(), lanes_.end(),
                     [](const Lane& lane) { return !lane.rest.empty(); });
}

std::optional<ReadPool::Waiting> ReadPool::NextOf(Lane* lane, bool first) {
  MutexLock lock(mutex_);
  const SteadyTime now = clock_->SteadyNow();
  // The last read took long. Reads that arrived meanwhile have their turn.
  if (!first && now - lane->since >= kTogetherMax && !ready_.empty()) PutBack(lane);
  if (lane->rest.empty()) return std::nullopt;
  Waiting waiting = std::move(lane->rest.front());
  lane->rest.pop_front();
  lane->since = now;
  Forget(waiting);
  return waiting;
}

ReadPool::Batch ReadPool::TakeLinearizable(Lane* lane) {
  MutexLock lock(mutex_);
  Batch taken;
  std::deque<Waiting> stale;
  for (Waiting& waiting : std::exchange(lane->rest, {})) {
    if (waiting.task.options.level == node::ReadLevel::kStale) {
      stale.push_back(std::move(waiting));
    } else {
      taken.push_back(std::move(waiting));
    }
  }
  lane->rest = std::move(stale);
  return taken;
}

void ReadPool::AwaitAgreementOn(Shown shown) {
  const SteadyTime now = clock_->SteadyNow();
  SteadyTime by = SteadyTime::max();
  for (Waiting& waiting : shown.reads) {
    if (waiting.agreed_by == SteadyTime(0)) waiting.agreed_by = now + options_.leader_wait;
    by = std::min({by, waiting.agreed_by, waiting.task.deadline});
  }
  node::ReadOptions applied;
  applied.level = node::ReadLevel::kStale;
  applied.index_min = shown.view->applied();
  {
    MutexLock lock(mutex_);
    if (view_waits_ && !stopped_) {
      std::move(shown.reads.begin(), shown.reads.end(), std::back_inserter(parked_));
      return;
    }
    view_waits_ = true;
  }
  auto shared = std::make_shared<Shown>(std::move(shown));
  replica_->ReadBarrier(applied, by, [this, shared, by](const Result<LogIndex>& index) {
    OnAgreed(std::move(*shared), by, index.status());
  });
}

// A thread of the pool runs the reads, or gives the view back if there is none to run.
void ReadPool::OnAgreed(Shown shown, SteadyTime agreement_by, const Status& status) {
  const SteadyTime now = clock_->SteadyNow();
  Batch failed;
  Batch again;
  for (Waiting& waiting : status.ok() ? Batch{} : std::exchange(shown.reads, {})) {
    // The wait ended at the deadline of its most impatient read.
    const bool over =
        now < agreement_by || now >= std::min(waiting.agreed_by, waiting.task.deadline);
    (over ? failed : again).push_back(std::move(waiting));
  }
  Status why = status;
  {
    MutexLock lock(mutex_);
    view_waits_ = false;
    std::move(parked_.begin(), parked_.end(), std::back_inserter(again));
    parked_.clear();
    if (stopped_) {
      why = ShuttingDown();
      std::move(again.begin(), again.end(), std::back_inserter(failed));
      std::move(shown.reads.begin(), shown.reads.end(), std::back_inserter(failed));
    } else {
      for (Waiting& waiting : again) ready_.Push(waiting.task.connection, std::move(waiting));
      agreed_.push_back(std::move(shown));
      work_.NotifyAll();
    }
    for (const Waiting& waiting : failed) Forget(waiting);
  }
  for (Waiting& waiting : failed) {
    const bool late = why.code() == StatusCode::kDeadlineExceeded && now < waiting.task.deadline;
    waiting.task.run(late ? NotAgreed() : why);
  }
}

void ReadPool::RunLane(Lane* lane) {
  Result<std::unique_ptr<state_machine::ReadView>> view = replica_->state().OpenReadView(kViewWait);
  if (!view.ok()) return RunTasks(lane, view.status());
  Batch linearizable;
  if (replica_->compares_results()) linearizable = TakeLinearizable(lane);
  RunTasks(lane, view->get());
  if (!linearizable.empty()) AwaitAgreementOn({*std::move(view), std::move(linearizable)});
}

void ReadPool::RunTasks(Lane* lane, const Result<state_machine::ReadView*>& view) {
  bool first = true;
  while (std::optional<Waiting> waiting = NextOf(lane, std::exchange(first, false))) {
    ReadTask& task = waiting->task;
    if (!view.ok()) {
      task.run(view.status());
    } else if (clock_->SteadyNow() >= task.deadline) {
      task.run(DeadlineExceeded("the read waited too long for its turn"));
    } else if ((*view)->applied() < waiting->index) {
      // The state machine has gone back since, to a snapshot or to the durable part of its file,
      // because it could not go on from where it was. The state that the read index stood for is
      // gone.
      task.run(Unavailable("this node had to go back to an earlier state; try again"));
    } else {
      task.run(*view);
    }
  }
}

}  // namespace cairn::server
