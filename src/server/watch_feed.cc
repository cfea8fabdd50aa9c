#include "server/watch_feed.h"

#include <algorithm>
#include <utility>

#include "server/watch_event.h"
#include "state_machine/sqlite/table_shape.h"

namespace cairn::server {

using state_machine::Change;
using state_machine::ChangeKind;
using state_machine::ChangePosition;
using state_machine::ChangeRing;
using state_machine::CommandChanges;

namespace {

constexpr size_t kRingReadBytes = 256 << 10;
// Changes that are judged for one segment. Feeds share a thread, and take turns.
constexpr size_t kChangesMax = 4096;

}  // namespace

Result<const ChangeRing::Read*> WatchFeedShare::Read(ChangePosition after) {
  // What came meanwhile is found by a read from where this one ends.
  if (read_after == after && read.through > after) return &read;
  read_after.reset();
  Result<ChangeRing::Read> fresh = ring->After(after, kRingReadBytes);
  if (!fresh.ok()) return Status(fresh.status()).With(Reason::kPositionNotHeld);
  read = *std::move(fresh);
  read_after = after;
  return &read;
}

struct WatchFeed::Making {
  WatchSegmentPtr segment;
  std::optional<ChangePosition> limit;  // no change beyond it
  size_t judged = 0;
  bool passed = false;  // a change of the command passed, in this segment
  bool full = false;
  size_t definition_bytes = 0;  // of the tables, which are sent with the events

