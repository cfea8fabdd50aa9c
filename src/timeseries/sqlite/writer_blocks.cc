// Writer: its blocks.

#include <string>
#include <utility>

#include "timeseries/sqlite/work.h"
#include "timeseries/sqlite/writer.h"

namespace cairn::timeseries {

// ---- Blocks -------------------------------------------------------------------------------------

// Opens the last block that begins at or before `time`, or the first one. The series has a block,
// and no point of the tail is as old as `time`.
int Writer::Open(int64_t series, int64_t time) {
  if (open_.open && open_.series == series && time >= open_.owns_from && time < open_.owns_until) {
    return SQLITE_OK;
  }
  int rc = Flush();
  if (rc != SQLITE_OK) return rc;
  PooledStatement read;
  rc = storage_.Take(
      "SELECT id, first, points, data FROM {blocks} WHERE series = ?1 AND first <= ?2 ORDER BY "
      "first DESC LIMIT 1",
      &read);
  if (rc != SQLITE_OK) return rc;
  bool is_first = false;
  rc = read.Int(1, series).Int(2, time).Step();
  if (rc == SQLITE_DONE) {
    is_first = true;
    rc = storage_.Take(
        "SELECT id, first, points, data FROM {blocks} WHERE series = ?1 ORDER BY first LIMIT 1",
        &read);
    if (rc == SQLITE_OK) rc = read.Int(1, series).Step();
  }
  if (rc != SQLITE_ROW) return rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
  if (!Charge(kStepsToSeek + static_cast<uint64_t>(read.IntAt(2)) * columns() * kStepsToDecode)) {
    return SQLITE_INTERRUPT;
  }
  if (!DecodeStored(storage_.declaration(), read.BytesAt(3), read.IntAt(2), kAllColumns,
                    &open_.points)) {
    return SQLITE_CORRUPT;
  }
  open_.id = read.IntAt(0);
  open_.series = series;
  open_.owns_from = is_first ? INT64_MIN : read.IntAt(1);
  PooledStatement next;
  rc = storage_.Take("SELECT min(first) FROM {blocks} WHERE series = ?1 AND first > ?2", &next);
  if (rc != SQLITE_OK) return rc;
  rc = next.Int(1, series).Int(2, read.IntAt(1)).Step();
  if (rc != SQLITE_ROW) return rc;
  open_.owns_until = next.IsNullAt(0) ? INT64_MAX : next.IntAt(0);
  open_.open = true;
  open_.changed = false;
  return SQLITE_OK;
}

int Writer::Flush() {
  if (!open_.open) return SQLITE_OK;
  open_.open = false;
  if (!open_.changed) return SQLITE_OK;
  const OwnWork own(storage_.db());
  // The block may have been the last one, and have lost its last point.
  states_.erase(open_.series);
  SortTexts(&open_.points);
  const int rc = open_.points.times.empty() ? RemoveBlock(open_.id)
                                            : WriteBlock(open_.id, open_.series, open_.points);
  if (rc != SQLITE_OK || options_.sealed == nullptr) return rc;
  return options_.sealed->Change(open_.series, open_.changed_from, open_.changed_until);
}

int Writer::RemoveBlock(int64_t id) {
  PooledStatement remove;
  const int rc = storage_.Take("DELETE FROM {blocks} WHERE id = ?1", &remove);
  return rc == SQLITE_OK ? remove.Int(1, id).Run() : rc;
}

// Replaces the row `id` by the points, in halves if they are too many for one block.
int Writer::WriteBlock(int64_t id, int64_t series, const Block& points) {
  const size_t count = points.times.size();
  if (!Charge(count * columns() * kStepsToEncode)) return SQLITE_INTERRUPT;
  std::string data;
  Status encoded = count > kSplitAt ? ResourceExhausted("") : EncodeBlock(points, &data);
  if (!encoded.ok()) {
    if (encoded.code() != StatusCode::kResourceExhausted || count == 1) return Refuse(encoded);
    const int rc = WriteBlock(id, series, PartOf(points, 0, count / 2));
    return rc == SQLITE_OK ? WriteBlock(0, series, PartOf(points, count / 2, count)) : rc;
  }
  if (id == 0) return InsertRow(series, points, data);
  PooledStatement update;
  const int rc = storage_.Take(
      "UPDATE {blocks} SET first = ?2, last = ?3, points = ?4, data = ?5 WHERE id = ?1", &update);
  if (rc != SQLITE_OK) return rc;
  return update.Int(1, id)
      .Int(2, points.times.front())
      .Int(3, points.times.back())
      .Int(4, static_cast<int64_t>(count))
      .Blob(5, data)
      .Run();
}

int Writer::InsertRow(int64_t series, const Block& points, std::string_view data) {
  PooledStatement insert;
  const int rc = storage_.Take(
      "INSERT INTO {blocks}(series, first, last, points, data) VALUES(?1, ?2, ?3, ?4, ?5)",
      &insert);
  if (rc != SQLITE_OK) return rc;
  return insert.Int(1, series)
      .Int(2, points.times.front())
      .Int(3, points.times.back())
      .Int(4, static_cast<int64_t>(points.times.size()))
      .Blob(5, data)
      .Run();
}

// Moves the oldest points of the tail into a block, or into the last block if that one is small.
int Writer::SealOldest(int64_t series, int64_t points) {
  int rc = Flush();
  if (rc != SQLITE_OK) return rc;
  Block sealed;
  ClearBlock(storage_.declaration(), &sealed);
  int64_t id = 0;
  size_t before = 0;  // points that are in the block already
  PooledStatement small;
  rc = storage_.Take(
      "SELECT id, points, data FROM {blocks} WHERE series = ?1 ORDER BY first DESC LIMIT 1",
      &small);
  if (rc != SQLITE_OK) return rc;
  rc = small.Int(1, series).Step();
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) return rc;
  if (rc == SQLITE_ROW && small.IntAt(1) < static_cast<int64_t>(kSmallBlock)) {
    id = small.IntAt(0);
    if (!DecodeStored(storage_.declaration(), small.BytesAt(2), small.IntAt(1), kAllColumns,
                      &sealed)) {
      return SQLITE_CORRUPT;
    }
    before = sealed.times.size();
  }
  small.Release();
  PooledStatement read;
  rc = storage_.Take("SELECT time" + ValueNames(storage_.declaration(), kAllColumns) +
                         " FROM {tail} WHERE series = ?1 ORDER BY time LIMIT ?2",
                     &read);
  if (rc != SQLITE_OK) return rc;
  read.Int(1, series).Int(2, points);
  while ((rc = read.Step()) == SQLITE_ROW) AppendRow(read.get(), kAllColumns, &sealed);
  if (rc != SQLITE_DONE) return rc;
  read.Release();
  if (sealed.times.empty()) return SQLITE_OK;
  SortTexts(&sealed);
  if (rc = WriteBlock(id, series, sealed); rc != SQLITE_OK) return rc;
  if (options_.sealed != nullptr) {
    rc = options_.sealed->Append(series, sealed, before);
    if (rc != SQLITE_OK) return rc;
  }
  states_.erase(series);
  PooledStatement remove;
  rc = storage_.Take("DELETE FROM {tail} WHERE series = ?1 AND time <= ?2", &remove);
  if (rc != SQLITE_OK) return rc;
  return remove.Int(1, series).Int(2, sealed.times.back()).Run();
}

