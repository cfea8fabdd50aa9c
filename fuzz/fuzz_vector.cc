// Vectors: any blob, text or definition of an index is refused or means one thing.
#include "base/check.h"
#include "fuzz_input.h"
#include "vectors/distance.h"
#include "vectors/index_definition.h"
#include "vectors/vector.h"

namespace cairn::vectors {
namespace {

void TryBlob(std::string_view bytes) {
  const Result<View> view = ViewOf(bytes);
  if (!view.ok()) return;
  const Result<std::string> again = Encode(ElementsOf(*view), view->kind);
  // Elements that are not finite are not encoded. 8-bit elements may get another range.
  CHECK(again.ok() || !CheckFinite(*view).ok() || view->kind == Kind::kFloat8);
  if (!again.ok()) return;
  const Result<View> second = ViewOf(*again);
  CHECK(second.ok() && second->kind == view->kind && second->dimensions == view->dimensions);
  if (view->kind != Kind::kFloat8) {
    CHECK(ElementsOf(*second) == ElementsOf(*view));
  }
  for (const Metric metric : {Metric::kCosine, Metric::kL2}) {
    const Result<std::optional<double>> distance = Distance(metric, *view, *second);
    if (!distance.ok() || !distance->has_value()) continue;
    CHECK(**distance >= 0);
  }
}

void TryText(std::string_view text, Kind kind) {
  const Result<Elements> elements = ParseText(text, kind);
  if (!elements.ok()) return;
  const Result<Elements> again = ParseText(TextOf(*elements), kind);
  CHECK(again.ok() && *again == *elements);
  for (int k = 1; k <= 6; ++k) {
    const Result<std::string> blob = Encode(*elements, static_cast<Kind>(k));
    if (blob.ok()) TryBlob(*blob);
  }
}

void TryDefinition(std::string_view sql) {
  const auto type_of = [](const std::string&, const std::string&) {
    return std::optional<std::string>("F32_BLOB(3)");
  };
  const Result<std::string> once = WithColumnType(sql, type_of);
  if (!once.ok()) return;
  const Result<std::string> twice = WithColumnType(*once, type_of);
  CHECK(twice.ok() && *twice == *once);
}

}  // namespace
}  // namespace cairn::vectors

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using cairn::vectors::Kind;
  cairn::fuzz::Decisions decisions(data, size);
  const uint64_t what = decisions.Below(4);
  const std::string rest = decisions.Rest();
  if (what == 0) cairn::vectors::TryBlob(rest);
  if (what == 1) cairn::vectors::TryText(rest, Kind::kFloat32);
  if (what == 2) cairn::vectors::TryText(rest, Kind::kFloat64);
  if (what == 3) cairn::vectors::TryDefinition(rest);
  return 0;
}
