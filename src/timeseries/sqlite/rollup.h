// What a rollup holds of the points of a bucket, and its declaration as a table:
//
//     tags, the time (of the bucket's begin), points, and for each value column:
//     NAME_count, NAME_sum (not of texts), NAME_min, NAME_max, NAME_first, NAME_last
//
// Sums add the values one by one in the order of time, from 0, as SQLite's SUM() does. So an
// aggregate can go on with newer points, and gives the same bits as one made at once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "timeseries/block.h"
#include "timeseries/sqlite/declaration.h"
#include "timeseries/sqlite/points.h"

namespace cairn::timeseries {

// The table of a rollup of time series that are declared so. Fails if names collide.
Result<Declaration> RollupDeclaration(const Declaration& points);

// The aggregates of one bucket.
class Bucket {
 public:
  explicit Bucket(const Declaration* points) : declaration_(*points) { Clear(); }

  void Clear();
  // Goes on from a row of the rollup.
  void Load(const Block& rows, size_t at);
  // Adds a point, which is newer than those before.
  void Add(const Block& points, size_t at);
  bool empty() const { return points_ == 0; }
  // The row of the rollup. Texts are those of the bucket, and hold until it changes.
  void Take(PointValues* row) const;

 private:
  struct Held {
    bool null = true;
    double real = 0;
    int64_t integer = 0;
    std::string text;
  };
  struct Column {
    int64_t count = 0;
    bool has_sum = true;  // false: it has left the range of its type, and is NULL
    double real_sum = 0;
    int64_t integer_sum = 0;
    Held min;
    Held max;
    Held first;
    Held last;
  };

  static Held Read(const BlockColumn& column, size_t at);
  static bool Less(ColumnType type, const Held& a, const Held& b);
  static Datum DatumOf(const Held& held);
  static void AddToSum(ColumnType type, const Held& value, Column* column);

  const Declaration& declaration_;
  int64_t points_ = 0;
  std::vector<Column> columns_;
};

}  // namespace cairn::timeseries
