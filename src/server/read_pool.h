// ReadPool: a few threads for short reads of the state machine.
//
// Reads that arrive while a barrier is under way gather, and share the next barrier. Reads that are
// ready together share one view of the database. So the cost of proving a read linearizable is paid
// for each round, not for each read. A read that takes long does not hold up the reads that share
// its view: another thread takes them over, with a view of its own (a later one, so that their
// barriers hold).
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "node/replica.h"
#include "server/fair_queue.h"
#include "state_machine/state_machine.h"

namespace cairn::server {

struct ReadTask {
  node::ReadOptions options;
  SteadyTime deadline{0};
  // Called exactly once: on a thread of the pool with a view that satisfies `options`, or on any
  // thread with the reason why there is no view. The function returns soon: what takes long goes to
  // LongReads.
  std::function<void(Result<state_machine::ReadView*>)> run;
  size_t bytes = 0;         // of the request, which stays in memory until the read runs
  uint64_t connection = 0;  // the one that asked; connections take turns
  std::string principal{};  // who asks; see server/principal.h
  // Set once nobody will take the answer. Null: not known.
  std::shared_ptr<const std::atomic<bool>> gone{};
};

// The answer to a read that has waited for an agreement for as long as it may.
Status NotAgreed();

// While members run different builds of the engine, linearizable reads wait until a majority has
// agreed on what their view shows. They hold the view meanwhile, but no thread: otherwise reads
// that wait for a majority would stop the stale reads, which need none. One view waits at a time,
// because SQLite has few connections, and an old view keeps its write-ahead log from beginning
// anew. Later reads wait until that view is done with, and share the next one. A read that waits
// for longer than a request waits for a leader is UNAVAILABLE.
//
// Thread-safe.
class ReadPool {
 public:
  struct Options {
    size_t threads = 3;
    size_t view_tasks_max = 64;  // tasks that share one view
    // Waiting reads. Past either limit the answer is RESOURCE_EXHAUSTED.
    size_t tasks_max = 16384;
    size_t bytes_max = 64u << 20;
    // Of these, the reads of one principal that wait for an index. Such a read may wait until its
    // deadline, which may be a day away.
    size_t indexes_per_principal_max = 2048;
    SteadyTime leader_wait{0};  // how long a linearizable read waits for a read index
  };

  // The replica must outlive the pool.
  ReadPool(node::Replica* replica, Clock* clock, Options options);
  ~ReadPool();
  ReadPool(const ReadPool&) = delete;
  ReadPool& operator=(const ReadPool&) = delete;

  void Submit(ReadTask task);
  // The reads that wait, and the bytes of their requests.
  struct Load {
    size_t tasks = 0;
    size_t bytes = 0;
  };
  Load load() const {
    MutexLock lock(mutex_);
    return {tasks_, bytes_};
  }
  // Fails the reads that wait, and ends the threads. The replica must have answered (or must still
  // answer) the barriers that are under way before the pool is destroyed. May be called twice.
  void Stop();
  // True from Stop on: a read that is under way should end.
  bool stopping() const { return stopped_; }

 private:
  struct Waiting {
    ReadTask task;
    SteadyTime leader_by{0};  // without a read index by then, UNAVAILABLE
    LogIndex index;           // the view must have applied this
    SteadyTime agreed_by{0};  // without an agreement by then, UNAVAILABLE; 0: it has not waited
  };
  // A read with a barrier of its own.
  struct Alone {
    ReadTask task;
    node::ReadOptions awaited;  // what the next barrier is to wait for
    SteadyTime ask_leader_at{0};
    bool counted = false;  // among those of its principal that wait for an index
  };
  using AlonePtr = std::shared_ptr<Alone>;
  using Batch = std::vector<Waiting>;
  // Reads that wait until a majority has agreed on what the view shows, or that need wait no
  // longer.
  struct Shown {
    std::unique_ptr<state_machine::ReadView> view;
    Batch reads;
  };
  // What a thread of the pool does: one task since then, and the tasks that are to share its view.
  struct Lane {
    SteadyTime since{0};
    std::deque<Waiting> rest;
  };

