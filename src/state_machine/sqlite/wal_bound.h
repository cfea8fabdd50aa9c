// WalBound: decides when readers give way so that the WAL can be restarted.
//
// SQLite restarts the WAL (writes it from its beginning again) only when a checkpoint has moved the
// whole WAL into the file and no reader uses it. Readers that overlap (one begins before the other
// ends) prevent this for ever. Without a bound the WAL would grow as long as there are writes.
//
//   size of the WAL       what happens
//   up to restart_bytes   nothing
//   above it              once a second new views wait, for at most 100 ms. When no view is left,
//                         the whole WAL is moved. Views of the newest state that open afterwards
//                         read the file alone, and no longer hold the WAL back
//   above bytes_max       the views that are left after such a wait, and scans, are ended
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "base/clock.h"

namespace cairn::state_machine {

// How long a new view waits at most for the WAL to be restarted.
inline constexpr SteadyTime kViewHoldMax = std::chrono::milliseconds(100);

// WalBound only decides. It has no file and no clock. One thread.
class WalBound {
 public:
  struct Step {
    bool hold = false;                     // new views wait
    bool end_readers = false;              // end the present views and scans
    bool move = false;                     // run a checkpoint then
    SteadyTime again = SteadyTime::max();  // ask again after this time
  };

  explicit WalBound(uint64_t restart_bytes) : restart_bytes_(restart_bytes) {}

  // `held_back`: a reader keeps the WAL from being restarted.
  Step Next(SteadyTime now, uint64_t wal_bytes, uint64_t bytes_max, bool held_back);

 private:
  const uint64_t restart_bytes_;
  std::optional<SteadyTime> hold_until_;  // set while new views wait
  SteadyTime next_hold_ = SteadyTime::min();
};

}  // namespace cairn::state_machine
