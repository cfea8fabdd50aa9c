#include "timeseries/sqlite/series_scan.h"

#include <algorithm>
#include <string>

#include "timeseries/sqlite/bucket.h"
#include "timeseries/sqlite/rollup.h"
#include "timeseries/sqlite/rollup_writer.h"

namespace cairn::timeseries {

int SeriesScan::Begin(int64_t series, const PointRange& range) {
  range_ = range;
  series_ = series;
  stage_ = Stage::kBegin;
  left_ = 0;
  open_from_ = INT64_MAX;
  knows_last_ = false;
  blocks_.Release();
  if (rollup_ != nullptr) {
    const int rc = ReadOpen();
    if (rc != SQLITE_OK) return rc;
  }
  return NextBlock();
}

void SeriesScan::Release() {
  stage_ = Stage::kEnd;
  blocks_.Release();
}

SeriesScan::Stage SeriesScan::Behind(Stage stage) const {
  const Stage first = range_.descending ? Stage::kTail : Stage::kBlocks;
  if (stage == Stage::kBegin) return first;
  if (stage != first) return Stage::kEnd;
  return range_.descending ? Stage::kBlocks : Stage::kTail;
}

int SeriesScan::NextBlock() {
  if (range_.only_last) {
    const bool begins = stage_ == Stage::kBegin;
    stage_ = Stage::kEnd;
    return begins ? TakeLast() : SQLITE_OK;
  }
  // Blocks come one by one, and the tail at once.
  bool found = false;
  int rc = stage_ == Stage::kBlocks ? ReadBlocks(&found) : SQLITE_OK;
  while (rc == SQLITE_OK && !found && (stage_ = Behind(stage_)) != Stage::kEnd) {
    rc = stage_ == Stage::kTail ? ReadTail(&found) : ReadBlocks(&found);
  }
  if (at_end()) blocks_.Release();
  return rc;
}

int SeriesScan::BeginBlocks() {
  // Blocks do not overlap. The first one of the range may begin before it.
  std::string sql =
      "SELECT data, points, id FROM {blocks} WHERE series = ?1 AND first >= coalesce((SELECT "
      "max(first) FROM {blocks} WHERE series = ?1 AND first <= ?2), ?2) AND first <= ?3 ORDER BY "
      "first";
  if (range_.descending) sql += " DESC";
  const int rc = storage_.Take(sql, &blocks_);
  const int64_t until = std::min(range_.until, open_from_ - 1);
  if (rc == SQLITE_OK) blocks_.Int(1, series_).Int(2, range_.from).Int(3, until);
  return rc;
}

int SeriesScan::ReadBlocks(bool* found) {
  *found = false;
  if (blocks_.get() == nullptr) {
    const int rc = BeginBlocks();
    if (rc != SQLITE_OK) return rc;
  }
  for (;;) {
    const int rc = blocks_.Step();
    if (rc == SQLITE_DONE) return SQLITE_OK;
    if (rc != SQLITE_ROW) return rc;
    const auto points = static_cast<uint64_t>(blocks_.IntAt(1));
    if (!Charge(kStepsToSeek + StepsToRead(points, Wanted()))) return SQLITE_INTERRUPT;
    if (!DecodeStored(storage_.declaration(), blocks_.BytesAt(0), blocks_.IntAt(1), range_.wanted,
                      &block_)) {
      return SQLITE_CORRUPT;
    }
    block_id_ = blocks_.IntAt(2);
    if (*found = PlacePoints(std::min(range_.until, open_from_ - 1)); *found) return SQLITE_OK;
  }
}

int SeriesScan::ReadTail(bool* found) {
  *found = false;
  PooledStatement tail;
  const uint64_t wanted = rollup_ == nullptr ? range_.wanted : AllValues();
  int rc = storage_.Take("SELECT time" + ValueNames(storage_.declaration(), wanted) +
                             " FROM {tail} WHERE series = ?1 AND time BETWEEN ?2 AND ?3",
                         &tail);
  if (rc != SQLITE_OK) return rc;
  block_id_ = 0;
  ClearBlock(storage_.declaration(), &block_);
  tail.Int(1, series_).Int(2, range_.from).Int(3, std::min(range_.until, open_from_ - 1));
  while ((rc = tail.Step()) == SQLITE_ROW) AppendRow(tail.get(), wanted, &block_);
  if (rc != SQLITE_DONE) return rc;
  if (open_from_ != INT64_MAX) AppendBlock(open_, &block_);
  const auto columns = static_cast<uint64_t>(std::popcount(wanted));
  if (!Charge(kStepsToSeek + StepsToReadTail(block_.times.size(), columns))) {
    return SQLITE_INTERRUPT;
  }
  *found = PlacePoints(range_.until);
  return SQLITE_OK;
}

// The stored row of the first bucket goes on with the points of the tail.
int SeriesScan::ReadOpen() {
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
  if (start > range_.until && !range_.only_last) return SQLITE_OK;
  Block points;
  ClearBlock(declaration, &points);
  for (; rc == SQLITE_ROW; rc = tail.Step()) AppendRow(tail.get(), kAllColumns, &points);
  if (rc != SQLITE_DONE) return rc;
  const uint64_t count = points.times.size();
  const uint64_t columns = declaration.values.size();
  if (!Charge(kStepsToSeek + StepsToReadTail(count, columns) + StepsToAggregate(count, columns))) {
    return SQLITE_INTERRUPT;
  }
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
int SeriesScan::TakeLast() {
  block_id_ = 0;
  ClearBlock(storage_.declaration(), &block_);
  if (open_from_ != INT64_MAX) {
    AppendBlock(open_, &block_);
  } else if (const int rc = ReadLast(); rc != SQLITE_OK) {
    return rc;
  }
  if (block_.times.empty() || block_.times.back() < range_.expired_before) return SQLITE_OK;
  stage_ = Stage::kTail;
  at_ = block_.times.size() - 1;
  left_ = 0;
  knows_last_ = true;
  last_ = block_.times.back();
  return SQLITE_OK;
}

int SeriesScan::ReadLast() {
  if (!Charge(2 * kStepsToSeek + StepsToReadTail(1, Wanted()))) return SQLITE_INTERRUPT;
  PooledStatement read;
  int rc = storage_.Take("SELECT time" + ValueNames(storage_.declaration(), range_.wanted) +
                             " FROM {tail} WHERE series = ?1 ORDER BY time DESC LIMIT 1",
                         &read);
  if (rc != SQLITE_OK) return rc;
  rc = read.Int(1, series_).Step();
  if (rc == SQLITE_ROW) AppendRow(read.get(), range_.wanted, &block_);
  if (rc == SQLITE_DONE) {
    rc = storage_.Take(
        "SELECT data, points, id FROM {blocks} WHERE series = ?1 ORDER BY first DESC LIMIT 1",
        &read);
    if (rc != SQLITE_OK) return rc;
    rc = read.Int(1, series_).Step();
    if (rc == SQLITE_ROW) {
      block_id_ = read.IntAt(2);
      if (!Charge(StepsToRead(static_cast<uint64_t>(read.IntAt(1)), Wanted()))) {
        return SQLITE_INTERRUPT;
      }
      if (!DecodeStored(storage_.declaration(), read.BytesAt(0), read.IntAt(1), range_.wanted,
                        &block_)) {
        return SQLITE_CORRUPT;
      }
    }
  }
  return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

// Goes to the first point of the block that is in the range. False: there is none.
bool SeriesScan::PlacePoints(int64_t until) {
  const std::vector<int64_t>& times = block_.times;
  const auto begin = std::lower_bound(times.begin(), times.end(), range_.from);
  const auto end = std::upper_bound(begin, times.end(), until);
  if (begin == end) return false;
  left_ = static_cast<size_t>(end - begin) - 1;
  at_ = static_cast<size_t>(range_.descending ? end - times.begin() - 1 : begin - times.begin());
  return true;
}

// A point of a block: the block's number, and the place. One of a tail: the number of its series,
// and its place in the whole tail, which has fewer than 640 points. Rows of a rollup that are made
// of a tail come behind those in the rollup's own tail, which has fewer than 192.
int SeriesScan::Number(sqlite3_int64* number) {
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

int SeriesScan::IsLast(bool* is_last) {
  if (!knows_last_) {
    const OwnWork own(storage_.db());
    if (rollup_ != nullptr) {
      const bool only_last = range_.only_last;
      range_.only_last = true;  // also if the tail is newer than what is asked for
      const int rc = ReadOpen();
      range_.only_last = only_last;
      if (rc != SQLITE_OK) return rc;
    }
    if (!Charge(2 * kStepsToSeek)) return SQLITE_INTERRUPT;
    PooledStatement read;
    int rc = storage_.Take(
        "SELECT coalesce((SELECT max(time) FROM {tail} WHERE series = ?1), (SELECT last FROM "
        "{blocks} WHERE series = ?1 ORDER BY first DESC LIMIT 1))",
        &read);
    if (rc != SQLITE_OK) return rc;
    rc = read.Int(1, series_).Step();
    if (rc != SQLITE_ROW) return rc;
    knows_last_ = true;
    last_ = open_from_ == INT64_MAX ? read.IntAt(0) : open_.times.back();
  }
  *is_last = time() == last_;
  return SQLITE_OK;
}

void SeriesScan::Result(sqlite3_context* context, const DeclaredColumn& column) const {
  if (column.role == Role::kTime) {
    sqlite3_result_int64(context, time());
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
