// WatchHub: the thread that serves all watches of a node from the ring of recent changes.
//
// The ring wakes the hub after a batch, which is all that a watch costs the apply thread. Watches
// with equal filters form a group. Those of a group that wait at one position are a cohort: changes
// that do not pass move the cohort, and cost nothing for each watch. One message of a watch is
// under way at a time, and the next one is taken from the ring when the client has room for it. So
// a slow client has no queue here. It falls behind, and is cut off once the ring has passed it.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mailbox.h"
#include "base/mutex.h"
#include "base/result.h"
#include "node/replica.h"
#include "server/watch_feed.h"
#include "server/watch_filter.h"
#include "server/watch_history.h"
#include "server/watch_tables.h"
#include "state_machine/change_ring.h"

namespace cairn::server {

// The stream of one watch, as the hub sees it.
class WatchSink {
 public:
  virtual ~WatchSink() = default;
  // Set: the watch is told no changes. Each message is empty, and says that something was committed
  // since the one before, which is at least so long ago.
  virtual std::optional<SteadyTime> signal_every() const { return std::nullopt; }
  // Sends a message. `taken` is called once, on any thread, when the client has taken it or never
  // will. False if there is no memory for the message now; then `taken` is not called. One message
  // at a time.
  virtual bool Send(std::string message, std::function<void()> taken) = 0;
  // Called once, and last. `position`: where the watch stood, if it had begun.
  virtual void End(const Status& status, std::optional<state_machine::ChangePosition> position,
                   std::optional<state_machine::ChangePosition> oldest) = 0;
};

// Thread-safe. The replica must outlive Stop.
class WatchHub {
 public:
  struct Options {
    size_t watches_max = 8192;
    size_t watches_per_principal_max = 1024;
    // How often a watch hears of its position if nothing passes.
    SteadyTime tell_every = std::chrono::seconds(1);
  };
  class Watch;
  using WatchPtr = std::shared_ptr<Watch>;

  WatchHub(node::Replica* replica, Clock* clock, Options options);
  ~WatchHub();
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  // Counts a watch, and joins the ring. `ready` is called once changes are being recorded, unless
  // the watch ends before. RESOURCE_EXHAUSTED past the bounds, UNIMPLEMENTED if this node records
  // no changes. If the watch does not begin by `begin_by`, it ends with DEADLINE_EXCEEDED.
  Result<WatchPtr> Open(std::shared_ptr<WatchSink> sink, const std::string& principal,
                        std::vector<WatchFilter> filters, SteadyTime begin_by,
                        std::function<void(const WatchPtr&)> ready);
  // The watch begins after this position, or after the oldest one held if `or_oldest` and that is
  // later. A watch that is told no changes begins after any position.
  void Begin(const WatchPtr& watch, state_machine::ChangePosition after, bool or_oldest);
  // The rows of a snapshot have been sent: changes after the position follow.
  void GoOn(const WatchPtr& watch, state_machine::ChangePosition after);
  // Ends the watch, unless it has ended.
  void End(const WatchPtr& watch, const Status& status);
  // The rows of a snapshot follow, and take their time. Nothing is told meanwhile.
  void HoldForSnapshot(const WatchPtr& watch);

  // How changes are read that the database retains. Called once, before the first watch. Without it only
  // the ring is told from.
  void set_read_history(ReadHistory read) { read_history_ = std::move(read); }

  WatchTables* tables() { return &tables_; }
  std::optional<state_machine::ChangePosition> oldest() const { return share_.ring->oldest(); }
  // The watches that have not ended.
  size_t open() const {
    MutexLock lock(mutex_);
    return opened_;
  }
  // Changes that were asked whether they pass, for tests.
  uint64_t changes_judged() const { return changes_judged_; }

  // Ends all watches with UNAVAILABLE, and the thread. May be called twice.
  void Stop();

 private:
  struct AskedPage;
  struct Cohort;
  struct Group;
  using Position = state_machine::ChangePosition;
  using Cohorts = std::map<Position, std::unique_ptr<Cohort>>;

  void Run();
  void Wake();
  void Post(std::function<void()> task) { box_.Push(std::move(task)); }
  void OnRing();
  void OnTick();
  void UpdateVisible();
  void TryReady(const WatchPtr& watch);
  void DoBegin(const WatchPtr& watch, Position after, bool or_oldest);
  void DoGoOn(const WatchPtr& watch, Position after);
  void DoEnd(const WatchPtr& watch, const Status& status);
  void AddToGroup(const WatchPtr& watch);
  void Serve(const WatchPtr& watch);
  void ServeSignal(const WatchPtr& watch);
  void ServeSignalsDue(SteadyTime now);
  void Wait(const WatchPtr& watch);
  void Advance(Group* group, std::unique_ptr<Cohort> cohort);
  void SendSegment(const WatchPtr& watch, const WatchSegment& segment);
  void SendMessage(const WatchPtr& watch, std::string message, Position through);
  // ---- From the database
  bool GoBack(const WatchPtr& watch);
  void AskForPage(const WatchPtr& watch);
  void StartPages();
  void OnPage(const AskedPage& asked, const Result<state_machine::RetainedPage>& page);
  void TakePage(const WatchPtr& watch, const state_machine::RetainedPage& page);
  Status NotHeld(const WatchPtr& watch) const;

  void SendFirst(const WatchPtr& watch, Position oldest);
  void LeaveCohort(const WatchPtr& watch);
  void LeaveGroup(const WatchPtr& watch);

  node::Replica* const replica_;
  Clock* const clock_;
  const Options options_;
  ReadHistory read_history_;
  WatchTables tables_;
  Mailbox<std::function<void()>> box_;
  std::atomic<bool> woken_{false};
  std::atomic<uint64_t> changes_judged_{0};

  mutable Mutex mutex_;
  bool stopped_ CAIRN_GUARDED_BY(mutex_) = false;
  size_t opened_ CAIRN_GUARDED_BY(mutex_) = 0;
  std::map<std::string, size_t> by_principal_ CAIRN_GUARDED_BY(mutex_);

  // Of the hub's thread.
  WatchFeedShare share_;
  std::set<WatchPtr> watches_;
  std::set<WatchPtr> awaiting_;  // until changes are recorded
  std::map<std::vector<WatchFilter>, std::unique_ptr<Group>> groups_;
  // Of the watches that are told no changes: those for which there is nothing to tell, and those
  // that may not be told yet.
  std::set<WatchPtr> signals_idle_;
  std::set<std::pair<SteadyTime, WatchPtr>> signals_due_;
  uint64_t round_ = 1;
  std::deque<WatchPtr> awaiting_page_;
  size_t pages_being_read_ = 0;
  // While members run different builds of the engine: how far a majority has agreed.
  std::optional<Position> visible_;
  bool agreement_asked_ = false;

  std::thread thread_;
};

}  // namespace cairn::server
