#include "state_machine/sqlite/program_cache.h"

#include <utility>

namespace cairn::state_machine {

Program* ProgramCache::Find(const std::string& sql) {
  const auto it = by_sql_.find(sql);
  if (it == by_sql_.end()) return nullptr;
  lru_.splice(lru_.begin(), lru_, it->second);
  return &lru_.front();
}

Program* ProgramCache::Insert(Program program) {
  passing_.clear();
  const size_t size = program.sql.size();
  const bool reusable = program.keep && (size <= kShortTextBytes ||
                                         sqlite3_bind_parameter_count(program.stmt.get()) > 0);
  if (!reusable || size > kTextBytesMax / 4) {
    passing_.push_front(std::move(program));
    return &passing_.front();
  }
  while (lru_.size() >= kProgramsMax || text_bytes_ + size > kTextBytesMax) EvictLast();
  lru_.push_front(std::move(program));
  text_bytes_ += size;
  by_sql_.emplace(lru_.front().sql, lru_.begin());
  return &lru_.front();
}

void ProgramCache::EvictLast() {
  by_sql_.erase(lru_.back().sql);
  text_bytes_ -= lru_.back().sql.size();
  lru_.pop_back();
}

void ProgramCache::Clear() {
  by_sql_.clear();
  lru_.clear();
  text_bytes_ = 0;
  passing_.clear();
}

}  // namespace cairn::state_machine
