#include "timeseries/integer_stream.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <string>
#include <vector>

#include "timeseries/bit_packing.h"

namespace cairn::timeseries {
namespace {

enum Kind : uint8_t { kLine = 0, kValues = 1, kDeltas = 2, kDeltasOfDeltas = 3 };

constexpr uint8_t kHasOutliers = 0x80;

// Sums and differences modulo 2^64.
int64_t Add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
uint64_t Distance(int64_t from, int64_t to) {
  return static_cast<uint64_t>(to) - static_cast<uint64_t>(from);
}
int64_t Difference(int64_t from, int64_t to) { return static_cast<int64_t>(Distance(from, to)); }

size_t VarintBytes(uint64_t v) { return (static_cast<size_t>(std::bit_width(v | 1)) + 6) / 7; }

bool Fits(uint64_t distance, unsigned width) { return width >= 64 || distance >> width == 0; }

// ---- Writing

struct Packing {
  unsigned width = 0;
  int64_t least = 0;
  size_t bytes = 0;  // without the head
};

// The most numbers that fit the width together: where they begin and end.
struct Window {
  size_t first = 0;
  size_t end = 0;
};

Window BestWindow(std::span<const int64_t> sorted, unsigned width) {
  Window best;
  for (size_t first = 0, end = 0; end < sorted.size(); ++first) {
    while (end < sorted.size() && Fits(Distance(sorted[first], sorted[end]), width)) ++end;
    if (end - first > best.end - best.first) best = {first, end};
  }
  return best;
}

// Where more numbers than these lie outside, a narrower width is not tried.
constexpr size_t kOutliersMax = kGroupMax / 4;

Packing BestPacking(std::span<const int64_t> group) {
  std::array<int64_t, kGroupMax> space;
  std::copy(group.begin(), group.end(), space.begin());
  const std::span<int64_t> sorted(space.data(), group.size());
  std::sort(sorted.begin(), sorted.end());
  auto width = static_cast<unsigned>(std::bit_width(Distance(sorted.front(), sorted.back())));
  Packing best{width, sorted.front(),
               VarintBytes(ZigZag(sorted.front())) + PackedBytes(group.size(), width)};
  while (width-- > 0) {
    const Window window = BestWindow(sorted, width);
    const size_t outliers = group.size() - (window.end - window.first);
    if (outliers > kOutliersMax) break;
    Packing each{width, sorted[window.first], 0};
    each.bytes = 1 + VarintBytes(ZigZag(each.least)) + PackedBytes(group.size(), width) + outliers;
    const auto add = [&each](int64_t v) {
      each.bytes += VarintBytes(ZigZag(Difference(each.least, v)));
    };
    std::for_each(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(window.first), add);
    std::for_each(sorted.begin() + static_cast<ptrdiff_t>(window.end), sorted.end(), add);
    if (each.bytes < best.bytes) best = each;
  }
  return best;
}

void WriteGroup(std::span<const int64_t> group, ByteWriter* out) {
  const Packing packing = BestPacking(group);
  std::array<uint64_t, kGroupMax> numbers;
  std::array<uint8_t, kGroupMax> outliers;
  size_t outlier_count = 0;
  for (size_t i = 0; i < group.size(); ++i) {
    numbers[i] = Distance(packing.least, group[i]);
    if (Fits(numbers[i], packing.width)) continue;
    numbers[i] = 0;
    outliers[outlier_count++] = static_cast<uint8_t>(i);
  }
  out->U8(static_cast<uint8_t>(packing.width | (outlier_count > 0 ? kHasOutliers : 0U)));
  out->Varint(ZigZag(packing.least));
  if (outlier_count > 0) out->U8(static_cast<uint8_t>(outlier_count - 1));
  for (size_t i = 0; i < outlier_count; ++i) {
    out->U8(outliers[i]);
    out->Varint(ZigZag(Difference(packing.least, group[outliers[i]])));
  }
  Pack(std::span(numbers.data(), group.size()), packing.width, out);
}

void WriteGroups(std::span<const int64_t> values, ByteWriter* out) {
  for (size_t at = 0; at < values.size(); at += kGroupMax) {
    WriteGroup(values.subspan(at, std::min(kGroupMax, values.size() - at)), out);
  }
}

// Replaces the values by their differences: one less than the values.
void TakeDifferences(std::vector<int64_t>* values) {
  for (size_t i = 0; i + 1 < values->size(); ++i) {
    (*values)[i] = Difference((*values)[i], (*values)[i + 1]);
  }
  values->pop_back();
}

// ---- Reading

bool ReadOutliers(ByteReader* in, unsigned width, int64_t least, uint64_t* numbers, size_t count) {
  const size_t outliers = in->U8() + size_t{1};
  std::array<uint8_t, kGroupMax> places;
  std::array<uint64_t, kGroupMax> distances;
  if (outliers > count) return false;
  for (size_t i = 0; i < outliers; ++i) {
    places[i] = in->U8();
    distances[i] = static_cast<uint64_t>(UnZigZag(in->Varint()));
    if (places[i] >= count || (i > 0 && places[i] <= places[i - 1])) return false;
    if (Fits(distances[i], width)) return false;
  }
  if (!in->ok() || !Unpack(in, width, std::span(numbers, count))) return false;
  for (size_t i = 0; i < outliers; ++i) {
    if (numbers[places[i]] != 0) return false;
    numbers[places[i]] = distances[i];
  }
  for (size_t i = 0; i < count; ++i) numbers[i] += static_cast<uint64_t>(least);
  return true;
}

bool ReadGroup(ByteReader* in, uint64_t* numbers, size_t count) {
  const uint8_t head = in->U8();
  const unsigned width = head & ~kHasOutliers;
  const int64_t least = UnZigZag(in->Varint());
  if (!in->ok() || width > 64) return false;
  if ((head & kHasOutliers) != 0) return ReadOutliers(in, width, least, numbers, count);
  if (!Unpack(in, width, std::span(numbers, count))) return false;
  for (size_t i = 0; i < count; ++i) numbers[i] += static_cast<uint64_t>(least);
  return true;
}

// Replaces each of the numbers behind the first by the sum of all up to it.
void Sum(std::span<int64_t> values) {
  uint64_t sum = static_cast<uint64_t>(values[0]);
  for (size_t i = 1; i < values.size(); ++i) {
    sum += static_cast<uint64_t>(values[i]);
    values[i] = static_cast<int64_t>(sum);
  }
}

}  // namespace

void WriteIntegers(std::span<const int64_t> values, ByteWriter* out) {
  std::vector<int64_t> differences(values.begin(), values.end());
  TakeDifferences(&differences);
  const bool line = std::adjacent_find(differences.begin(), differences.end(),
                                       std::not_equal_to<>()) == differences.end();
  if (line) {
    out->U8(kLine);
    out->Varint(ZigZag(values[0]));
    if (values.size() > 1) out->Varint(ZigZag(differences[0]));
    return;
  }
  std::string best;
  ByteWriter of_values(&best);
  of_values.U8(kValues);
  WriteGroups(values, &of_values);
  for (const Kind kind : {kDeltas, kDeltasOfDeltas}) {
    std::string encoded;
    ByteWriter writer(&encoded);
    writer.U8(kind);
    writer.Varint(ZigZag(values[0]));
    if (kind == kDeltasOfDeltas) {
      writer.Varint(ZigZag(differences[0]));
      TakeDifferences(&differences);
    }
    WriteGroups(differences, &writer);
    if (encoded.size() < best.size()) best = std::move(encoded);
  }
  out->Raw(best);
}

bool ReadIntegers(ByteReader* in, std::span<int64_t> values) {
  const uint8_t kind = in->U8();
  if (!in->ok() || kind > kDeltasOfDeltas) return false;
  if (kind == kLine) {
    int64_t value = UnZigZag(in->Varint());
    const int64_t step = values.size() > 1 ? UnZigZag(in->Varint()) : 0;
    for (int64_t& each : values) {
      each = value;
      value = Add(value, step);
    }
    return in->ok();
  }
  const size_t whole = kind - size_t{kValues};  // numbers that stand before the groups
  if (values.size() <= whole) return false;
  for (size_t i = 0; i < whole; ++i) values[i] = UnZigZag(in->Varint());
  for (size_t at = whole; at < values.size(); at += kGroupMax) {
    auto* const numbers = reinterpret_cast<uint64_t*>(values.data() + at);
    if (!ReadGroup(in, numbers, std::min(kGroupMax, values.size() - at))) return false;
  }
  if (kind == kDeltasOfDeltas) Sum(values.subspan(1));
  if (kind != kValues) Sum(values);
  return true;
}

}  // namespace cairn::timeseries
