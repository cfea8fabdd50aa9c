// ChangeRetention: keeps the changes of chosen tables in the database itself, so that a watch can go on
// from an old position on any node, after a restart, and after a snapshot.
//
// A setting names a table, and says for how long (on the replicated lease clock) and in how many bytes
// its changes are kept. Settings and changes are replicated state: they are made by apply, in the
// SQLite transaction of the entries, and travel with snapshots and backups. Nothing here may depend on
// a clock of the node, on who watches, or on which entries share a transaction.
//
//     _cairn_retention       the settings
//     _cairn_changes         chunks of changes (retention_recorder.h). A kept sum covers this table
//                            (table_sums.h), so that no digest reads it
//     _cairn_changed_tables  the definitions of tables that chunks refer to
//
// A setting is in force from the entry behind its command on. It belongs to a name, as the filter of a
// watch does: a table that is dropped, and made again or renamed to that name, goes on with the history.
//
// What is too old or too much goes in bounded steps: with each command that adds changes, as much as it
// adds; with each entry, kPerEntry. The first chunk of a command that goes takes the position
// `since` behind the command, and no position before `since` is served any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "base/status.h"
#include "state_machine/change.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/engine.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/retention_recorder.h"

namespace cairn::state_machine {

inline constexpr uint64_t kRetainMsMin = 60'000;
inline constexpr uint64_t kRetainMsMax = uint64_t{10 * 366} * 24 * 3'600'000;
inline constexpr uint64_t kRetainBytesMin = 1 << 20;
inline constexpr uint64_t kRetainBytesDefault = 256 << 20;
// Of all settings together, and how many there may be. Settings that end count until all is removed.
inline constexpr uint64_t kRetainBytesTotal = uint64_t{8} << 30;
inline constexpr size_t kRetainSettingsMax = 64;

// Owned by the applier, and used on its thread.
class ChangeRetention {
 public:
  static const char* const kSchema;

  // How many chunks may be removed, and about how many bytes: the chunk that uses up the rest goes
  // whole. To remove a byte takes time, as to write it does.
  struct TrimRoom {
    size_t chunks = 0;
    uint64_t bytes = 0;
  };
  // What an entry may remove beside what makes room for its own changes, and what an AdvanceLease may.
  static constexpr TrimRoom kPerEntry{256, 1 << 20};
  static constexpr TrimRoom kPerAdvance{4096, 32 << 20};

  ChangeRetention() = default;
  ~ChangeRetention() { Close(); }
  ChangeRetention(const ChangeRetention&) = delete;
  ChangeRetention& operator=(const ChangeRetention&) = delete;

  // Adds the recorder to the engine's observers.
  Status Open(Engine* engine);
  // Before the engine is destroyed.
  void Close();

  // ---- For each entry. BeginEntry comes before the engine's.
  void BeginEntry();
  // The lease clock is at `lease_ms`. Removes chunks that are due.
  Status Trim(uint64_t lease_ms, TrimRoom room);
  // Applies a command that was asked for at the entry `index`.
  Status Set(const RetainChanges& command, LogIndex index, Status* verdict);
  // Stores what the last command has changed.
  Status StoreCommand(uint64_t lease_ms);

  // ---- For each batch
  // Writes the settings. Called within the batch's transaction, just before the commit.
  Status Flush();
  void BatchCommitted() { before_.reset(); }
  void BatchUndone();

  // When chunks will have been too old for a while. None: no entry is needed for their sake.
  std::optional<uint64_t> NextDeadlineLeaseMs() const;

 private:
  // The oldest chunk.
  struct Oldest {
    ChangePosition at;  // the end of its slice
    uint64_t end = 0;   // the ordinal of the command's end
    uint64_t lease_ms = 0;
    uint64_t bytes = 0;
    int64_t definition = 0;
    bool operator==(const Oldest&) const = default;
  };
  struct Setting {
    std::string name;        // in lower case
    uint64_t retain_ms = 0;  // 0: it ends once no chunk is left
    uint64_t bytes_max = 0;
    ChangePosition since;
    uint64_t bytes = 0;
    std::optional<Oldest> oldest;  // none: no chunk
    int64_t definition = 0;        // the latest; 0: none
    std::string definition_bytes;
    bool operator==(const Setting&) const = default;
  };
  using Settings = std::map<int64_t, Setting>;

  Status OpenTables();
  Status Load();
  // The settings, to be changed in this batch.
  Settings& Change();
  Status CheckNew(const RetainChanges& command, uint64_t bytes_max) const;
  Status CheckTable(const std::string& lower_name, const std::string& name) const;
  Status Add(const std::string& name, const RetainChanges& command, uint64_t bytes_max,
             LogIndex index);
  Result<int64_t> DefinitionOf(int64_t id, Setting* setting, const RetainedChunk& chunk,
                               uint64_t* bytes);
  Status Store(const RetainedChunk& chunk, ChangePosition end, uint64_t lease_ms);
  static bool IsDue(const Setting& setting, uint64_t lease_ms);
  Status Remove(int64_t id, uint64_t lease_ms, TrimRoom* room);
  Status RemoveOldest(int64_t id, Setting* setting);
  Status ReadOldest(int64_t id, Setting* setting);
  Status EndSetting(int64_t id);
  RetentionRecorder::Tables TablesInForce() const;

  Engine* engine_ = nullptr;
  RetentionRecorder recorder_;
  bool has_tables_ = false;
  bool settings_changed_ = false;  // the recorder does not know them yet
  Settings settings_;
  std::optional<Settings> before_;  // the batch; none: it has changed nothing
  InternalStatement insert_chunk_;
  InternalStatement remove_chunk_;
  InternalStatement oldest_chunk_;
  InternalStatement insert_definition_;
  InternalStatement remove_definitions_;
  InternalStatement write_setting_;
};

}  // namespace cairn::state_machine
