#include "state_machine/sqlite/own_tables.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "state_machine/sqlite/access_tables.h"
#include "state_machine/sqlite/audit_tables.h"
#include "state_machine/sqlite/bare_ids.h"
#include "state_machine/sqlite/change_retention.h"
#include "state_machine/sqlite/data_file.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/restore_into.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/sessions.h"
#include "state_machine/sqlite/table_sums.h"
#include "state_machine/sqlite/transactions.h"
#include "state_machine/sqlite/versions.h"

namespace cairn::state_machine {
namespace {

constexpr char kPrefix[] = "_cairn_";

struct Object {
  std::string type;
  std::string name;
  std::string table;
  std::string sql;
  auto operator<=>(const Object&) const = default;

  bool IsNamedAsOurs() const { return IsReservedName(name) || IsReservedName(table); }
};

Result<std::vector<Object>> ReadObjects(sqlite3* db) {
  InternalStatement read;
  RETURN_IF_ERROR(
      read.Prepare(db, "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema"));
  std::vector<Object> objects;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return objects;
    objects.push_back({std::string(read.Bytes(0)), std::string(read.Bytes(1)),
                       std::string(read.Bytes(2)), std::string(read.Bytes(3))});
  }
}

// What SQLite makes of these texts.
Result<std::set<Object>> Made(const std::vector<const char*>& schemas) {
  sqlite3* raw = nullptr;
  const int rc = sqlite3_open_v2(":memory:", &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                                 /*zVfs=*/nullptr);
  const std::unique_ptr<sqlite3, int (*)(sqlite3*)> db(raw, &sqlite3_close);
  if (rc != SQLITE_OK) return SqliteTrouble(raw, rc, "open");
  for (const char* schema : schemas) RETURN_IF_ERROR(ExecInternal(raw, schema));
  ASSIGN_OR_RETURN(const std::vector<Object> objects, ReadObjects(raw));
  return std::set<Object>(objects.begin(), objects.end());
}

}  // namespace

Status CheckSchemaOfOwnTables(sqlite3* db) {
  const std::vector<const char*> always = {kStateSchema,          Versions::kSchema,
                                           Sessions::kSchema,     BareIds::kSchema,
                                           Transactions::kSchema, TableSums::kSchema};
  std::vector<const char*> all = always;
  all.insert(all.end(), {ChangeRetention::kSchema, RestoreInto::kSchema, AccessTables::kSchema,
                         AccessTables::kTokenSchema, AuditTables::kSchema});
  ASSIGN_OR_RETURN(std::set<Object> missing, Made(always));
  ASSIGN_OR_RETURN(const std::set<Object> known, Made(all));
  ASSIGN_OR_RETURN(const std::vector<Object> objects, ReadObjects(db));
  for (const Object& object : objects) {
    missing.erase(object);
    if (known.contains(object)) continue;
    if (object.IsNamedAsOurs()) {
      return FailedPrecondition("the " + object.type + " " + object.name +
                                " is not as Cairn makes it");
    }
    if (LowerCase(object.sql).find(kPrefix) != std::string::npos) {
      return FailedPrecondition("the " + object.type + " " + object.name +
                                " names a table of Cairn");
    }
  }
  if (missing.empty()) return OkStatus();
  return FailedPrecondition("the " + missing.begin()->type + " " + missing.begin()->name +
                            " is missing");
}

}  // namespace cairn::state_machine
