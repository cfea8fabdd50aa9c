#include "state_machine/sqlite/vector_changes.h"

#include <sqlite3.h>

#include <algorithm>
#include <utility>

namespace cairn::state_machine {

void VectorChanges::Open(LogIndex applied) {
  MutexLock lock(mutex_);
  index_ = applied.value();
  in_batch_ = changed_ = schema_changed_ = false;
  ++opened_;
  ++schema_;
  news_ = true;
  news_changed_.NotifyAll();
}

void VectorChanges::Close() {
  MutexLock lock(mutex_);
  ++opened_;
  tables_.clear();
  wanted_.reset();
  watches_ = false;
}

// ---- The apply thread ---------------------------------------------------------------------------

void VectorChanges::BatchBegun() {
  MutexLock lock(mutex_);
  in_batch_ = true;
}

void VectorChanges::EntryBegun(LogIndex index) {
  MutexLock lock(mutex_);
  // An undone batch is applied again, and its entries begin anew.
  index_ = std::max(index_, index.value());
}

void VectorChanges::BatchCommitted() {
  MutexLock lock(mutex_);
  // A graph that was read before the commit is behind the floor of a table that is new here.
  if (wanted_.has_value()) changed_ = Adopt() || changed_;
  EndBatch();
}

void VectorChanges::BatchUndone() {
  MutexLock lock(mutex_);
  EndBatch();
}

// The other number comes with the schema: who has seen it and opens a view finds that schema.
void VectorChanges::EndBatch() {
  in_batch_ = false;
  if (std::exchange(schema_changed_, false)) ++schema_;
  if (!std::exchange(changed_, false)) return;
  if (!std::exchange(news_, true)) news_changed_.NotifyAll();
}

// SQLite tells no row that a change of the schema touches.
size_t VectorChanges::SchemaChanged() {
  MutexLock lock(mutex_);
  schema_changed_ = changed_ = true;
  for (auto& [name, table] : tables_) table.floor = index_;
  return 0;
}

size_t VectorChanges::OnRow(const RowChange& change) {
  if (!watches_.load(std::memory_order_relaxed)) return 0;
  MutexLock lock(mutex_);
  const auto it = tables_.find(std::string_view(change.table));
  if (it == tables_.end()) return 0;
  changed_ = true;
  if (change.operation != SQLITE_INSERT) Note(&it->second, change.old_rowid);
  if (change.operation == SQLITE_INSERT || change.new_rowid != change.old_rowid) {
    if (change.operation != SQLITE_DELETE) Note(&it->second, change.new_rowid);
  }
  return 0;
}

void VectorChanges::Note(Table* table, int64_t rowid) {
  if (table->changes.size() == kVectorChangesMax) {
    table->floor = std::max(table->floor, table->changes.front().index);
    table->changes.pop_front();
  }
  table->changes.push_back({index_, rowid});
  ++table->count;
}

// ---- Others -------------------------------------------------------------------------------------

uint64_t VectorChanges::opened() const {
  MutexLock lock(mutex_);
  return opened_;
}

uint64_t VectorChanges::schema() const {
  MutexLock lock(mutex_);
  return schema_;
}

void VectorChanges::Watch(uint64_t opened, const std::set<std::string>& tables) {
  MutexLock lock(mutex_);
  if (opened != opened_) return;
  wanted_ = tables;
  // The rows that a running batch has changed already were not noted.
  if (!in_batch_) (void)Adopt();
}

bool VectorChanges::Adopt() {
  const std::set<std::string> wanted = *std::exchange(wanted_, std::nullopt);
  std::erase_if(tables_, [&](const auto& each) { return !wanted.contains(each.first); });
  bool has_new = false;
  for (const std::string& each : wanted) {
    const auto [it, is_new] = tables_.try_emplace(each);
    if (is_new) it->second.floor = index_;
    has_new = has_new || is_new;
  }
  watches_ = !tables_.empty();
  return has_new;
}

uint64_t VectorChanges::Count(const std::string& table) const {
  MutexLock lock(mutex_);
  const auto it = tables_.find(table);
  return it == tables_.end() ? 0 : it->second.count;
}

bool VectorChanges::WaitForNews(std::optional<SteadyTime> timeout) {
  MutexLock lock(mutex_);
  const auto has_news = [this]() CAIRN_REQUIRES(mutex_) { return news_; };
  if (timeout.has_value()) {
    (void)news_changed_.WaitFor(lock, *timeout, has_news);
  } else {
    news_changed_.Wait(lock, has_news);
  }
  return std::exchange(news_, false);
}

void VectorChanges::Wake() {
  MutexLock lock(mutex_);
  news_ = true;
  news_changed_.NotifyAll();
}

std::optional<std::vector<int64_t>> VectorChanges::Since(uint64_t opened, const std::string& table,
                                                         LogIndex from) const {
  MutexLock lock(mutex_);
  const auto it = tables_.find(table);
  if (opened != opened_ || it == tables_.end() || from.value() < it->second.floor)
    return std::nullopt;
  const std::deque<Change>& changes = it->second.changes;
  const auto first =
      std::upper_bound(changes.begin(), changes.end(), from.value(),
                       [](uint64_t index, const Change& change) { return index < change.index; });
  std::vector<int64_t> rowids;
  for (auto at = first; at != changes.end(); ++at) rowids.push_back(at->rowid);
  return rowids;
}

}  // namespace cairn::state_machine
