// Applier, continued: a backup takes the place of the database.
#include <algorithm>
#include <utility>

#include "state_machine/sqlite/applier.h"

namespace cairn::state_machine {

bool Applier::FinishesRestore(const CommandBatch& batch) {
  return std::any_of(batch.commands.begin(), batch.commands.end(), [](const Command& command) {
    const auto* restore = std::get_if<Restore>(&command.operation);
    return restore != nullptr && restore->step == Restore::Step::kFinish;
  });
}

Status Applier::ApplyRestore(const Operation& operation, const Place& place,
                             CommandResult* result) {
  const auto& restore = std::get<Restore>(operation);
  const RestoreInto::Scene scene{IndexOfCommand(place.number), place.alone, place.lease_ms, level_};
  RETURN_IF_ERROR(restore_.Apply(restore, scene, result));
  // To store a byte and to hash it takes about as long as a step for each 64.
  result->steps = restore.bytes.size() / 64;
  if (!restore_.ready()) return OkStatus();
  // What was prepared refers to rows that are gone. Its Commit hears that it was rolled back.
  return txs_.RollBackAll(place.number);
}

// The tables of Cairn are written as for a commit, and copied into the file from within the
// transaction, which is then undone. So a crash finds the old database as it was before the entry, or
// the new one.
Status Applier::MakeReplacement(std::span<const Entry> batch, EntryResults results) {
  const AppliedState after = StateAfter(batch);
  RETURN_IF_ERROR(engine_->BeginOwnWrites());
  const Status written = WriteOwnTables(after);
  engine_->EndOwnWrites();
  RETURN_IF_ERROR(written);
  ASSIGN_OR_RETURN(raft::SnapshotMeta meta, restore_.Complete(after));
  RETURN_IF_ERROR(engine_->AbandonBatch());
  replacement_ = Replacement{restore_.file(), std::move(meta), std::move(results)};
  broken_ = Internal("a restored database waits to take the place of this one");
  return OkStatus();
}

}  // namespace cairn::state_machine
