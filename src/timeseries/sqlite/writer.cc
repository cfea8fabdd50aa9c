#include "timeseries/sqlite/writer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/bytes.h"
#include "timeseries/sqlite/work.h"

namespace cairn::timeseries {
namespace {

constexpr size_t kStatesMax = 1 << 16;

std::string TagList(const Declaration& declaration, const std::string& between, bool binds,
                    const std::string& collation) {
  std::string list;
  for (size_t i = 0; i < declaration.tags.size(); ++i) {
    if (i > 0) list += between;
    list += "t" + std::to_string(i);
    if (binds) list += " = ?" + std::to_string(i + 1) + collation;
  }
  return list.empty() ? "1" : list;
}

void BindTags(sqlite3_stmt* stmt, const Declaration& declaration, const PointValues& tags) {
  for (size_t i = 0; i < tags.size(); ++i) {
    const int place = static_cast<int>(i) + 1;
    if (declaration.Tag(i).type == ColumnType::kText) {
      sqlite3_bind_text64(stmt, place, tags[i].text.data(), tags[i].text.size(), SQLITE_STATIC,
                          SQLITE_UTF8);
    } else {
      sqlite3_bind_int64(stmt, place, tags[i].integer);
    }
  }
}

std::string Key(const PointValues& tags) {
  std::string key;
  ByteWriter writer(&key);
  for (const Datum& tag : tags) {
    writer.String(tag.text);
    writer.I64(tag.integer);
  }
  return key;
}

size_t PlaceOf(const Block& block, int64_t time) {
  return static_cast<size_t>(std::lower_bound(block.times.begin(), block.times.end(), time) -
                             block.times.begin());
}

}  // namespace

int Writer::Fail(int rc, std::string message) {
  error_ = std::move(message);
  return rc;
}

int Writer::Refuse(const Status& status) {
  return Fail(status.code() == StatusCode::kResourceExhausted ? SQLITE_TOOBIG : SQLITE_ERROR,
              status.message());
}

int Writer::Conflict(int64_t time) {
  return Fail(SQLITE_CONSTRAINT_PRIMARYKEY,
              "the series has a point with the time " + std::to_string(time) +
                  " already; INSERT OR REPLACE replaces it (ON CONFLICT DO UPDATE does not work on "
                  "virtual tables)");
}

// ---- Series -------------------------------------------------------------------------------------

int Writer::FindSeries(const PointValues& tags, int64_t* series) {
  // Also if the series is known: another node may have to look.
  if (!Charge(kStepsToSeek)) return SQLITE_INTERRUPT;
  std::string key = Key(tags);
  if (last_series_ != 0 && key == last_tags_) {
    *series = last_series_;
    return SQLITE_OK;
  }
  const OwnWork own(storage_.db());
  const Declaration& declaration = storage_.declaration();
  PooledStatement find;
  int rc = storage_.Take("SELECT id FROM {series} WHERE " + TagList(declaration, " AND ", true, ""),
                         &find);
  if (rc != SQLITE_OK) return rc;
  BindTags(find.get(), declaration, tags);
  rc = find.Step();
  if (rc == SQLITE_DONE) {
    PooledStatement similar;
    rc = storage_.Take(
        "SELECT id FROM {series} WHERE " + TagList(declaration, " AND ", true, " COLLATE NOCASE"),
        &similar);
    if (rc != SQLITE_OK) return rc;
    BindTags(similar.get(), declaration, tags);
    if (rc = similar.Step(); rc == SQLITE_ROW) {
      return Fail(SQLITE_ERROR,
                  "the tags differ only in case from those of a series that exists: use its tags");
    }
    if (rc != SQLITE_DONE) return rc;
    std::string names;
    std::string places;
    for (size_t i = 0; i < tags.size(); ++i) {
      names += ", t" + std::to_string(i);
      places += ", ?" + std::to_string(i + 1);
    }
    PooledStatement insert;
    rc =
        storage_.Take("INSERT INTO {series}(id" + names +
                          ") VALUES((SELECT coalesce(max(id), 0) + 1 FROM {series})" + places + ")",
                      &insert);
    if (rc != SQLITE_OK) return rc;
    BindTags(insert.get(), declaration, tags);
    if (rc = insert.Run(); rc != SQLITE_OK) return rc;
    find.Release();
    rc = storage_.Take("SELECT id FROM {series} WHERE " + TagList(declaration, " AND ", true, ""),
                       &find);
    if (rc != SQLITE_OK) return rc;
    BindTags(find.get(), declaration, tags);
    rc = find.Step();
  }
  if (rc != SQLITE_ROW) return rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
  *series = last_series_ = find.IntAt(0);
  last_tags_ = std::move(key);
  return SQLITE_OK;
}

int Writer::CountTail(int64_t series, int64_t from, int64_t until, int64_t* points) {
  PooledStatement count;
  int rc = storage_.Take("SELECT count(*) FROM {tail} WHERE series = ?1 AND time BETWEEN ?2 AND ?3",
                         &count);
  if (rc != SQLITE_OK) return rc;
  rc = count.Int(1, series).Int(2, from).Int(3, until).Step();
  if (rc != SQLITE_ROW) return rc;
  *points = count.IntAt(0);
  return SQLITE_OK;
}

int Writer::StateOf(int64_t series, SeriesState** state) {
  if (const auto it = states_.find(series); it != states_.end()) {
    *state = &it->second;
    return SQLITE_OK;
  }
  if (states_.size() >= kStatesMax) states_.clear();
  SeriesState read;
  int rc = CountTail(series, INT64_MIN, INT64_MAX, &read.tail_points);
  if (rc != SQLITE_OK) return rc;
  PooledStatement last;
  rc = storage_.Take("SELECT last FROM {blocks} WHERE series = ?1 ORDER BY first DESC LIMIT 1",
                     &last);
  if (rc != SQLITE_OK) return rc;
  rc = last.Int(1, series).Step();
  if (rc == SQLITE_ROW) read.sealed_until = last.IntAt(0);
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) return rc;
  *state = &states_.emplace(series, read).first->second;
  return SQLITE_OK;
}

