// Applier, continued: who may do what.
#include "state_machine/command_access.h"
#include "state_machine/feature_level.h"
#include "state_machine/sqlite/applier.h"
#include "state_machine/sqlite/request_memory.h"

namespace cairn::state_machine {

// The node that took the command has asked the same, of a state that may be older. The bad schedule
// without this: a grant is revoked, and what its holder has sent before to a node that lags is
// applied behind the revocation.
Status Applier::CheckAccess(const Command& command) const {
  if (!command.restricted) return OkStatus();
  return CheckPrivileges(command.principal, access_.Of(command.principal), NeededBy(command));
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