int Writer::InsertBlock(int64_t series, std::string_view bytes, OnConflict on_conflict,
                        TimeSpan* times) {
  const OwnWork own(storage_.db());
  Block block;
  const Status decoded = DecodeCheckedBlock(bytes, &block);
  if (!decoded.ok()) return Refuse(decoded);
  if (!Fits(storage_.declaration(), block)) {
    return Fail(SQLITE_ERROR,
                "the block has another unit of time, or other columns, than the time series");
  }
  if (!Charge(block.times.size() * columns() * kStepsToDecode)) return SQLITE_INTERRUPT;
  *times = {block.times.front(), block.times.back()};
  int rc = Flush();
  if (rc != SQLITE_OK) return rc;
  SeriesState* state = nullptr;
  bool expired = false;
  rc = IsExpired(block.times.front(), &expired);
  if (rc != SQLITE_OK) return rc;
  if (expired && on_conflict != OnConflict::kIgnore) return Expired(block.times.front());
  if (expired) return InsertPoints(series, block, on_conflict);
  if (rc = StateOf(series, &state); rc != SQLITE_OK) return rc;
  bool stored = false;
  rc = StoreWhole(series, state, block, bytes, &stored);
  if (rc != SQLITE_OK || stored) return rc;
  return InsertPoints(series, block, on_conflict);
}

// Stores the block as it is, if no point of the series lies between its times. A small one is not
// worth a row of its own.
int Writer::StoreWhole(int64_t series, SeriesState* state, const Block& block,
                       std::string_view bytes, bool* stored) {
  if (block.times.size() < kSmallBlock) return SQLITE_OK;
  const int64_t first = block.times.front();
  const int64_t last = block.times.back();
  int rc = SQLITE_OK;
  const bool is_newest = first > state->sealed_until;
  if (is_newest) {
    int64_t within = 0;
    int64_t older = 0;
    if (state->tail_points > 0) {
      rc = CountTail(series, first, last, &within);
      if (rc == SQLITE_OK) rc = CountTail(series, INT64_MIN, first, &older);
    }
    if (rc != SQLITE_OK || within > 0) return rc;
    if (older > 0 && (rc = SealOldest(series, older)) != SQLITE_OK) return rc;
  } else {
    PooledStatement before;
    rc = storage_.Take(
        "SELECT last FROM {blocks} WHERE series = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1",
        &before);
    if (rc != SQLITE_OK) return rc;
    rc = before.Int(1, series).Int(2, last).Step();
    if (rc == SQLITE_ROW && before.IntAt(0) >= first) return SQLITE_OK;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) return rc;
  }
  *stored = true;
  states_.erase(series);
  rc = InsertRow(series, block, bytes);
  if (rc != SQLITE_OK || options_.sealed == nullptr) return rc;
  return is_newest ? options_.sealed->Append(series, block, 0)
                   : options_.sealed->Change(series, first, last);
}

int Writer::InsertPoints(int64_t series, const Block& block, OnConflict on_conflict) {
  PointValues values;
  for (size_t i = 0; i < block.times.size(); ++i) {
    if (!Charge(kStepsOfTailPoint + columns())) return SQLITE_INTERRUPT;
    TakeValues(block, i, &values);
    const int rc = Insert(series, block.times[i], values, on_conflict);
    const bool left_out = rc == SQLITE_CONSTRAINT && on_conflict == OnConflict::kIgnore;
    if (rc != SQLITE_OK && !left_out) return rc;
  }
  return SQLITE_OK;
}

}  // namespace cairn::timeseries
