// SeriesTeller: gathers what a command writes in time series, for the change stream.
//
// A block of points is thousands of rows, so points are not told one by one. A command tells one change
// for each series that it touches: the tags of the series, and the first and the last time at which
// points were written, changed or deleted. Whoever wants the points reads them between these times.
// What retention takes, and what moves from place to place when points are sealed, is not told.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "state_machine/change.h"
#include "timeseries/sqlite/written_points.h"

namespace cairn::state_machine {

// What a series is told by: the tags, and the columns first_time and last_time. One that has the name of
// a tag has "_" before it.
ChangedTable SeriesTable(const std::string& name, const timeseries::Declaration& declaration);
// The same of the text of CREATE VIRTUAL TABLE; none if it makes no time series.
std::optional<ChangedTable> SeriesTable(const std::string& name, std::string_view create_sql);

// Used on the apply thread.
class SeriesTeller {
 public:
  // Of the series that one command may touch. The changes of the entry of a command that touches more
  // are lost.
  static constexpr size_t kBytesMax = 8 << 20;
  static constexpr size_t kBytesOfSeries = 128;  // and its tags

  struct Touched {
    std::shared_ptr<const ChangedTable> table;
    Row row;
  };

  // Returns the bytes of the series' row, and 0 if the command has touched the series before.
  // OUT_OF_RANGE if the series cannot be told, on any node.
  Result<size_t> Note(const timeseries::WrittenPoints& points);
  // In the order in which they were touched first.
  std::vector<Touched> Take();
  // The command is undone.
  void Clear();
  // Tables may have changed, or have been made anew. What has been touched stays so.
  void Forget();

 private:
  struct Place {
    std::string table;
    int64_t series = 0;
    auto operator<=>(const Place&) const = default;
  };
  const std::shared_ptr<const ChangedTable>& TableOf(const timeseries::Storage& storage);
  Result<Row> ReadTags(timeseries::Storage* storage, int64_t series) const;

  std::map<std::string, std::shared_ptr<const ChangedTable>> tables_;
  std::map<Place, size_t> places_;
  std::vector<Touched> touched_;
  const Place* last_place_ = nullptr;
  size_t last_ = 0;  // in touched_
  size_t bytes_ = 0;
};

}  // namespace cairn::state_machine
