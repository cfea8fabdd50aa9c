#include "vectors/functions.h"

#include <memory>
#include <string>

#include "vectors/argument.h"
#include "vectors/distance.h"

namespace cairn::vectors {
namespace {

constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;

// False: the function has failed.
bool Allow(sqlite3_context* context, uint64_t steps) {
  const auto* const gate = static_cast<const WorkGate*>(sqlite3_user_data(context));
  if (!*gate || (*gate)(steps)) return true;
  sqlite3_result_error(context, kNotAllowed, -1);
  return false;
}

bool IsNull(sqlite3_value* value) { return sqlite3_value_type(value) == SQLITE_NULL; }

template <Kind kind>
void MakeVector(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  if (IsNull(argv[0])) return;
  if (!Allow(context, kStepsPerCall + StepsToConvert(argv[0]))) return;
  const Result<Elements> elements = ReadElements(argv[0], kind);
  if (!elements.ok()) return ReturnError(context, elements.status());
  const Result<std::string> blob = Encode(*elements, kind);
  if (!blob.ok()) return ReturnError(context, blob.status());
  sqlite3_result_blob64(context, blob->data(), blob->size(), SQLITE_TRANSIENT);
}

void Extract(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  if (IsNull(argv[0])) return;
  const uint64_t written = DimensionsOfBlob(argv[0]) * kStepsPerWrittenNumber;
  if (!Allow(context, kStepsPerCall + StepsToRead(argv[0]) + written)) return;
  const Result<Elements> elements = ReadElements(argv[0], Kind::kFloat32);
  if (!elements.ok()) return ReturnError(context, elements.status());
  if (sqlite3_value_type(argv[0]) == SQLITE_TEXT) {
    const size_t count = std::visit([](const auto& each) { return each.size(); }, *elements);
    if (!Allow(context, count * kStepsPerWrittenNumber)) return;
  } else {
    Argument argument;
    Status status = argument.Read(argv[0]);
    if (status.ok()) status = CheckFinite(argument.view());
    if (!status.ok()) return ReturnError(context, status);
  }
  const std::string text = TextOf(*elements);
  sqlite3_result_text64(context, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

Status CheckAlike(const View& a, const View& b) {
  if (a.kind != b.kind) {
    return InvalidArgument("the vectors are of different kinds, " + std::string(NameOf(a.kind)) +
                           " and " + std::string(NameOf(b.kind)) +
                           "; convert one, for example with vector32()");
  }
  if (a.dimensions == b.dimensions) return OkStatus();
  return InvalidArgument("the vectors have different numbers of dimensions, " +
                         std::to_string(a.dimensions) + " and " + std::to_string(b.dimensions));
}

template <Metric metric>
void DistanceOf(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  if (IsNull(argv[0]) || IsNull(argv[1])) return;
  if (!Allow(context, kStepsPerCall + StepsToRead(argv[0]) + StepsToRead(argv[1]))) return;
  Argument a;
  Argument b;
  Status status = a.Read(argv[0]);
  if (status.ok()) status = b.Read(argv[1]);
  if (status.ok()) status = CheckAlike(a.view(), b.view());
  if (!status.ok()) return ReturnError(context, status);
  const Result<std::optional<double>> distance = Distance(metric, a.view(), b.view());
  if (!distance.ok()) return ReturnError(context, distance.status());
  if (distance->has_value()) sqlite3_result_double(context, **distance);
}

struct Function {
  const char* name;
  int args;
  void (*function)(sqlite3_context*, int, sqlite3_value**);
};

constexpr Function kFunctions[] = {
    {"vector", 1, &MakeVector<Kind::kFloat32>},
    {"vector32", 1, &MakeVector<Kind::kFloat32>},
    {"vector64", 1, &MakeVector<Kind::kFloat64>},
    {"vector16", 1, &MakeVector<Kind::kFloat16>},
    {"vectorb16", 1, &MakeVector<Kind::kFloatB16>},
    {"vector8", 1, &MakeVector<Kind::kFloat8>},
    {"vector1bit", 1, &MakeVector<Kind::kFloat1Bit>},
    {"vector_extract", 1, &Extract},
    {"vector_distance_cos", 2, &DistanceOf<Metric::kCosine>},
    {"vector_distance_l2", 2, &DistanceOf<Metric::kL2>},
};

Status Created(sqlite3* db, int rc, const char* name) {
  if (rc == SQLITE_OK) return OkStatus();
  return Internal("the SQL function " + std::string(name) + ": " + sqlite3_errmsg(db));
}

}  // namespace

Status AddFunctions(sqlite3* db, const WorkGate& gate) {
  for (const Function& each : kFunctions) {
    auto* const owned = new WorkGate(gate);  // SQLite deletes it, also if the call fails
    RETURN_IF_ERROR(Created(
        db,
        sqlite3_create_function_v2(db, each.name, each.args, kFlags, owned, each.function, nullptr,
                                   nullptr, [](void* old) { delete static_cast<WorkGate*>(old); }),
        each.name));
  }
  return OkStatus();
}

Status RemoveFunctions(sqlite3* db) {
  for (const Function& each : kFunctions) {
    RETURN_IF_ERROR(Created(db,
                            sqlite3_create_function_v2(db, each.name, each.args, kFlags, nullptr,
                                                       nullptr, nullptr, nullptr, nullptr),
                            each.name));
  }
  return OkStatus();
}

}  // namespace cairn::vectors
