#include "state_machine/sqlite/access_tables.h"

#include <string>
#include <utility>
#include <vector>

#include "state_machine/sqlite/request_memory.h"

namespace cairn::state_machine {
namespace {

constexpr size_t kPrincipalNameBytesMax = 64;

Result<bool> HasTables(sqlite3* db) {
  InternalStatement find;
  RETURN_IF_ERROR(
      find.Prepare(db, "SELECT 1 FROM sqlite_schema WHERE name = '_cairn_access_change'"));
  return find.Next();
}

}  // namespace

const char* const AccessTables::kSchema =
    "CREATE TABLE _cairn_access(id INTEGER PRIMARY KEY, principal TEXT NOT NULL,"
    " privilege TEXT NOT NULL, pattern TEXT NOT NULL);"
    "CREATE TABLE _cairn_access_change(id INTEGER PRIMARY KEY CHECK (id = 1),"
    " generation INTEGER NOT NULL)";

Status AccessTables::Open(Engine* engine) {
  engine_ = engine;
  if (!engine->catalog().HasTable("_cairn_access")) return OkStatus();
  RETURN_IF_ERROR(OpenTables());
  RETURN_IF_ERROR(Load());
  MakeRights();
  return OkStatus();
}

void AccessTables::Close() {
  for (InternalStatement* each : {&insert_, &remove_, &write_change_}) each->Finalize();
}

Status AccessTables::OpenTables() {
  sqlite3* const db = engine_->db();
  has_tables_ = true;
  RETURN_IF_ERROR(insert_.Prepare(
      db, "INSERT INTO _cairn_access(id, principal, privilege, pattern) VALUES(?1, ?2, ?3, ?4)"));
  RETURN_IF_ERROR(remove_.Prepare(db, "DELETE FROM _cairn_access WHERE id = ?1"));
  return write_change_.Prepare(db,
                               "REPLACE INTO _cairn_access_change(id, generation) VALUES(1, ?1)");
}

Status AccessTables::Load() {
  InternalStatement read;
  RETURN_IF_ERROR(
      read.Prepare(engine_->db(), "SELECT id, principal, privilege, pattern FROM _cairn_access"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) break;
    state_.grants.emplace(
        Grant{std::string(read.Bytes(1)), std::string(read.Bytes(2)), std::string(read.Bytes(3))},
        read.Uint(0));
  }
  RETURN_IF_ERROR(read.Prepare(engine_->db(), "SELECT generation FROM _cairn_access_change"));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  if (row) state_.generation = read.Uint(0);
  return OkStatus();
}

void AccessTables::MakeRights() {
  std::vector<Grant> grants;
  grants.reserve(state_.grants.size());
  for (const auto& [grant, id] : state_.grants) grants.push_back(grant);
  rights_ = std::make_shared<const AccessRights>(state_.generation, std::move(grants));
}

// The node that takes the request says more (server/access_convert.h). This is what every node can
// hold.
Status AccessTables::Check(const ChangeAccess& command) const {
  if (command.principal.empty() || command.principal.size() > kPrincipalNameBytesMax) {
    return InvalidArgument("the name of a principal has 1 to 64 characters");
  }
  if (PrivilegesOf(command.privilege) == 0) {
    return InvalidArgument("there is neither a role nor a privilege '" + command.privilege +
                           "'; there are: " + KnownPrivileges());
  }
  if (Status bad = CheckPattern(command.privilege, command.pattern); !bad.ok()) return bad;
  if (command.kind != ChangeAccess::Kind::kGrant) return OkStatus();
  const auto own = state_.grants.lower_bound(Grant{command.principal, "", ""});
  size_t count = 0;
  for (auto it = own; it != state_.grants.end() && it->first.principal == command.principal; ++it) {
    ++count;
  }
  if (count >= kGrantsOfOneMax) {
    return ResourceExhausted(command.principal + " has " + std::to_string(kGrantsOfOneMax) +
                             " grants already: use patterns with more names");
  }
  if (state_.grants.size() >= kGrantsMax) {
    return ResourceExhausted("there are " + std::to_string(kGrantsMax) +
                             " grants already: revoke some, or grant to * (everybody)");
  }
  return OkStatus();
}

Status AccessTables::Apply(const ChangeAccess& command, uint64_t number, Status* verdict) {
  *verdict = Check(command);
  if (!verdict->ok()) return OkStatus();
  const Grant grant{command.principal, command.privilege, command.pattern};
  const bool adds = command.kind == ChangeAccess::Kind::kGrant;
  if (state_.grants.contains(grant) == adds) return OkStatus();
  if (!has_tables_) {
    RETURN_IF_ERROR(engine_->CreateOwnTables(kSchema));
    RETURN_IF_ERROR(OpenTables());
  }
  if (!before_) before_ = state_;
  if (adds) {
    state_.grants.emplace(grant, number);
  } else {
    state_.grants.erase(grant);
  }
  state_.generation = IndexOfCommand(number).value();
  return OkStatus();
}

template <class Counts>
Privileges AccessTables::ByGrants(std::string_view principal, Counts counts) const {
  return PrivilegesOfPrincipal(principal, [&](std::string_view name) {
    Privileges privileges = 0;
    for (const std::string_view who : {name, kEverybody}) {
      for (auto it = state_.grants.lower_bound(Grant{std::string(who), "", ""});
           it != state_.grants.end() && it->first.principal == who; ++it) {
        if (counts(it->first)) privileges |= PrivilegesGiven(it->first);
      }
    }
    return privileges;
  });
}

Privileges AccessTables::Of(std::string_view principal) const {
  return ByGrants(principal, [](const Grant& grant) { return grant.pattern.empty(); });
}

Privileges AccessTables::Somewhere(std::string_view principal) const {
  return ByGrants(principal, [](const Grant&) { return true; });
}

Privileges AccessTables::On(std::string_view principal, std::string_view table) const {
  return ByGrants(principal, [table](const Grant& grant) {
    return grant.pattern.empty() || MatchesPattern(grant.pattern, table);
  });
}

Status AccessTables::Flush() {
  if (!before_) return OkStatus();
  for (const auto& [grant, id] : before_->grants) {
    const auto now = state_.grants.find(grant);
    if (now != state_.grants.end() && now->second == id) continue;
    RETURN_IF_ERROR(remove_.Bind(1, id).Run());
  }
  for (const auto& [grant, id] : state_.grants) {
    const auto old = before_->grants.find(grant);
    if (old != before_->grants.end() && old->second == id) continue;
    RETURN_IF_ERROR(insert_.Bind(1, id)
                        .BindText(2, grant.principal)
                        .BindText(3, grant.privilege)
                        .BindText(4, grant.pattern)
                        .Run());
  }
  return write_change_.Bind(1, state_.generation).Run();
}

void AccessTables::BatchCommitted() {
  if (!before_) return;
  before_.reset();
  MakeRights();
}

void AccessTables::BatchUndone() {
  if (!before_) return;
  state_ = *std::exchange(before_, std::nullopt);
  // The tables may have been created in the batch.
  has_tables_ = engine_->catalog().HasTable("_cairn_access");
}

Status KeepAccess(sqlite3* running, sqlite3* restored) {
  RETURN_IF_ERROR(ExecInternal(restored,
                               "DROP TABLE IF EXISTS _cairn_access;"
                               "DROP TABLE IF EXISTS _cairn_access_change"));
  ASSIGN_OR_RETURN(const bool has_tables, HasTables(running));
  if (!has_tables) return OkStatus();
  RETURN_IF_ERROR(ExecInternal(restored, AccessTables::kSchema));
  InternalStatement read;
  InternalStatement write;
  RETURN_IF_ERROR(
      read.Prepare(running, "SELECT id, principal, privilege, pattern FROM _cairn_access"));
  RETURN_IF_ERROR(write.Prepare(
      restored,
      "INSERT INTO _cairn_access(id, principal, privilege, pattern) VALUES(?1, ?2, ?3, ?4)"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) break;
    const std::string principal(read.Bytes(1));
    const std::string privilege(read.Bytes(2));
    const std::string pattern(read.Bytes(3));
    RETURN_IF_ERROR(write.Bind(1, read.Uint(0))
                        .BindText(2, principal)
                        .BindText(3, privilege)
                        .BindText(4, pattern)
                        .Run());
  }
  RETURN_IF_ERROR(read.Prepare(running, "SELECT generation FROM _cairn_access_change"));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  if (!row) return OkStatus();
  RETURN_IF_ERROR(write.Prepare(restored, "INSERT INTO _cairn_access_change VALUES(1, ?1)"));
  return write.Bind(1, read.Uint(0)).Run();
}

}  // namespace cairn::state_machine
