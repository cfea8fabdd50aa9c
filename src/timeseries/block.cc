#include "timeseries/block.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "timeseries/bit_packing.h"
#include "timeseries/integer_stream.h"
#include "timeseries/real_column.h"

namespace cairn::timeseries {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kChecksumBytes = 4;

// Which values of a column are present.
enum Presence : uint8_t { kAll = 0, kSome = 1, kNone = 2 };

Status Malformed(const std::string& what) {
  return InvalidArgument("malformed block of a time series: " + what);
}

Status MalformedColumn(size_t column, const std::string& what) {
  return Malformed("column " + std::to_string(column + 1) + ": " + what);
}

bool IsType(uint8_t type) { return type >= 1 && type <= 4; }

// ---- Encoding -----------------------------------------------------------------------------------

Status CheckTimes(TimeUnit unit, const std::vector<int64_t>& times) {
  RETURN_IF_ERROR(CheckTime(unit, times.front()));
  RETURN_IF_ERROR(CheckTime(unit, times.back()));
  if (std::adjacent_find(times.begin(), times.end(), std::greater_equal<>()) != times.end()) {
    return InvalidArgument("the times of a block must be strictly ascending");
  }
  return OkStatus();
}

Status CheckTexts(const BlockColumn& column) {
  for (size_t i = 0; i < column.texts.size(); ++i) {
    if (column.texts[i].size() > kTextBytesMax) {
      return InvalidArgument("a text of a time series has at most " +
                             std::to_string(kTextBytesMax) + " bytes; this one has " +
                             std::to_string(column.texts[i].size()));
    }
    CHECK(i == 0 || column.texts[i - 1] < column.texts[i]) << "texts must be ascending";
  }
  return OkStatus();
}

Status CheckValues(const BlockColumn& column) {
  if (column.type == ColumnType::kText) RETURN_IF_ERROR(CheckTexts(column));
  for (const double value : column.reals) {
    if (!std::isfinite(value)) return InvalidArgument("a time series holds no NaN and no infinity");
  }
  for (const int64_t value : column.integers) {
    CHECK(column.type != ColumnType::kBoolean || value == 0 || value == 1);
  }
  return OkStatus();
}

Status CheckBlock(const Block& block) {
  const size_t points = block.times.size();
  if (points == 0 || points > kPointsMax || block.columns.size() > kColumnsMax) {
    return InvalidArgument("a block has 1 to " + std::to_string(kPointsMax) +
                           " points and at most " + std::to_string(kColumnsMax) + " columns");
  }
  RETURN_IF_ERROR(CheckTimes(block.unit, block.times));
  for (const BlockColumn& column : block.columns) {
    const bool real = column.type == ColumnType::kReal;
    CHECK((real ? column.reals.size() : column.integers.size()) == points);
    CHECK(column.present.empty() || column.present.size() == points);
    RETURN_IF_ERROR(CheckValues(column));
  }
  return OkStatus();
}

// The values of the points that have one. -0.0 becomes 0.0.
template <class T>
std::vector<T> Present(const BlockColumn& column, const std::vector<T>& values) {
  std::vector<T> present;
  present.reserve(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!column.IsNull(i)) present.push_back(values[i] + T{0});
  }
  return present;
}

// Keeps the texts that are used, and gives the values their places among these.
std::vector<std::string> TakeUsedTexts(const BlockColumn& column, std::vector<int64_t>* values) {
  std::vector<int64_t> places(column.texts.size(), -1);
  for (const int64_t value : *values) places[static_cast<size_t>(value)] = 0;
  std::vector<std::string> used;
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i] < 0) continue;
    places[i] = static_cast<int64_t>(used.size());
    used.push_back(column.texts[i]);
  }
  for (int64_t& value : *values) value = places[static_cast<size_t>(value)];
  return used;
}

void WritePresence(const BlockColumn& column, size_t points, size_t present, ByteWriter* out) {
  out->U8(present == points ? kAll : present == 0 ? kNone : kSome);
  if (present == points || present == 0) return;
  const std::vector<uint64_t> bits(column.present.begin(), column.present.end());
  Pack(bits, 1, out);
}

