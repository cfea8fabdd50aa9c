// ChangeRing: the recent changes of the database, held in memory for those who watch it.
//
// Only committed changes are in the ring. To record them costs time at every changed row, so they
// are recorded only while somebody is interested: from the first Join until kLingerAfterLeave has
// passed since the last member left. Within that time a watcher may come back and go on.
//
// The ring holds at most so many bytes. The oldest commands make room for new ones; a command that
// is larger than the ring leaves nothing in it. Nobody waits for a slow watcher.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "base/result.h"
#include "state_machine/change.h"

namespace cairn::state_machine {

// Says that changes after `after` are not held any more, and why if a restore is why.
std::string NotHeldText(ChangePosition after, ChangePosition oldest, LogIndex restored_at);

// Thread-safe. BatchBegun, BatchCommitted, BatchUndone and Reset belong to the apply thread.
class ChangeRing : public std::enable_shared_from_this<ChangeRing> {
 public:
  static constexpr std::chrono::minutes kLingerAfterLeave{15};

  ChangeRing(size_t bytes_max, Clock& clock) : bytes_max_(bytes_max), clock_(clock) {}

  // ---- For watchers
  // While a membership exists, changes are recorded.
  class Membership {
   public:
    explicit Membership(std::shared_ptr<ChangeRing> ring) : ring_(std::move(ring)) {}
    ~Membership() { ring_->Leave(); }
    Membership(const Membership&) = delete;
    Membership& operator=(const Membership&) = delete;

   private:
    const std::shared_ptr<ChangeRing> ring_;
  };
  // Returns at once. Recording may have to wait for the end of a batch: until oldest() has a value.
  std::unique_ptr<Membership> Join();

  // All changes after this position are held. Nothing while no changes are recorded.
  std::optional<ChangePosition> oldest() const;
  // All committed changes up to this position have been recorded, or were before the recording.
  ChangePosition newest() const;

  // The entry at which the database was last restored from a backup; 0: there was none. No change
  // up to it is held.
  LogIndex restored_at() const;

  struct Read {
    std::vector<std::shared_ptr<const CommandChanges>> commands;
    // The commands are all that is between the position asked for and this one. The first command
    // may begin before the position asked for: the reader skips those changes.
    ChangePosition through;
  };
  // Commands with changes after `after`, in order: one at least if there is one, and no more once
  // `bytes` are read. Empty if nothing came after `after`, also if this node is not so far.
  // OUT_OF_RANGE if changes after `after` are not held any more; the message says since where.
  Result<Read> After(ChangePosition after, size_t bytes) const;

  // `listener` is called after a batch that was recorded, when recording begins after a batch, and
  // when the ring was reset, on the apply thread: it must be quick. Empty: none. Returns when no
  // call of the old listener is under way, so neither the listener nor a holder of a lock that the
  // listener takes may call this.
  void SetListener(std::function<void()> listener);

  // ---- For the apply thread
  // Begins a batch on top of `applied`. True if the changes of the batch are to be recorded.
  bool BatchBegun(LogIndex applied);
  // The batch is committed up to `applied`. `lost`: changes up to this position were not kept,
  // because they were too many or could not be read. `commands` follow it.
  void BatchCommitted(LogIndex applied, std::vector<std::shared_ptr<const CommandChanges>> commands,
                      std::optional<ChangePosition> lost);
  void BatchUndone();
  void NoteRestore(LogIndex index);
  // The database was replaced by another state, or opened.
  void Reset(LogIndex applied);

  size_t bytes_max() const { return bytes_max_; }
  size_t bytes() const {
    MutexLock lock(mutex_);
    return bytes_;
  }

 private:
  void Leave();
  void BeginRecording() CAIRN_REQUIRES(mutex_);
  void Forget(ChangePosition oldest) CAIRN_REQUIRES(mutex_);
  void Tell();

  const size_t bytes_max_;
  Clock& clock_;
  mutable Mutex mutex_;
  std::deque<std::shared_ptr<const CommandChanges>> commands_ CAIRN_GUARDED_BY(mutex_);
  size_t bytes_ CAIRN_GUARDED_BY(mutex_) = 0;
  size_t members_ CAIRN_GUARDED_BY(mutex_) = 0;
  SteadyTime left_at_ CAIRN_GUARDED_BY(mutex_){0};  // when the last member left
  bool recording_ CAIRN_GUARDED_BY(mutex_) = false;
  bool in_batch_ CAIRN_GUARDED_BY(mutex_) = false;
  bool batch_recorded_ CAIRN_GUARDED_BY(mutex_) = false;
  LogIndex applied_ CAIRN_GUARDED_BY(mutex_);
  LogIndex restored_at_ CAIRN_GUARDED_BY(mutex_);
  ChangePosition oldest_ CAIRN_GUARDED_BY(mutex_);

  Mutex listener_mutex_;  // held while the listener runs
  std::function<void()> listener_ CAIRN_GUARDED_BY(listener_mutex_);
};

}  // namespace cairn::state_machine
