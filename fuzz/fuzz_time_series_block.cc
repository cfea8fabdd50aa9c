// Blocks of time series: any bytes are refused or are points that can be stored. Whatever is decoded
// can be encoded, and comes back as it was.
#include <bit>

#include "base/check.h"
#include "fuzz_input.h"
#include "timeseries/block.h"

namespace cairn::timeseries {
namespace {

std::string Encoded(const Block& block) {
  std::string bytes;
  const Status status = EncodeBlock(block, &bytes);
  if (status.code() == StatusCode::kResourceExhausted) return {};
  CHECK(status.ok()) << status.ToString();
  return bytes;
}

void TryBlock(std::string_view bytes) {
  Block block;
  if (!DecodeBlock(bytes, kAllColumns, &block).ok()) return;
  const std::string encoded = Encoded(block);
  if (encoded.empty()) return;
  Block again;
  CHECK(DecodeCheckedBlock(encoded, &again).ok());
  CHECK(block.times == again.times && block.unit == again.unit);
  for (size_t i = 0; i < block.columns.size(); ++i) {
    const BlockColumn& before = block.columns[i];
    const BlockColumn& after = again.columns[i];
    CHECK(before.type == after.type && before.present == after.present);
    CHECK(before.reals.size() == after.reals.size());
    for (size_t p = 0; p < before.reals.size(); ++p) {
      CHECK(std::bit_cast<uint64_t>(before.reals[p]) == std::bit_cast<uint64_t>(after.reals[p]));
    }
    CHECK(before.type == ColumnType::kText || before.integers == after.integers);
  }
  CHECK(Encoded(again) == encoded);
}

}  // namespace
}  // namespace cairn::timeseries

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::timeseries::TryBlock({reinterpret_cast<const char*>(data), size});
  return 0;
}
