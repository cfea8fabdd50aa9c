// PreparedCounts: how many statements of each open transaction this client has prepared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "base/mutex.h"

namespace cairn::client {

// Thread-safe.
class PreparedCounts {
 public:
  // Past this number of open transactions, the statements of new ones carry no number.
  static constexpr size_t kTransactionsMax = 65'536;

  // The number of the transaction's next statement. 0: none.
  uint64_t NextOf(const std::string& tx_id) {
    MutexLock lock(mutex_);
    const auto it = counts_.find(tx_id);
    if (it != counts_.end()) return it->second + 1;
    return counts_.size() < kTransactionsMax ? 1 : 0;
  }
  // Records that the statement with this number is prepared.
  void Note(const std::string& tx_id, uint64_t number) {
    if (number == 0) return;
    MutexLock lock(mutex_);
    counts_[tx_id] = number;
  }
  // The number of prepared statements. 0: not known, because this client has prepared none of them.
  uint64_t CountOf(const std::string& tx_id) {
    MutexLock lock(mutex_);
    const auto it = counts_.find(tx_id);
    return it == counts_.end() ? 0 : it->second;
  }
  // Called when the transaction has ended.
  void Forget(const std::string& tx_id) {
    MutexLock lock(mutex_);
    counts_.erase(tx_id);
  }

 private:
  Mutex mutex_;
  std::map<std::string, uint64_t> counts_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::client