std::string EncodeColumn(const BlockColumn& column, size_t points) {
  std::string bytes;
  ByteWriter out(&bytes);
  if (column.type == ColumnType::kReal) {
    const std::vector<double> values = Present(column, column.reals);
    WritePresence(column, points, values.size(), &out);
    if (!values.empty()) WriteReals(values, &out);
    return bytes;
  }
  std::vector<int64_t> values = Present(column, column.integers);
  WritePresence(column, points, values.size(), &out);
  if (values.empty()) return bytes;
  if (column.type == ColumnType::kText) {
    const std::vector<std::string> texts = TakeUsedTexts(column, &values);
    out.Varint(texts.size());
    for (const std::string& text : texts) out.String(text);
  }
  WriteIntegers(values, &out);
  return bytes;
}

// ---- Decoding -----------------------------------------------------------------------------------

Status ReadHead(ByteReader* in, Block* block, size_t* points) {
  const uint8_t version = in->U8();
  if (in->ok() && version != kVersion) {
    return Malformed("version " + std::to_string(version) + " is not known");
  }
  const uint8_t unit = in->U8();
  const uint64_t count = in->Varint();
  const uint64_t columns = in->Varint();
  if (!in->ok() || unit > 1 || count == 0 || count > kPointsMax || columns > kColumnsMax) {
    return Malformed("its head");
  }
  block->unit = static_cast<TimeUnit>(unit);
  *points = count;
  block->columns.resize(columns);
  for (BlockColumn& column : block->columns) {
    const uint8_t type = in->U8();
    if (!in->ok() || !IsType(type)) return Malformed("the type of a column");
    column.type = static_cast<ColumnType>(type);
    column.present.clear();
    column.reals.clear();
    column.integers.clear();
    column.texts.clear();
  }
  return OkStatus();
}

Status ReadTimes(ByteReader* in, Block* block, size_t points) {
  block->times.resize(points);
  if (!ReadIntegers(in, block->times)) return Malformed("its times");
  const std::vector<int64_t>& times = block->times;
  bool ascending = true;
  for (size_t i = 1; i < points; ++i) ascending &= times[i - 1] < times[i];
  if (!ascending) return Malformed("times that are not strictly ascending");
  const TimeRange range = RangeOf(block->unit);
  if (times.front() < range.first || times.back() > range.last) {
    return Malformed("a time out of range");
  }
  return OkStatus();
}

// Returns the number of values, or none.
bool ReadPresence(ByteReader* in, size_t points, BlockColumn* column, size_t* values) {
  const uint8_t presence = in->U8();
  if (!in->ok() || presence > kNone) return false;
  *values = presence == kAll ? points : 0;
  if (presence == kAll) return true;
  column->present.resize(points, 0);
  if (presence == kNone) return true;
  std::array<uint64_t, kPointsMax> bits;
  if (!Unpack(in, 1, std::span(bits.data(), points))) return false;
  for (size_t i = 0; i < points; ++i) {
    column->present[i] = static_cast<uint8_t>(bits[i]);
    *values += bits[i];
  }
  return *values > 0 && *values < points;
}

// Moves the values, which are the first of `all`, to the places of their points.
template <class T>
void Spread(const std::vector<uint8_t>& present, size_t values, std::vector<T>* all) {
  if (present.empty()) return;
  for (size_t i = present.size(); i-- > 0;) {
    (*all)[i] = present[i] != 0 ? (*all)[--values] : T{0};
  }
}

bool ReadTexts(ByteReader* in, size_t values, BlockColumn* column) {
  const uint64_t count = in->Varint();
  if (!in->ok() || count == 0 || count > values) return false;
  column->texts.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    const std::string_view text = in->String();
    if (!in->ok() || text.size() > kTextBytesMax) return false;
    if (i > 0 && text <= column->texts.back()) return false;
    column->texts.emplace_back(text);
  }
  return true;
}

bool AreAllBelow(std::span<const int64_t> values, uint64_t end) {
  bool below = true;
  for (const int64_t value : values) below &= static_cast<uint64_t>(value) < end;
  return below;
}

