#include "timeseries/sqlite/bucket.h"

#include <array>
#include <charconv>
#include <string>
#include <string_view>

namespace cairn::timeseries {
namespace {

struct Unit {
  std::string_view name;
  int64_t ms;
};
constexpr Unit kUnits[] = {{"ms", 1},        {"s", 1000},       {"m", 60'000},
                           {"h", 3'600'000}, {"d", 86'400'000}, {"w", 604'800'000}};

// A number and a unit. False: it is none.
bool ParseWidth(std::string_view text, int64_t* ms) {
  int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  constexpr int64_t kCountMax = 1'000'000;
  if (error != std::errc() || count < 0 || count > kCountMax) return false;
  for (const Unit& each : kUnits) {
    if (each.name != unit) continue;
    *ms = count * each.ms;
    return true;
  }
  return false;
}

enum Column { kBucket, kFrom, kUntil, kWidth };

struct Cursor : sqlite3_vtab_cursor {
  int64_t bucket = 0;
  int64_t until = 0;
  int64_t width = 1;
  std::array<int64_t, 3> arguments = {};
  bool at_end = true;
};

Cursor* Of(sqlite3_vtab_cursor* cursor) { return static_cast<Cursor*>(cursor); }

int OnConnect(sqlite3* db, void* /*data*/, int /*argc*/, const char* const* /*argv*/,
              sqlite3_vtab** table, char** /*error*/) {
  const int rc = sqlite3_declare_vtab(
      db, "CREATE TABLE x(bucket INTEGER, \"from\" HIDDEN, until HIDDEN, width HIDDEN)");
  if (rc != SQLITE_OK) return rc;
  sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
  *table = new sqlite3_vtab();
  return SQLITE_OK;
}

int OnDisconnect(sqlite3_vtab* table) {
  delete table;
  return SQLITE_OK;
}

int OnBestIndex(sqlite3_vtab* table, sqlite3_index_info* info) {
  std::array<int, 3> found = {-1, -1, -1};
  bool unusable = false;
  for (int i = 0; i < info->nConstraint; ++i) {
    const auto& constraint = info->aConstraint[i];
    if (constraint.iColumn < kFrom || constraint.op != SQLITE_INDEX_CONSTRAINT_EQ) continue;
    if (constraint.usable == 0) {
      unusable = true;
      continue;
    }
    found[static_cast<size_t>(constraint.iColumn - kFrom)] = i;
  }
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i] < 0) {
      if (unusable) return SQLITE_CONSTRAINT;
      sqlite3_free(table->zErrMsg);
      table->zErrMsg = sqlite3_mprintf("time_buckets(from, until, width) takes three arguments");
      return SQLITE_ERROR;
    }
    info->aConstraintUsage[found[i]].argvIndex = static_cast<int>(i) + 1;
    info->aConstraintUsage[found[i]].omit = 1;
  }
  if (info->nOrderBy == 1 && info->aOrderBy[0].iColumn == kBucket && info->aOrderBy[0].desc == 0) {
    info->orderByConsumed = 1;
  }
  info->estimatedCost = info->estimatedRows = 1000;
  return SQLITE_OK;
}

int OnOpen(sqlite3_vtab* /*table*/, sqlite3_vtab_cursor** cursor) {
  *cursor = new Cursor();
  return SQLITE_OK;
}

int OnClose(sqlite3_vtab_cursor* cursor) {
  delete Of(cursor);
  return SQLITE_OK;
}

int OnFilter(sqlite3_vtab_cursor* base, int /*number*/, const char* /*text*/, int argc,
             sqlite3_value** argv) {
  Cursor* const cursor = Of(base);
  cursor->at_end = true;
  for (int i = 0; i < argc; ++i) {
    if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return SQLITE_OK;
  }
  const Status read = ReadWidth(argv[2], &cursor->width);
  if (!read.ok()) {
    sqlite3_free(base->pVtab->zErrMsg);
    base->pVtab->zErrMsg = sqlite3_mprintf("%s", read.message().c_str());
    return SQLITE_ERROR;
  }
  const int64_t from = sqlite3_value_int64(argv[0]);
  cursor->until = sqlite3_value_int64(argv[1]);
  cursor->arguments = {from, cursor->until, cursor->width};
  cursor->at_end = from >= cursor->until || !BucketOf(from, cursor->width, 0, &cursor->bucket);
  return SQLITE_OK;
}

int OnNext(sqlite3_vtab_cursor* base) {
  Cursor* const cursor = Of(base);
  int64_t next = 0;
  const bool overflow = __builtin_add_overflow(cursor->bucket, cursor->width, &next);
  cursor->at_end = overflow || next >= cursor->until;
  cursor->bucket = next;
  return SQLITE_OK;
}

