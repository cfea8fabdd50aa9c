// Refusals: who was refused what, counted until the audit tells it.
//
// A stranger may be refused any number of times, and with any texts. So refusals are no writes: they
// are counted by principal, address and reason, at most kRowsMax of these at a time, and all others
// together.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/mutex.h"
#include "state_machine/audit.h"

namespace cairn::server {

// Thread-safe.
class Refusals {
 public:
  static constexpr size_t kRowsMax = 7;

  // `address` and `principal` are empty if they are not known.
  void Count(std::string_view principal, std::string_view address, std::string_view reason,
             uint64_t count = 1);
  // What was counted since the last call, at most kRowsMax + 1 notes.
  std::vector<state_machine::AuditNote> Take();
  // Counts notes again that could not be told.
  void PutBack(const std::vector<state_machine::AuditNote>& notes);

 private:
  using Key = std::tuple<std::string, std::string, std::string>;

  Mutex mutex_;
  std::map<Key, uint64_t> counts_ CAIRN_GUARDED_BY(mutex_);
  uint64_t others_ CAIRN_GUARDED_BY(mutex_) = 0;
};

}  // namespace cairn::server
