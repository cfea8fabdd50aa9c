#include "sim/miscounting_engine.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"

namespace cairn::sim {
namespace {

using raft::Entry;
using raft::SnapshotMeta;
using state_machine::AppliedState;
using state_machine::Command;
using state_machine::CommandBatch;
using state_machine::EntryResults;
using state_machine::Execute;
using state_machine::ReadView;
using state_machine::SnapshotReader;
using state_machine::StateMachine;
using state_machine::Statement;
using state_machine::StateScan;

constexpr uint64_t kOneEntryOf = 3;
constexpr char kRight[] = "SET n = n + 1";
constexpr char kWrong[] = "SET n = n + 2";

// Returns true if the statement was changed.
bool Miscount(Statement* statement) {
  const size_t at = statement->sql.find(kRight);
  if (at == std::string::npos) return false;
  statement->sql.replace(at, sizeof(kRight) - 1, kWrong);
  return true;
}

Entry Miscounted(const Entry& entry) {
  if (entry.type != raft::EntryType::kNormal || entry.index.value() % kOneEntryOf != 0) {
    return entry;
  }
  Result<CommandBatch> batch = state_machine::DecodeBatch(*entry.payload);
  if (!batch.ok()) return entry;
  bool changed = false;
  std::vector<std::string> commands;
  for (Command& command : batch->commands) {
    if (auto* execute = std::get_if<Execute>(&command.operation)) {
      for (Statement& statement : execute->statements) changed |= Miscount(&statement);
    }
    commands.push_back(state_machine::EncodeCommand(command));
  }
  if (!changed) return entry;
  std::string payload;
  state_machine::EncodeBatch(batch->header, commands, &payload);
  Entry wrong = entry;
  wrong.payload = std::make_shared<const std::string>(std::move(payload));
  return wrong;
}

class MiscountingEngine final : public StateMachine {
 public:
  explicit MiscountingEngine(std::unique_ptr<StateMachine> right) : right_(std::move(right)) {}

  AppliedState applied_state() const override { return right_->applied_state(); }
  LogIndex applied_index() const override { return right_->applied_index(); }
  LogIndex durable_index() const override { return right_->durable_index(); }
  Status Apply(std::span<const Entry> entries, const raft::Configuration& config,
               LogIndex config_index,
               const std::function<void(EntryResults)>& on_results) override {
    std::vector<Entry> wrong;
    wrong.reserve(entries.size());
    for (const Entry& entry : entries) wrong.push_back(Miscounted(entry));
    return right_->Apply(wrong, config, config_index, on_results);
  }
  Status CheckProposal(const Command& command) override { return right_->CheckProposal(command); }
  std::optional<uint64_t> NextDeadlineLeaseMs() const override {
    return right_->NextDeadlineLeaseMs();
  }
  state_machine::TimeSeriesUpkeep time_series() const override { return right_->time_series(); }
  Result<std::unique_ptr<ReadView>> OpenReadView(SteadyTime timeout) override {
    return right_->OpenReadView(timeout);
  }
  uint64_t WalBytes() const override { return right_->WalBytes(); }
  Status Checkpoint() override { return right_->Checkpoint(); }
  Status Reopen() override { return right_->Reopen(); }
  std::unique_ptr<StateScan> TakeScan() override { return right_->TakeScan(); }
  Result<std::unique_ptr<StateScan>> BeginScan() override { return right_->BeginScan(); }
  Result<std::shared_ptr<SnapshotReader>> OpenSnapshot(LogIndex index_min) override {
    return right_->OpenSnapshot(index_min);
  }
  Status CheckSnapshot(const std::string& path, const SnapshotMeta& meta,
                       const std::function<bool()>& proceed) override {
    return right_->CheckSnapshot(path, meta, proceed);
  }
  Status InstallSnapshot(const std::string& path, const SnapshotMeta& meta) override {
    return right_->InstallSnapshot(path, meta);
  }

 private:
  const std::unique_ptr<StateMachine> right_;
};

}  // namespace

std::unique_ptr<StateMachine> NewMiscountingEngine(std::unique_ptr<StateMachine> right) {
  return std::make_unique<MiscountingEngine>(std::move(right));
}

}  // namespace cairn::sim
