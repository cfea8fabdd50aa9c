// The values of a JSON object, as columns of a row.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cairn/value.h"

namespace cairn::tools {

// As SQLite's own functions: deeper JSON is refused.
inline constexpr size_t kJsonDepthMax = 1000;

struct JsonRow {
  // In the order of the text. No name is there twice, whatever its case.
  std::vector<std::pair<std::string, Value>> fields;
};

// `null` is NULL, `true` is 1, an array or an object is its text without spaces, and a number keeps its
// value: an integer past 64 bits is refused, because a REAL would not hold it.
Result<JsonRow> ParseJsonRow(const std::string& line);

}  // namespace cairn::tools