int Writer::IsExpired(int64_t time, bool* expired) {
  *expired = false;
  if (!options_.expires) return SQLITE_OK;
  if (!expired_before_) {
    int64_t before = 0;
    const int rc = retention_.ExpiredBefore({}, &before);
    if (rc != SQLITE_OK) return rc;
    expired_before_ = before;
  }
  *expired = time < *expired_before_;
  return SQLITE_OK;
}

int Writer::Expired(int64_t time) {
  return Fail(SQLITE_CONSTRAINT_CHECK,
              "the time " + std::to_string(time) +
                  " is older than the retention of the time series, which has come to " +
                  std::to_string(expired_before_.value_or(0)) +
                  "; INSERT OR IGNORE leaves such points out");
}

// ---- Points -------------------------------------------------------------------------------------

int Writer::Insert(int64_t series, int64_t time, const PointValues& values,
                   OnConflict on_conflict) {
  const OwnWork own(storage_.db());
  bool expired = false;
  int rc = IsExpired(time, &expired);
  if (rc != SQLITE_OK) return rc;
  if (expired) return on_conflict == OnConflict::kIgnore ? SQLITE_CONSTRAINT : Expired(time);
  SeriesState* state = nullptr;
  rc = StateOf(series, &state);
  if (rc != SQLITE_OK) return rc;
  if (time > state->sealed_until) return InsertIntoTail(series, state, time, values, on_conflict);
  return InsertIntoBlock(series, time, values, on_conflict);
}

int Writer::InsertIntoTail(int64_t series, SeriesState* state, int64_t time,
                           const PointValues& values, OnConflict on_conflict) {
  int64_t taken = 0;
  int rc = CountTail(series, time, time, &taken);
  if (rc != SQLITE_OK) return rc;
  if (taken != 0) {
    if (on_conflict == OnConflict::kIgnore) return SQLITE_CONSTRAINT;
    if (on_conflict == OnConflict::kFail) return Conflict(time);
    if (rc = DeleteFromTail(series, state, time); rc != SQLITE_OK) return rc;
  }
  std::string places;
  for (size_t i = 0; i < values.size(); ++i) places += ", ?" + std::to_string(i + 3);
  PooledStatement insert;
  rc = storage_.Take("INSERT INTO {tail} VALUES(?1, ?2" + places + ")", &insert);
  if (rc != SQLITE_OK) return rc;
  insert.Int(1, series).Int(2, time);
  BindValues(insert.get(), 3, storage_.declaration(), values);
  if (rc = insert.Run(); rc != SQLITE_OK) return rc;
  insert.Release();
  if (++state->tail_points < options_.seal.seal_at) return SQLITE_OK;
  return SealOldest(series, options_.seal.block_points);
}

