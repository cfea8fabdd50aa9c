#include "state_machine/sqlite/change_recorder.h"

#include <utility>

#include "base/log.h"

namespace cairn::state_machine {

void ChangeRecorder::Open(sqlite3* db, const SchemaCatalog* catalog, LogIndex applied) {
  OpenDatabase(db, catalog);
  applied_ = batch_index_ = applied;
  ring_->Reset(applied);
}

void ChangeRecorder::Close() {
  CloseDatabase();
  command_.reset();
  kept_.clear();
  recording_ = false;
}

// ---- Batches ------------------------------------------------------------------------------------

void ChangeRecorder::BatchBegun() {
  if (db() == nullptr) return;
  batch_index_ = applied_;
  recording_ = ring_->BatchBegun(applied_);
  kept_bytes_ = 0;
  lost_.reset();
  if (!recording_) Forget();
}

void ChangeRecorder::EntryBegun(LogIndex index) {
  batch_index_ = index;
  BeginEntry(index);
  lose_entry_ = false;
}

void ChangeRecorder::BatchCommitted() {
  if (db() == nullptr) return;
  applied_ = batch_index_;
  ring_->BatchCommitted(applied_, std::exchange(kept_, {}), lost_);
  recording_ = false;
}

void ChangeRecorder::BatchUndone() {
  if (db() == nullptr) return;
  kept_.clear();
  DropCommand();
  command_.reset();
  Forget();
  recording_ = false;
  ring_->BatchUndone();
}

// ---- Commands -----------------------------------------------------------------------------------

void ChangeRecorder::CommandBegun() {
  if (!recording_) return;
  command_ = std::make_shared<CommandChanges>();
  lose_command_ = false;
  BeginCommand();
}

void ChangeRecorder::CommandKept() {
  if (!recording_) return;
  const bool changed = EndCommand();
  const ChangePosition end = lose_entry_ ? EndOf(index()) : ChangePosition{index(), ordinal()};
  const std::shared_ptr<CommandChanges> command = std::move(command_);
  if (lose_entry_ || lose_command_) {
    lost_ = end;
    kept_.clear();
    kept_bytes_ = 0;
  } else if (changed) {
    kept_bytes_ += command->bytes;
    kept_.push_back(command);
  }
  // The ring keeps no more than this.
  size_t gone = 0;
  for (; kept_bytes_ > ring_->bytes_max(); ++gone) {
    lost_ = kept_[gone]->changes.back().position;
    kept_bytes_ -= kept_[gone]->bytes;
  }
  kept_.erase(kept_.begin(), kept_.begin() + static_cast<ptrdiff_t>(gone));
}

void ChangeRecorder::CommandUndone() {
  if (!recording_) return;
  DropCommand();
  command_.reset();
}

// ---- Changes ------------------------------------------------------------------------------------

// What is lost is counted all the same.
Change* ChangeRecorder::Room(ChangeKind /*kind*/, ChangePosition /*position*/,
                             const Subject& /*subject*/) {
  if (lose_entry_ || lose_command_) return nullptr;
  command_->bytes += sizeof(Change);
  return &command_->changes.emplace_back();
}

bool ChangeRecorder::Count(size_t bytes) {
  command_->bytes += bytes;
  if (command_->bytes > ring_->bytes_max()) LoseCommand();
  return !lose_command_;
}

void ChangeRecorder::LoseCommand() {
  lose_command_ = true;
  DropUnsettled();
  command_->changes.clear();
  command_->bytes = 0;
}

void ChangeRecorder::LoseEntry(const Status& why) {
  if (!std::exchange(lose_entry_, true)) {
    LOG_WARN("watchers lose the changes of an entry index={} error={}", index().value(),
             why.message());
  }
  LoseCommand();
}

}  // namespace cairn::state_machine
