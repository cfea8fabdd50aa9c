// Plan: how a query reads a time series. xBestIndex makes it, and xFilter follows it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/sqlite_api.h"
#include "timeseries/sqlite/declaration.h"

namespace cairn::timeseries {

struct Plan {
  uint32_t tags = 0;   // those that equal an argument
  uint32_t lists = 0;  // TEXT tags that equal one of a list: the argument is all of IN (...)
  bool time_equals = false;
  bool time_from = false;   // > or >=
  bool time_until = false;  // < or <=
  bool last = false;        // the last point of each series, if the argument is 1
  bool by_tags = false;     // series in the order of their tags
  bool descending = false;  // in time
  // TEXT tags that equal an argument and are not among those that the order names: it holds if they
  // have one value.
  uint32_t unordered = 0;
  uint64_t wanted = 0;  // values

  // A number, and a text for the columns. The text is made of < and >, because the look at
  // programs for searches in full-text tables and R-Trees takes other characters for one of those.
  int Number() const;
  std::string Wanted() const;
  static Plan Of(int number, const char* wanted);
};

// Fills `info`. Arguments come in the order: tags, time, from, until, last.
int ChoosePlan(const Declaration& declaration, sqlite3_index_info* info);

}  // namespace cairn::timeseries
