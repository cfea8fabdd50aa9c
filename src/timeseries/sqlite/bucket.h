// Buckets of time: their width, and the table-valued function that lists them.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/sqlite_api.h"
#include "base/status.h"

namespace cairn::timeseries {

// An integer, in the unit of the times; or a text such as '15m', in milliseconds: ms, s, m, h, d, w.
Status ReadWidth(sqlite3_value* value, int64_t* width);
// The width of a rollup: '1m'. From a second to 31 days, because a late point costs a read of its
// bucket.
Status ParseRollupWidth(std::string_view text, int64_t* ms);
// A retention in milliseconds: a text such as '90d', also in years of 365 days: '5y'.
Status ParseRetention(std::string_view text, int64_t* ms);
// The start of the bucket of `time`, when buckets begin at `origin`. False: out of range.
bool BucketOf(int64_t time, int64_t width, int64_t origin, int64_t* bucket);

// time_buckets(from, until, width): one row for the start of each bucket that has a time from `from`
// to before `until`, so that an outer join shows the buckets without points.
int AddTimeBuckets(sqlite3* db);
int RemoveTimeBuckets(sqlite3* db);

}  // namespace cairn::timeseries