bool ReadColumn(ByteReader* in, size_t points, BlockColumn* column) {
  size_t values = 0;
  if (!ReadPresence(in, points, column, &values)) return false;
  if (column->type == ColumnType::kReal) {
    column->reals.resize(points);
    if (values > 0 && !ReadReals(in, std::span(column->reals.data(), values))) return false;
    Spread(column->present, values, &column->reals);
    return in->done();
  }
  column->integers.resize(points);
  const std::span<int64_t> integers(column->integers.data(), values);
  if (values > 0) {
    const bool text = column->type == ColumnType::kText;
    if (text && !ReadTexts(in, values, column)) return false;
    if (!ReadIntegers(in, integers)) return false;
    if (text && !AreAllBelow(integers, column->texts.size())) return false;
    if (column->type == ColumnType::kBoolean && !AreAllBelow(integers, 2)) return false;
  }
  Spread(column->present, values, &column->integers);
  return in->done();
}

}  // namespace

TimeRange RangeOf(TimeUnit unit) {
  constexpr TimeRange kInMs = {-62'167'219'200'000, 253'402'300'799'999};
  if (unit == TimeUnit::kMilliseconds) return kInMs;
  return {kInMs.first * 1000, kInMs.last * 1000 + 999};
}

Status CheckTime(TimeUnit unit, int64_t time) {
  const TimeRange range = RangeOf(unit);
  if (time >= range.first && time <= range.last) return OkStatus();
  return InvalidArgument("the time " + std::to_string(time) + " is out of range: times are in " +
                         (unit == TimeUnit::kMilliseconds ? "milliseconds" : "microseconds") +
                         " since 1970, from " + std::to_string(range.first) + " to " +
                         std::to_string(range.last) + " (the years 0000 to 9999)");
}

Status EncodeBlock(const Block& block, std::string* out) {
  RETURN_IF_ERROR(CheckBlock(block));
  std::string bytes;
  ByteWriter writer(&bytes);
  writer.U8(kVersion);
  writer.U8(static_cast<uint8_t>(block.unit));
  writer.Varint(block.times.size());
  writer.Varint(block.columns.size());
  for (const BlockColumn& column : block.columns) writer.U8(static_cast<uint8_t>(column.type));
  WriteIntegers(block.times, &writer);
  for (const BlockColumn& column : block.columns) {
    writer.String(EncodeColumn(column, block.times.size()));
  }
  writer.U32(Crc32c(bytes));
  if (bytes.size() > kBlockBytesMax) {
    return ResourceExhausted("a block of a time series has at most " +
                             std::to_string(kBlockBytesMax) + " bytes; this one would have " +
                             std::to_string(bytes.size()));
  }
  out->append(bytes);
  return OkStatus();
}

Status DecodeBlock(std::string_view bytes, uint64_t wanted, Block* block) {
  if (bytes.size() > kBlockBytesMax) return Malformed("it is too long");
  ByteReader in(bytes);
  size_t points = 0;
  RETURN_IF_ERROR(ReadHead(&in, block, &points));
  RETURN_IF_ERROR(ReadTimes(&in, block, points));
  for (size_t i = 0; i < block->columns.size(); ++i) {
    // The column's reader stays at the end of the column. The bits of the column may be read with
    // some of the bytes behind them, which Unpack copies where there are too few.
    ByteReader column(in.String());
    if (!in.ok()) return MalformedColumn(i, "it is cut off");
    if ((wanted >> i & 1) == 0) continue;
    if (!ReadColumn(&column, points, &block->columns[i])) return MalformedColumn(i, "its values");
  }
  in.U32();
  return in.done() ? OkStatus() : Malformed("its end");
}

Status DecodeCheckedBlock(std::string_view bytes, Block* block) {
  if (bytes.size() > kChecksumBytes) {
    const std::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
    ByteReader checksum(bytes.substr(body.size()));
    if (bytes.size() <= kBlockBytesMax && checksum.U32() != Crc32c(body)) {
      return Malformed("its checksum does not fit");
    }
  }
  return DecodeBlock(bytes, kAllColumns, block);
}

}  // namespace cairn::timeseries
