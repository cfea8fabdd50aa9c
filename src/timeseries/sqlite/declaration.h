// What CREATE VIRTUAL TABLE ... USING timeseries(...) declares:
//
//     device TEXT TAG, ts TIMESTAMP_MS, value REAL, state TEXT
//
// Tags name a series. Exactly one column is the time. The others are values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "timeseries/block.h"

namespace cairn::timeseries {

inline constexpr size_t kTagsMax = 8;

enum class Role { kTag, kTime, kValue };

struct DeclaredColumn {
  std::string name;
  Role role = Role::kValue;
  ColumnType type = ColumnType::kReal;  // of a tag: kText or kInteger
  size_t place = 0;                     // among the tags, or among the values
};

struct Declaration {
  std::vector<DeclaredColumn> columns;  // as declared
  std::vector<size_t> tags;             // places in `columns`
  std::vector<size_t> values;
  size_t time = 0;
  TimeUnit unit = TimeUnit::kMilliseconds;

  const DeclaredColumn& Tag(size_t i) const { return columns[tags[i]]; }
  const DeclaredColumn& Value(size_t i) const { return columns[values[i]]; }
  // Hidden columns follow the declared ones.
  size_t block_column() const { return columns.size(); }
  size_t is_last_column() const { return columns.size() + 1; }
};

// `arguments`: the text of each argument of the module.
Result<Declaration> ParseDeclaration(const std::vector<std::string_view>& arguments);
// The CREATE TABLE that SQLite is told of.
std::string SqlOfDeclaration(const Declaration& declaration);
// REAL, INTEGER, TEXT; INTEGER for BOOLEAN.
const char* SqlType(ColumnType type);
// ", v0, NULL, v2": the columns of the tail for the values in `wanted`.
std::string ValueNames(const Declaration& declaration, uint64_t wanted);

}  // namespace cairn::timeseries