  size_t bytes() const { return segment->fields.size() + definition_bytes; }
};

Result<WatchSegmentPtr> WatchFeed::Next(ChangePosition after, std::optional<ChangePosition> visible,
                                        uint64_t round) {
  std::optional<ChangePosition> limit = visible;
  const auto next = track_.upper_bound(after);
  bool shared = true;
  if (next != track_.begin()) {
    WatchSegment& around = *std::prev(next)->second;
    if (around.through > after) {
      const bool fits = !visible || around.through <= *visible;
      if (fits && (around.after == after || around.fields.empty())) {
        around.used_in = round;
        return std::prev(next)->second;
      }
      shared = false;
      limit = visible ? std::min(*visible, around.through) : around.through;
    }
  }
  if (shared && next != track_.end()) {
    limit = limit ? std::min(*limit, next->first) : next->first;
  }
  ASSIGN_OR_RETURN(const WatchSegmentPtr made, Make(after, limit));
  made->used_in = round;
  if (shared && made->through > after) Keep(made);
  return made;
}

Result<WatchSegmentPtr> WatchFeed::Make(ChangePosition after, std::optional<ChangePosition> limit) {
  Making making;
  making.segment = std::make_shared<WatchSegment>();
  making.segment->after = making.segment->through = after;
  making.limit = limit;
  if (limit && *limit <= after) return making.segment;
  ASSIGN_OR_RETURN(const ChangeRing::Read* const read, share_->Read(after));
  for (const auto& command : read->commands) {
    making.passed = false;
    Status bad = AddCommand(*command, &making);
    // What comes before the change that cannot be judged is sent first.
    if (!bad.ok() && making.segment->through > after) return making.segment;
    if (!bad.ok()) return bad;
    if (making.full) return making.segment;
  }
  ChangePosition& through = making.segment->through;
  through = std::max(through, limit ? std::min(*limit, read->through) : read->through);
  return making.segment;
}

// Notes whether a change of the command has passed that is not told again.
Status WatchFeed::JudgeBefore(const CommandChanges& command, Making* making) {
  for (const Change& change : command.changes) {
    if (making->passed || change.position > making->segment->after) break;
    TableDefinitionPtr unused;
    ASSIGN_OR_RETURN(making->passed, Passes(change, &unused));
  }
  return OkStatus();
}

Result<WatchSegmentPtr> WatchFeed::FromPage(const state_machine::RetainedPage& page,
                                            ChangePosition after,
                                            std::optional<ChangePosition> visible, bool* passed) {
  Making making;
  making.segment = std::make_shared<WatchSegment>();
  making.segment->after = making.segment->through = after;
  making.limit = visible;
  if (visible && *visible <= after) return making.segment;
  making.passed = page.continues && *passed;
  for (const auto& command : page.commands) {
    Status bad = JudgeBefore(*command, &making);
    if (bad.ok()) bad = AddCommand(*command, &making);
    if (!bad.ok() && making.segment->through > after) return making.segment;
    if (!bad.ok()) return bad;
    *passed = making.passed;
    if (making.full) return making.segment;
    making.passed = false;
  }
  ChangePosition& through = making.segment->through;
  through = std::max(through, visible ? std::min(*visible, page.through) : page.through);
  return making.segment;
}

Status WatchFeed::AddCommand(const CommandChanges& command, Making* making) {
  const auto& changes = command.changes;
  const auto begins_after = [](ChangePosition position, const Change& change) {
    return position < change.position;
  };
  const auto first =
      std::upper_bound(changes.begin(), changes.end(), making->segment->after, begins_after);
  for (auto change = first; change != changes.end(); ++change) {
    making->full = (making->limit && change->position > *making->limit) ||
                   making->judged >= kChangesMax || making->bytes() >= kWatchMessageBytes;
    if (making->full) {
      // Nothing of what follows is within the limit.
      if (making->limit && change->position > *making->limit) {
        making->segment->through = *making->limit;
      }
      return OkStatus();
    }
    const auto place = static_cast<size_t>(change - changes.begin());
    ASSIGN_OR_RETURN(const bool added, AddChange(command, place, making));
    if (!added) return OkStatus();
    ++making->judged;
    making->segment->through = change->position;
  }
  return OkStatus();
}

// False if the change has no room beside the events before it.
Result<bool> WatchFeed::AddChange(const CommandChanges& command, size_t place, Making* making) {
  const Change& change = command.changes[place];
  TableDefinitionPtr table;
  bool passes = making->passed;
  if (change.kind == ChangeKind::kCommandEnd) {
    // Changes before this segment may have passed.
    for (size_t i = place; i-- > 0 && !passes;) {
      const Change& before = command.changes[i];
      if (before.position > making->segment->after) continue;
      TableDefinitionPtr unused;
      ASSIGN_OR_RETURN(passes, Passes(before, &unused));
    }
  } else {
    ASSIGN_OR_RETURN(passes, Passes(change, &table));
  }
  if (!passes) return true;
  std::string& fields = making->segment->fields;
  auto& tables = making->segment->tables;
  const auto known =
      std::find_if(tables.begin(), tables.end(), [&](const TableDefinitionPtr& each) {
        return table != nullptr && each->name == table->name;
      });
  const bool is_new = table != nullptr && known == tables.end();
  // All definitions of a message come before its events, and the later one of a name replaces the
  // earlier. So a message holds events of one definition only.
  const bool is_other = table != nullptr && known != tables.end() && (*known)->id != table->id;
  const size_t before = fields.size();
  if (!is_other) AppendEvent(change, table.get(), &fields);
  const size_t bytes = making->bytes() + (is_new ? table->field.size() : 0);
  if (is_other || (before > 0 && bytes > 2 * kWatchMessageBytes)) {
    fields.resize(before);
    making->full = true;
    return false;
  }
  making->passed = true;
  if (is_new) {
    tables.push_back(table);
    making->definition_bytes += table->field.size();
  }
  return true;
}

Result<bool> WatchFeed::Passes(const Change& change, TableDefinitionPtr* table) {
  ++share_->changes_judged;
  if (change.kind == ChangeKind::kSchema) return judge_.SchemaPasses(change.schema);
  if (change.table == nullptr) return false;
  TableDefinitionPtr definition = share_->tables->Of(change.table);
  if (state_machine::IsInternalTable(definition->name)) return false;
  ASSIGN_OR_RETURN(const bool passes, judge_.RowPasses(change, *definition));
  if (passes) *table = std::move(definition);
  return passes;
}

void WatchFeed::Keep(const WatchSegmentPtr& segment) {
  // Stretches without events become one.
  if (segment->fields.empty()) {
    const auto next = track_.lower_bound(segment->after);
    if (next != track_.begin()) {
      WatchSegment& before = *std::prev(next)->second;
      if (before.through == segment->after && before.fields.empty()) {
        before.through = segment->through;
        before.used_in = segment->used_in;
        return;
      }
    }
  }
  track_.emplace(segment->after, segment);
  share_->segment_bytes += segment->bytes();
  while (share_->segment_bytes > WatchFeedShare::kSegmentBytesMax && !track_.empty()) {
    Drop(track_.begin());
  }
}

WatchFeed::Track::iterator WatchFeed::Drop(Track::iterator segment) {
  share_->segment_bytes -= segment->second->bytes();
  return track_.erase(segment);
}

void WatchFeed::Trim(uint64_t round) {
  for (auto it = track_.begin(); it != track_.end();) {
    it = it->second->used_in < round ? Drop(it) : std::next(it);
  }
}

}  // namespace cairn::server
