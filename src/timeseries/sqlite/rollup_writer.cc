#include "timeseries/sqlite/rollup_writer.h"

#include <algorithm>
#include <utility>

#include "timeseries/sqlite/bucket.h"

namespace cairn::timeseries {
namespace {

constexpr uint64_t kAllColumnsOfRow = kAllColumns;
// Rows of a rollup that are made at a time.
constexpr size_t kRowsOfChunk = 512;
constexpr size_t kDirtyMax = 4096;

// Rollups are short, and their tails would weigh more than their points.
constexpr SealRule kRollupSeal{.seal_at = 192, .block_points = 128};

int64_t BucketStart(int64_t time, int64_t width) {
  int64_t start = time;
  BucketOf(time, width, 0, &start);  // times that points have are in range
  return start;
}

// Goes through the points of a series that are in blocks, from a time on.
class BlockPoints {
 public:
  enum class Read { kTimes, kAll };
  BlockPoints(Storage* storage, const ChargeWork* charge, Read read)
      : storage_(*storage),
        charge_(*charge),
        wanted_(read == Read::kAll ? kAllColumns : 0),
        columns_(read == Read::kAll ? storage->declaration().values.size() : 0) {}

  int Begin(int64_t series, int64_t from) {
    from_ = from;
    const int rc = storage_.Take(
        "SELECT data, points FROM {blocks} WHERE series = ?1 AND first >= coalesce((SELECT "
        "max(first) FROM {blocks} WHERE series = ?1 AND first <= ?2), ?2) ORDER BY first",
        &read_);
    if (rc != SQLITE_OK) return rc;
    read_.Int(1, series).Int(2, from);
    return Next();
  }
  bool at_end() const { return at_end_; }
  int64_t time() const { return block_.times[at_]; }
  const Block& block() const { return block_; }
  size_t at() const { return at_; }
  int Next() {
    if (!block_.times.empty() && ++at_ < block_.times.size()) return SQLITE_OK;
    for (;;) {
      const int rc = read_.Step();
      at_end_ = rc == SQLITE_DONE;
      if (at_end_) return SQLITE_OK;
      if (rc != SQLITE_ROW) return rc;
      const auto points = static_cast<uint64_t>(read_.IntAt(1));
      if (charge_ && !charge_(kStepsToSeek + StepsToRead(points, columns_))) {
        return SQLITE_INTERRUPT;
      }
      if (!DecodeStored(storage_.declaration(), read_.BytesAt(0), read_.IntAt(1), wanted_,
                        &block_)) {
        return SQLITE_CORRUPT;
      }
      at_ = static_cast<size_t>(std::lower_bound(block_.times.begin(), block_.times.end(), from_) -
                                block_.times.begin());
      if (at_ < block_.times.size()) return SQLITE_OK;
    }
  }

