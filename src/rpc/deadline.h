// Deadlines of gRPC on the steady clock. A deadline on the time of day would move when that clock
// is set.
#pragma once

#include <grpc/support/time.h>

#include "base/clock.h"

namespace cairn::rpc {

inline gpr_timespec DeadlineAfter(SteadyTime timeout) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(timeout.count(), GPR_TIMESPAN));
}

}  // namespace cairn::rpc
