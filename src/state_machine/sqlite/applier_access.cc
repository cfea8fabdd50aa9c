// Applier, continued: who may do what.
#include <span>
#include <string>

#include "state_machine/command_access.h"
#include "state_machine/feature_level.h"
#include "state_machine/sqlite/applier.h"
#include "state_machine/sqlite/named_tables.h"
#include "state_machine/sqlite/request_memory.h"

namespace cairn::state_machine {

// The node that took the command has asked the same, of a state that may be older. The bad schedule
// without this: a grant is revoked, and what its holder has sent before to a node that lags is
// applied behind the revocation.
Status Applier::CheckAccess(const Command& command) const {
  if (!command.restricted) return OkStatus();
  const std::string& principal = command.principal;
  const Privileges everywhere = access_.Of(principal);
  const Privileges somewhere = access_.Somewhere(principal);
  RETURN_IF_ERROR(CheckNeeds(principal, everywhere, somewhere, NeededBy(command)));
  const auto check = [&](std::span<const Statement> statements) {
    return CheckTables(principal, everywhere, statements);
  };
  if (const auto* execute = std::get_if<Execute>(&command.operation)) {
    return check(execute->statements);
  }
  if (const auto* prepare = std::get_if<Prepare>(&command.operation)) {
    return check({&prepare->statement, 1});
  }
  const auto* commit = std::get_if<Commit>(&command.operation);
  const PreparedTx* const tx = commit == nullptr ? nullptr : txs_.FindPrepared(commit->tx_id);
  if (tx == nullptr || tx->owner != principal) return OkStatus();
  // What was granted when the statements were prepared may be gone.
  for (const Statement& statement : tx->statements) {
    Command one;
    one.operation = Prepare{tx->id, {statement.sql, {}, {}}};
    RETURN_IF_ERROR(CheckNeeds(principal, everywhere, somewhere, NeededBy(one)));
  }
  return check(tx->statements);
}

// A change of the schema needs all tables, so the schema stays as it is while these statements run.
Status Applier::CheckTables(std::string_view principal, Privileges everywhere,
                            std::span<const Statement> statements) const {
  constexpr Privileges kRows = privilege::kRead | privilege::kWrite;
  if ((everywhere & kRows) == kRows) return OkStatus();
  const SchemaCatalog& catalog = engine_->catalog();
  const auto is_object = [&catalog](const std::string& name) {
    return catalog.HasTable(name) || catalog.IsView(name);
  };
  for (const Statement& statement : statements) {
    const NamedTables named = TablesNamedBy(statement.sql, is_object);
    if (named.reads_more && (everywhere & privilege::kRead) == 0) {
      return Lacking(principal, privilege::kRead, "");
    }
    if ((access_.On(principal, named.target) & privilege::kWrite) == 0) {
      return Lacking(principal, privilege::kWrite, named.target);
    }
    for (const std::string& table : named.reads) {
      if ((access_.On(principal, table) & privilege::kRead) != 0) continue;
      return Lacking(principal, privilege::kRead, table);
    }
  }
  return OkStatus();
}

Status Applier::ApplyChangeAccess(const Operation& operation, const Place& place,
                                  CommandResult* result) {
  if (level_ < kLevelDataPlatform) {
    result->status = FailedPrecondition(
        "privileges are granted from feature level 3 on: run 'cairn member upgrade' when all nodes "
        "run this version");
    return OkStatus();
  }
  return access_.Apply(std::get<ChangeAccess>(operation), place.number, &result->status);
}

// A transaction belongs to who began it. Lower levels did not ask.
Status Applier::CheckOwner(const std::string& tx_id, const Place& place) const {
  if (level_ < kLevelDataPlatform) return OkStatus();
  const PreparedTx* const prepared = txs_.FindPrepared(tx_id);
  const EndedTx* const ended = prepared == nullptr ? txs_.FindEnded(tx_id) : nullptr;
  if (prepared == nullptr && ended == nullptr) return OkStatus();
  const std::string& owner = prepared != nullptr ? prepared->owner : ended->owner;
  return IsSamePrincipal(owner, place.principal) ? OkStatus() : NotYourTransaction(tx_id);
}

}  // namespace cairn::state_machine
