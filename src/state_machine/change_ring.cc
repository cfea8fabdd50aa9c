#include "state_machine/change_ring.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"

namespace cairn::state_machine {

std::string NotHeldText(ChangePosition after, ChangePosition oldest, LogIndex restored_at) {
  const std::string text = "changes after position " + ToString(after) +
                           " are not held any more; the oldest position held is " +
                           ToString(oldest);
  if (restored_at.is_none() || after >= EndOf(restored_at)) return text;
  return "the database was restored from a backup at index " + ToString(restored_at) + ": " + text;
}

std::unique_ptr<ChangeRing::Membership> ChangeRing::Join() {
  MutexLock lock(mutex_);
  ++members_;
  // A batch that is under way was begun without being recorded. BatchBegun begins to record.
  if (!recording_ && !in_batch_) BeginRecording();
  return std::make_unique<Membership>(shared_from_this());
}

void ChangeRing::Leave() {
  MutexLock lock(mutex_);
  if (--members_ == 0) left_at_ = clock_.SteadyNow();
}

void ChangeRing::BeginRecording() {
  recording_ = true;
  Forget(EndOf(applied_));
}

// Nothing up to `oldest` is held from now on.
void ChangeRing::Forget(ChangePosition oldest) {
  commands_.clear();
  bytes_ = 0;
  oldest_ = oldest;
}

std::optional<ChangePosition> ChangeRing::oldest() const {
  MutexLock lock(mutex_);
  return recording_ ? std::optional(oldest_) : std::nullopt;
}

ChangePosition ChangeRing::newest() const {
  MutexLock lock(mutex_);
  return EndOf(applied_);
}

LogIndex ChangeRing::restored_at() const {
  MutexLock lock(mutex_);
  return restored_at_;
}

void ChangeRing::NoteRestore(LogIndex index) {
  MutexLock lock(mutex_);
  restored_at_ = index;
}

Result<ChangeRing::Read> ChangeRing::After(ChangePosition after, size_t bytes) const {
  MutexLock lock(mutex_);
  const ChangePosition newest = EndOf(applied_);
  const ChangePosition oldest = recording_ ? oldest_ : newest;
  if (after < oldest) {
    return OutOfRange(NotHeldText(after, oldest, restored_at_));
  }
  const auto ends_by = [](const std::shared_ptr<const CommandChanges>& command,
                          ChangePosition position) {
    return command->changes.back().position <= position;
  };
  auto next = std::lower_bound(commands_.begin(), commands_.end(), after, ends_by);
  Read read;
  for (size_t taken = 0; next != commands_.end() && (taken == 0 || taken < bytes); ++next) {
    taken += (*next)->bytes;
    read.commands.push_back(*next);
  }
  read.through = next == commands_.end() ? std::max(after, newest)
                                         : read.commands.back()->changes.back().position;
  return read;
}

void ChangeRing::SetListener(std::function<void()> listener) {
  MutexLock lock(listener_mutex_);
  listener_ = std::move(listener);
}

void ChangeRing::Tell() {
  MutexLock lock(listener_mutex_);
  if (listener_) listener_();
}

bool ChangeRing::BatchBegun(LogIndex applied) {
  MutexLock lock(mutex_);
  applied_ = applied;
  in_batch_ = true;
  if (members_ > 0 && !recording_) BeginRecording();
  const bool lingers = clock_.SteadyNow() - left_at_ < kLingerAfterLeave;
  if (members_ == 0 && recording_ && !lingers) {
    recording_ = false;
    Forget(EndOf(applied_));
  }
  batch_recorded_ = recording_;
  return recording_;
}

void ChangeRing::BatchCommitted(LogIndex applied,
                                std::vector<std::shared_ptr<const CommandChanges>> commands,
                                std::optional<ChangePosition> lost) {
  {
    MutexLock lock(mutex_);
    CHECK(in_batch_) << "a batch ends that was not begun";
    in_batch_ = false;
    applied_ = applied;
    if (!batch_recorded_) {
      if (members_ == 0) return;
      BeginRecording();  // a member came meanwhile
    }
    if (lost.has_value()) Forget(*lost);
    for (auto& command : commands) {
      bytes_ += command->bytes;
      commands_.push_back(std::move(command));
    }
    while (bytes_ > bytes_max_) {
      oldest_ = commands_.front()->changes.back().position;
      bytes_ -= commands_.front()->bytes;
      commands_.pop_front();
    }
  }
  Tell();
}

void ChangeRing::BatchUndone() {
  MutexLock lock(mutex_);
  in_batch_ = false;
  if (members_ > 0 && !recording_) BeginRecording();
}

void ChangeRing::Reset(LogIndex applied) {
  {
    MutexLock lock(mutex_);
    in_batch_ = false;
    applied_ = applied;
    recording_ = members_ > 0;
    Forget(EndOf(applied));
  }
  Tell();
}

}  // namespace cairn::state_machine
