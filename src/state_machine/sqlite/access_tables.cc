#include "state_machine/sqlite/access_tables.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "state_machine/sqlite/request_memory.h"

namespace cairn::state_machine {
namespace {

constexpr size_t kPrincipalNameBytesMax = 64;
constexpr uint64_t kTokenTimeMax = uint64_t{1} << 40;  // far beyond any clock

Result<bool> HasTable(sqlite3* db, std::string_view name) {
  InternalStatement find;
  RETURN_IF_ERROR(find.Prepare(db, "SELECT 1 FROM sqlite_schema WHERE name = ?1"));
  find.BindText(1, name);
  return find.Next();
}

Status KeepTokens(sqlite3* running, sqlite3* restored) {
  ASSIGN_OR_RETURN(const bool has_table, HasTable(running, "_cairn_token"));
  if (!has_table) return OkStatus();
  RETURN_IF_ERROR(ExecInternal(restored, AccessTables::kTokenSchema));
  InternalStatement read;
  InternalStatement write;
  RETURN_IF_ERROR(read.Prepare(running, "SELECT kind, name, public_key, time_s FROM _cairn_token"));
  RETURN_IF_ERROR(write.Prepare(restored, "INSERT INTO _cairn_token VALUES(?1, ?2, ?3, ?4)"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    const std::string name(read.Bytes(1));
    const std::string key(read.Bytes(2));
    RETURN_IF_ERROR(
        write.Bind(1, read.Uint(0)).BindText(2, name).BindText(3, key).Bind(4, read.Uint(3)).Run());
  }
}

size_t CountOf(const TokenRules& rules, TokenRuleKind kind) {
  return static_cast<size_t>(std::count_if(
      rules.begin(), rules.end(), [kind](const auto& rule) { return rule.first.first == kind; }));
}

TokenRuleKind RuleKindOf(const ChangeAccess& command) {
  switch (command.kind) {
    case ChangeAccess::Kind::kRevokeToken: return TokenRuleKind::kToken;
    case ChangeAccess::Kind::kRevokeTokens: return TokenRuleKind::kPrincipal;
    default: return TokenRuleKind::kKey;
  }
}

}  // namespace

const char* const AccessTables::kSchema =
    "CREATE TABLE _cairn_access(id INTEGER PRIMARY KEY, principal TEXT NOT NULL,"
    " privilege TEXT NOT NULL, pattern TEXT NOT NULL);"
    "CREATE TABLE _cairn_access_change(id INTEGER PRIMARY KEY CHECK (id = 1),"
    " generation INTEGER NOT NULL)";
const char* const AccessTables::kTokenSchema =
    "CREATE TABLE _cairn_token(kind INTEGER NOT NULL, name TEXT NOT NULL,"
    " public_key TEXT NOT NULL, time_s INTEGER NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID";

Status AccessTables::Open(Engine* engine) {
  engine_ = engine;
  if (!engine->catalog().HasTable("_cairn_access")) return OkStatus();
  RETURN_IF_ERROR(OpenTables());
  if (engine->catalog().HasTable("_cairn_token")) RETURN_IF_ERROR(OpenTokenTable());
  RETURN_IF_ERROR(Load());
  MakeRights();
  return OkStatus();
}

void AccessTables::Close() {
  for (InternalStatement* each :
       {&insert_, &remove_, &write_change_, &write_token_, &remove_token_}) {
    each->Finalize();
  }
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

Status AccessTables::OpenTokenTable() {
  sqlite3* const db = engine_->db();
  has_token_table_ = true;
  RETURN_IF_ERROR(write_token_.Prepare(
      db, "REPLACE INTO _cairn_token(kind, name, public_key, time_s) VALUES(?1, ?2, ?3, ?4)"));
  return remove_token_.Prepare(db, "DELETE FROM _cairn_token WHERE kind = ?1 AND name = ?2");
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
  return has_token_table_ ? LoadTokens() : OkStatus();
}

Status AccessTables::LoadTokens() {
  InternalStatement read;
  RETURN_IF_ERROR(
      read.Prepare(engine_->db(), "SELECT kind, name, public_key, time_s FROM _cairn_token"));
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, read.Next());
    if (!row) return OkStatus();
    state_.tokens.emplace(
        std::pair(static_cast<TokenRuleKind>(read.Uint(0)), std::string(read.Bytes(1))),
        TokenRule{std::string(read.Bytes(2)), read.Uint(3)});
  }
}

void AccessTables::MakeRights() {
  std::vector<Grant> grants;
  grants.reserve(state_.grants.size());
  for (const auto& [grant, id] : state_.grants) grants.push_back(grant);
  rights_ =
      std::make_shared<const AccessRights>(state_.generation, std::move(grants), state_.tokens);
}

// The node that takes the request says more (server/access_convert.h). This is what every node can
// hold.
Status AccessTables::Check(const ChangeAccess& command) const {
  if (command.kind >= ChangeAccess::Kind::kTrustKey) return CheckTokens(command);
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

Status AccessTables::CheckTokens(const ChangeAccess& command) const {
  if (command.principal.empty() || command.principal.size() > kPrincipalNameBytesMax) {
    return InvalidArgument("the name of a key, a token or a principal has 1 to 64 characters");
  }
  if (command.time_s > kTokenTimeMax) return InvalidArgument("there is no such time");
  if (command.kind == ChangeAccess::Kind::kDistrustKey) return OkStatus();
  if (command.kind != ChangeAccess::Kind::kTrustKey) return CheckRoom(command);
  const bool is_key = command.privilege.size() == kTokenKeyDigits &&
                      command.privilege.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!is_key) return InvalidArgument("a key of tokens has 64 hexadecimal digits");
  const auto known = state_.tokens.find({TokenRuleKind::kKey, command.principal});
  if (known == state_.tokens.end()) {
    if (CountOf(state_.tokens, TokenRuleKind::kKey) < kTokenKeysMax) return OkStatus();
    return ResourceExhausted(std::to_string(kTokenKeysMax) +
                             " keys are trusted already: distrust one (cairn token distrust)");
  }
  if (known->second.public_key == command.privilege) return OkStatus();
  return FailedPrecondition("another key is trusted as '" + command.principal +
                            "': choose another name, or distrust it (cairn token distrust)");
}

Status AccessTables::CheckRoom(const ChangeAccess& command) const {
  const TokenRuleKind kind = RuleKindOf(command);
  if (state_.tokens.contains({kind, command.principal})) return OkStatus();
  size_t count = 0;
  for (const auto& [name, rule] : state_.tokens) {
    if (name.first == kind && rule.time_s + kTokenRevocationSeconds >= command.time_s) ++count;
  }
  if (count < kTokenRevocationsMax) return OkStatus();
  return ResourceExhausted("there are " + std::to_string(kTokenRevocationsMax) +
                           " revocations already: distrust the key of the tokens "
                           "(cairn token distrust)");
}

bool AccessTables::ChangeGrants(const ChangeAccess& command, uint64_t number) {
  Grant grant{command.principal, command.privilege, command.pattern};
  if (command.kind == ChangeAccess::Kind::kRevoke) return state_.grants.erase(grant) != 0;
  return state_.grants.emplace(std::move(grant), number).second;
}

bool AccessTables::ChangeTokens(const ChangeAccess& command) {
  TokenRules& rules = state_.tokens;
  if (command.kind == ChangeAccess::Kind::kDistrustKey) {
    return rules.erase({TokenRuleKind::kKey, command.principal}) != 0;
  }
  const TokenRuleKind kind = RuleKindOf(command);
  if (const auto known = rules.find({kind, command.principal}); known != rules.end()) {
    // A later revocation reaches further. A clock that is behind takes nothing back.
    if (kind == TokenRuleKind::kKey || known->second.time_s >= command.time_s) return false;
    known->second.time_s = command.time_s;
    return true;
  }
  // Only for a new one: what changes nothing is not written, and must leave the rules as the rows are.
  if (CountOf(rules, kind) >= kTokenRevocationsMax) {
    std::erase_if(rules, [&](const auto& rule) {
      return rule.first.first == kind &&
             rule.second.time_s + kTokenRevocationSeconds < command.time_s;
    });
  }
  rules.emplace(std::pair(kind, command.principal), TokenRule{command.privilege, command.time_s});
  return true;
}

Status AccessTables::Apply(const ChangeAccess& command, uint64_t number, Status* verdict) {
  *verdict = Check(command);
  if (!verdict->ok()) return OkStatus();
  std::optional<State> before;
  if (!before_) before = state_;
  const bool of_tokens = command.kind >= ChangeAccess::Kind::kTrustKey;
  if (!(of_tokens ? ChangeTokens(command) : ChangeGrants(command, number))) return OkStatus();
  if (before) before_ = std::move(before);
  state_.generation = IndexOfCommand(number).value();
  return MakeTables(of_tokens);
}

Status AccessTables::MakeTables(bool of_tokens) {
  if (!has_tables_) {
    RETURN_IF_ERROR(engine_->CreateOwnTables(kSchema));
    RETURN_IF_ERROR(OpenTables());
  }
  if (!of_tokens || has_token_table_) return OkStatus();
  RETURN_IF_ERROR(engine_->CreateOwnTables(kTokenSchema));
  return OpenTokenTable();
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
  RETURN_IF_ERROR(FlushTokens());
  return write_change_.Bind(1, state_.generation).Run();
}

Status AccessTables::FlushTokens() {
  const auto kind_of = [](const auto& rule) { return static_cast<uint64_t>(rule.first.first); };
  for (const auto& rule : before_->tokens) {
    if (state_.tokens.contains(rule.first)) continue;
    RETURN_IF_ERROR(remove_token_.Bind(1, kind_of(rule)).BindText(2, rule.first.second).Run());
  }
  for (const auto& rule : state_.tokens) {
    const auto old = before_->tokens.find(rule.first);
    if (old != before_->tokens.end() && old->second == rule.second) continue;
    RETURN_IF_ERROR(write_token_.Bind(1, kind_of(rule))
                        .BindText(2, rule.first.second)
                        .BindText(3, rule.second.public_key)
                        .Bind(4, rule.second.time_s)
                        .Run());
  }
  return OkStatus();
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
  has_token_table_ = engine_->catalog().HasTable("_cairn_token");
}

Status KeepAccess(sqlite3* running, sqlite3* restored) {
  RETURN_IF_ERROR(ExecInternal(restored,
                               "DROP TABLE IF EXISTS _cairn_access;"
                               "DROP TABLE IF EXISTS _cairn_access_change;"
                               "DROP TABLE IF EXISTS _cairn_token"));
  ASSIGN_OR_RETURN(const bool has_tables, HasTable(running, "_cairn_access_change"));
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
  RETURN_IF_ERROR(KeepTokens(running, restored));
  RETURN_IF_ERROR(read.Prepare(running, "SELECT generation FROM _cairn_access_change"));
  ASSIGN_OR_RETURN(const bool row, read.Next());
  if (!row) return OkStatus();
  RETURN_IF_ERROR(write.Prepare(restored, "INSERT INTO _cairn_access_change VALUES(1, ?1)"));
  return write.Bind(1, read.Uint(0)).Run();
}

}  // namespace cairn::state_machine
