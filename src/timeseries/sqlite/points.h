// Points on their way between SQLite's values and blocks.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/sqlite_api.h"
#include "base/status.h"
#include "timeseries/block.h"
#include "timeseries/sqlite/declaration.h"

namespace cairn::timeseries {

// One value of a point.
struct Datum {
  bool null = true;
  double real = 0;
  int64_t integer = 0;
  std::string_view text;  // of the caller
};
using PointValues = std::vector<Datum>;

// Converts as a column of this type would (a text that is a number becomes the number), and refuses
// what would remain of another type.
Status ReadDatum(const DeclaredColumn& column, sqlite3_value* value, Datum* datum);
Status ReadTime(const Declaration& declaration, sqlite3_value* value, int64_t* time);

// Binds the values from the parameter `first` on.
void BindValues(sqlite3_stmt* stmt, int first, const Declaration& declaration,
                const PointValues& values);

// Whether a block has the unit and the columns of the declaration.
bool Fits(const Declaration& declaration, const Block& block);
// Decodes a block of the storage, whose row tells of so many points. False: the block is damaged, or
// another one than the row and the declaration tell of.
bool DecodeStored(const Declaration& declaration, std::string_view bytes, int64_t points,
                  uint64_t wanted, Block* block);
// A block without points, with the columns of the declaration. Keeps the memory.
void ClearBlock(const Declaration& declaration, Block* block);
// The texts of a block may be out of order, come twice, and not be used, until SortTexts.
void InsertPoint(Block* block, size_t at, int64_t time, const PointValues& values);
void ReplacePoint(Block* block, size_t at, const PointValues& values);
void ErasePoint(Block* block, size_t at);
void SortTexts(Block* block);
// Appends a point whose time is the statement's column 0 and whose values follow, for the columns in
// `wanted`.
void AppendRow(sqlite3_stmt* stmt, uint64_t wanted, Block* block);
// The values of a point. The texts are those of the block.
void TakeValues(const Block& block, size_t at, PointValues* values);
// The points `from` to `end` as a block of their own.
Block PartOf(const Block& block, size_t from, size_t end);
// Appends the points of a block whose times are later.
void AppendBlock(const Block& later, Block* block);

}  // namespace cairn::timeseries
