#include "state_machine/sqlite/applier.h"

#include <algorithm>
#include <iterator>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "base/rng.h"
#include "base/splitmix.h"
#include "raft/configuration_codec.h"
#include "state_machine/sqlite/results_hash.h"

namespace cairn::state_machine {
namespace {

bool AsksForDigest(const CommandBatch& batch) {
  return std::any_of(batch.commands.begin(), batch.commands.end(), [](const Command& command) {
    return std::holds_alternative<Digest>(command.operation);
  });
}

// The highest level that a command of the batch asks for. 0 if none does.
uint64_t LevelAskedFor(const CommandBatch& batch) {
  uint64_t level = 0;
  for (const Command& command : batch.commands) {
    if (const auto* raise = std::get_if<RaiseLevel>(&command.operation)) {
      level = std::max(level, raise->level);
    }
  }
  return level;
}

}  // namespace

// ---- Batches ------------------------------------------------------------------------------------

Status Applier::Apply(std::span<const raft::Entry> entries, const raft::Configuration& config,
                      LogIndex config_index, const std::function<void(EntryResults)>& on_results) {
  RETURN_IF_ERROR(broken_);
  while (!entries.empty() && entries.front().index <= applied_.index) entries = entries.subspan(1);
  while (!entries.empty()) {
    if (entries.front().index != applied_.index + 1) {
      return Internal("entry " + ToString(entries.front().index) + " was given after entry " +
                      ToString(applied_.index));
    }
    std::vector<Entry> decoded;
    ASSIGN_OR_RETURN(const size_t taken, Decode(entries, &decoded));
    entries = entries.subspan(taken);
    if (entries.empty()) {
      decoded.back().config = config;
      decoded.back().config_index = config_index;
    }
    for (std::span<const Entry> batch(decoded); !batch.empty();) {
      std::vector<EntryResults> results;
      const Result<size_t> applied = ApplyBatch(batch, &results);
      if (progress_ != nullptr) progress_->End();
      if (!applied.ok()) {
        // The memory may no longer match the file. For example, if a statement within FTS5 fails on
        // the disk, FTS5 keeps counts of the transaction that was undone, and would write them with
        // the next transaction.
        broken_ = applied.status();
        engine_->AbandonBatch().Prefixed("undo what failed").ok();
        return broken_;
      }
      if (replacement_.has_value()) return OkStatus();
      if (AsksForDigest(batch[*applied - 1].batch)) digest_index_ = applied_.index;
      batch = batch.subspan(*applied);
      for (EntryResults& each : results) on_results(std::move(each));
    }
  }
  return OkStatus();
}

Result<size_t> Applier::Decode(std::span<const raft::Entry> entries, std::vector<Entry>* batch) {
  size_t commands = 0;
  size_t bytes = 0;
  for (const raft::Entry& entry : entries) {
    Result<Entry> decoded = DecodeEntry(entry);
    // The entries before an entry of a later version are applied first.
    if (decoded.status().code() == StatusCode::kUnimplemented && !batch->empty()) break;
    RETURN_IF_ERROR(decoded.status());
    // Such an entry has a SQLite transaction of its own.
    const bool finishes_restore = FinishesRestore(decoded->batch);
    if (finishes_restore && !batch->empty()) break;
    commands += decoded->batch.commands.size();
    bytes += entry.payload->size();
    const bool ends_here = finishes_restore || AsksForDigest(decoded->batch);
    batch->push_back(std::move(decoded).value());
    if (ends_here || commands >= kCommandsPerBatch || bytes >= kBytesPerBatch) break;
  }
  return batch->size();
}

Result<Applier::Entry> Applier::DecodeEntry(const raft::Entry& entry) const {
  const std::string where = "entry " + ToString(entry.index);
  Entry decoded;
  decoded.entry = entry;
  if (entry.type == raft::EntryType::kNormal) {
    Result<CommandBatch> batch = DecodeBatch(*entry.payload);
    if (batch.status().code() == StatusCode::kUnimplemented) {
      return Status(batch.status()).Prefixed(where);
    }
    if (!batch.ok()) return DataLoss(where + ": " + batch.status().message());
    decoded.batch = std::move(batch).value();
    const uint64_t level = LevelAskedFor(decoded.batch);
    if (level > level_max_) {
      return Unimplemented(where + ": it raises the feature level to " + std::to_string(level) +
                           ", and this version of Cairn knows levels up to " +
                           std::to_string(level_max_) + ": start a later version on this node");
    }
  } else if (entry.type == raft::EntryType::kConfig) {
    decoded.config = raft::DecodeConfiguration(*entry.payload);
    if (!decoded.config.has_value()) return DataLoss(where + " holds a malformed configuration");
    decoded.config_index = entry.index;
  }
  return decoded;
}

// Applies one SQLite transaction and returns how many entries it holds. The transaction ends after
// an entry that changes the schema. After a command has ended a transaction, the entries before
// that command's entry get a transaction of their own. So these entries are done over once, however
// many later commands end their transactions.
Result<size_t> Applier::ApplyBatch(std::span<const Entry> batch,
                                   std::vector<EntryResults>* results) {
  with_savepoints_ = false;
  for (;;) {
    results->clear();
    results_held_bytes_ = 0;
    lease_ms_ = applied_.lease_ms;
    wall_ms_ = applied_.wall_ms;
    level_ = applied_.level;
    results_hash_ = applied_.results_hash;
    members_ = applied_.config;
    RETURN_IF_ERROR(engine_->BeginBatch());
    sessions_.BeginBatch(CommandNumber(batch.front().entry.index, 0));
    bare_ids_.BeginBatch(CommandNumber(batch.front().entry.index, 0));
    over_again_ = false;
    entries_whole_ = 0;
    RETURN_IF_ERROR(ApplyEntries(batch, results));
    if (!over_again_) break;
    RETURN_IF_ERROR(UndoBatch());
    if (entries_whole_ > 0) batch = batch.first(entries_whole_);
  }
  batch = batch.first(results->size());
  if (restore_.ready()) {
    RETURN_IF_ERROR(MakeReplacement(batch, std::move(results->front())));
    return batch.size();
  }
  RETURN_IF_ERROR(CommitBatch(StateAfter(batch)));
  const uint64_t next = CommandNumber(LogIndex(applied_.index.value() + 1), 0);
  left_out_.erase(left_out_.begin(), left_out_.lower_bound(next));
  left_out_tables_.erase(left_out_tables_.begin(), left_out_tables_.lower_bound(next));
  return batch.size();
}

Status Applier::ApplyEntries(std::span<const Entry> batch, std::vector<EntryResults>* results) {
  for (const Entry& each : batch) {
    EntryResults of_entry{each.entry.index, each.entry.term, {}, 0};
    retention_.BeginEntry();
    engine_->BeginEntry(each.entry.index);
    if (each.entry.type == raft::EntryType::kNormal) {
      lease_ms_ = std::max(lease_ms_, each.batch.header.lease_ms);
      wall_ms_ = std::max(wall_ms_, each.batch.header.wall_ms);
      sessions_.BeginEntry(lease_ms_, each.batch.header.request_ttl_ms);
      bare_ids_.BeginEntry(lease_ms_, each.batch.header.request_ttl_ms);
      RETURN_IF_ERROR(restore_.Trim(lease_ms_, RestoreInto::kTrimPerEntry));
      RETURN_IF_ERROR(txs_.BeginEntry(lease_ms_, each.batch.header.request_ttl_ms,
                                      CommandNumber(each.entry.index, 0)));
      RETURN_IF_ERROR(retention_.Trim(lease_ms_, ChangeRetention::kPerEntry));
      RETURN_IF_ERROR(ApplyCommands(each, &of_entry.results));
    } else if (each.entry.type == raft::EntryType::kConfig) {
      RETURN_IF_ERROR(AuditMembers(each));
    }
    if (over_again_) {
      if (engine_->batch_lost()) entries_whole_ = results->size();
      return OkStatus();
    }
    of_entry.results_hash = results_hash_;
    results->push_back(std::move(of_entry));
    if (engine_->schema_changed_in_entry()) return OkStatus();
  }
  return OkStatus();
}

Status Applier::ApplyCommands(const Entry& entry, std::vector<CommandResult>* results) {
  const std::vector<Command>& commands = entry.batch.commands;
  results->resize(commands.size());
  entry_steps_ = 0;
  results_hash_ = HashEntry(results_hash_, entry.entry.index, commands.size());
  for (size_t i = 0; i < commands.size() && !over_again_; ++i) {
    CommandResult& result = (*results)[i];
    const Place place{CommandNumber(entry.entry.index, i), &entry.batch.header, lease_ms_,
                      commands[i].principal, commands.size() == 1};
    if (progress_ != nullptr) progress_->Begin(entry.entry.index, i, commands[i]);
    RETURN_IF_ERROR(ApplyCommand(commands[i], place, &result));
    entry_steps_ += result.steps;
    // Hashed before rows are left out, because each node decides by itself which rows it leaves
    // out.
    results_hash_ = HashResult(results_hash_, result);
    HoldResult(&result);
  }
  return OkStatus();
}

AppliedState Applier::StateAfter(std::span<const Entry> batch) const {
  AppliedState after = applied_;
  after.index = batch.back().entry.index;
  after.term = batch.back().entry.term;
  after.lease_ms = lease_ms_;
  after.wall_ms = wall_ms_;
  after.level = level_;
  after.results_hash = results_hash_;
  for (const Entry& each : batch) {
    if (!each.config.has_value()) continue;
    after.config = *each.config;
    after.config_index = each.config_index;
  }
  return after;
}

Status Applier::CommitBatch(const AppliedState& after) {
  RETURN_IF_ERROR(engine_->BeginOwnWrites());
  const Status written = WriteOwnTables(after);
  engine_->EndOwnWrites();
  RETURN_IF_ERROR(written);
  RETURN_IF_ERROR(engine_->CommitBatch());
  versions_.BatchCommitted();
  sessions_.BatchCommitted();
  bare_ids_.BatchCommitted();
  txs_.BatchCommitted();
  retention_.BatchCommitted();
  restore_.BatchCommitted();
  access_.BatchCommitted();
  audit_.BatchCommitted();
  applied_ = after;
  return OkStatus();
}

Status Applier::WriteState(const AppliedState& after) {
  return write_state_.Bind(1, after.index.value())
      .Bind(2, after.term.value())
      .Bind(3, after.lease_ms)
      .Bind(4, bare_ids_.results_from())
      .Bind(5, after.level)
      .Bind(6, after.results_hash)
      .Bind(7, txs_.ended_from())
      .Bind(8, after.wall_ms)
      .Run();
}

Status Applier::WriteOwnTables(const AppliedState& after) {
  RETURN_IF_ERROR(restore_.Flush());
  RETURN_IF_ERROR(access_.Flush());
  RETURN_IF_ERROR(audit_.Flush());
  RETURN_IF_ERROR(retention_.Flush());
  RETURN_IF_ERROR(versions_.Flush());
  RETURN_IF_ERROR(sessions_.Flush());
  RETURN_IF_ERROR(bare_ids_.Flush());
  RETURN_IF_ERROR(WriteState(after));
  if (after.config_index != applied_.config_index || !(after.config == applied_.config)) {
    const std::string encoded = raft::EncodeConfiguration(after.config);
    RETURN_IF_ERROR(write_config_.BindBlob(1, encoded).Bind(2, after.config_index.value()).Run());
  }
  return OkStatus();
}

Status Applier::UndoBatch() {
  RETURN_IF_ERROR(engine_->AbandonBatch());
  RETURN_IF_ERROR(engine_->SetLevel(applied_.level));
  versions_.BatchUndone();
  sessions_.BatchUndone();
  bare_ids_.BatchUndone();
  txs_.BatchUndone();
  retention_.BatchUndone();
  restore_.BatchUndone();
  access_.BatchUndone();
  audit_.BatchUndone();
  return OkStatus();
}

// ---- Commands -----------------------------------------------------------------------------------

Status Applier::ApplyCommand(const Command& command, const Place& place, CommandResult* result) {
  const uint64_t hash = command.id.empty() ? 0 : OperationHash(command.operation);
  if (auto known = Admit(command, place, hash)) {
    *result = std::move(*known);
    if (result->index.is_none()) result->index = IndexOfCommand(place.number);
    return OkStatus();
  }
  result->index = IndexOfCommand(place.number);
  if (EntryIsExhausted(command.operation, place)) {
    // The refusal is not remembered, so the command may run when it is sent again.
    result->status = ResourceExhausted(
                         "the commands before it in its log entry have used up the "
                         "work that one entry may do; send it again")
                         .With(Outcome::kNotApplied);
    return OkStatus();
  }
  // Not remembered either.
  result->status = CheckAccess(command);
  if (!result->status.ok()) return OkStatus();
  if (const auto it = left_out_.find(place.number); it != left_out_.end()) {
    RETURN_IF_ERROR(ApplyLeftOut(it->second, place, result));
  } else {
    RETURN_IF_ERROR((this->*HandlerOf(command.operation).apply)(command.operation, place, result));
    if (over_again_) return OkStatus();
    RETURN_IF_ERROR(retention_.StoreCommand(place.lease_ms));
  }
  if (!result->status.ok()) {
    // Every result of running statements is the same on every node, and final.
    if (result->status.outcome() == Outcome::kNone) {
      result->status = std::move(result->status).With(Outcome::kApplied);
    }
    result->statements.clear();
  }
  RETURN_IF_ERROR(Audit(command, place, *result));
  if (command.id.bare()) {
    bare_ids_.Record(command, place.number, hash, *result);
  } else if (!command.id.empty()) {
    sessions_.Record(command, place.number, hash, *result);
  }
  return OkStatus();
}

std::optional<CommandResult> Applier::Admit(const Command& command, const Place& place,
                                            uint64_t hash) {
  if (Status bad = CheckRequestId(command); !bad.ok()) {
    return Refusal(std::move(bad), Outcome::kNotApplied);
  }
  if (command.id.empty()) return std::nullopt;
  if (command.id.bare()) return bare_ids_.Admit(command, hash);
  return sessions_.Admit(command, place.number, hash);
}

// The answer is the same on every node, wherever its transactions end: a command counts the cost of
// running alone in its place, and a command that is left out counts as before.
bool Applier::EntryIsExhausted(const Operation& operation, const Place& place) const {
  const uint64_t steps_max = place.header->entry_steps_max;
  return HandlerOf(operation).works && steps_max != 0 && entry_steps_ >= steps_max;
}

// A command that ends the SQLite transaction makes the earlier commands of its entry run again, and
// pays for them. An exhausted command on virtual tables may end the transaction on some nodes only,
// so every exhausted command pays.
uint64_t Applier::StepsOfCommand() const {
  const WorkBudget& budget = engine_->budget();
  const bool repeats = budget.exhausted() || engine_->batch_lost();
  return budget.steps() + (repeats ? entry_steps_ : 0);
}

const Applier::Handler& Applier::HandlerOf(const Operation& operation) {
  static constexpr Handler kHandlers[] = {
      {true, &Applier::ApplyExecute},
      {false, &Applier::ApplyNothing},  // OpenSession: Admit has made the session
      {true, &Applier::ApplyPrepare},
      {true, &Applier::ApplyCommit},
      {false, &Applier::ApplyRollback},
      {false, &Applier::ApplyAdvanceLease},
      {false, &Applier::ApplyNothing},  // Digest: a transaction ends behind its entry
      {false, &Applier::ApplyRaiseLevel},
      {true, &Applier::ApplyMaintainTimeSeries},
      {false, &Applier::ApplyRetainChanges},
      {false, &Applier::ApplyRestore},
      {false, &Applier::ApplyChangeAccess},
      {false, &Applier::ApplyRecordAudit},
  };
  static_assert(std::size(kHandlers) == std::variant_size_v<Operation>);
  static_assert(std::is_same_v<std::variant_alternative_t<7, Operation>, RaiseLevel>);
  static_assert(std::is_same_v<std::variant_alternative_t<9, Operation>, RetainChanges>);
  static_assert(std::is_same_v<std::variant_alternative_t<10, Operation>, Restore>);
  static_assert(std::is_same_v<std::variant_alternative_t<11, Operation>, ChangeAccess>);
  static_assert(std::is_same_v<std::variant_alternative_t<12, Operation>, RecordAudit>);
  return kHandlers[operation.index()];
}

Status Applier::ApplyNothing(const Operation& /*operation*/, const Place& /*place*/,
                             CommandResult* /*result*/) {
  return OkStatus();
}

// Every command has a random generator of its own, so the numbers that one command draws do not
// change those of others.
uint64_t Applier::SeedOf(const Place& place) {
  return SplitMix64(place.header->random_seed + place.number * kSplitMixStep);
}

Status Applier::ApplyExecute(const Operation& operation, const Place& place,
                             CommandResult* result) {
  const auto& execute = std::get<Execute>(operation);
  const BatchHeader& header = *place.header;
  const std::string nobody;
  const uint64_t seed = SeedOf(place);
  // A statement that succeeds and misses its expectation is undone by the savepoint.
  const bool keys_on = execute.foreign_keys == ForeignKeys::kEnforced;
  const bool alone =
      execute.statements.size() == 1 && execute.expect.empty() && keys_on && !with_savepoints_;
  const uint64_t steps_max =
      execute.maintenance ? header.maintenance_steps_max : header.command_steps_max;
  RETURN_IF_ERROR(engine_->BeginCommand(
      {header.wall_ms, seed, steps_max, execute.maintenance, execute.foreign_keys, place.lease_ms},
      alone ? &execute.statements.front() : nullptr));
  version_changes_.clear();
  Status verdict;
  RETURN_IF_ERROR(
      RunStatements(execute.statements, execute.expect, &nobody, &result->statements, &verdict));
  if (verdict.ok() && execute.foreign_keys == ForeignKeys::kCheckedAtEnd) {
    RETURN_IF_ERROR(engine_->CheckAllForeignKeys(&verdict));
  }
  return KeepCommand(place, std::move(verdict), result);
}

Status Applier::KeepCommand(const Place& place, Status verdict, CommandResult* result) {
  RETURN_IF_ERROR(engine_->EndCommand(/*keep=*/true, &verdict));
  if (MustRunAgain()) return OkStatus();
  if (verdict.ok()) CountVersions();
  result->status = std::move(verdict);
  result->steps = StepsOfCommand();
  if (engine_->batch_lost()) LeaveOut(place, *result);
  return OkStatus();
}

// Applies to the whole batch, so the batch is done over once, however many commands fail like this.
bool Applier::MustRunAgain() {
  if (!engine_->must_run_again()) return false;
  with_savepoints_ = true;
  over_again_ = true;
  return true;
}

void Applier::LeaveOut(const Place& place, const CommandResult& result,
                       const std::string& ended_tx) {
  left_out_.emplace(place.number, Lost{result.status, result.steps, ended_tx,
                                       engine_->schema_changed_in_entry()});
  over_again_ = true;
}

// The statements of the command are not run again. Its effect on a two-phase transaction was undone
// with the batch.
Status Applier::ApplyLeftOut(const Lost& lost, const Place& place, CommandResult* result) {
  result->status = lost.verdict;
  result->steps = lost.steps;
  if (lost.schema_changed) engine_->NoteSchemaChange();
  if (lost.ended_tx.empty()) return OkStatus();
  return txs_.Finish(lost.ended_tx, TxState::kRolledBack, place.number, "");
}

}  // namespace cairn::state_machine
