#include "state_machine/sqlite/write_functions.h"

#include <strings.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <set>
#include <string>

#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/linear_functions.h"

namespace cairn::state_machine {
namespace {

// Sorted. Mathematical functions are listed only if IEEE 754 defines them to the last bit, or if
// they are built from its basic operations.
constexpr std::string_view kReplicable[] = {
    "->",
    "->>",
    "abs",
    "avg",
    "cairn_lease_ms",
    "ceil",
    "ceiling",
    "changes",
    "char",
    "coalesce",
    "count",
    "cume_dist",
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "degrees",
    "delta",
    "dense_rank",
    "first",
    "first_value",
    "floor",
    "format",
    "glob",
    "group_concat",
    "hex",
    "histogram",
    "ifnull",
    "iif",
    "instr",
    "interpolate",
    "json",
    "json_array",
    "json_array_length",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_patch",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_type",
    "json_valid",
    "julianday",
    "lag",
    "last",
    "last_insert_rowid",
    "last_value",
    "lead",
    "length",
    "libsql_vector_idx",
    "like",
    "likelihood",
    "likely",
    "locf",
    "lower",
    "ltrim",
    "match",
    "max",
    "min",
    "mod",
    "nth_value",
    "ntile",
    "nullif",
    "percent_rank",
    "pi",
    "printf",
    "quote",
    "radians",
    "random",
    "randomblob",
    "rank",
    "rate",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "soundex",
    "sqrt",
    "strftime",
    "substr",
    "substring",
    "subtype",
    "sum",
    "time",
    "time_bucket",
    "time_weighted_avg",
    "total",
    "total_changes",
    "trim",
    "trunc",
    "typeof",
    "unicode",
    "unixepoch",
    "unlikely",
    "upper",
    "vector",
    "vector16",
    "vector1bit",
    "vector32",
    "vector64",
    "vector8",
    "vector_distance_cos",
    "vector_distance_l2",
    "vector_extract",
    "vectorb16",
    "zeroblob",
};

void RandomFunction(sqlite3_context* context, int /*argc*/, sqlite3_value** /*argv*/) {
  auto* const state = static_cast<FunctionState*>(sqlite3_user_data(context));
  sqlite3_result_int64(context, static_cast<sqlite3_int64>(state->rng().Next()));
}

void RandomBlobFunction(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  auto* const state = static_cast<FunctionState*>(sqlite3_user_data(context));
  const sqlite3_int64 wanted = std::max<sqlite3_int64>(sqlite3_value_int64(argv[0]), 1);
  sqlite3* const db = sqlite3_context_db_handle(context);
  if (wanted > sqlite3_limit(db, SQLITE_LIMIT_LENGTH, -1)) {
    sqlite3_result_error_toobig(context);
    return;
  }
  if (!AllowWork(context, state->budget(), 4 * static_cast<uint64_t>(wanted) / kBytesPerStep))
    return;
  std::string bytes(static_cast<size_t>(wanted), '\0');
  for (size_t i = 0; i < bytes.size(); i += sizeof(uint64_t)) {
    const uint64_t word = state->rng().Next();
    for (size_t b = 0; b < sizeof word && i + b < bytes.size(); ++b) {
      bytes[i + b] = static_cast<char>(word >> (8 * b));
    }
  }
  sqlite3_result_blob64(context, bytes.data(), bytes.size(), SQLITE_TRANSIENT);
}

// Returns `value`, unless it is a 0 that no statement is known to have set.
void Answer(sqlite3_context* context, int64_t value, bool known, Status (*refusal)()) {
  if (value != 0 || known) {
    sqlite3_result_int64(context, value);
    return;
  }
  auto* const state = static_cast<FunctionState*>(sqlite3_user_data(context));
  state->Refuse(refusal());
  sqlite3_result_error(context, state->refusal().message().c_str(), -1);
}

void ChangesFunction(sqlite3_context* context, int /*argc*/, sqlite3_value** /*argv*/) {
  auto* const state = static_cast<FunctionState*>(sqlite3_user_data(context));
  const int64_t changes = state->Changes(sqlite3_context_db_handle(context));
  Answer(context, changes, state->changes_known(), &NoChangesBefore);
}

void TotalChangesFunction(sqlite3_context* context, int /*argc*/, sqlite3_value** /*argv*/) {
  auto* const state = static_cast<FunctionState*>(sqlite3_user_data(context));
  sqlite3* const db = sqlite3_context_db_handle(context);
  const int64_t total = sqlite3_total_changes64(db) - state->total_changes_base();
  Answer(context, total, state->changes_known(), &NoChangesBefore);
}

void LastInsertRowidFunction(sqlite3_context* context, int /*argc*/, sqlite3_value** /*argv*/) {
  auto* const state = static_cast<FunctionState*>(sqlite3_user_data(context));
  const int64_t rowid = sqlite3_last_insert_rowid(sqlite3_context_db_handle(context));
  Answer(context, rowid, state->rowid_known(), &NoRowidBefore);
}

void RefusedFunction(sqlite3_context* context, int /*argc*/, sqlite3_value** /*argv*/) {
  sqlite3_result_error(context,
                       "a function was called in a write whose result may differ between nodes; "
                       "compute it in the client and pass it as a parameter",
                       -1);
}

Status Create(sqlite3* db, const char* name, int args, FunctionState* state,
              void (*function)(sqlite3_context*, int, sqlite3_value**)) {
  const int rc = sqlite3_create_function_v2(db, name, args, SQLITE_UTF8 | SQLITE_INNOCUOUS, state,
                                            function, nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? OkStatus() : SqliteTrouble(db, rc, "create function");
}

Result<std::set<std::string>> FunctionsOf(sqlite3* db) {
  InternalStatement list;
  RETURN_IF_ERROR(list.Prepare(db, "SELECT DISTINCT name FROM pragma_function_list"));
  std::set<std::string> names;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, list.Next());
    if (!row) return names;
    names.insert(std::string(list.Bytes(0)));
  }
}

}  // namespace

Status NoChangesBefore() {
  return FailedPrecondition(
      "changes() and total_changes() tell of earlier statements of the same request, and there "
      "is none that could change a row");
}

Status NoRowidBefore() {
  return FailedPrecondition(
      "last_insert_rowid() tells of earlier statements of the same request, and none has "
      "inserted a row");
}

bool IsReplicableFunction(std::string_view name) {
  return std::any_of(std::begin(kReplicable), std::end(kReplicable),
                     [name](std::string_view known) {
                       return known.size() == name.size() &&
                              strncasecmp(known.data(), name.data(), name.size()) == 0;
                     });
}

Status InstallWriteFunctions(sqlite3* db, FunctionState* state) {
  ASSIGN_OR_RETURN(const std::set<std::string> names, FunctionsOf(db));
  for (const std::string& name : names) {
    if (IsReplicableFunction(name)) continue;
    RETURN_IF_ERROR(Create(db, name.c_str(), -1, state, &RefusedFunction));
  }
  RETURN_IF_ERROR(Create(db, "random", 0, state, &RandomFunction));
  RETURN_IF_ERROR(Create(db, "randomblob", 1, state, &RandomBlobFunction));
  RETURN_IF_ERROR(Create(db, "changes", 0, state, &ChangesFunction));
  RETURN_IF_ERROR(Create(db, "total_changes", 0, state, &TotalChangesFunction));
  return Create(db, "last_insert_rowid", 0, state, &LastInsertRowidFunction);
}

}  // namespace cairn::state_machine
