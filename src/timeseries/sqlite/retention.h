// Retention: points go when they are older than the retention of their table.
//
// A command moves a bound, `expired_before`, and then deletes what lies before it, a bounded slice
// at a time. Nobody sees points before the bound, and nobody writes there. So a slice changes no
// answer: the bound alone does, in one step. Slices pass over all series, in the order of their
// numbers, and the place of the pass is stored. All is a function of the commands and of the times
// of their entries.
//
// No clock alone may delete points. The bad schedule: a node whose clock is years ahead becomes the
// leader, its entries carry that time, and everything is older than any retention. So the time is
// that of the newest point, if that is less than the entry's. A point with a wrong time can not
// delete others alone, either. If both are wrong, the bound moves by a part of the retention at a
// time, so that an operator has an hour to set the retention to 'none'.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "timeseries/sqlite/expiry.h"
#include "timeseries/sqlite/storage.h"
#include "timeseries/sqlite/work.h"

namespace cairn::timeseries {

// The rollup of the time series whose tables end in `suffix`, such as "_1m".
struct RollupExpiry {
  Storage* storage = nullptr;
  std::string suffix;
  int64_t width = 0;  // in the unit of the times
};

class SealedPoints;

class Retention {
 public:
  // What one slice does at most.
  static constexpr int64_t kSliceSeriesMax = 1000;
  static constexpr int64_t kSliceBlocksMax = 32;
  static constexpr int64_t kSliceRowsMax = 1000;  // of tails, and those of one more series
  // And one more block, or the rows of one more tail. A deleted byte is a step of work: a slice that
  // used up the budget of its command would fail again and again.
  static constexpr int64_t kSliceBytesMax = 2 << 20;

  Retention(Storage* storage, const ChargeWork* charge) : storage_(*storage), charge_(*charge) {}

  // 0: points stay. What has expired before stays so. `suffix`: of a rollup, or empty.
  // SQLITE_CONSTRAINT: a rollup would live shorter than the points.
  int Set(int64_t retention_ms, std::string_view suffix);
  // Points before this time have expired.
  int ExpiredBefore(std::string_view suffix, int64_t* time);
  // Moves the bound if that is due, and deletes a slice. `sealed`, if not null, hears of points of
  // tails before they go.
  int Expire(int64_t now_ms, const std::vector<RollupExpiry>& rollups, SealedPoints* sealed,
             ExpiryOutcome* outcome);

 private:
  // Of the points, or of a rollup.
  struct Level {
    int64_t retention_ms = 0;
    std::optional<int64_t> expired_before;
  };
  struct State {
    std::map<std::string, Level> levels;  // by suffix; that of the points is empty
    std::optional<int64_t> looked;        // when the last pass began, by the entries
    int64_t behind = 0;                   // 1: the bound has a long way to go
    int64_t cursor = 0;                   // the next series of the pass; 0: none is under way
    // Over all series: as the last pass found them, and so far in this one.
    std::optional<int64_t> newest;
    std::optional<int64_t> oldest;
    std::optional<int64_t> pass_newest;
    std::optional<int64_t> pass_oldest;
  };
  struct Slice {
    int64_t series = 0;
    int64_t blocks = 0;
    int64_t rows = 0;
    int64_t bytes = 0;
    bool is_full() const {
      return series >= kSliceSeriesMax || blocks >= kSliceBlocksMax || rows >= kSliceRowsMax ||
             bytes >= kSliceBytesMax;
    }
  };

  int Load(State* state);
  int Store(const State& before, const State& after);
  int StoreOne(const std::string& key, std::optional<int64_t> before, std::optional<int64_t> after);
  bool IsDue(const State& state, int64_t now) const;
  int64_t Wanted(const State& state, int64_t now) const;
  int64_t Reached(const State& state) const;
  void Advance(int64_t now, State* state) const;
  int RunSlice(State* state, bool* more);
  int ExpireSeries(int64_t series, const State& state, Slice* slice, bool* done);
  int ExpireIn(Storage* storage, int64_t series, int64_t before, Slice* slice, bool* done);
  int ExpireBlocks(Storage* storage, int64_t series, int64_t before, Slice* slice, bool* done);
  int SealExpired(int64_t series, int64_t before);
  int NoteExtremes(int64_t series, State* state);
  void EndPass(State* state) const;
  int64_t Units(int64_t ms) const { return storage_.declaration().Units(ms); }
  // To whole buckets of the widest rollup: its rows are made of all their points.
  int64_t Whole(int64_t time) const;

  Storage& storage_;
  const ChargeWork& charge_;
  // Of the running Expire.
  std::vector<RollupExpiry> rollups_;
  SealedPoints* sealed_ = nullptr;
};

}  // namespace cairn::timeseries
