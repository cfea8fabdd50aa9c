#include "vectors/vector.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "vectors/half_float.h"

namespace cairn::vectors {
namespace {

constexpr size_t kFloat8ParameterBytes = 2 * sizeof(float);

template <class T>
T Load(const unsigned char* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}
template <class T>
void Append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

size_t Aligned(size_t dimensions) { return (dimensions + 3) / 4 * 4; }

Status Malformed(std::string_view what, size_t bytes) {
  return InvalidArgument("a blob of " + std::to_string(bytes) +
                         " bytes is no vector: " + std::string(what) +
                         "; make vectors with vector32() or one of its siblings");
}

Status NotFinite(size_t at) {
  return InvalidArgument("element " + std::to_string(at) +
                         " of the vector is infinite or not a number; give finite numbers");
}

Status TooManyDimensions(size_t dimensions) {
  return InvalidArgument("a vector has at most " + std::to_string(kDimensionsMax) +
                         " dimensions, and this one has " + std::to_string(dimensions));
}

// `bytes`: the blob without its last byte, which tells the kind.
Result<View> ViewOfBits(std::string_view bytes, size_t blob_bytes) {
  if (bytes.size() < 2 || bytes.size() % 2 != 0) {
    return Malformed("one of bits has an odd number of bytes", blob_bytes);
  }
  const size_t unused = static_cast<unsigned char>(bytes.back());
  if (unused > 8 * bytes.size()) return Malformed("its bits do not fit", blob_bytes);
  const size_t dimensions = 8 * bytes.size() - unused;
  const size_t data = (dimensions + 7) / 8;
  if (data + (data % 2 == 0 ? 2 : 1) != bytes.size()) {
    return Malformed("its bits do not fit", blob_bytes);
  }
  const auto* const elements = reinterpret_cast<const unsigned char*>(bytes.data());
  if (dimensions % 8 != 0 && elements[data - 1] >> (dimensions % 8) != 0) {
    return Malformed("bits behind its last are set", blob_bytes);
  }
  return View{Kind::kFloat1Bit, dimensions, elements, 0, 0};
}

Result<View> ViewOfFloat8(std::string_view bytes, size_t blob_bytes) {
  const size_t beside = 2 + kFloat8ParameterBytes;
  const size_t padding = bytes.size() < beside ? 0 : static_cast<unsigned char>(bytes.back());
  if (bytes.size() < beside || bytes.size() % 2 != 0 || padding > 3 ||
      (bytes.size() - beside) % 4 != 0 || padding > bytes.size() - beside) {
    return Malformed("the bytes of one of 8-bit elements do not fit", blob_bytes);
  }
  const size_t aligned = bytes.size() - beside;
  const auto* const elements = reinterpret_cast<const unsigned char*>(bytes.data());
  return View{Kind::kFloat8, aligned - padding, elements, Load<float>(elements + aligned),
              Load<float>(elements + aligned + sizeof(float))};
}

Result<View> ViewOfWords(Kind kind, size_t word_bytes, std::string_view bytes, size_t blob_bytes) {
  if (bytes.size() % word_bytes != 0) {
    return Malformed("its length is no multiple of " + std::to_string(word_bytes), blob_bytes);
  }
  return View{kind, bytes.size() / word_bytes, reinterpret_cast<const unsigned char*>(bytes.data()),
              0, 0};
}

Result<View> ViewWithKind(std::string_view blob) {
  const std::string_view bytes = blob.substr(0, blob.size() - 1);
  switch (static_cast<unsigned char>(blob.back())) {
    case static_cast<int>(Kind::kFloat32):
      return ViewOfWords(Kind::kFloat32, sizeof(float), bytes, blob.size());
    case static_cast<int>(Kind::kFloat64):
      return ViewOfWords(Kind::kFloat64, sizeof(double), bytes, blob.size());
    case static_cast<int>(Kind::kFloat1Bit): return ViewOfBits(bytes, blob.size());
    case static_cast<int>(Kind::kFloat8): return ViewOfFloat8(bytes, blob.size());
    case static_cast<int>(Kind::kFloat16):
      return ViewOfWords(Kind::kFloat16, sizeof(uint16_t), bytes, blob.size());
    case static_cast<int>(Kind::kFloatB16):
      return ViewOfWords(Kind::kFloatB16, sizeof(uint16_t), bytes, blob.size());
    default: return Malformed("its last byte tells no kind of vector", blob.size());
  }
}

float FloatAt(const View& view, size_t i) {
  switch (view.kind) {
    case Kind::kFloat32: return Load<float>(view.elements + i * sizeof(float));
    case Kind::kFloat16: return FloatFromHalf(Load<uint16_t>(view.elements + i * sizeof(uint16_t)));
    case Kind::kFloatB16:
      return FloatFromBrain(Load<uint16_t>(view.elements + i * sizeof(uint16_t)));
    case Kind::kFloat8: return view.alpha * static_cast<float>(view.elements[i]) + view.shift;
    case Kind::kFloat1Bit: return (view.elements[i / 8] >> (i % 8) & 1) != 0 ? 1.0f : -1.0f;
    case Kind::kFloat64: break;
  }
  return 0;
}

// ---- Encoding -----------------------------------------------------------------------------------

Status OutOfRange(size_t at, Kind kind) {
  return InvalidArgument("element " + std::to_string(at) + " of the vector is too large for " +
                         std::string(NameOf(kind)));
}

template <class T>
std::string EncodeBits(const std::vector<T>& elements) {
  std::string blob((elements.size() + 7) / 8, '\0');
  for (size_t i = 0; i < elements.size(); ++i) {
    if (elements[i] > 0) blob[i / 8] = static_cast<char>(blob[i / 8] | 1 << (i % 8));
  }
  if (blob.size() % 2 == 0) blob.push_back('\0');
  const size_t unused = 8 * (blob.size() + 1) - elements.size();
  blob.push_back(static_cast<char>(unused));
  blob.push_back(static_cast<char>(Kind::kFloat1Bit));
  return blob;
}

// The arithmetic is that of libSQL, in the type of the elements, so that the bytes are the same.
template <class T>
Result<std::string> EncodeFloat8(const std::vector<T>& elements) {
  float least = 0;
  float most = 0;
  if (!elements.empty()) {
    const auto [low, high] = std::minmax_element(elements.begin(), elements.end());
    least = static_cast<float>(*low);
    most = static_cast<float>(*high);
  }
  const float alpha = (most - least) / 255;
  if (!std::isfinite(alpha)) {
    return InvalidArgument("the elements of the vector lie too far apart for float8");
  }
  std::string blob(Aligned(elements.size()), '\0');
  for (size_t i = 0; i < elements.size() && alpha > 0; ++i) {
    const auto scaled = static_cast<float>((elements[i] - least) / alpha);
    const double clipped = std::clamp(static_cast<double>(scaled), 0.0, 255.0);
    blob[i] = static_cast<char>(static_cast<int>(scaled > 255 ? 255 : clipped + 0.5));
  }
  const size_t padding = blob.size() - elements.size();
  Append(&blob, alpha);
  Append(&blob, least);
  blob.push_back('\0');
  blob.push_back(static_cast<char>(padding));
  blob.push_back(static_cast<char>(Kind::kFloat8));
  return blob;
}

template <class T>
Result<std::string> EncodeAs(const std::vector<T>& elements, Kind kind) {
  if (elements.size() > kDimensionsMax) return TooManyDimensions(elements.size());
  for (size_t i = 0; i < elements.size(); ++i) {
    if (!std::isfinite(elements[i])) return NotFinite(i);
    if (kind != Kind::kFloat64 && kind != Kind::kFloat1Bit &&
        std::fabs(static_cast<double>(elements[i])) > std::numeric_limits<float>::max()) {
      return OutOfRange(i, kind);
    }
  }
  if (kind == Kind::kFloat1Bit) return EncodeBits(elements);
  if (kind == Kind::kFloat8) return EncodeFloat8(elements);
  std::string blob;
  blob.reserve(elements.size() * sizeof(double) + 1);
  for (size_t i = 0; i < elements.size(); ++i) {
    if (kind == Kind::kFloat64) {
      Append(&blob, static_cast<double>(elements[i]));
      continue;
    }
    const auto value = static_cast<float>(elements[i]);
    if (kind == Kind::kFloat32) Append(&blob, value);
    if (kind == Kind::kFloatB16) Append(&blob, BrainFromFloat(value));
    if (kind == Kind::kFloat16) {
      const uint16_t half = HalfFromFloat(value);
      if (!std::isfinite(FloatFromHalf(half))) return OutOfRange(i, kind);
      Append(&blob, half);
    }
  }
  if (kind != Kind::kFloat32) blob.push_back(static_cast<char>(kind));
  return blob;
}

}  // namespace

std::string_view NameOf(Kind kind) {
  switch (kind) {
    case Kind::kFloat32: return "float32";
    case Kind::kFloat64: return "float64";
    case Kind::kFloat1Bit: return "float1bit";
    case Kind::kFloat8: return "float8";
    case Kind::kFloat16: return "float16";
    case Kind::kFloatB16: return "floatb16";
  }
  return "";
}

Result<View> ViewOf(std::string_view blob) {
  Result<View> view = blob.size() % 2 == 0
                          ? ViewOfWords(Kind::kFloat32, sizeof(float), blob, blob.size())
                          : ViewWithKind(blob);
  if (view.ok() && view->dimensions > kDimensionsMax) return TooManyDimensions(view->dimensions);
  return view;
}

Status CheckFinite(const View& view) {
  if (view.kind == Kind::kFloat1Bit) return OkStatus();
  for (size_t i = 0; i < view.dimensions; ++i) {
    const double value = view.kind == Kind::kFloat64
                             ? Load<double>(view.elements + i * sizeof(double))
                             : static_cast<double>(FloatAt(view, i));
    if (!std::isfinite(value)) return NotFinite(i);
  }
  return OkStatus();
}

Elements ElementsOf(const View& view) {
  if (view.kind == Kind::kFloat64) {
    std::vector<double> elements(view.dimensions);
    if (!elements.empty()) {
      std::memcpy(elements.data(), view.elements, elements.size() * sizeof(double));
    }
    return elements;
  }
  std::vector<float> elements(view.dimensions);
  for (size_t i = 0; i < elements.size(); ++i) elements[i] = FloatAt(view, i);
  return elements;
}

Result<std::string> Encode(const Elements& elements, Kind kind) {
  return std::visit([kind](const auto& each) { return EncodeAs(each, kind); }, elements);
}

}  // namespace cairn::vectors
