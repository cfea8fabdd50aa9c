#include "state_machine/sqlite/lease_function.h"

#include "state_machine/sqlite/internal_sql.h"

namespace cairn::state_machine {
namespace {

constexpr char kName[] = "cairn_lease_ms";

void Call(sqlite3_context* context, int /*args*/, sqlite3_value** /*values*/) {
  const auto* clock = static_cast<const LeaseClock*>(sqlite3_user_data(context));
  if (!clock->ms) {
    sqlite3_result_error(context,
                         "cairn_lease_ms() is refused in a two-phase transaction, whose statements "
                         "run twice; read it before, and pass it as a parameter",
                         -1);
    return;
  }
  sqlite3_result_int64(context, static_cast<sqlite3_int64>(*clock->ms));
}

Status Install(sqlite3* db, LeaseClock* clock,
               void (*call)(sqlite3_context*, int, sqlite3_value**)) {
  const int rc = sqlite3_create_function_v2(db, kName, 0, SQLITE_UTF8 | SQLITE_INNOCUOUS, clock,
                                            call, nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? OkStatus() : SqliteTrouble(db, rc, "add cairn_lease_ms()");
}

}  // namespace

Status AddLeaseFunction(sqlite3* db, LeaseClock* clock) { return Install(db, clock, &Call); }

Status RemoveLeaseFunction(sqlite3* db) { return Install(db, nullptr, nullptr); }

}  // namespace cairn::state_machine
