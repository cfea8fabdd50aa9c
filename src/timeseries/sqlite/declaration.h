// What CREATE VIRTUAL TABLE ... USING timeseries(...) declares:
//
//     device TEXT TAG, ts TIMESTAMP_MS, value REAL, state TEXT, retention='90d'
//
// Tags name a series. Exactly one column is the time. The others are values. Options follow, or
// stand between.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "timeseries/block.h"

namespace cairn::timeseries {

inline constexpr size_t kTagsMax = 8;
inline constexpr size_t kValuesMax = 32;
// A row of a rollup has six values for each of these, and one more.
inline constexpr size_t kRollupValuesMax = 10;
inline constexpr size_t kRollupsMax = 6;

enum class Role { kTag, kTime, kValue };

struct DeclaredColumn {
  std::string name;
  Role role = Role::kValue;
  ColumnType type = ColumnType::kReal;  // of a tag: kText or kInteger
  size_t place = 0;                     // among the tags, or among the values
};

// A rollup: aggregates of the points of each bucket, as the table NAME_1m.
struct RollupOption {
  std::string name;  // the width as declared, such as '1m'
  int64_t width_ms = 0;
  int64_t retention_ms = 0;  // at first; 0: rows stay
};

struct Declaration {
  std::vector<DeclaredColumn> columns;  // as declared
  std::vector<size_t> tags;             // places in `columns`
  std::vector<size_t> values;
  size_t time = 0;
  TimeUnit unit = TimeUnit::kMilliseconds;
  int64_t retention_ms = 0;           // at first; 0: points stay
  std::vector<RollupOption> rollups;  // by width; each width divides the next

  const DeclaredColumn& Tag(size_t i) const { return columns[tags[i]]; }
  const DeclaredColumn& Value(size_t i) const { return columns[values[i]]; }
  // Hidden columns follow the declared ones.
  size_t block_column() const { return columns.size(); }
  size_t is_last_column() const { return columns.size() + 1; }
  // It has the name of the table, and takes commands, as that of a full-text index does.
  size_t command_column() const { return columns.size() + 2; }
  // Whether the tables of a rollup end in "_1m".
  bool HasRollup(std::string_view suffix) const;
  // In the unit of the times.
  int64_t Units(int64_t ms) const { return unit == TimeUnit::kMilliseconds ? ms : ms * 1000; }
};

// `arguments`: the text of each argument of the module.
Result<Declaration> ParseDeclaration(const std::vector<std::string_view>& arguments);
// Whether the names of the columns differ.
Status CheckNames(const Declaration& declaration);
// Whether a table of this name can have these columns.
Status CheckTableName(const Declaration& declaration, std::string_view table);
// The CREATE TABLE that SQLite is told of.
std::string SqlOfDeclaration(const Declaration& declaration, std::string_view table);
// REAL, INTEGER, TEXT; INTEGER for BOOLEAN.
const char* SqlType(ColumnType type);
// ", v0, NULL, v2": the columns of the tail for the values in `wanted`.
std::string ValueNames(const Declaration& declaration, uint64_t wanted);

}  // namespace cairn::timeseries
