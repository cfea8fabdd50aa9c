// What came of a command 'expire' of a time series (retention.h).
#pragma once

namespace cairn::timeseries {

struct ExpiryOutcome {
  bool moved = false;  // the bound: queries tell fewer points
  bool more = false;   // the next slice may follow at once
};

}  // namespace cairn::timeseries
