// Vectors as libSQL encodes them in blobs: a kind, and elements of that kind.
//
// docs/internals/vectors.md specifies the bytes. The last byte of a blob tells the kind; a blob of
// an even length has no such byte and holds 32-bit floats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/status.h"

namespace cairn::vectors {

// The values are the last byte of a blob.
enum class Kind : uint8_t {
  kFloat32 = 1,
  kFloat64 = 2,
  kFloat1Bit = 3,  // 1 or -1
  kFloat8 = 4,     // alpha * [0, 255] + shift
  kFloat16 = 5,
  kFloatB16 = 6,  // the upper half of a 32-bit float
};

inline constexpr size_t kDimensionsMax = 65'536;

// "float32" and so on.
std::string_view NameOf(Kind kind);

// A vector within a blob. The blob must outlive it.
struct View {
  Kind kind = Kind::kFloat32;
  size_t dimensions = 0;
  const unsigned char* elements = nullptr;  // not aligned
  // Of kFloat8.
  float alpha = 0;
  float shift = 0;
};

// INVALID_ARGUMENT if the blob is no vector. Elements may still be infinite or not a number.
Result<View> ViewOf(std::string_view blob);

// INVALID_ARGUMENT if an element is infinite or not a number.
Status CheckFinite(const View& view);

// The elements: doubles of kFloat64, otherwise floats.
using Elements = std::variant<std::vector<float>, std::vector<double>>;
Elements ElementsOf(const View& view);

// The blob of `kind`. INVALID_ARGUMENT if an element is infinite, not a number, or too large for
// the kind. Elements are rounded to the kind.
Result<std::string> Encode(const Elements& elements, Kind kind);

// The elements of a text like "[1, 2.5, -3e-2]": doubles for kFloat64, otherwise floats.
Result<Elements> ParseText(std::string_view text, Kind kind);
// The shortest numbers that read back as the elements.
std::string TextOf(const Elements& elements);

}  // namespace cairn::vectors
