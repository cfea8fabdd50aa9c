// RollupWriter: keeps the rollups of a time series equal to its blocks.
//
// A rollup row holds what its bucket has in blocks. Points of tails are not in it; a reader adds
// them (scan.h). So rows change only when a tail is sealed, and when a block changes:
//
//   - newer points than all in blocks are added to the row of their bucket, and make rows;
//   - other changes make buckets dirty. At the end of the statement the rows of dirty buckets are
//     made again from the blocks.
//
// Rows are stored as points of a time series are, in tables of their own: NAME_1m_tail and
// NAME_1m_blocks, under the numbers of NAME_series.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/sqlite_api.h"
#include "timeseries/sqlite/rollup.h"
#include "timeseries/sqlite/storage.h"
#include "timeseries/sqlite/work.h"
#include "timeseries/sqlite/writer.h"

namespace cairn::timeseries {

// The row of a bucket, as it is stored, as the point `at` of `rows`.
int ReadRollupRow(Storage* storage, const ChargeWork& charge, int64_t series, int64_t time,
                  Block* rows, size_t* at, bool* found);

class RollupWriter : public SealedPoints, public HeldChanges {
 public:
  // `points` outlives it. `error`: see Writer.
  RollupWriter(Storage* points, std::string_view schema, const ChargeWork* charge,
               std::string* error);
  ~RollupWriter() override;

  // Follows a new name of the time series, whose rollups have been renamed.
  void Rename(std::string_view name);
  std::vector<RollupExpiry> expiries();

  int Append(int64_t series, const Block& points, size_t from) override;
  int Change(int64_t series, int64_t from, int64_t until) override;
  bool has_changes() const override;
  // Makes the rows of dirty buckets, and writes all. The blocks of points are written.
  int Flush() override;
  void Discard() override;
  void Forget() override;

 private:
  struct Level {
    Level(const RollupOption& option, int64_t width, Declaration declared, Storage* points,
          std::string_view schema, const ChargeWork* charge, std::string* error);
    const std::string suffix;
    const int64_t width;  // in the unit of the times
    const Declaration declaration;
    Storage storage;
    Writer writer;
  };
  // Times of points that have changed.
  struct Dirty {
    int64_t series = 0;
    int64_t from = 0;
    int64_t until = 0;
  };

  int AppendTo(Level* level, int64_t series, const Block& points, size_t from);
  int InsertRow(Level* level, int64_t series, int64_t start);
  int RefreshDirty();
  int Refresh(Level* level, const Dirty& dirty);
  int RefreshChunk(Level* level, int64_t series, int64_t from, int64_t until, int64_t* next);
  int RemoveOthers(Level* level, int64_t series, int64_t from, int64_t until,
                   const std::vector<int64_t>& kept);
  bool Charge(uint64_t steps) { return !charge_ || charge_(steps); }

  Storage& points_;
  const ChargeWork& charge_;
  Bucket bucket_;
  std::vector<std::unique_ptr<Level>> levels_;
  std::vector<Dirty> dirty_;
};

}  // namespace cairn::timeseries
