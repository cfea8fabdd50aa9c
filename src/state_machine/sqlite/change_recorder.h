// ChangeRecorder: records changes for those who watch this node (change_ring.h).
//
// The recorder is not on every node's mind: a node records only while somebody watches there. So
// nothing that a command does may depend on the recorder. If it cannot tell a change as it is, or
// not within its memory, it says that changes are lost up to there; it never tells a wrong one.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "state_machine/change.h"
#include "state_machine/change_ring.h"
#include "state_machine/sqlite/change_teller.h"
#include "state_machine/sqlite/schema_catalog.h"

namespace cairn::state_machine {

// Owned by the state machine, and used on the apply thread.
class ChangeRecorder final : public ChangeTeller {
 public:
  explicit ChangeRecorder(std::shared_ptr<ChangeRing> ring) : ring_(std::move(ring)) {}

  // The database was opened, and holds the entries up to `applied`. Both pointers are valid until
  // Close.
  void Open(sqlite3* db, const SchemaCatalog* catalog, LogIndex applied);
  void Close();

  // ---- As a RowObserver. OnRow returns 0, because a node that records must charge no more than one
  // that does not.
  void BatchBegun() override;
  void EntryBegun(LogIndex index) override;
  void BatchCommitted() override;
  void BatchUndone() override;
  void CommandBegun() override;
  void CommandKept() override;
  void CommandUndone() override;

 private:
  Change* Room(ChangeKind kind, ChangePosition position, const Subject& subject) override;
  bool Count(size_t bytes) override;
  // The number of changes is not known, so later changes of the entry would get wrong positions.
  void LoseEntry(const Status& why) override;
  void LoseCommand();

  const std::shared_ptr<ChangeRing> ring_;
  LogIndex applied_;  // of the last committed batch

  // The running batch.
  LogIndex batch_index_;  // of its last entry
  bool recording_ = false;
  bool lose_entry_ = false;
  std::vector<std::shared_ptr<const CommandChanges>> kept_;
  size_t kept_bytes_ = 0;
  std::optional<ChangePosition> lost_;  // changes up to here could not be kept

  // The running command.
  std::shared_ptr<CommandChanges> command_;
  bool lose_command_ = false;
};

}  // namespace cairn::state_machine
