#include "server/long_reads.h"

#include <algorithm>
#include <utility>

#include "server/read_pool.h"

namespace cairn::server {
namespace {

// How exactly the deadlines of queries are kept while no thread runs them.
constexpr SteadyTime kSweep = std::chrono::milliseconds(20);
// How long a query waits for a connection to read with.
constexpr SteadyTime kLongViewWait = std::chrono::seconds(5);

Status NodeStops() { return Unavailable("the node is shutting down"); }

}  // namespace

LongReads::LongReads(node::Replica* replica, rpc::TimerQueue* timers, Options options)
    : replica_(replica), timers_(timers), options_(options) {
  for (size_t i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { Work(); });
}

LongReads::~LongReads() { Stop(); }

void LongReads::Submit(std::shared_ptr<QueryTask> task) {
  Status refused;
  bool sweep = false;
  {
    MutexLock lock(mutex_);
    refused = Take(task);
    if (refused.ok()) sweep = SweepLater();
  }
  if (!refused.ok()) return task->End(refused);
  work_.NotifyOne();
  if (sweep) timers_->RunAfter(kSweep, [this] { Sweep(); });
}

Status LongReads::Take(const std::shared_ptr<QueryTask>& task) {
  if (stopped_) return NodeStops();
  if (tasks_ >= options_.tasks_max) {
    return ResourceExhausted("too many long queries are waiting on this node: try again later");
  }
  const auto connection = connections_.find(task->connection());
  if (connection != connections_.end() &&
      connection->second.tasks >= options_.tasks_per_connection_max) {
    return ResourceExhausted(
        "too many long queries of this connection are waiting: ask for fewer at a time");
  }
  const auto principal = principals_.find(task->principal());
  if (principal != principals_.end() &&
      principal->second.tasks >= options_.tasks_per_principal_max) {
    return ResourceExhausted(
        "too many long queries of this client are waiting: ask for fewer at a time");
  }
  ++tasks_;
  ++queued_;
  ++principals_[task->principal()].tasks;
  Connection& own = connections_[task->connection()];
  ++own.tasks;
  own.fresh.push_back(std::make_shared<Entry>(Entry{task}));
  idle_.insert(own.fresh.back());
  return OkStatus();
}

void LongReads::Stop() {
  std::set<EntryPtr> idle;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    idle.swap(idle_);
    for (const EntryPtr& entry : idle) Forget(entry);
    work_.NotifyAll();
  }
  for (const EntryPtr& entry : idle) End(entry, NodeStops());
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void LongReads::Work() {
  for (;;) {
    EntryPtr entry;
    {
      MutexLock lock(mutex_);
      while (!stopped_ && (entry = Next()) == nullptr) work_.Wait(lock);
      if (entry == nullptr) return;
    }
    RunEntry(entry);
  }
}

LongReads::EntryPtr LongReads::Next() {
  const size_t n = connections_.size();
  auto it = connections_.upper_bound(last_served_);
  for (size_t i = 0; i < n; ++i, ++it) {
    if (it == connections_.end()) it = connections_.begin();
    EntryPtr entry = NextOf(&it->second);
    if (entry == nullptr) continue;
    last_served_ = it->first;
    idle_.erase(entry);
    --queued_;
    entry->state = State::kRunning;
    ++it->second.running;
    return entry;
  }
  return nullptr;
}

LongReads::EntryPtr LongReads::NextOf(Connection* connection) {
  if (connection->running >= options_.threads_per_connection) return nullptr;
  EntryPtr entry;
  Principal* const principal = connection->fresh.empty()
                                   ? nullptr
                                   : &principals_[connection->fresh.front()->task->principal()];
  const bool view_free = views_ < options_.views &&
                         connection->views < options_.views_per_connection &&
                         principal != nullptr && principal->views < options_.views_per_principal;
  if (view_free) {
    ++principal->views;
    entry = std::move(connection->fresh.front());
    connection->fresh.pop_front();
    entry->has_view = true;
    ++views_;
    ++connection->views;
  } else if (!connection->resumed.empty()) {
    entry = std::move(connection->resumed.front());
    connection->resumed.pop_front();
  }
  return entry;
}

void LongReads::RunEntry(const EntryPtr& entry) {
  QueryTask& task = *entry->task;
  QueryTask::Piece piece = QueryTask::Piece::kEnded;
  Status status = task.Check();
  if (status.ok() && !task.has_view()) {
    const Result<bool> given = GiveView(entry);
    if (given.ok() && !*given) return Pause(entry, [&] { AwaitAgreement(entry); });
    status = given.status();
  }
  if (status.ok()) {
    piece = task.RunPiece(queued_);
  } else {
    End(entry, status);
  }
  if (piece == QueryTask::Piece::kWaits) {
    return Pause(entry, [&] { task.AwaitRoom([this, entry] { Resume(entry); }); });
  }
  bool stopped = false;
  {
    MutexLock lock(mutex_);
    --connections_[task.connection()].running;
    stopped = stopped_ && piece == QueryTask::Piece::kYields;
    if (piece == QueryTask::Piece::kEnded || stopped) {
      Forget(entry);
    } else {
      Requeue(entry);
    }
  }
  work_.NotifyAll();
  if (stopped) End(entry, NodeStops());
}

void LongReads::End(const EntryPtr& entry, const Status& status) {
  entry->awaited_view.reset();
  entry->task->End(status);
}

// The view is later than the view of the slice. Whether it must be agreed on is looked at when it is
// open: what came into it later than the news of another build is not missed.
Result<bool> LongReads::GiveView(const EntryPtr& entry) {
  QueryTask& task = *entry->task;
  if (entry->awaited_view != nullptr) {
    RETURN_IF_ERROR(entry->agreement);
  } else {
    ASSIGN_OR_RETURN(entry->awaited_view, replica_->state().OpenReadView(kLongViewWait));
    const bool linearizable = task.read().level != node::ReadLevel::kStale;
    if (linearizable && replica_->compares_results()) return false;
  }
  RETURN_IF_ERROR(task.TakeView(std::move(entry->awaited_view)));
  return true;
}

void LongReads::AwaitAgreement(const EntryPtr& entry) {
  const SteadyTime agreed_by = SystemClock().SteadyNow() + options_.agreement_wait;
  node::ReadOptions applied;
  applied.level = node::ReadLevel::kStale;
  applied.index_min = entry->awaited_view->applied();
  const auto done = [this, entry](const Result<LogIndex>& index) {
    {
      MutexLock lock(mutex_);
      const bool late = index.status().code() == StatusCode::kDeadlineExceeded;
      entry->agreement = late ? NotAgreed() : index.status();
    }
    Resume(entry);
  };
  replica_->ReadBarrier(applied, std::min(entry->task->deadline(), agreed_by), done);
}

// What the query waits for may come at once, on another thread, while this thread is still in here.
void LongReads::Pause(const EntryPtr& entry, const std::function<void()>& wait) {
  {
    MutexLock lock(mutex_);
    entry->state = State::kPausing;
    entry->resumed = false;
  }
  wait();
  bool stopped = false;
  bool sweep = false;
  {
    MutexLock lock(mutex_);
    --connections_[entry->task->connection()].running;
    stopped = stopped_;
    if (stopped) {
      Forget(entry);
    } else if (entry->resumed) {
      Requeue(entry);
    } else {
      entry->state = State::kPaused;
      idle_.insert(entry);
      sweep = SweepLater();
    }
  }
  work_.NotifyAll();
  if (stopped) End(entry, NodeStops());
  if (sweep) timers_->RunAfter(kSweep, [this] { Sweep(); });
}

void LongReads::Resume(const EntryPtr& entry) {
  {
    MutexLock lock(mutex_);
    if (entry->state == State::kPausing) entry->resumed = true;
    if (entry->state != State::kPaused) return;
    Requeue(entry);
  }
  work_.NotifyOne();
}

void LongReads::Requeue(const EntryPtr& entry) {
  entry->state = State::kQueued;
  ++queued_;
  connections_[entry->task->connection()].resumed.push_back(entry);
  idle_.insert(entry);
}

void LongReads::Forget(const EntryPtr& entry) {
  const auto found = connections_.find(entry->task->connection());
  Connection& connection = found->second;
  if (entry->state == State::kQueued) {
    --queued_;
    std::erase(entry->has_view ? connection.resumed : connection.fresh, entry);
  }
  const auto principal = principals_.find(entry->task->principal());
  if (entry->has_view) {
    --views_;
    --connection.views;
    --principal->second.views;
  }
  if (--principal->second.tasks == 0) principals_.erase(principal);
  entry->state = State::kEnded;
  --tasks_;
  if (--connection.tasks == 0) connections_.erase(found);
}

bool LongReads::SweepLater() {
  return !stopped_ && !idle_.empty() && !std::exchange(sweeping_, true);
}

// Ends the queries whose time is over, or whose client has gone, while no thread runs them.
void LongReads::Sweep() {
  std::vector<std::pair<EntryPtr, Status>> over;
  bool again = false;
  {
    MutexLock lock(mutex_);
    sweeping_ = false;
    for (auto it = idle_.begin(); it != idle_.end();) {
      Status why = (*it)->task->Check();
      if (why.ok()) {
        ++it;
        continue;
      }
      Forget(*it);
      over.emplace_back(*it, std::move(why));
      it = idle_.erase(it);
    }
    again = SweepLater();
  }
  for (const auto& [entry, why] : over) End(entry, why);
  if (!over.empty()) work_.NotifyAll();
  if (again) timers_->RunAfter(kSweep, [this] { Sweep(); });
}

}  // namespace cairn::server
