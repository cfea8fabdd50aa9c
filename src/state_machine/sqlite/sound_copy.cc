#include "state_machine/sqlite/sound_copy.h"

#include <utility>

#include "state_machine/sqlite/bare_ids.h"
#include "state_machine/sqlite/data_file.h"
#include "state_machine/sqlite/sessions.h"
#include "state_machine/sqlite/state_scan.h"
#include "state_machine/sqlite/transactions.h"
#include "state_machine/sqlite/versions.h"

namespace cairn::state_machine {
namespace {

// Checks what Applier::Open would refuse when the file is already in place.
Status CheckCairnsTables(sqlite3* db) {
  Versions versions;
  RETURN_IF_ERROR(versions.Open(db));
  Sessions sessions;
  RETURN_IF_ERROR(sessions.Open(db));
  BareIds bare_ids;
  RETURN_IF_ERROR(bare_ids.Open(db));
  Transactions txs;
  return txs.Open(db);
}

}  // namespace

Result<raft::SnapshotMeta> ReadMetaOfSound(sqlite3* db) {
  Status sound = CheckSums(db);
  if (sound.ok()) sound = CheckCairnsTables(db);
  if (sound.code() == StatusCode::kDataLoss) {
    return std::move(sound).Prefixed("the snapshot is damaged");
  }
  RETURN_IF_ERROR(sound);
  return ReadMeta(db);
}

Result<raft::SnapshotMeta> ReadMetaOfOld(sqlite3* db) {
  RETURN_IF_ERROR(CheckSums(db));
  return ReadMeta(db);
}

}  // namespace cairn::state_machine
