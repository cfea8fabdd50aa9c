#include "vectors/index_function.h"

#include <memory>
#include <string>

#include "vectors/argument.h"
#include "vectors/index_definition.h"

namespace cairn::vectors {
namespace {

constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
constexpr int kPlaceOfParameters = 1;

Result<IndexParameters> ParametersOf(int argc, sqlite3_value** argv) {
  IndexParameters parameters;
  for (int i = 1; i < argc; ++i) {
    const auto* const text = reinterpret_cast<const char*>(sqlite3_value_text(argv[i]));
    RETURN_IF_ERROR(TakeParameter(text == nullptr ? "" : text, &parameters));
  }
  if (parameters.column.has_value()) return parameters;
  return InvalidArgument(
      "libsql_vector_idx() makes a vector index and is good for nothing else: CREATE INDEX name ON "
      "table(libsql_vector_idx(column, 'metric=cosine'))");
}

// SQLite keeps what was read of constant arguments while a statement runs. Null: the function has
// failed.
const IndexParameters* KeptParameters(sqlite3_context* context, int argc, sqlite3_value** argv,
                                      IndexParameters* parameters) {
  if (const void* const kept = sqlite3_get_auxdata(context, kPlaceOfParameters)) {
    return static_cast<const IndexParameters*>(kept);
  }
  Result<IndexParameters> parsed = ParametersOf(argc, argv);
  if (!parsed.ok()) {
    ReturnError(context, parsed.status());
    return nullptr;
  }
  *parameters = *parsed;
  sqlite3_set_auxdata(context, kPlaceOfParameters, new IndexParameters(*parsed),
                      [](void* old) { delete static_cast<IndexParameters*>(old); });
  return parameters;
}

Status CheckVector(sqlite3_value* value, const ColumnType& column) {
  Argument argument;
  RETURN_IF_ERROR(argument.Read(value));
  const View& view = argument.view();
  if (view.kind != column.kind) {
    return InvalidArgument("the index takes vectors of kind " + std::string(NameOf(column.kind)) +
                           ", and this one is " + std::string(NameOf(view.kind)) +
                           "; convert it, for example with vector32()");
  }
  if (view.dimensions != column.dimensions) {
    return InvalidArgument("the index takes vectors of " + std::to_string(column.dimensions) +
                           " dimensions, and this one has " + std::to_string(view.dimensions));
  }
  return CheckFinite(view);
}

void CheckForIndex(sqlite3_context* context, int argc, sqlite3_value** argv) {
  const auto* const gate = static_cast<const WorkGate*>(sqlite3_user_data(context));
  const uint64_t steps =
      argc == 0 ? kStepsPerCall
                : kStepsPerCall * static_cast<uint64_t>(argc) + 2 * StepsToRead(argv[0]);
  if (*gate && !(*gate)(steps)) return sqlite3_result_error(context, kNotAllowed, -1);
  IndexParameters parsed;
  const IndexParameters* const parameters = KeptParameters(context, argc, argv, &parsed);
  if (parameters == nullptr || sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
  if (const Status status = CheckVector(argv[0], *parameters->column); !status.ok()) {
    ReturnError(context, status);
  }
}

Status Created(sqlite3* db, int rc) {
  if (rc == SQLITE_OK) return OkStatus();
  return Internal(std::string(kIndexFunction) + ": " + sqlite3_errmsg(db));
}

}  // namespace

Status AddIndexFunction(sqlite3* db, const WorkGate& gate) {
  auto* const owned = new WorkGate(gate);  // SQLite deletes it, also if the call fails
  return Created(db, sqlite3_create_function_v2(
                         db, kIndexFunction, -1, kFlags, owned, &CheckForIndex, nullptr, nullptr,
                         [](void* old) { delete static_cast<WorkGate*>(old); }));
}

Status RemoveIndexFunction(sqlite3* db) {
  return Created(db, sqlite3_create_function_v2(db, kIndexFunction, -1, kFlags, nullptr, nullptr,
                                                nullptr, nullptr, nullptr));
}

}  // namespace cairn::vectors
