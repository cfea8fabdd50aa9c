#include "vectors/argument.h"

#include <algorithm>

namespace cairn::vectors {
namespace {

std::string_view BlobOf(sqlite3_value* value) {
  const auto* const bytes = static_cast<const char*>(sqlite3_value_blob(value));
  return {bytes == nullptr ? "" : bytes, static_cast<size_t>(sqlite3_value_bytes(value))};
}

std::string_view TextOf(sqlite3_value* value) {
  const auto* const text = reinterpret_cast<const char*>(sqlite3_value_text(value));
  return {text == nullptr ? "" : text, static_cast<size_t>(sqlite3_value_bytes(value))};
}

Status NeitherTextNorBlob() {
  return InvalidArgument(
      "a vector is given as a text like '[1, 2.5]' or as a blob of vector32() or one of its "
      "siblings, not as a number");
}

}  // namespace

uint64_t DimensionsOfBlob(sqlite3_value* value) {
  if (sqlite3_value_type(value) != SQLITE_BLOB) return 0;
  const Result<View> view = ViewOf(BlobOf(value));
  return view.ok() ? view->dimensions : 0;
}

uint64_t StepsToRead(sqlite3_value* value) {
  const int type = sqlite3_value_type(value);
  const auto bytes = type == SQLITE_TEXT || type == SQLITE_BLOB
                         ? static_cast<uint64_t>(sqlite3_value_bytes(value))
                         : 0;
  if (type != SQLITE_BLOB) return bytes / kBytesOfTextPerStep;
  const Result<View> view = ViewOf(BlobOf(value));
  const uint64_t dimensions = view.ok() && view->kind != Kind::kFloat1Bit ? view->dimensions : 0;
  return std::max(bytes / kBytesOfBlobPerStep, dimensions / kDimensionsPerStep);
}

uint64_t StepsToConvert(sqlite3_value* value) {
  return 2 * StepsToRead(value) + DimensionsOfBlob(value) / kConvertedDimensionsPerStep;
}

Status Argument::Read(sqlite3_value* value) {
  switch (sqlite3_value_type(value)) {
    case SQLITE_BLOB: {
      ASSIGN_OR_RETURN(view_, ViewOf(BlobOf(value)));
      return OkStatus();
    }
    case SQLITE_TEXT: {
      ASSIGN_OR_RETURN(const Elements elements, ParseText(TextOf(value), Kind::kFloat32));
      ASSIGN_OR_RETURN(encoded_, Encode(elements, Kind::kFloat32));
      ASSIGN_OR_RETURN(view_, ViewOf(encoded_));
      return OkStatus();
    }
    default: return NeitherTextNorBlob();
  }
}

Result<Elements> ReadElements(sqlite3_value* value, Kind kind) {
  switch (sqlite3_value_type(value)) {
    case SQLITE_BLOB: {
      ASSIGN_OR_RETURN(const View view, ViewOf(BlobOf(value)));
      return ElementsOf(view);
    }
    case SQLITE_TEXT: return ParseText(TextOf(value), kind);
    default: return NeitherTextNorBlob();
  }
}

void ReturnError(sqlite3_context* context, const Status& status) {
  sqlite3_result_error(context, status.message().c_str(), -1);
}

}  // namespace cairn::vectors
