#include "timeseries/sqlite/retention.h"

#include <algorithm>
#include <string_view>

#include "timeseries/sqlite/bucket.h"
#include "timeseries/sqlite/points.h"
#include "timeseries/sqlite/writer.h"

namespace cairn::timeseries {
namespace {

constexpr int64_t kMinuteMs = 60'000;
// The bound moves in steps of this part of the retention, and not for less.
constexpr int64_t kQuantum = 256;
// It moves by at most this part of the retention at a time.
constexpr int64_t kStep = 64;

// The suffix of a rollup may follow.
constexpr std::string_view kRetention = "retention_ms";
constexpr std::string_view kExpiredBefore = "expired_before";

void TakeLeast(std::optional<int64_t>* least, int64_t value) {
  *least = std::min(least->value_or(value), value);
}
void TakeGreatest(std::optional<int64_t>* greatest, int64_t value) {
  *greatest = std::max(greatest->value_or(value), value);
}

// Of a row of a tail.
int64_t RowBytesMax(const Declaration& declaration) {
  constexpr int64_t kNumberBytes = 9;
  int64_t bytes = 2 * kNumberBytes;
  for (size_t i = 0; i < declaration.values.size(); ++i) {
    const bool is_text = declaration.Value(i).type == ColumnType::kText;
    bytes += is_text ? static_cast<int64_t>(kTextBytesMax) : kNumberBytes;
  }
  return bytes;
}

}  // namespace

int64_t Retention::Whole(int64_t time) const {
  int64_t start = time;
  if (!rollups_.empty()) BucketOf(time, rollups_.back().width, 0, &start);
  return start;
}

// ---- The state ----------------------------------------------------------------------------------

int Retention::Load(State* state) {
  PooledStatement read;
  int rc = storage_.Take("SELECT k, v FROM {config}", &read);
  if (rc != SQLITE_OK) return rc;
  state->levels[""];
  while ((rc = read.Step()) == SQLITE_ROW) {
    const std::string_view key = read.BytesAt(0);
    const int64_t value = read.IntAt(1);
    if (key.starts_with(kRetention)) {
      state->levels[std::string(key.substr(kRetention.size()))].retention_ms = value;
    } else if (key.starts_with(kExpiredBefore)) {
      state->levels[std::string(key.substr(kExpiredBefore.size()))].expired_before = value;
    }
    if (key == "looked") state->looked = value;
    if (key == "behind") state->behind = value;
    if (key == "cursor") state->cursor = value;
    if (key == "newest") state->newest = value;
    if (key == "oldest") state->oldest = value;
    if (key == "pass_newest") state->pass_newest = value;
    if (key == "pass_oldest") state->pass_oldest = value;
  }
  return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int Retention::StoreOne(const std::string& key, std::optional<int64_t> before,
                        std::optional<int64_t> after) {
  if (before == after) return SQLITE_OK;
  PooledStatement write;
  const int rc = storage_.Take(after ? "INSERT OR REPLACE INTO {config} VALUES(?1, ?2)"
                                     : "DELETE FROM {config} WHERE k = ?1",
                               &write);
  if (rc != SQLITE_OK) return rc;
  write.Text(1, key);
  if (after) write.Int(2, *after);
  return write.Run();
}

int Retention::Store(const State& before, const State& after) {
  int rc = SQLITE_OK;
  const auto store = [&](const std::string& key, std::optional<int64_t> old,
                         std::optional<int64_t> now) {
    if (rc == SQLITE_OK) rc = StoreOne(key, old, now);
  };
  for (const auto& [suffix, level] : after.levels) {
    const auto it = before.levels.find(suffix);
    const Level old = it == before.levels.end() ? Level() : it->second;
    store(std::string(kRetention) + suffix, old.retention_ms, level.retention_ms);
    store(std::string(kExpiredBefore) + suffix, old.expired_before, level.expired_before);
  }
  store("looked", before.looked, after.looked);
  store("behind", before.behind, after.behind);
  store("cursor", before.cursor, after.cursor);
  store("newest", before.newest, after.newest);
  store("oldest", before.oldest, after.oldest);
  store("pass_newest", before.pass_newest, after.pass_newest);
  store("pass_oldest", before.pass_oldest, after.pass_oldest);
  return rc;
}

int Retention::Set(int64_t retention_ms, std::string_view suffix) {
  State before;
  const int rc = Load(&before);
  if (rc != SQLITE_OK) return rc;
  State after = before;
  after.levels[std::string(suffix)].retention_ms = retention_ms;
  after.looked = std::nullopt;  // the next look is due
  const int64_t points_ms = after.levels.at("").retention_ms;
  for (const auto& [of, level] : after.levels) {
    const bool short_lived =
        level.retention_ms != 0 && (points_ms == 0 || level.retention_ms < points_ms);
    if (!of.empty() && short_lived) return SQLITE_CONSTRAINT;
  }
  return Store(before, after);
}

int Retention::ExpiredBefore(std::string_view suffix, int64_t* time) {
  PooledStatement read;
  int rc = storage_.Take("SELECT v FROM {config} WHERE k = ?1", &read);
  if (rc != SQLITE_OK) return rc;
  const std::string key = std::string(kExpiredBefore) + std::string(suffix);
  rc = read.Text(1, key).Step();
  *time = rc == SQLITE_ROW ? read.IntAt(0) : INT64_MIN;
  return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

// ---- The bound ----------------------------------------------------------------------------------

bool Retention::IsDue(const State& state, int64_t now) const {
  if (!state.looked) return true;
  int64_t wait = kMinuteMs;
  if (state.behind == 0) wait = std::max(wait, state.levels.at("").retention_ms / kQuantum);
  return now - *state.looked >= Units(wait);
}

// Where the bound is to come at last.
int64_t Retention::Wanted(const State& state, int64_t now) const {
  return std::min(now, *state.newest) - Units(state.levels.at("").retention_ms);
}

// Up to there nothing is left. Where there are no points the bound moves freely.
int64_t Retention::Reached(const State& state) const {
  return std::max(state.levels.at("").expired_before.value_or(INT64_MIN), *state.oldest);
}

void Retention::Advance(int64_t now, State* state) const {
  if (!state->newest || !state->oldest) return;  // no pass has looked yet, or there are no points
  const int64_t retention_ms = state->levels.at("").retention_ms;
  int64_t step = Units(std::max(retention_ms / kStep, kMinuteMs));
  if (!rollups_.empty()) step = std::max(step, rollups_.back().width);
  const int64_t bound = std::min(Wanted(*state, now), Reached(*state) + step);
  const auto move = [](Level* level, int64_t to) {
    // Before the oldest point it need not be known.
    level->expired_before = std::max(level->expired_before.value_or(to), to);
  };
  if (Whole(bound) > *state->oldest || state->levels.at("").expired_before) {
    move(&state->levels.at(""), Whole(bound));
  }
  for (const RollupExpiry& rollup : rollups_) {
    Level& level = state->levels[rollup.suffix];
    if (level.retention_ms == 0) continue;
    int64_t start = bound + Units(retention_ms) - Units(level.retention_ms);
    BucketOf(start, rollup.width, 0, &start);
    move(&level, start);
  }
}

void Retention::EndPass(State* state) const {
  state->cursor = 0;
  state->newest = state->pass_newest;
  state->oldest = state->pass_oldest;
  state->behind = 0;
  if (!state->newest || !state->oldest) return;
  const int64_t quantum = Units(state->levels.at("").retention_ms / kQuantum);
  const int64_t wanted = Whole(Wanted(*state, state->looked.value_or(INT64_MIN)));
  state->behind = wanted > Reached(*state) + quantum ? 1 : 0;
}

// ---- Slices -------------------------------------------------------------------------------------

int Retention::Expire(int64_t now_ms, const std::vector<RollupExpiry>& rollups,
                      SealedPoints* sealed, ExpiryOutcome* outcome) {
  *outcome = ExpiryOutcome();
  rollups_ = rollups;
  sealed_ = sealed;
  const OwnWork own(storage_.db());
  State before;
  int rc = Load(&before);
  if (rc != SQLITE_OK || before.levels.at("").retention_ms == 0) return rc;
  State after = before;
  if (after.cursor == 0) {
    const int64_t now = Units(now_ms);
    if (!IsDue(after, now)) return SQLITE_OK;
    Advance(now, &after);
    after.looked = now;
    after.cursor = 1;
    after.pass_newest = std::nullopt;
    after.pass_oldest = std::nullopt;
  }
  for (const auto& [suffix, level] : after.levels) {
    const auto it = before.levels.find(suffix);
    const bool same =
        it != before.levels.end() && it->second.expired_before == level.expired_before;
    outcome->moved = outcome->moved || (!same && level.expired_before.has_value());
  }
  rc = RunSlice(&after, &outcome->more);
  return rc == SQLITE_OK ? Store(before, after) : rc;
}

int Retention::RunSlice(State* state, bool* more) {
  Slice slice;
  for (;;) {
    PooledStatement next;
    int rc = storage_.Take("SELECT id FROM {series} WHERE id >= ?1 ORDER BY id LIMIT 1", &next);
    if (rc != SQLITE_OK) return rc;
    rc = next.Int(1, state->cursor).Step();
    if (rc == SQLITE_DONE) {
      EndPass(state);
      return SQLITE_OK;
    }
    if (rc != SQLITE_ROW) return rc;
    const int64_t series = next.IntAt(0);
    next.Release();
    state->cursor = series;
    if (slice.is_full()) {
      *more = true;
      return SQLITE_OK;
    }
    bool done = false;
    rc = ExpireSeries(series, *state, &slice, &done);
    if (rc != SQLITE_OK) return rc;
    if (!done) continue;
    rc = NoteExtremes(series, state);
    if (rc != SQLITE_OK) return rc;
    ++slice.series;
    state->cursor = series + 1;
  }
}

int Retention::ExpireSeries(int64_t series, const State& state, Slice* slice, bool* done) {
  const int64_t before = state.levels.at("").expired_before.value_or(INT64_MIN);
  int rc = sealed_ == nullptr ? SQLITE_OK : SealExpired(series, before);
  if (rc == SQLITE_OK) rc = ExpireIn(&storage_, series, before, slice, done);
  for (const RollupExpiry& rollup : rollups_) {
    const auto it = state.levels.find(rollup.suffix);
    if (rc != SQLITE_OK || !*done || it == state.levels.end()) continue;
    rc = ExpireIn(rollup.storage, series, it->second.expired_before.value_or(INT64_MIN), slice,
                  done);
  }
  return rc;
}

// Rollups keep what goes. They have what is in blocks, and not what is in tails.
int Retention::SealExpired(int64_t series, int64_t before) {
  PooledStatement read;
  int rc = storage_.Take("SELECT time" + ValueNames(storage_.declaration(), kAllColumns) +
                             " FROM {tail} WHERE series = ?1 AND time < ?2 ORDER BY time",
                         &read);
  if (rc != SQLITE_OK) return rc;
  Block points;
  ClearBlock(storage_.declaration(), &points);
  read.Int(1, series).Int(2, before);
  while ((rc = read.Step()) == SQLITE_ROW) AppendRow(read.get(), kAllColumns, &points);
  if (rc != SQLITE_DONE) return rc;
  read.Release();
  const uint64_t steps = StepsToReadTail(points.times.size(), points.columns.size());
  if (charge_ && !charge_(steps)) return SQLITE_INTERRUPT;
  return points.times.empty() ? SQLITE_OK : sealed_->Append(series, points, 0);
}

int Retention::ExpireIn(Storage* storage, int64_t series, int64_t before, Slice* slice,
                        bool* done) {
  constexpr uint64_t kSeeks = 4;
  if (charge_ && !charge_(kSeeks * kStepsToSeek)) return SQLITE_INTERRUPT;
  *done = true;
  if (before == INT64_MIN) return SQLITE_OK;
  PooledStatement rows;
  int rc = storage->Take("DELETE FROM {tail} WHERE series = ?1 AND time < ?2", &rows);
  if (rc == SQLITE_OK) rc = rows.Int(1, series).Int(2, before).Run();
  if (rc != SQLITE_OK) return rc;
  const int64_t gone = sqlite3_changes64(storage->db());
  slice->rows += gone;
  slice->bytes += gone * RowBytesMax(storage->declaration());
  return ExpireBlocks(storage, series, before, slice, done);
}

// Whole blocks go. One that the bound cuts stays until it has expired whole. A slice that is full
// comes to its end behind the series, so one more block does no harm.
int Retention::ExpireBlocks(Storage* storage, int64_t series, int64_t before, Slice* slice,
                            bool* done) {
  PooledStatement find;
  int rc = storage->Take(
      "SELECT id, length(data) FROM {blocks} WHERE series = ?1 AND first < ?2 AND last < ?2 ORDER "
      "BY first LIMIT ?3",
      &find);
  if (rc != SQLITE_OK) return rc;
  find.Int(1, series).Int(2, before).Int(3, kSliceBlocksMax);
  std::vector<int64_t> ids;
  while ((rc = find.Step()) == SQLITE_ROW) {
    if (!ids.empty() && slice->is_full()) break;
    ids.push_back(find.IntAt(0));
    ++slice->blocks;
    slice->bytes += find.IntAt(1);
  }
  *done = rc == SQLITE_DONE && static_cast<int64_t>(ids.size()) < kSliceBlocksMax;
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) return rc;
  find.Release();
  PooledStatement remove;
  rc = storage->Take("DELETE FROM {blocks} WHERE id = ?1", &remove);
  for (size_t i = 0; rc == SQLITE_OK && i < ids.size(); ++i) rc = remove.Int(1, ids[i]).Run();
  return rc;
}

int Retention::NoteExtremes(int64_t series, State* state) {
  PooledStatement read;
  int rc = storage_.Take(
      "SELECT (SELECT min(time) FROM {tail} WHERE series = ?1), (SELECT max(time) FROM {tail} "
      "WHERE series = ?1), (SELECT min(first) FROM {blocks} WHERE series = ?1), (SELECT last FROM "
      "{blocks} WHERE series = ?1 ORDER BY first DESC LIMIT 1)",
      &read);
  if (rc != SQLITE_OK) return rc;
  rc = read.Int(1, series).Step();
  if (rc != SQLITE_ROW) return rc;
  for (int column = 0; column < 4; ++column) {
    if (read.IsNullAt(column)) continue;
    TakeLeast(&state->pass_oldest, read.IntAt(column));
    TakeGreatest(&state->pass_newest, read.IntAt(column));
  }
  return SQLITE_OK;
}

}  // namespace cairn::timeseries
