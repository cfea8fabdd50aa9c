#include "state_machine/sqlite/reader_functions.h"

#include <cstdint>

#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/linear_functions.h"
#include "state_machine/sqlite/vector_sql.h"
#include "timeseries/sqlite/module.h"

namespace cairn::state_machine {
namespace {

// SQLite's bound on the arguments of a function.
constexpr int kArgumentsMax = 127;

uint64_t BytesOf(sqlite3_value* value) { return static_cast<uint64_t>(sqlite3_value_bytes(value)); }

void CallOwn(sqlite3_context* context, int argc, sqlite3_value** argv) {
  auto* const function = static_cast<DelegatedFunctions::Function*>(sqlite3_user_data(context));
  function->owner->Call(function, context, argc, argv, [](sqlite3_value*) { return true; });
}

void Patch(sqlite3_context* context, int argc, sqlite3_value** argv) {
  if (BytesOf(argv[0]) * BytesOf(argv[1]) <= kPatchProductMax) return CallOwn(context, argc, argv);
  sqlite3_result_error(context,
                       "json_patch() of two values that are so long takes too long in a query", -1);
}

void FindPaths(sqlite3_context* context, int argc, sqlite3_value** argv) {
  if (BytesOf(argv[0]) * static_cast<uint64_t>(argc) <= kPathsProductMax) {
    return CallOwn(context, argc, argv);
  }
  sqlite3_result_error(context,
                       "a JSON function with so many paths takes too long in a value that is so "
                       "long: give it fewer at a time",
                       -1);
}

}  // namespace

ReaderFunctions::ReaderFunctions(const std::function<bool()>& may_go_on)
    : full_text_(may_go_on),
      time_series_(std::make_unique<timeseries::TimeSeriesModule>(timeseries::ModuleOptions{
          .charge = [may_go_on](uint64_t) { return may_go_on(); }, .writes = false})) {}

ReaderFunctions::~ReaderFunctions() = default;

Status ReaderFunctions::Install(sqlite3* db, const char* vfs,
                                const vectors::FindCandidates& candidates) {
  delegated_.OpenWhenUsed(vfs);
  RETURN_IF_ERROR(InstallLinearFunctions(db, nullptr));
  RETURN_IF_ERROR(full_text_.Install(db));
  RETURN_IF_ERROR(AddVectorsToReader(db, candidates));
  RETURN_IF_ERROR(time_series_->Install(db));
  RETURN_IF_ERROR(AddLeaseFunction(db, &lease_));
  RETURN_IF_ERROR(Add(db, "json_patch", 2, &Patch));
  // Calls with fewer arguments stay SQLite's own, which are faster.
  for (const char* name :
       {"json_extract", "json_insert", "json_remove", "json_replace", "json_set"}) {
    for (int args = kPathArgumentsAlways + 1; args <= kArgumentsMax; ++args) {
      RETURN_IF_ERROR(Add(db, name, args, &FindPaths));
    }
  }
  return OkStatus();
}

Status ReaderFunctions::Add(sqlite3* db, const char* name, int args,
                            void (*function)(sqlite3_context*, int, sqlite3_value**)) {
  constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
  const int rc = sqlite3_create_function_v2(db, name, args, kFlags, delegated_.Add(name), function,
                                            nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? OkStatus() : SqliteTrouble(db, rc, "create function");
}

}  // namespace cairn::state_machine
