#include "state_machine/sqlite/retention_recorder.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "state_machine/change_codec.h"

namespace cairn::state_machine {
namespace {

// A retained byte is encoded, written and later removed again.
constexpr size_t kPriceOfRetained = 4;

}  // namespace

void RetentionRecorder::Retain(Tables tables) {
  if (tables.empty() != tables_.empty()) Forget();
  tables_ = std::move(tables);
}

void RetentionRecorder::EntryBegun(LogIndex index) {
  recording_ = db() != nullptr && !tables_.empty();
  if (!recording_) return;
  BeginEntry(index);
  lose_entry_ = false;
}

void RetentionRecorder::BatchUndone() {
  if (db() == nullptr) return;
  if (recording_) CommandUndone();
  kept_.reset();
  trouble_ = OkStatus();
  recording_ = false;
  Forget();
}

// ---- Commands -----------------------------------------------------------------------------------

void RetentionRecorder::CommandBegun() {
  if (!recording_) return;
  lose_entry_before_ = lose_entry_;
  lose_command_ = false;
  command_bytes_ = slice_bytes_ = slice_last_ = 0;
  touched_.clear();
  chunks_.clear();
  slice_.clear();
  pending_settings_.clear();
  BeginCommand();
}

void RetentionRecorder::CommandKept() {
  if (!recording_) return;
  EndCommand();
  work_ = 0;  // of series, which CountSeries has counted
  Settle();
  CutSlice();
  RetainedCommand command;
  command.end = lose_entry_ ? EndOf(index()) : ChangePosition{index(), ordinal()};
  if (lose_entry_) {
    for (const auto& [name, setting] : tables_) command.lost.push_back(setting);
  } else if (lose_command_) {
    for (const auto& [setting, touched] : touched_) command.lost.push_back(setting);
  } else {
    command.chunks = std::exchange(chunks_, {});
  }
  if (!command.chunks.empty() || !command.lost.empty()) kept_ = std::move(command);
}

// Everything is as before the command, because a node may leave out a command that others undo. But
// trouble of this node stays: the command may have ended otherwise than on the others.
void RetentionRecorder::CommandUndone() {
  if (!recording_) return;
  DropCommand();
  lose_entry_ = lose_entry_before_;
  pending_settings_.clear();
  slice_.clear();
  chunks_.clear();
}

Result<std::optional<RetainedCommand>> RetentionRecorder::Take() {
  RETURN_IF_ERROR(std::exchange(trouble_, OkStatus()));
  return std::exchange(kept_, std::nullopt);
}

// ---- Changes ------------------------------------------------------------------------------------

std::vector<int64_t> RetentionRecorder::SettingsOf(const Subject& subject) const {
  std::vector<int64_t> settings;
  const auto of_table = tables_.find(LowerCase(subject.table));
  if (of_table != tables_.end()) settings.push_back(of_table->second);
  if (&subject.object == &subject.table) return settings;
  // As a filter of a watch: a change of the schema is about the table and about the object.
  const auto add = [&](const std::string& name) {
    const auto found = tables_.find(LowerCase(name));
    const bool is_new = found != tables_.end() && std::find(settings.begin(), settings.end(),
                                                            found->second) == settings.end();
    if (is_new) settings.push_back(found->second);
  };
  add(subject.object);
  if (subject.old_name != nullptr) add(*subject.old_name);
  return settings;
}

Change* RetentionRecorder::Room(ChangeKind kind, ChangePosition /*position*/,
                                const Subject& subject) {
  Settle();
  if (lose_entry_ || kind == ChangeKind::kCommandEnd) return nullptr;
  std::vector<int64_t> settings = SettingsOf(subject);
  for (const int64_t setting : settings) touched_[setting] = true;
  if (settings.empty() || lose_command_) return nullptr;
  pending_settings_ = std::move(settings);
  pending_ = Change();
  return &pending_;
}

bool RetentionRecorder::Count(size_t bytes) {
  work_ += bytes * kPriceOfRetained;
  return true;
}

// At once, because a series is told when the command can be charged no more.
void RetentionRecorder::CountSeries(const Subject& subject, size_t bytes) {
  if (!SettingsOf(subject).empty()) work_ += bytes * kPriceOfRetained;
}

size_t RetentionRecorder::TakeWork() { return std::exchange(work_, 0); }

// A slice is cut before a change, and never between the settings that the change is kept for: two
// chunks of one setting would end at the same position.
void RetentionRecorder::Settle() {
  const std::vector<int64_t> settings = std::exchange(pending_settings_, {});
  if (settings.empty() || lose_command_) return;
  const bool redefined = std::any_of(settings.begin(), settings.end(),
                                     [this](int64_t setting) { return IsRedefined(setting); });
  if (slice_bytes_ >= kSliceBytes || redefined) CutSlice();
  for (const int64_t setting : settings) {
    if (!lose_command_) Append(setting);
  }
}

// Whether the open chunk has rows of another definition of the table than the pending change.
bool RetentionRecorder::IsRedefined(int64_t setting) const {
  const auto known = slice_.find(setting);
  if (known == slice_.end() || pending_.table == nullptr) return false;
  const std::shared_ptr<const ChangedTable>& table = known->second.table;
  return table != nullptr && table != pending_.table && !(*table == *pending_.table);
}

void RetentionRecorder::Append(int64_t setting) {
  OpenChunk& chunk = slice_[setting];
  if (chunk.table == nullptr) chunk.table = pending_.table;
  const size_t before = chunk.events.size();
  AppendChange(pending_, chunk.last, &chunk.events);
  const size_t bytes = chunk.events.size() - before;
  chunk.last = slice_last_ = pending_.position.ordinal;
  slice_bytes_ += bytes;
  command_bytes_ += bytes;
  if (bytes > kChangeBytesMax || command_bytes_ > kCommandBytesMax) LoseCommand();
}

void RetentionRecorder::CutSlice() {
  for (auto& [setting, chunk] : slice_) {
    chunks_.push_back({setting, slice_last_, std::move(chunk.table), std::move(chunk.events)});
  }
  slice_.clear();
  slice_bytes_ = 0;
}

void RetentionRecorder::LoseCommand() {
  lose_command_ = true;
  DropUnsettled();
  pending_settings_.clear();
  slice_.clear();
  chunks_.clear();
}

void RetentionRecorder::LoseEntry(const Status& why) {
  // A row that cannot be read as it is cannot be read so on any node.
  if (why.code() != StatusCode::kOutOfRange && trouble_.ok()) trouble_ = why;
  if (!std::exchange(lose_entry_, true)) {
    LOG_WARN("retained changes of an entry are lost index={} error={}", index().value(),
             why.message());
  }
  LoseCommand();
}

}  // namespace cairn::state_machine
