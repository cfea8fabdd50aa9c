#include "timeseries/sqlite/scan.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "timeseries/sqlite/bucket.h"
#include "timeseries/sqlite/retention.h"
#include "timeseries/sqlite/rollup.h"
#include "timeseries/sqlite/rollup_writer.h"

namespace cairn::timeseries {
namespace {

enum class Bound { kFrom, kUntil };

// The integers that may satisfy a comparison with `value`: narrows them, never too much, because
// SQLite compares again. False: none does.
bool Narrow(sqlite3_value* value, Bound bound, int64_t* limit) {
  switch (sqlite3_value_numeric_type(value)) {
    case SQLITE_NULL: return false;
    case SQLITE_INTEGER: *limit = sqlite3_value_int64(value); return true;
    case SQLITE_FLOAT: {
      const double real = sqlite3_value_double(value);
      if (real >= 0x1p62) {
        if (bound == Bound::kFrom) *limit = INT64_MAX;
      } else if (real <= -0x1p62) {
        if (bound == Bound::kUntil) *limit = INT64_MIN;
      } else {
        *limit = static_cast<int64_t>(bound == Bound::kFrom ? std::floor(real) : std::ceil(real));
      }
      return true;
    }
    default: return true;  // a text that is no number: SQLite compares
  }
}

}  // namespace

int Scan::Begin(const Plan& plan, sqlite3_value** arguments) {
  const OwnWork own(storage_.db());
  plan_ = plan;
  from_ = INT64_MIN;
  until_ = INT64_MAX;
  at_end_ = true;
  known_series_ = 0;
  int place = 0;
  for (size_t i = 0; i < storage_.declaration().tags.size(); ++i) place += plan.tags >> i & 1;
  blocks_.Release();
  if (!TakeTimes(arguments, place)) return SQLITE_OK;
  const std::string suffix = rollup_ == nullptr ? "" : rollup_->suffix;
  int rc = Retention(&owner_, &charge_).ExpiredBefore(suffix, &expired_before_);
  if (rc != SQLITE_OK) return rc;
  from_ = std::max(from_, expired_before_);
  rc = BeginSeries(arguments);
  if (rc != SQLITE_OK) return rc;
  at_end_ = false;
  stage_ = Stage::kSeriesDone;
  left_ = 0;
  return NextNonEmpty();
}

bool Scan::TakeTimes(sqlite3_value** arguments, int place) {
  if (plan_.time_equals) {
    if (!Narrow(arguments[place], Bound::kFrom, &from_)) return false;
    if (!Narrow(arguments[place++], Bound::kUntil, &until_)) return false;
  }
  int64_t limit = INT64_MIN;
  if (plan_.time_from) {
    if (!Narrow(arguments[place++], Bound::kFrom, &limit)) return false;
    from_ = std::max(from_, limit);
  }
  limit = INT64_MAX;
  if (plan_.time_until) {
    if (!Narrow(arguments[place++], Bound::kUntil, &limit)) return false;
    until_ = std::min(until_, limit);
  }
  only_last_ = plan_.last && sqlite3_value_type(arguments[place]) == SQLITE_INTEGER &&
               sqlite3_value_int64(arguments[place]) == 1;
  return true;
}

int Scan::BeginSeries(sqlite3_value** arguments) {
  const Declaration& declaration = storage_.declaration();
  std::string sql = "SELECT id";
  std::string order;
  for (size_t i = 0; i < declaration.tags.size(); ++i) {
    std::string tag = "t";
    tag += std::to_string(i);
    sql += ", " + tag;
    order += (i == 0 ? " ORDER BY " : ", ") + tag;
  }
  sql += " FROM {series} WHERE 1";
  int place = 0;
  uint32_t binds = 0;
  for (size_t i = 0; i < declaration.tags.size(); ++i) {
    if ((plan_.tags >> i & 1) == 0) continue;
    // A number may equal several texts ('5', '05'), which SQLite compares.
    const bool is_text = sqlite3_value_type(arguments[place++]) == SQLITE_TEXT;
    if (declaration.Tag(i).type == ColumnType::kText && !is_text) continue;
    binds |= 1U << i;
    sql += " AND t";
    sql += std::to_string(i);
    sql += " = ?";
    sql += std::to_string(i + 1);
  }
  sql += plan_.by_tags && !order.empty() ? order : " ORDER BY id";
  const int rc = owner_.Take(sql, &all_series_);
  if (rc != SQLITE_OK) return rc;
  place = 0;
  for (size_t i = 0; i < declaration.tags.size(); ++i) {
    if ((plan_.tags >> i & 1) == 0) continue;
    sqlite3_value* const value = arguments[place++];
    if ((binds >> i & 1) != 0) {
      sqlite3_bind_value(all_series_.get(), static_cast<int>(i) + 1, value);
    }
  }
  return SQLITE_OK;
}

int Scan::Next() {
  if (left_ > 0) {
    --left_;
    at_ = plan_.descending ? at_ - 1 : at_ + 1;
    return SQLITE_OK;
  }
  const OwnWork own(storage_.db());
  return NextNonEmpty();
}

int Scan::NextNonEmpty() {
  for (;;) {
    if (stage_ == Stage::kSeriesDone) {
      const int rc = NextSeries();
      if (rc != SQLITE_OK || at_end_) return rc;
    }
    const int rc = NextPart();
    if (rc != SQLITE_OK || stage_ != Stage::kSeriesDone) return rc;
  }
}

int Scan::NextSeries() {
  const int rc = all_series_.Step();
  if (rc == SQLITE_DONE) {
    at_end_ = true;
    all_series_.Release();
    blocks_.Release();
    return SQLITE_OK;
  }
  if (rc != SQLITE_ROW) return rc;
  if (!Charge(kStepsToSeek)) return SQLITE_INTERRUPT;
  series_ = all_series_.IntAt(0);
  stage_ = Stage::kSeries;
  return rollup_ == nullptr ? SQLITE_OK : ReadOpen();
}

int Scan::NextPart() {
  bool found = false;
  int rc = SQLITE_OK;
  if (only_last_) {
    if (stage_ != Stage::kSeries) {
      stage_ = Stage::kSeriesDone;
      return SQLITE_OK;
    }
    return TakeLast();
  }
  const Stage first = plan_.descending ? Stage::kTail : Stage::kBlocks;
  const Stage second = plan_.descending ? Stage::kBlocks : Stage::kTail;
  while (stage_ != Stage::kSeriesDone) {
    if (stage_ == Stage::kSeries) {
      stage_ = first;
    } else if (stage_ == first && first == Stage::kTail) {
      stage_ = second;
    } else if (stage_ == Stage::kTail) {
      stage_ = Stage::kSeriesDone;
      break;
    }
    if (stage_ == Stage::kTail) {
      rc = ReadTail(&found);
    } else {
      rc = NextBlock(&found);
      if (rc == SQLITE_OK && !found) {
        blocks_.Release();
        if (plan_.descending) {
          stage_ = Stage::kSeriesDone;
        } else {
          stage_ = Stage::kTail;
          rc = ReadTail(&found);
        }
      }
    }
    if (rc != SQLITE_OK || found) return rc;
  }
  return rc;
}

int Scan::BeginBlocks() {
  // Blocks do not overlap. The first one of the range may begin before it.
  std::string sql =
      "SELECT data, points, id FROM {blocks} WHERE series = ?1 AND first >= coalesce((SELECT "
      "max(first) "
      "FROM {blocks} WHERE series = ?1 AND first <= ?2), ?2) AND first <= ?3 ORDER BY first";
  if (plan_.descending) sql += " DESC";
  const int rc = storage_.Take(sql, &blocks_);
  const int64_t until = std::min(until_, open_from_ - 1);
  if (rc == SQLITE_OK) blocks_.Int(1, series_).Int(2, from_).Int(3, until);
  return rc;
}

int Scan::NextBlock(bool* found) {
  *found = false;
  if (blocks_.get() == nullptr) {
    const int rc = BeginBlocks();
    if (rc != SQLITE_OK) return rc;
  }
  for (;;) {
    const int rc = blocks_.Step();
    if (rc == SQLITE_DONE) return SQLITE_OK;
    if (rc != SQLITE_ROW) return rc;
    if (!Charge(kStepsToSeek + static_cast<uint64_t>(blocks_.IntAt(1)) * (1 + Wanted()) / 2)) {
      return SQLITE_INTERRUPT;
    }
    if (!DecodeBlock(blocks_.BytesAt(0), plan_.wanted, &block_).ok() ||
        !Fits(storage_.declaration(), block_)) {
      return SQLITE_CORRUPT;
    }
    block_id_ = blocks_.IntAt(2);
    if (*found = PlacePoints(std::min(until_, open_from_ - 1)); *found) return SQLITE_OK;
  }
}

int Scan::ReadTail(bool* found) {
  *found = false;
  PooledStatement tail;
  const uint64_t wanted = rollup_ == nullptr ? plan_.wanted : kAllColumns;
  int rc = storage_.Take("SELECT time" + ValueNames(storage_.declaration(), wanted) +
                             " FROM {tail} WHERE series = ?1 AND time BETWEEN ?2 AND ?3",
                         &tail);
  if (rc != SQLITE_OK) return rc;
  block_id_ = 0;
  ClearBlock(storage_.declaration(), &block_);
  tail.Int(1, series_).Int(2, from_).Int(3, std::min(until_, open_from_ - 1));
  while ((rc = tail.Step()) == SQLITE_ROW) AppendRow(tail.get(), wanted, &block_);
  if (rc != SQLITE_DONE) return rc;
  if (open_from_ != INT64_MAX) AppendBlock(open_, &block_);
  if (!Charge(kStepsToSeek + block_.times.size() * (kStepsOfTailPoint + 4 * Wanted()))) {
    return SQLITE_INTERRUPT;
  }
  *found = PlacePoints(until_);
  return SQLITE_OK;
}

// The stored row of the first bucket goes on with the points of the tail.
int Scan::ReadOpen() {
  open_from_ = INT64_MAX;
  PooledStatement tail;
  const Declaration& declaration = owner_.declaration();
  int rc = owner_.Take("SELECT time" + ValueNames(declaration, kAllColumns) +
                           " FROM {tail} WHERE series = ?1 ORDER BY time",
                       &tail);
  if (rc != SQLITE_OK) return rc;
  rc = tail.Int(1, series_).Step();
  if (rc == SQLITE_DONE) return SQLITE_OK;
  if (rc != SQLITE_ROW) return rc;
  int64_t start = tail.IntAt(0);
  BucketOf(start, rollup_->width, 0, &start);
  // Older rows are asked for.
  if (start > until_ && !only_last_) return SQLITE_OK;
  Block points;
  ClearBlock(declaration, &points);
  for (; rc == SQLITE_ROW; rc = tail.Step()) AppendRow(tail.get(), kAllColumns, &points);
  if (rc != SQLITE_DONE) return rc;
  if (!Charge(points.times.size() * kStepsOfTailPoint)) return SQLITE_INTERRUPT;
  Bucket bucket(&declaration);
  Block rows;
  size_t row = 0;
  bool found = false;
  rc = ReadRollupRow(&storage_, charge_, series_, start, &rows, &row, &found);
  if (rc != SQLITE_OK) return rc;
  if (found) bucket.Load(rows, row);
  open_from_ = start;
  ClearBlock(storage_.declaration(), &open_);
  PointValues values;
  for (size_t i = 0; i < points.times.size(); ++i) {
    bucket.Add(points, i);
    const bool is_last = i + 1 == points.times.size();
    int64_t next = start;
    if (!is_last) BucketOf(points.times[i + 1], rollup_->width, 0, &next);
    if (!is_last && next == start) continue;
    bucket.Take(&values);
    InsertPoint(&open_, open_.times.size(), start, values);
    bucket.Clear();
    start = next;
  }
  return SQLITE_OK;
}

// The last point of the series, wherever it lies; the conditions on the time are SQLite's.
int Scan::TakeLast() {
  if (!Charge(kStepsToSeek)) return SQLITE_INTERRUPT;
  block_id_ = 0;
  ClearBlock(storage_.declaration(), &block_);
  stage_ = Stage::kTail;
  int rc = SQLITE_OK;
  if (open_from_ != INT64_MAX) {
    AppendBlock(open_, &block_);
  } else {
    rc = ReadLast();
  }
  if (rc != SQLITE_OK) return rc;
  if (block_.times.empty() || block_.times.back() < expired_before_) {
    stage_ = Stage::kSeriesDone;
    return SQLITE_OK;
  }
  at_ = block_.times.size() - 1;
  left_ = 0;
  known_series_ = series_;
  known_last_ = block_.times.back();
  return SQLITE_OK;
}

int Scan::ReadLast() {
  PooledStatement read;
  int rc = storage_.Take("SELECT time" + ValueNames(storage_.declaration(), plan_.wanted) +
                             " FROM {tail} WHERE series = ?1 ORDER BY time DESC LIMIT 1",
                         &read);
  if (rc != SQLITE_OK) return rc;
  rc = read.Int(1, series_).Step();
  if (rc == SQLITE_ROW) AppendRow(read.get(), plan_.wanted, &block_);
  if (rc == SQLITE_DONE) {
    rc = storage_.Take(
        "SELECT data, points, id FROM {blocks} WHERE series = ?1 ORDER BY first DESC LIMIT 1",
        &read);
    if (rc != SQLITE_OK) return rc;
    rc = read.Int(1, series_).Step();
    if (rc == SQLITE_ROW) {
      block_id_ = read.IntAt(2);
      if (!Charge(static_cast<uint64_t>(read.IntAt(1)) / 2)) return SQLITE_INTERRUPT;
      if (!DecodeBlock(read.BytesAt(0), plan_.wanted, &block_).ok() ||
          !Fits(storage_.declaration(), block_)) {
        return SQLITE_CORRUPT;
      }
    }
  }
  return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

// Goes to the first point of the block that is in the range. False: there is none.
bool Scan::PlacePoints(int64_t until) {
  const std::vector<int64_t>& times = block_.times;
  const auto begin = std::lower_bound(times.begin(), times.end(), from_);
  const auto end = std::upper_bound(begin, times.end(), until);
  if (begin == end) return false;
  left_ = static_cast<size_t>(end - begin) - 1;
  at_ = static_cast<size_t>(plan_.descending ? end - times.begin() - 1 : begin - times.begin());
  return true;
}

// A point of a block: the block's number, and the place. One of a tail: the number of its series,
// and its place in the whole tail, which has fewer than 640 points. Rows of a rollup that are made
// of a tail come behind those in the rollup's own tail, which has fewer than 192.
int Scan::Number(sqlite3_int64* number) {
  constexpr int64_t kOpenRows = 256;
  constexpr int64_t kTailPoints = 1024;
  constexpr int64_t kTails = int64_t{1} << 62;
  if (block_id_ != 0) {
    *number = block_id_ * static_cast<int64_t>(kPointsMax) + static_cast<int64_t>(at_);
    return SQLITE_OK;
  }
  int64_t place = 0;
  if (time() >= open_from_) {
    const auto row = std::lower_bound(open_.times.begin(), open_.times.end(), time());
    place = kOpenRows + (row - open_.times.begin());
  } else {
    if (!Charge(kStepsToSeek)) return SQLITE_INTERRUPT;
    PooledStatement count;
    int rc = storage_.Take("SELECT count(*) FROM {tail} WHERE series = ?1 AND time < ?2", &count);
    if (rc != SQLITE_OK) return rc;
    rc = count.Int(1, series_).Int(2, time()).Step();
    if (rc != SQLITE_ROW) return rc;
    place = count.IntAt(0);
  }
  *number = kTails + series_ * kTailPoints + place;
  return SQLITE_OK;
}

int Scan::IsLast(bool* is_last) {
  if (known_series_ != series_) {
    const OwnWork own(storage_.db());
    PooledStatement read;
    if (rollup_ != nullptr) {
      only_last_ = true;  // also if the tail is newer than what is asked for
      const int rc = ReadOpen();
      only_last_ = false;
      if (rc != SQLITE_OK) return rc;
    }
    int rc = storage_.Take(
        "SELECT coalesce((SELECT max(time) FROM {tail} WHERE series = ?1), (SELECT last FROM "
        "{blocks} WHERE series = ?1 ORDER BY first DESC LIMIT 1))",
        &read);
    if (rc != SQLITE_OK) return rc;
    if (!Charge(kStepsToSeek)) return SQLITE_INTERRUPT;
    rc = read.Int(1, series_).Step();
    if (rc != SQLITE_ROW) return rc;
    known_series_ = series_;
    known_last_ = open_from_ == INT64_MAX ? read.IntAt(0) : open_.times.back();
  }
  *is_last = time() == known_last_;
  return SQLITE_OK;
}

void Scan::Result(sqlite3_context* context, const DeclaredColumn& column) const {
  if (column.role == Role::kTime) {
    sqlite3_result_int64(context, time());
    return;
  }
  if (column.role == Role::kTag) {
    sqlite3_result_value(
        context, sqlite3_column_value(all_series_.get(), static_cast<int>(column.place) + 1));
    return;
  }
  const BlockColumn& values = block_.columns[column.place];
  if (values.IsNull(at_)) return;
  switch (values.type) {
    case ColumnType::kReal:
      if (!values.reals.empty()) sqlite3_result_double(context, values.reals[at_]);
      return;
    case ColumnType::kText: {
      if (values.integers.empty()) return;
      const std::string& text = values.texts[static_cast<size_t>(values.integers[at_])];
      sqlite3_result_text64(context, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
      return;
    }
    default:
      if (!values.integers.empty()) sqlite3_result_int64(context, values.integers[at_]);
  }
}

}  // namespace cairn::timeseries
