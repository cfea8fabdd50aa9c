// Applier: applies log entries to the database, many in one SQLite transaction.
//
// The effects of an entry must not depend on which entries share its transaction. So each command
// has its own savepoint, or behaves as if it had one; otherwise deferred foreign keys and full-text
// indexes would be settled only at the end of the batch. All that Cairn keeps of a command
// (sessions, versions, prepared transactions, the applied index) is a function of the log alone.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/status.h"
#include "raft/types.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/access_tables.h"
#include "state_machine/sqlite/apply_progress.h"
#include "state_machine/sqlite/audit_tables.h"
#include "state_machine/sqlite/bare_ids.h"
#include "state_machine/sqlite/change_retention.h"
#include "state_machine/sqlite/engine.h"
#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/restore_into.h"
#include "state_machine/sqlite/sessions.h"
#include "state_machine/sqlite/transactions.h"
#include "state_machine/sqlite/versions.h"
#include "state_machine/state_machine.h"

namespace cairn::state_machine {

// One owner, the apply thread.
class Applier {
 public:
  // Opens the database, or creates it with `founding` as its configuration at index 0. Converts a
  // file of the format before this one. FAILED_PRECONDITION if the file is not one of Cairn's, has
  // another format, or has a feature level above `level_max`; the file is then not touched.
  static Result<std::unique_ptr<Applier>> Open(const Storage& storage, const std::string& path,
                                               size_t cache_bytes,
                                               const raft::Configuration& founding,
                                               uint64_t level_max, uint64_t request_room_divisor);

  ~Applier() {
    retention_.Close();
    restore_.Close();
    access_.Close();
    audit_.Close();
  }

  // Reports each command while it is applied. Must outlive the Applier.
  void set_progress(ApplyProgress* progress) { progress_ = progress; }

  // See StateMachine::Apply. After an error the earlier transactions stand, and the failed one left
  // nothing. The Applier is then broken: all later calls fail the same way, until the database is
  // reopened.
  Status Apply(std::span<const raft::Entry> entries, const raft::Configuration& config,
               LogIndex config_index, const std::function<void(EntryResults)>& on_results);

  // A restore has finished: this file, whose meta is `meta`, is to take the place of the database.
  // Its results are told when it has. Apply has stopped before the entry, and applies nothing more.
  struct Replacement {
    std::string path;
    raft::SnapshotMeta meta;
    EntryResults results;
  };
  std::optional<Replacement> TakeReplacement() { return std::exchange(replacement_, std::nullopt); }
  // The entry of the last restore; 0: there was none.
  LogIndex restored_at() const { return restore_.restored_at(); }
  AccessRightsPtr access() const { return access_.rights(); }

  const AppliedState& applied() const { return applied_; }
  // The last entry that asks for a digest. A SQLite transaction ends with such an entry.
  LogIndex digest_index() const { return digest_index_; }
  std::optional<uint64_t> NextDeadlineLeaseMs() const;
  TimeSeriesUpkeep time_series();
  Engine& engine() { return *engine_; }
  const Sessions& sessions() const { return sessions_; }
  // Of what the applier holds; the rest is 0.
  StateFigures figures() const;

 private:
  // One SQLite transaction holds at most this much.
  static constexpr size_t kCommandsPerBatch = 8192;
  static constexpr size_t kBytesPerBatch = 8 << 20;

  // An entry, decoded.
  struct Entry {
    raft::Entry entry;
    CommandBatch batch;  // of kNormal entries
    // The configuration that comes into force with the entry, and the index of that configuration.
    std::optional<raft::Configuration> config;
    LogIndex config_index;
  };
  // One command at its place in the log.
  struct Place {
    uint64_t number = 0;
    const BatchHeader* header = nullptr;
    uint64_t lease_ms = 0;
    std::string_view principal;  // the client
    bool alone = false;          // in its entry
  };
  // How one kind of operation is applied.
  struct Handler {
    bool works = false;  // it runs statements, so an exhausted entry refuses it
    Status (Applier::*apply)(const Operation& operation, const Place& place, CommandResult* result);
  };
  // A command whose statement ended the whole SQLite transaction.
  struct Lost {
    Status verdict;
    uint64_t steps = 0;
    std::string ended_tx;  // the two-phase transaction that ended with the command; empty: none
    bool schema_changed = false;
  };

