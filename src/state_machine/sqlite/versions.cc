#include "state_machine/sqlite/versions.h"

#include <algorithm>

namespace cairn::state_machine {

// The row with the highest of the removed sequences. No table can have the name.
const char* const kRemoved = "_cairn_removed";

const char* const Versions::kSchema =
    "CREATE TABLE _cairn_versions(name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID";

Status Versions::Open(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(read.Prepare(db, "SELECT name, version FROM _cairn_versions"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) break;
    VersionCounter* const counter = Counter(std::string(read.Bytes(0)));
    counter->value = counter->in_file = read.Int(1);
  }
  RETURN_IF_ERROR(write_.Prepare(db, "REPLACE INTO _cairn_versions(name, version) VALUES(?1, ?2)"));
  return remove_.Prepare(db, "DELETE FROM _cairn_versions WHERE name = ?1");
}

void Versions::Close() {
  write_.Finalize();
  remove_.Finalize();
  dirty_.clear();
  counters_.clear();
}

VersionCounter* Versions::Counter(const std::string& lower_name) {
  const auto [it, made] = counters_.try_emplace(lower_name);
  if (made) it->second.name = lower_name;
  return &it->second;
}

void Versions::Touch(VersionCounter* counter) {
  if (counter->dirty) return;
  counter->dirty = true;
  dirty_.push_back(counter);
}

void Versions::Add(VersionCounter* counter, int64_t n) {
  Touch(counter);
  counter->value += n;
}

void Versions::AddToTable(const std::string& lower_name) {
  VersionCounter* const counter = Counter(lower_name);
  if (counter->value == 0) counter->value = Counter(kRemoved)->value;
  Add(counter, 1);
}

void Versions::Drop(const std::string& lower_name) {
  VersionCounter* const counter = Counter(lower_name);
  ++counter->value;
  Remove(counter);
}

void Versions::Rename(const std::string& from, const std::string& to) {
  VersionCounter* const new_counter = Counter(to);
  Touch(new_counter);
  VersionCounter* const old_counter = Counter(from);
  new_counter->value = std::max(new_counter->value, old_counter->value);
  Remove(old_counter);
}

void Versions::Remove(VersionCounter* counter) {
  VersionCounter* const removed = Counter(kRemoved);
  Touch(removed);
  Touch(counter);
  removed->value = std::max(removed->value, counter->value);
  counter->value = 0;
}

Status Versions::Flush() {
  for (const VersionCounter* counter : dirty_) {
    if (counter->value == counter->in_file) continue;
    if (counter->value == 0) {
      RETURN_IF_ERROR(remove_.BindText(1, counter->name).Run());
    } else {
      RETURN_IF_ERROR(write_.BindText(1, counter->name).Bind(2, counter->value).Run());
    }
  }
  return OkStatus();
}

void Versions::BatchCommitted() {
  for (VersionCounter* counter : dirty_) {
    counter->in_file = counter->value;
    counter->dirty = false;
    // The table is gone, and so are all programs that wrote to it.
    if (counter->value == 0) counters_.erase(std::string(counter->name));
  }
  dirty_.clear();
}

void Versions::BatchUndone() {
  for (VersionCounter* counter : dirty_) {
    counter->value = counter->in_file;
    counter->dirty = false;
  }
  dirty_.clear();
}

}  // namespace cairn::state_machine
