// SQL functions for measurements (docs/time-series.md): time_bucket, first, last, delta, rate,
// time_weighted_avg, histogram, locf, interpolate; and the table-valued function time_buckets.
//
// Each gives the same bits on every node: sums go in the order of time, whatever the order of the
// rows, by products, sums and quotients alone.
#pragma once

#include "base/sqlite_api.h"
#include "base/status.h"
#include "timeseries/sqlite/work.h"

namespace cairn::timeseries {

// The points that one call of rate(), time_weighted_avg() may take: 16 MiB.
inline constexpr size_t kPointsOfACallMax = 1 << 20;

// `charge` must outlive the connection, or the functions. A call that it refuses is interrupted.
Status AddFunctions(sqlite3* db, const ChargeWork* charge);
Status RemoveFunctions(sqlite3* db);

}  // namespace cairn::timeseries
