// LongReads: the threads and views of queries that take long.
//
// A few threads run the queries in pieces. A query that waits for its client keeps its view, but no
// thread. So does a linearizable query that waits for an agreement: while members run different
// builds of the engine, it is shown the latest entries only once a majority has given the same
// results for them. Without an agreement in time it is UNAVAILABLE. A stale query needs no majority,
// and does not wait.
//
// Connections take turns. No connection may hold more than its part of the threads and views, and no
// principal more than its part of the views, so that one client's queries do not stop the queries of
// others, over however many connections the client asks.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "node/replica.h"
#include "rpc/timer_queue.h"
#include "server/query_task.h"

namespace cairn::server {

// Thread-safe.
class LongReads {
 public:
  struct Options {
    size_t threads = 4;
    size_t threads_per_connection = 3;
    size_t views = 12;  // an old view keeps SQLite's write-ahead log from beginning anew
    size_t views_per_connection = 6;
    size_t views_per_principal = 9;
    SteadyTime agreement_wait{0};  // how long a query waits for an agreement
    // Queries that have not ended. Past either limit the answer is RESOURCE_EXHAUSTED.
    size_t tasks_max = 256;
    size_t tasks_per_connection_max = 128;
    size_t tasks_per_principal_max = 192;
  };

  // The replica must outlive Stop. Before the pool is destroyed the replica must have answered all
  // that it was asked, and `timers` must be stopped.
  LongReads(node::Replica* replica, rpc::TimerQueue* timers, Options options);
  ~LongReads();
  LongReads(const LongReads&) = delete;
  LongReads& operator=(const LongReads&) = delete;

  void Submit(std::shared_ptr<QueryTask> task);
  // The queries that have not ended, and the views that they hold.
  struct Load {
    size_t tasks = 0;
    size_t views = 0;
  };
  Load load() const {
    MutexLock lock(mutex_);
    return {tasks_, views_};
  }
  // Ends all queries and the threads. May be called twice.
  void Stop();
  // True from Stop on: queries that are under way should end.
  const std::atomic<bool>& stopping() const { return stopped_; }

 private:
  enum class State : uint8_t { kQueued, kRunning, kPausing, kPaused, kEnded };
  struct Entry {
    std::shared_ptr<QueryTask> task;
    State state = State::kQueued;
    bool has_view = false;
    bool resumed = false;  // resumed while it was about to pause
    // The view until the query may be shown it, and whether it may.
    std::unique_ptr<state_machine::ReadView> awaited_view{};
    Status agreement{};
  };
  using EntryPtr = std::shared_ptr<Entry>;
  struct Principal {
    size_t tasks = 0;
    size_t views = 0;
  };
  struct Connection {
    std::deque<EntryPtr> fresh;    // without a view
    std::deque<EntryPtr> resumed;  // with one
    size_t tasks = 0;
    size_t views = 0;
    size_t running = 0;
  };

  void Work();
  void RunEntry(const EntryPtr& entry);
  void End(const EntryPtr& entry, const Status& status);
  // Gives the query a view. False: the query waits for an agreement first, and holds no thread.
  Result<bool> GiveView(const EntryPtr& entry);
  void AwaitAgreement(const EntryPtr& entry);
  // `wait` begins what ends with Resume.
  void Pause(const EntryPtr& entry, const std::function<void()>& wait);
  void Resume(const EntryPtr& entry);
  void Sweep();
  EntryPtr NextOf(Connection* connection) CAIRN_REQUIRES(mutex_);
  EntryPtr Next() CAIRN_REQUIRES(mutex_);
  void Requeue(const EntryPtr& entry) CAIRN_REQUIRES(mutex_);
  void Forget(const EntryPtr& entry) CAIRN_REQUIRES(mutex_);
  bool SweepLater() CAIRN_REQUIRES(mutex_);
  Status Take(const std::shared_ptr<QueryTask>& task) CAIRN_REQUIRES(mutex_);

  node::Replica* const replica_;
  rpc::TimerQueue* const timers_;
  const Options options_;

  mutable Mutex mutex_;
  CondVar work_;
  // The connections that have tasks.
  std::map<uint64_t, Connection> connections_ CAIRN_GUARDED_BY(mutex_);
  std::map<std::string, Principal> principals_ CAIRN_GUARDED_BY(mutex_);
  uint64_t last_served_ CAIRN_GUARDED_BY(mutex_) = 0;
  std::set<EntryPtr> idle_ CAIRN_GUARDED_BY(mutex_);  // queued or paused
  size_t tasks_ CAIRN_GUARDED_BY(mutex_) = 0;
  size_t views_ CAIRN_GUARDED_BY(mutex_) = 0;
  bool sweeping_ CAIRN_GUARDED_BY(mutex_) = false;  // a timer is set
  std::atomic<size_t> queued_{0};                   // queries that wait for a thread
  std::atomic<bool> stopped_{false};                // set with the lock held
  std::vector<std::thread> threads_;
};

}  // namespace cairn::server