int OnEof(sqlite3_vtab_cursor* cursor) { return Of(cursor)->at_end ? 1 : 0; }

int OnColumn(sqlite3_vtab_cursor* base, sqlite3_context* context, int column) {
  const Cursor* const cursor = Of(base);
  sqlite3_result_int64(context, column == kBucket
                                    ? cursor->bucket
                                    : cursor->arguments[static_cast<size_t>(column - kFrom)]);
  return SQLITE_OK;
}

int OnRowid(sqlite3_vtab_cursor* cursor, sqlite3_int64* rowid) {
  *rowid = Of(cursor)->bucket;
  return SQLITE_OK;
}

constexpr sqlite3_module kModule = {
    .iVersion = 0,
    .xCreate = nullptr,
    .xConnect = OnConnect,
    .xBestIndex = OnBestIndex,
    .xDisconnect = OnDisconnect,
    .xDestroy = nullptr,
    .xOpen = OnOpen,
    .xClose = OnClose,
    .xFilter = OnFilter,
    .xNext = OnNext,
    .xEof = OnEof,
    .xColumn = OnColumn,
    .xRowid = OnRowid,
    .xUpdate = nullptr,
    .xBegin = nullptr,
    .xSync = nullptr,
    .xCommit = nullptr,
    .xRollback = nullptr,
    .xFindFunction = nullptr,
    .xRename = nullptr,
    .xSavepoint = nullptr,
    .xRelease = nullptr,
    .xRollbackTo = nullptr,
    .xShadowName = nullptr,
};

}  // namespace

Status ReadWidth(sqlite3_value* value, int64_t* width) {
  Status wrong = InvalidArgument(
      "the width of a bucket is a positive integer in the unit of the times, or a text such as "
      "'15m' in milliseconds (ms, s, m, h, d, w)");
  if (sqlite3_value_type(value) == SQLITE_INTEGER) {
    *width = sqlite3_value_int64(value);
    return *width > 0 ? OkStatus() : wrong;
  }
  const auto* const bytes = reinterpret_cast<const char*>(sqlite3_value_text(value));
  if (sqlite3_value_type(value) != SQLITE_TEXT || bytes == nullptr) return wrong;
  const std::string_view text(bytes, static_cast<size_t>(sqlite3_value_bytes(value)));
  return ParseWidth(text, width) && *width > 0 ? OkStatus() : wrong;
}

Status ParseRollupWidth(std::string_view text, int64_t* ms) {
  constexpr int64_t kSecond = 1000;
  constexpr int64_t kWidthMax = 31 * int64_t{86'400'000};
  if (text.empty() || text.front() == '0' || !ParseWidth(text, ms) || *ms < kSecond) {
    return InvalidArgument("the width of a rollup is a text such as '1m' (s, m, h, d, w), not '" +
                           std::string(text) + "'");
  }
  return *ms <= kWidthMax ? OkStatus() : InvalidArgument("a rollup is at most 31 days wide");
}

Status ParseRetention(std::string_view text, int64_t* ms) {
  constexpr int64_t kMinute = 60'000;
  constexpr int64_t kYear = 365 * int64_t{86'400'000};
  constexpr int64_t kRetentionMax = 10'000 * kYear;
  bool read = ParseWidth(text, ms);
  if (!read && !text.empty() && text.back() == 'y') {
    const std::string days = std::string(text.substr(0, text.size() - 1)) + "d";
    read = ParseWidth(days, ms);
    *ms *= 365;
  }
  if (!read || *ms > kRetentionMax) {
    return InvalidArgument("a retention is a text such as '90d' (m, h, d, w, y), not '" +
                           std::string(text) + "'");
  }
  if (*ms == 0) {
    return InvalidArgument("a retention of '" + std::string(text) +
                           "' would delete every point: DELETE them, or name a longer one");
  }
  if (*ms < kMinute) return InvalidArgument("a retention is at least '1m'");
  return OkStatus();
}

bool BucketOf(int64_t time, int64_t width, int64_t origin, int64_t* bucket) {
  int64_t distance = 0;
  if (__builtin_sub_overflow(time, origin, &distance)) return false;
  int64_t rest = distance % width;
  if (rest < 0) rest += width;
  return !__builtin_sub_overflow(time, rest, bucket);
}

int AddTimeBuckets(sqlite3* db) {
  return sqlite3_create_module_v2(db, "time_buckets", &kModule, nullptr, nullptr);
}

int RemoveTimeBuckets(sqlite3* db) {
  return sqlite3_create_module_v2(db, "time_buckets", nullptr, nullptr, nullptr);
}

}  // namespace cairn::timeseries