  static Status ShuttingDown() { return Unavailable("the node is shutting down"); }
  static bool WaitsForIndex(const ReadTask& task) { return !task.options.index_min.is_none(); }
  // What a read is told whose barrier ended with `status`.
  static Status WhyNoLeader(const ReadTask& task, const Status& status, SteadyTime now);

  void Gather(Waiting waiting);
  void AwaitAlone(ReadTask task);
  void AwaitIndex(const AlonePtr& read);
  void OnIndexAwaited(const AlonePtr& read, SteadyTime by, const Result<LogIndex>& index);
  void AskLeader(const AlonePtr& read, bool first);
  void OnLeaderAsked(const AlonePtr& read, bool first, const Result<LogIndex>& index);
  void Found(const AlonePtr& read, LogIndex index);
  void Refuse(const AlonePtr& read, const Status& why);
  Status Take(const ReadTask& task) CAIRN_REQUIRES(mutex_);
  void GiveIndexBack(const Alone& read) CAIRN_REQUIRES(mutex_);
  void StartBarrier(Batch batch);
  void OnBarrier(Batch batch, SteadyTime barrier_by, const Result<LogIndex>& index);
  void MakeReady(Batch batch);
  void Work(Lane* lane);
  // False: the pool ends. Otherwise there is something to do in `lane` or in agreed_.
  bool FillLane(MutexLock* lock, Lane* lane) CAIRN_REQUIRES(mutex_);
  void PutBack(Lane* lane) CAIRN_REQUIRES(mutex_);
  void Forget(const Waiting& waiting) CAIRN_REQUIRES(mutex_);
  void TakeOverLate() CAIRN_REQUIRES(mutex_);
  bool AnyWaitsInLane() const CAIRN_REQUIRES(mutex_);
  std::optional<Waiting> NextOf(Lane* lane, bool first);
  void RunLane(Lane* lane);
  void RunTasks(Lane* lane, const Result<state_machine::ReadView*>& view);
  // Takes the reads of the lane that may not see what no majority has agreed on.
  Batch TakeLinearizable(Lane* lane);
  void AwaitAgreementOn(Shown shown);
  void OnAgreed(Shown shown, SteadyTime agreement_by, const Status& status);

  node::Replica* const replica_;
  Clock* const clock_;
  const Options options_;

  mutable Mutex mutex_;
  CondVar work_;
  Batch gathering_ CAIRN_GUARDED_BY(mutex_);
  size_t barriers_ CAIRN_GUARDED_BY(mutex_) = 0;  // barriers under way for gathered reads
  FairQueue<Waiting> ready_ CAIRN_GUARDED_BY(mutex_);
  std::deque<Shown> agreed_ CAIRN_GUARDED_BY(mutex_);
  bool view_waits_ CAIRN_GUARDED_BY(mutex_) = false;  // a view waits for an agreement
  Batch parked_ CAIRN_GUARDED_BY(mutex_);             // reads that wait behind that view
  std::vector<Lane> lanes_ CAIRN_GUARDED_BY(mutex_);  // one for each thread
  // Idle threads that look at the lanes now and then.
  size_t watchers_ CAIRN_GUARDED_BY(mutex_) = 0;
  size_t tasks_ CAIRN_GUARDED_BY(mutex_) = 0;  // tasks that wait, and their bytes
  size_t bytes_ CAIRN_GUARDED_BY(mutex_) = 0;
  // Reads that wait for an index, by principal.
  std::unordered_map<std::string, size_t> indexes_ CAIRN_GUARDED_BY(mutex_);
  std::atomic<bool> stopped_{false};  // set with the lock held
  std::vector<std::thread> threads_;
};

}  // namespace cairn::server
