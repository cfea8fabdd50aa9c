// The cost of the blocks of time series: encoding and decoding whole blocks of 1,024 points, and
// the bytes of a point. The bare limit is a copy of the decoded numbers.

#include <benchmark/benchmark.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/rng.h"
#include "timeseries/block.h"

namespace cairn::timeseries {
namespace {

constexpr size_t kPoints = 1024;

enum Shape : int64_t { kTwoDecimals, kTwoDecimalsJitter, kAnyDecimals, kAnyBits, kIntegers };
constexpr const char* kShapes[] = {"two decimals, each second", "two decimals, jitter",
                                   "eight decimals", "any real numbers", "a counter"};

double NextReal(Shape shape, Rng* rng, int64_t* level) {
  *level += static_cast<int64_t>(rng->Below(21)) - 10;
  switch (shape) {
    case kAnyDecimals: return static_cast<double>(rng->Below(100'000'000)) / 1e8;
    case kAnyBits: return static_cast<double>(rng->Next()) / 3e15;
    default: return static_cast<double>(*level) / 100;
  }
}

Block MakeBlock(Shape shape) {
  Rng rng(1);
  Block block;
  block.columns.resize(1);
  BlockColumn& column = block.columns[0];
  if (shape == kIntegers) column.type = ColumnType::kInteger;
  int64_t time = 1'700'000'000'000;
  int64_t level = 2150;
  int64_t count = 0;
  for (size_t i = 0; i < kPoints; ++i) {
    time += shape == kTwoDecimals ? 1000 : 990 + static_cast<int64_t>(rng.Below(20));
    block.times.push_back(time);
    if (shape == kIntegers) {
      column.integers.push_back(count += static_cast<int64_t>(rng.Below(30)));
    } else {
      column.reals.push_back(NextReal(shape, &rng, &level));
    }
  }
  return block;
}

void Report(benchmark::State& state, const std::string& bytes) {
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kPoints));
  state.counters["bytes/point"] = static_cast<double>(bytes.size()) / kPoints;
  state.SetLabel(kShapes[state.range(0)]);
}

void EncodeBlocks(benchmark::State& state) {
  const Block block = MakeBlock(static_cast<Shape>(state.range(0)));
  std::string bytes;
  for (auto _ : state) {
    bytes.clear();
    CHECK(EncodeBlock(block, &bytes).ok());
    benchmark::DoNotOptimize(bytes.data());
  }
  Report(state, bytes);
}
BENCHMARK(EncodeBlocks)->DenseRange(kTwoDecimals, kIntegers);

void DecodeBlocks(benchmark::State& state) {
  std::string bytes;
  CHECK(EncodeBlock(MakeBlock(static_cast<Shape>(state.range(0))), &bytes).ok());
  Block block;
  for (auto _ : state) {
    CHECK(DecodeBlock(bytes, kAllColumns, &block).ok());
    benchmark::DoNotOptimize(block.times.data());
  }
  Report(state, bytes);
}
BENCHMARK(DecodeBlocks)->DenseRange(kTwoDecimals, kIntegers);

void CopyNumbers(benchmark::State& state) {
  const Block block = MakeBlock(kTwoDecimals);
  std::vector<int64_t> times(kPoints);
  std::vector<double> values(kPoints);
  for (auto _ : state) {
    std::memcpy(times.data(), block.times.data(), kPoints * sizeof(int64_t));
    std::memcpy(values.data(), block.columns[0].reals.data(), kPoints * sizeof(double));
    benchmark::DoNotOptimize(times.data());
    benchmark::DoNotOptimize(values.data());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kPoints));
}
BENCHMARK(CopyNumbers);

}  // namespace
}  // namespace cairn::timeseries

BENCHMARK_MAIN();
