// RetentionRecorder: encodes the changes of retained tables, for change_retention.h to store.
//
// The recorder works on every node, whether anybody watches or not, and all that it makes is a function
// of the log alone. While nothing is retained it does nothing.
//
// The changes of a command are cut into slices of about kSliceBytes. A slice has a chunk for each
// table with changes in it, and a chunk has rows of one definition of its table. The chunks of a
// command stay in memory until the command ends, so they are bounded: what is larger is lost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "state_machine/change.h"
#include "state_machine/sqlite/change_teller.h"

namespace cairn::state_machine {

// What a command changed in one retained table, or a part of it.
struct RetainedChunk {
  int64_t setting = 0;                        // of the table
  uint64_t last = 0;                          // the ordinal of the last change of the slice
  std::shared_ptr<const ChangedTable> table;  // of the rows; null if there are none
  std::string events;                         // change_codec.h
};

struct RetainedCommand {
  ChangePosition end;  // of the command
  std::vector<RetainedChunk> chunks;
  // Changes of these settings up to `end` were not kept.
  std::vector<int64_t> lost;
};

// Used on the apply thread.
class RetentionRecorder final : public ChangeTeller {
 public:
  static constexpr size_t kSliceBytes = 64 << 10;
  // One change. It must fit into a row of SQLite, beside others of its slice.
  static constexpr size_t kChangeBytesMax = 15 << 20;
  // All changes of a command, in all retained tables.
  static constexpr size_t kCommandBytesMax = 64 << 20;

  using Tables = std::map<std::string, int64_t, std::less<>>;  // settings by name in lower case

  void Open(sqlite3* db, const SchemaCatalog* catalog) { OpenDatabase(db, catalog); }
  void Close() { CloseDatabase(); }
  // The tables that are retained from the next entry on.
  void Retain(Tables tables);
  // What the last command that was kept has changed, once. An error of this node ends the batch.
  Result<std::optional<RetainedCommand>> Take();

  // ---- As a RowObserver
  void EntryBegun(LogIndex index) override;
  void BatchCommitted() override {}
  void BatchUndone() override;
  void CommandBegun() override;
  void CommandKept() override;
  void CommandUndone() override;

 private:
  struct OpenChunk {
    std::shared_ptr<const ChangedTable> table;
    std::string events;
    uint64_t last = 0;
  };

  Change* Room(ChangeKind kind, ChangePosition position, const Subject& subject) override;
  bool Count(size_t bytes) override;
  void CountSeries(const Subject& subject, size_t bytes) override;
  void LoseEntry(const Status& why) override;
  size_t TakeWork() override;
  std::vector<int64_t> SettingsOf(const Subject& subject) const;
  // Encodes the change that is complete now.
  void Settle();
  bool IsRedefined(int64_t setting) const;
  void Append(int64_t setting);
  void CutSlice();
  void LoseCommand();

  Tables tables_;
  bool recording_ = false;  // in this entry
  bool lose_entry_ = false;
  bool lose_entry_before_ = false;
  Status trouble_;
  size_t work_ = 0;

  // The running command.
  Change pending_;
  std::vector<int64_t> pending_settings_;  // empty: no change is pending
  std::map<int64_t, OpenChunk> slice_;
  size_t slice_bytes_ = 0;
  uint64_t slice_last_ = 0;
  size_t command_bytes_ = 0;
  std::map<int64_t, bool> touched_;  // settings
  bool lose_command_ = false;
  std::vector<RetainedChunk> chunks_;
  std::optional<RetainedCommand> kept_;
};

}  // namespace cairn::state_machine