  Applier(uint64_t level_max, uint64_t request_room_divisor)
      : level_max_(level_max), sessions_(request_room_divisor), bare_ids_(request_room_divisor) {}
  static const Handler& HandlerOf(const Operation& operation);
  static uint64_t SeedOf(const Place& place);
  static bool FinishesRestore(const CommandBatch& batch);
  Status OpenTables(const raft::Configuration& founding);
  Status CreateTables(const raft::Configuration& founding);
  Result<size_t> Decode(std::span<const raft::Entry> entries, std::vector<Entry>* batch);
  Result<Entry> DecodeEntry(const raft::Entry& entry) const;
  Result<size_t> ApplyBatch(std::span<const Entry> batch, std::vector<EntryResults>* results);
  Status ApplyEntries(std::span<const Entry> batch, std::vector<EntryResults>* results);
  Status ApplyCommands(const Entry& entry, std::vector<CommandResult>* results);
  void HoldResult(CommandResult* result);
  AppliedState StateAfter(std::span<const Entry> batch) const;
  Status CommitBatch(const AppliedState& after);
  Status WriteOwnTables(const AppliedState& after);
  Status WriteState(const AppliedState& after);
  Status MakeReplacement(std::span<const Entry> batch, EntryResults results);
  Status UndoBatch();
  Status ApplyCommand(const Command& command, const Place& place, CommandResult* result);
  std::optional<CommandResult> Admit(const Command& command, const Place& place, uint64_t hash);
  Status ApplyNothing(const Operation& operation, const Place& place, CommandResult* result);
  Status ApplyExecute(const Operation& operation, const Place& place, CommandResult* result);
  Status ApplyPrepare(const Operation& operation, const Place& place, CommandResult* result);
  Status ApplyCommit(const Operation& operation, const Place& place, CommandResult* result);
  bool IsOutOfPlace(const Prepare& prepare, const PreparedTx* known, CommandResult* result) const;
  CommandResult AnswerToEnded(const std::string& tx_id, CommandResult result) const;
  Status ApplyRollback(const Operation& operation, const Place& place, CommandResult* result);
  Status ApplyRaiseLevel(const Operation& operation, const Place& place, CommandResult* result);
  Status ApplyMaintainTimeSeries(const Operation& operation, const Place& place,
                                 CommandResult* result);
  const std::vector<std::string>& TimeSeriesTables();
  // Runs a slice without these tables. If the verdict is not OK, a table has failed.
  Status ExpireAll(const Place& place, const std::set<std::string>& left_out, std::string* failed,
                   Status* verdict);
  Status Expire(const std::string& table, Status* verdict);
  void NoteTrouble(const std::string& table, const std::string& message);
  Status ApplyAdvanceLease(const Operation& operation, const Place& place, CommandResult* result);
  Status ApplyRetainChanges(const Operation& operation, const Place& place, CommandResult* result);
  Status ApplyRestore(const Operation& operation, const Place& place, CommandResult* result);
  Status ApplyChangeAccess(const Operation& operation, const Place& place, CommandResult* result);
  Status ApplyRecordAudit(const Operation& operation, const Place& place, CommandResult* result);
  // Adds what the audit tells of a command that was applied, or of new members.
  Status Audit(const Command& command, const Place& place, const CommandResult& result);
  Status AuditMembers(const Entry& entry);
  Status CheckAccess(const Command& command) const;
  // `everywhere`: what the principal may do with all tables.
  Status CheckTables(std::string_view principal, Privileges everywhere,
                     std::span<const Statement> statements) const;
  Status CheckOwner(const std::string& tx_id, const Place& place) const;
  Status StagePrepared(const Prepare& prepare, PreparedTx* tx, StatementResult* result,
                       Status* verdict);
  // Ends the engine's command: keeps its changes if `verdict` is OK, and tells the result.
  Status KeepCommand(const Place& place, Status verdict, CommandResult* result);
  bool MustRunAgain();
  void LeaveOut(const Place& place, const CommandResult& result, const std::string& ended_tx = {});
  Status ApplyLeftOut(const Lost& lost, const Place& place, CommandResult* result);
  bool EntryIsExhausted(const Operation& operation, const Place& place) const;
  uint64_t StepsOfCommand() const;
  // Runs statements within the command's savepoint; `expect` is empty or has one for each; `tx_id`
  // as in Transactions::CheckConflicts.
  Status RunStatements(std::span<const Statement> statements,
                       std::span<const RowExpectation> expect, const std::string* tx_id,
                       std::vector<StatementResult>* results, Status* verdict);
  Status RunStatement(const Statement& statement, const std::string* tx_id, StatementResult* result,
                      Status* verdict, ProgramFacts* facts);
  void NoteVersionsByName(const std::set<std::string>& written);
  // Adds the version changes of a command that succeeded.
  void CountVersions();

  const uint64_t level_max_;  // feature levels up to this are known
  ChangeRetention retention_;
  std::unique_ptr<Engine> engine_;
  Versions versions_;
  Sessions sessions_;
  BareIds bare_ids_;
  Transactions txs_;
  RestoreInto restore_;
  AccessTables access_;
  AuditTables audit_;
  std::optional<Replacement> replacement_;
  InternalStatement write_state_;
  InternalStatement write_config_;
  AppliedState applied_;
  LogIndex digest_index_;
  // Within the batch:
  uint64_t lease_ms_ = 0;
  int64_t wall_ms_ = 0;
  uint64_t level_ = 0;
  uint64_t results_hash_ = 0;
  raft::Configuration members_;  // as of the entries of the batch so far
  // The last MaintainTimeSeries has not done all. Only a hint: no result depends on it.
  bool time_series_busy_ = false;
  std::vector<std::string> time_series_;  // the tables, as of that load of the catalog
  uint64_t time_series_as_of_ = 0;
  std::map<std::string, std::string> time_series_troubles_;  // by table: what the log was told
  Status broken_;                                            // why nothing more is applied

  // The running command: what to add to the versions if the command succeeds, in order.
  struct VersionChange {
    VersionCounter* counter = nullptr;  // or, after a change of the schema:
    // The old and the new name of the table; `to` is empty if the table was dropped.
    std::string from, to;
  };
  std::vector<VersionChange> version_changes_;

  // The commands that are left out when the batch is applied again, by number.
  std::map<uint64_t, Lost> left_out_;
  // The tables that failed in commands MaintainTimeSeries, which are tried without them, by number.
  struct LeftOutTables {
    std::set<std::string> tables;
    uint64_t steps = 0;  // of the tries
    bool schema_changed = false;
  };
  std::map<uint64_t, LeftOutTables> left_out_tables_;
  bool with_savepoints_ = false;  // each command of the batch has a savepoint
  ApplyProgress* progress_ = nullptr;
  size_t results_held_bytes_ = 0;  // of the current SQLite transaction
  bool over_again_ = false;        // the batch must be undone and applied again
  size_t entries_whole_ = 0;       // of the batch, before the entry with the lost command
  uint64_t entry_steps_ = 0;       // by the commands of the entry so far
};

}  // namespace cairn::state_machine
