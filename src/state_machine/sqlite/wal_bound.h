// WalBound: decides when readers give way so that the WAL can begin anew.
//
// SQLite writes the WAL from its beginning again only when a checkpoint has moved all of it into
// the file and no reader uses it. Readers that overlap (one begins before the other ends) prevent
// this for ever. Without a bound the WAL would grow as long as there are writes.
//
//   size of the WAL       what happens
//   up to restart_bytes   nothing
//   above it              once a second new views wait, for 100 ms at most. As soon as no view is
//                         left, all of the WAL is moved. Views of the newest state that open behind
//                         this read the file alone, and hold the WAL back no more
//   above bytes_max       the views that are left after such a wait, and scans, are ended
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "base/clock.h"

namespace cairn::state_machine {

// How long a new view waits at most for the WAL to begin anew.
inline constexpr SteadyTime kViewHoldMax = std::chrono::milliseconds(100);

// Only decides: has no file and no clock. One thread.
class WalBound {
 public:
  struct Step {
    bool hold = false;                     // new views wait
    bool end_readers = false;              // the present views and scans are ended
    bool move = false;                     // then a checkpoint is due
    SteadyTime again = SteadyTime::max();  // ask again after this time
  };

  explicit WalBound(uint64_t restart_bytes) : restart_bytes_(restart_bytes) {}

  // `held_back`: a reader keeps the WAL from beginning anew.
  Step Next(SteadyTime now, uint64_t wal_bytes, uint64_t bytes_max, bool held_back);

 private:
  const uint64_t restart_bytes_;
  std::optional<SteadyTime> hold_until_;  // set while new views wait
  SteadyTime next_hold_ = SteadyTime::min();
};

}  // namespace cairn::state_machine