int Writer::DeleteFromTail(int64_t series, SeriesState* state, int64_t time) {
  PooledStatement remove;
  int rc = storage_.Take("DELETE FROM {tail} WHERE series = ?1 AND time = ?2", &remove);
  if (rc != SQLITE_OK) return rc;
  rc = remove.Int(1, series).Int(2, time).Run();
  if (rc == SQLITE_OK) state->tail_points -= sqlite3_changes64(storage_.db());
  return rc;
}

void Writer::OpenBlock::Changed(int64_t time) {
  changed_from = changed ? std::min(changed_from, time) : time;
  changed_until = changed ? std::max(changed_until, time) : time;
  changed = true;
}

int Writer::InsertIntoBlock(int64_t series, int64_t time, const PointValues& values,
                            OnConflict on_conflict) {
  const int rc = Open(series, time);
  if (rc != SQLITE_OK) return rc;
  Block& points = open_.points;
  const size_t at = PlaceOf(points, time);
  if (at < points.times.size() && points.times[at] == time) {
    if (on_conflict == OnConflict::kIgnore) return SQLITE_CONSTRAINT;
    if (on_conflict == OnConflict::kFail) return Conflict(time);
    ReplacePoint(&points, at, values);
  } else {
    InsertPoint(&points, at, time, values);
  }
  open_.Changed(time);
  return points.times.size() > kSplitAt ? Flush() : SQLITE_OK;
}

int Writer::Delete(int64_t series, int64_t time) {
  const OwnWork own(storage_.db());
  SeriesState* state = nullptr;
  int rc = StateOf(series, &state);
  if (rc != SQLITE_OK) return rc;
  if (time > state->sealed_until) return DeleteFromTail(series, state, time);
  if (rc = Open(series, time); rc != SQLITE_OK) return rc;
  const size_t at = PlaceOf(open_.points, time);
  if (at == open_.points.times.size() || open_.points.times[at] != time) return SQLITE_OK;
  ErasePoint(&open_.points, at);
  open_.Changed(time);
  return SQLITE_OK;
}

int Writer::Exists(int64_t series, int64_t time, bool* exists) {
  const OwnWork own(storage_.db());
  SeriesState* state = nullptr;
  int rc = StateOf(series, &state);
  if (rc != SQLITE_OK) return rc;
  if (time > state->sealed_until) {
    int64_t points = 0;
    rc = CountTail(series, time, time, &points);
    *exists = points != 0;
    return rc;
  }
  if (rc = Open(series, time); rc != SQLITE_OK) return rc;
  const size_t at = PlaceOf(open_.points, time);
  *exists = at < open_.points.times.size() && open_.points.times[at] == time;
  return SQLITE_OK;
}

// ---- Retention ----------------------------------------------------------------------------------

int Writer::SetRetention(int64_t retention_ms, std::string_view suffix) {
  return retention_.Set(retention_ms, suffix);
}

int Writer::Expire(int64_t now_ms, const std::vector<RollupExpiry>& rollups,
                   ExpiryOutcome* outcome) {
  int rc = Flush();
  if (rc != SQLITE_OK) return rc;
  rc = retention_.Expire(now_ms, rollups, options_.sealed, outcome);
  Forget();
  return rc;
}

// ---- What is known ------------------------------------------------------------------------------

void Writer::Discard() {
  open_.open = false;
  Forget();
}

void Writer::Forget() {
  states_.clear();
  expired_before_ = std::nullopt;
  last_series_ = 0;
  last_tags_.clear();
}

}  // namespace cairn::timeseries
