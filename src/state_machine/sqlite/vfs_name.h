// Names of SQLite's VFSs. SQLite finds a VFS by its name, in one list of the process, so no two of
// Cairn's may have the same.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace cairn::state_machine {

// A name that no call has returned before. Thread-safe.
inline std::string NextVfsName(const std::string& prefix) {
  static std::atomic<uint64_t> made{0};
  return prefix + std::to_string(made.fetch_add(1));
}

}  // namespace cairn::state_machine