 private:
  Storage& storage_;
  const ChargeWork& charge_;
  const uint64_t wanted_;
  const uint64_t columns_;
  PooledStatement read_;
  Block block_;
  size_t at_ = 0;
  int64_t from_ = 0;
  bool at_end_ = false;
};

}  // namespace

int ReadRollupRow(Storage* storage, const ChargeWork& charge, int64_t series, int64_t time,
                  Block* rows, size_t* at, bool* found) {
  *found = false;
  const uint64_t columns = storage->declaration().values.size();
  if (charge && !charge(2 * kStepsToSeek + StepsToReadTail(1, columns))) return SQLITE_INTERRUPT;
  ClearBlock(storage->declaration(), rows);
  PooledStatement read;
  int rc = storage->Take("SELECT time" + ValueNames(storage->declaration(), kAllColumnsOfRow) +
                             " FROM {tail} WHERE series = ?1 AND time = ?2",
                         &read);
  if (rc != SQLITE_OK) return rc;
  rc = read.Int(1, series).Int(2, time).Step();
  if (rc == SQLITE_ROW) {
    AppendRow(read.get(), kAllColumnsOfRow, rows);
    *at = 0;
    *found = true;
    return SQLITE_OK;
  }
  if (rc != SQLITE_DONE) return rc;
  rc = storage->Take(
      "SELECT last, data, points FROM {blocks} WHERE series = ?1 AND first <= ?2 ORDER BY first "
      "DESC LIMIT 1",
      &read);
  if (rc != SQLITE_OK) return rc;
  rc = read.Int(1, series).Int(2, time).Step();
  if (rc != SQLITE_ROW) return rc == SQLITE_DONE ? SQLITE_OK : rc;
  if (read.IntAt(0) < time) return SQLITE_OK;
  if (charge && !charge(StepsToRead(static_cast<uint64_t>(read.IntAt(2)), columns))) {
    return SQLITE_INTERRUPT;
  }
  if (!DecodeStored(storage->declaration(), read.BytesAt(1), read.IntAt(2), kAllColumns, rows)) {
    return SQLITE_CORRUPT;
  }
  const auto place = std::lower_bound(rows->times.begin(), rows->times.end(), time);
  *found = place != rows->times.end() && *place == time;
  *at = static_cast<size_t>(place - rows->times.begin());
  return SQLITE_OK;
}

RollupWriter::Level::Level(const RollupOption& option, int64_t width_units, Declaration declared,
                           Storage* points, std::string_view schema, const ChargeWork* charge,
                           std::string* error)
    : suffix("_" + option.name),
      width(width_units),
      declaration(std::move(declared)),
      storage(points->db(), schema, points->name() + suffix, &declaration, Storage::Of::kRollup),
      writer(&storage, charge, error, WriterOptions{.seal = kRollupSeal, .expires = false}) {}

RollupWriter::RollupWriter(Storage* points, std::string_view schema, const ChargeWork* charge,
                           std::string* error)
    : points_(*points), charge_(*charge), bucket_(&points->declaration()) {
  for (const RollupOption& option : points->declaration().rollups) {
    Result<Declaration> declared = RollupDeclaration(points->declaration());
    if (!declared.ok()) continue;  // the declaration was checked
    levels_.push_back(std::make_unique<Level>(option, points->declaration().Units(option.width_ms),
                                              std::move(declared).value(), points, schema, charge,
                                              error));
  }
}

RollupWriter::~RollupWriter() = default;

void RollupWriter::Rename(std::string_view name) {
  for (auto& level : levels_) level->storage.SetName(std::string(name) + level->suffix);
}

std::vector<RollupExpiry> RollupWriter::expiries() {
  std::vector<RollupExpiry> all;
  for (auto& level : levels_) all.push_back({&level->storage, level->suffix, level->width});
  return all;
}

// ---- Newer points -------------------------------------------------------------------------------

int RollupWriter::Append(int64_t series, const Block& points, size_t from) {
  for (auto& level : levels_) {
    const int rc = AppendTo(level.get(), series, points, from);
    if (rc != SQLITE_OK) return rc;
  }
  return SQLITE_OK;
}

int RollupWriter::AppendTo(Level* level, int64_t series, const Block& points, size_t from) {
  const uint64_t columns = points_.declaration().values.size();
  if (!Charge(StepsToAggregate(points.times.size() - from, columns))) return SQLITE_INTERRUPT;
  int rc = level->writer.Flush();
  if (rc != SQLITE_OK) return rc;
  int64_t start = BucketStart(points.times[from], level->width);
  Block rows;
  size_t row = 0;
  bool found = false;
  rc = ReadRollupRow(&level->storage, charge_, series, start, &rows, &row, &found);
  if (rc != SQLITE_OK) return rc;
  bucket_.Clear();
  if (found) bucket_.Load(rows, row);
  for (size_t i = from; i < points.times.size(); ++i) {
    bucket_.Add(points, i);
    const bool is_last = i + 1 == points.times.size();
    const int64_t next = is_last ? start : BucketStart(points.times[i + 1], level->width);
    if (!is_last && next == start) continue;
    rc = InsertRow(level, series, start);
    if (rc != SQLITE_OK) return rc;
    bucket_.Clear();
    start = next;
  }
  return SQLITE_OK;
}

// The row of the bucket that begins at `start`.
int RollupWriter::InsertRow(Level* level, int64_t series, int64_t start) {
  if (!Charge(kStepsOfTailPoint + level->declaration.values.size())) return SQLITE_INTERRUPT;
  PointValues values;
  bucket_.Take(&values);
  return level->writer.Insert(series, start, values, OnConflict::kReplace);
}

// ---- Dirty buckets ------------------------------------------------------------------------------

int RollupWriter::Change(int64_t series, int64_t from, int64_t until) {
  if (!dirty_.empty() && dirty_.back().series == series) {
    Dirty& last = dirty_.back();
    const int64_t widest = levels_.back()->width;
    const bool near = BucketStart(from, widest) <= BucketStart(last.until, widest) + widest &&
                      BucketStart(last.from, widest) <= BucketStart(until, widest) + widest;
    if (near) {
      last.from = std::min(last.from, from);
      last.until = std::max(last.until, until);
      return SQLITE_OK;
    }
  }
  dirty_.push_back({series, from, until});
  return dirty_.size() < kDirtyMax ? SQLITE_OK : RefreshDirty();
}

int RollupWriter::RefreshDirty() {
  std::vector<Dirty> dirty = std::move(dirty_);
  dirty_.clear();
  std::sort(dirty.begin(), dirty.end(), [](const Dirty& a, const Dirty& b) {
    return std::pair(a.series, a.from) < std::pair(b.series, b.from);
  });
  for (auto& level : levels_) {
    for (size_t i = 0; i < dirty.size(); ++i) {
      Dirty all = dirty[i];
      // Those in the same buckets, or the next ones, are done together.
      while (i + 1 < dirty.size() && dirty[i + 1].series == all.series &&
             BucketStart(dirty[i + 1].from, level->width) <=
                 BucketStart(all.until, level->width) + level->width) {
        all.until = std::max(all.until, dirty[++i].until);
      }
      const int rc = Refresh(level.get(), all);
      if (rc != SQLITE_OK) return rc;
    }
  }
  return SQLITE_OK;
}

int RollupWriter::Refresh(Level* level, const Dirty& dirty) {
  int64_t from = BucketStart(dirty.from, level->width);
  const int64_t until = BucketStart(dirty.until, level->width) + level->width - 1;
  while (from <= until) {
    const int rc = RefreshChunk(level, dirty.series, from, until, &from);
    if (rc != SQLITE_OK) return rc;
  }
  return SQLITE_OK;
}

// Makes rows from the time `from` on, and removes those that lie between. `next`: where to go on.
int RollupWriter::RefreshChunk(Level* level, int64_t series, int64_t from, int64_t until,
                               int64_t* next) {
  BlockPoints points(&points_, &charge_, BlockPoints::Read::kAll);
  int rc = points.Begin(series, from);
  std::vector<int64_t> made;
  while (rc == SQLITE_OK && !points.at_end() && points.time() <= until &&
         made.size() < kRowsOfChunk) {
    const int64_t start = BucketStart(points.time(), level->width);
    bucket_.Clear();
    uint64_t added = 0;
    for (; rc == SQLITE_OK && !points.at_end() && points.time() < start + level->width; ++added) {
      bucket_.Add(points.block(), points.at());
      rc = points.Next();
    }
    if (rc != SQLITE_OK) return rc;
    if (!Charge(StepsToAggregate(added, points_.declaration().values.size()))) {
      return SQLITE_INTERRUPT;
    }
    rc = InsertRow(level, series, start);
    made.push_back(start);
  }
  if (rc != SQLITE_OK) return rc;
  const bool all = points.at_end() || points.time() > until;
  const int64_t end = all ? until : made.back() + level->width - 1;
  *next = end + 1;
  return RemoveOthers(level, series, from, end, made);
}

int RollupWriter::RemoveOthers(Level* level, int64_t series, int64_t from, int64_t until,
                               const std::vector<int64_t>& kept) {
  int rc = level->writer.Flush();
  if (rc != SQLITE_OK) return rc;
  std::vector<int64_t> stored;
  PooledStatement tail;
  rc = level->storage.Take(
      "SELECT time FROM {tail} WHERE series = ?1 AND time BETWEEN ?2 AND ?3 ORDER BY time", &tail);
  if (rc != SQLITE_OK) return rc;
  tail.Int(1, series).Int(2, from).Int(3, until);
  while ((rc = tail.Step()) == SQLITE_ROW) stored.push_back(tail.IntAt(0));
  if (rc != SQLITE_DONE) return rc;
  tail.Release();
  if (!Charge(kStepsToSeek + StepsToReadTail(stored.size(), 0))) return SQLITE_INTERRUPT;
  BlockPoints rows(&level->storage, &charge_, BlockPoints::Read::kTimes);
  rc = rows.Begin(series, from);
  for (; rc == SQLITE_OK && !rows.at_end() && rows.time() <= until; rc = rows.Next()) {
    stored.push_back(rows.time());
  }
  if (rc != SQLITE_OK) return rc;
  for (const int64_t time : stored) {
    if (std::binary_search(kept.begin(), kept.end(), time)) continue;
    rc = level->writer.Delete(series, time);
    if (rc != SQLITE_OK) return rc;
  }
  return SQLITE_OK;
}

// ---- The end of a statement ---------------------------------------------------------------------

bool RollupWriter::has_changes() const {
  return !dirty_.empty() || std::any_of(levels_.begin(), levels_.end(), [](const auto& level) {
    return level->writer.has_changes();
  });
}

int RollupWriter::Flush() {
  int rc = dirty_.empty() ? SQLITE_OK : RefreshDirty();
  for (auto& level : levels_) {
    if (rc == SQLITE_OK) rc = level->writer.Flush();
  }
  return rc;
}

void RollupWriter::Discard() {
  dirty_.clear();
  for (auto& level : levels_) level->writer.Discard();
}

void RollupWriter::Forget() {
  for (auto& level : levels_) level->writer.Forget();
}

}  // namespace cairn::timeseries
