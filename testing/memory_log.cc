#include "testing/memory_log.h"

#include <algorithm>
#include <deque>

#include "base/check.h"
#include "log_store/group_write.h"

namespace cairn::log_store {
namespace {

struct MemoryGroup {
  GroupState state;
  std::deque<raft::Entry> entries;  // after state.snapshot_index
};
using Groups = std::map<GroupId, MemoryGroup>;

struct Compaction {
  GroupId group;
  LogIndex index;
  Term term;
};

void Apply(const GroupWrite& write, Groups* groups) {
  const bool changes = write.hard_state || write.reset_to || write.truncate_from;
  if (!changes && write.entries.empty()) return;
  MemoryGroup& group = (*groups)[write.group];
  CheckAndAdvance(write, &group.state);
  if (write.reset_to.has_value()) group.entries.clear();
  if (write.truncate_from.has_value()) {
    while (!group.entries.empty() && group.entries.back().index >= *write.truncate_from) {
      group.entries.pop_back();
    }
  }
  group.entries.insert(group.entries.end(), write.entries.begin(), write.entries.end());
}

void Apply(const Compaction& compaction, Groups* groups) {
  MemoryGroup& group = (*groups)[compaction.group];
  while (!group.entries.empty() && group.entries.front().index <= compaction.index) {
    group.entries.pop_front();
  }
  group.state.snapshot_index = compaction.index;
  group.state.snapshot_term = compaction.term;
}

class MemoryLogImpl final : public MemoryLog {
 public:
  std::map<GroupId, GroupState> Groups() const override {
    std::map<GroupId, GroupState> out;
    for (const auto& [id, group] : now_) out[id] = group.state;
    return out;
  }

  Result<std::vector<raft::Entry>> LoadIndex(GroupId id) override {
    const auto it = now_.find(id);
    if (it == now_.end()) return std::vector<raft::Entry>();
    std::vector<raft::Entry> out(it->second.entries.begin(), it->second.entries.end());
    for (raft::Entry& entry : out) {
      if (entry.type != raft::EntryType::kConfig) entry.payload = nullptr;
    }
    return out;
  }

  Status Write(const std::vector<GroupWrite>& writes) override {
    for (const GroupWrite& write : writes) {
      Apply(write, &now_);
      unsynced_.push_back(write);
    }
    return OkStatus();
  }

  Status Sync() override {
    for (const auto& change : unsynced_) {
      std::visit([this](const auto& c) { Apply(c, &synced_); }, change);
    }
    unsynced_.clear();
    return OkStatus();
  }

  Result<std::vector<raft::Entry>> Read(GroupId id, LogIndex from, LogIndex to,
                                        size_t bytes_max) override {
    std::vector<raft::Entry> out;
    const auto it = now_.find(id);
    if (it == now_.end()) return out;
    const MemoryGroup& group = it->second;
    if (from <= group.state.snapshot_index || from > group.state.last) return out;
    to = std::min(to, group.state.last + 1);
    size_t bytes = 0;
    for (LogIndex at = from; at < to; ++at) {
      const raft::Entry& entry = group.entries[at - group.state.snapshot_index - 1];
      if (!out.empty() && entry.payload->size() > bytes_max - bytes) break;
      bytes = std::min(bytes_max, bytes + entry.payload->size());
      out.push_back(entry);
    }
    return out;
  }

  Status Compact(GroupId id, LogIndex index, Term term) override {
    const auto it = now_.find(id);
    if (!CheckCompaction(it == now_.end() ? GroupState{} : it->second.state, index)) {
      return OkStatus();
    }
    const MemoryGroup& group = it->second;
    CHECK(group.entries[index - group.state.snapshot_index - 1].term == term);
    const Compaction compaction{id, index, term};
    Apply(compaction, &now_);
    unsynced_.push_back(compaction);
    return OkStatus();
  }

  Status SealIdle() override { return Sync(); }

  uint64_t SizeBytes() const override {
    uint64_t bytes = 0;
    for (const auto& [id, group] : now_) {
      for (const raft::Entry& entry : group.entries) bytes += entry.payload->size();
    }
    return bytes;
  }

  void Crash() override {
    now_ = synced_;
    unsynced_.clear();
  }

 private:
  log_store::Groups now_;
  log_store::Groups synced_;
  std::vector<std::variant<GroupWrite, Compaction>> unsynced_;
};

}  // namespace

std::unique_ptr<MemoryLog> NewMemoryLog() { return std::make_unique<MemoryLogImpl>(); }

}  // namespace cairn::log_store
