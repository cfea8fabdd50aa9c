// Arguments and results of the SQL functions of vectors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/sqlite_api.h"
#include "base/status.h"
#include "vectors/vector.h"

namespace cairn::vectors {

// Prices, in steps.
inline constexpr uint64_t kStepsPerCall = 10;
inline constexpr uint64_t kBytesOfBlobPerStep = 32;
inline constexpr uint64_t kBytesOfTextPerStep = 2;
// Beside bits, which are compared 64 at a time.
inline constexpr uint64_t kDimensionsPerStep = 8;
inline constexpr uint64_t kConvertedDimensionsPerStep = 2;
inline constexpr uint64_t kStepsPerWrittenNumber = 20;

// The price of reading the value as a vector, by its bytes and its dimensions.
uint64_t StepsToRead(sqlite3_value* value);
// The price of making a vector of another kind of it. A blob of 8 KB has up to 65,536 dimensions.
uint64_t StepsToConvert(sqlite3_value* value);
// The dimensions of a blob; 0 of any other value.
uint64_t DimensionsOfBlob(sqlite3_value* value);

// The value as a vector: a blob, or the text of one.
class Argument {
 public:
  // A text becomes a vector of 32-bit floats. The value must outlive the object. INVALID_ARGUMENT
  // if the value is no vector.
  Status Read(sqlite3_value* value);
  const View& view() const { return view_; }

 private:
  std::string encoded_;  // of a text
  View view_;
};

// The elements of the value. Those of a text are of `kind`, or floats.
Result<Elements> ReadElements(sqlite3_value* value, Kind kind);

void ReturnError(sqlite3_context* context, const Status& status);

}  // namespace cairn::vectors
