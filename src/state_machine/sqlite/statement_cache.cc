#include "state_machine/sqlite/statement_cache.h"

#include <iterator>
#include <utility>

namespace cairn::state_machine {
namespace {

// Texts that are used again are short. Long texts (generated lists) would only fill the memory.
constexpr size_t kCachedSqlBytesMax = 16 << 10;

}  // namespace

PreparedRead* StatementCache::Find(const std::string& sql) {
  const auto it = by_sql_.find(sql);
  if (it == by_sql_.end()) return nullptr;
  lru_.splice(lru_.begin(), lru_, it->second);
  return &lru_.front();
}

PreparedRead* StatementCache::Insert(const std::string& sql, StatementPtr stmt) {
  // A long text stays only until the next long one comes.
  if (!lru_.empty() && (lru_.size() >= size_max_ || lru_.front().sql.size() > kCachedSqlBytesMax)) {
    const auto victim =
        lru_.front().sql.size() > kCachedSqlBytesMax ? lru_.begin() : std::prev(lru_.end());
    by_sql_.erase(victim->sql);
    lru_.erase(victim);
  }
  lru_.push_front(PreparedRead{sql, std::move(stmt), nullptr, -1});
  by_sql_.emplace(lru_.front().sql, lru_.begin());
  return &lru_.front();
}

void StatementCache::Clear() {
  by_sql_.clear();
  lru_.clear();
}

}  // namespace cairn::state_machine
