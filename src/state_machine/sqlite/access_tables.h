// AccessTables: the grants, and the keys and revocations of tokens, as replicated rows.
//
// Both are made by apply, in the SQLite transaction of the entries, and travel with snapshots and
// backups. A restore into a running cluster leaves them as they are in the cluster: whoever may
// restore must not get rights by what a backup says.
//
//     _cairn_access         a row for each grant
//     _cairn_access_change  one row: the entry of the last change, which is the generation
//     _cairn_token          a row for each key and each revocation (token_trust.h)
//
// The tables are made by the first change.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/status.h"
#include "state_machine/access.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/engine.h"
#include "state_machine/sqlite/internal_sql.h"

namespace cairn::state_machine {

inline constexpr size_t kGrantsMax = 10'000;
// Apply looks at all grants of a principal.
inline constexpr size_t kGrantsOfOneMax = 100;

// Owned by the applier, and used on its thread.
class AccessTables {
 public:
  // Of the grants, and of the keys and revocations of tokens: each is made at the first of its kind.
  // A database may have grants from before there were tokens.
  static const char* const kSchema;
  static const char* const kTokenSchema;

  Status Open(Engine* engine);
  // Before the engine is destroyed.
  void Close();

  // Applies the command of this number (CommandNumber). To grant again, and to revoke what is not granted, is
  // OK and changes nothing.
  Status Apply(const ChangeAccess& command, uint64_t number, Status* verdict);
  // What a principal (Command::principal) may do everywhere, somewhere, and with a table (by its
  // name in lower case), with what the batch has changed.
  Privileges Of(std::string_view principal) const;
  Privileges Somewhere(std::string_view principal) const;
  Privileges On(std::string_view principal, std::string_view table) const;

  // ---- For each batch
  Status Flush();
  void BatchCommitted();
  void BatchUndone();

  // As of the last batch that was committed.
  AccessRightsPtr rights() const { return rights_; }

 private:
  struct State {
    uint64_t generation = 0;
    std::map<Grant, uint64_t>
        grants;  // with the numbers of their commands, which are the rows' ids
    TokenRules tokens;
  };

  Status OpenTables();
  Status OpenTokenTable();
  Status LoadTokens();
  // Makes the tables that the command needs and that are not there.
  Status MakeTables(bool of_tokens);
  Status Load();
  Status Check(const ChangeAccess& command) const;
  Status CheckTokens(const ChangeAccess& command) const;
  Status CheckRoom(const ChangeAccess& command) const;
  // False: the command changes nothing.
  bool ChangeGrants(const ChangeAccess& command, uint64_t number);
  bool ChangeTokens(const ChangeAccess& command);
  Status FlushTokens();
  // Of the grants to the principal and to everybody, those that `counts` says.
  template <class Counts>
  Privileges ByGrants(std::string_view principal, Counts counts) const;
  void MakeRights();

  Engine* engine_ = nullptr;
  bool has_tables_ = false;
  bool has_token_table_ = false;
  State state_;
  std::optional<State> before_;  // the batch; none: it has changed nothing
  AccessRightsPtr rights_ = std::make_shared<const AccessRights>();
  InternalStatement insert_;
  InternalStatement remove_;
  InternalStatement write_change_;
  InternalStatement write_token_;
  InternalStatement remove_token_;
};

// Gives the database that is to be restored the grants of the running one.
Status KeepAccess(sqlite3* running, sqlite3* restored);

}  // namespace cairn::state_machine
