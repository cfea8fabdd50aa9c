// MemoryLog: a LogStore in memory, for tests and the simulator. It keeps the contract of LogStore.
// Crash() forgets what was not synced.
#pragma once

#include <memory>

#include "log_store/log_store.h"

namespace cairn::log_store {

class MemoryLog : public LogStore {
 public:
  // Restores the state at the last Sync.
  virtual void Crash() = 0;
};

std::unique_ptr<MemoryLog> NewMemoryLog();

}  // namespace cairn::log_store
