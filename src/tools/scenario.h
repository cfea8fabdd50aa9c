// The scenario driver: drives a cluster through the contract of the package `transaction`, as any
// client generated from it would, and judges what it sees.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/node_client.h"

namespace cairn::tools {

enum class CommitMode {
  kQuorum,  // commits once a majority holds the prepared transaction, which Prepare itself assures
  kStrong,  // commits only if every listed node holds it, rolls back otherwise
};

struct ScenarioOptions {
  std::vector<std::string> addresses;  // the preferred node first
  CommitMode mode = CommitMode::kQuorum;
  std::chrono::milliseconds pause_before_commit{0};
  std::chrono::milliseconds call_timeout{5'000};    // of one call to one node
  std::chrono::milliseconds retry_timeout{30'000};  // of one step, over all nodes
};

// One run over one cluster. Prints each step as the step is done. Not thread-safe.
class Scenario {
 public:
  // `out` must outlive it.
  Scenario(ScenarioOptions options, std::ostream* out);

  // DDL, atomic insert, update, growth of versions, two-phase commit and rollback, and equal
  // versions on all nodes that can be reached. Not OK: the first thing that was wrong.
  Status Full();
  // A batch takes effect as a whole or not at all: on success, with a bad statement, with a missed
  // expectation, and sent again; versions grow by as much, and are equal on all nodes.
  Status BatchCommitAndRollback();
  // Checks only that the versions are equal.
  Status VerifyOnly();

 private:
  void Say(const std::string& line);
  size_t Majority() const { return nodes_.size() / 2 + 1; }
  // The nodes that answer linearizable reads; an error if they are fewer than a majority.
  Status FindReachable(std::vector<NodeClient*>* reachable);

  // Calls one node after the other, the preferred one first, until one gives another answer than
  // that a connection or a leader is missing. The call must be safe to repeat.
  Status OnAnyNode(const std::function<Status(NodeClient&)>& call);
  Result<int64_t> Execute(const std::string& sql);
  Result<int64_t> Version(const std::string& table);
  // Runs `step`, which must succeed, and demands that the version of the table grows by `expected`.
  Status ExpectGrowth(const std::string& table, int64_t expected,
                      const std::function<Status()>& step);

  // One batch under `request_id`, until a node answers.
  Result<std::vector<int64_t>> ExecuteBatch(const transaction::ExecuteBatchRequest& batch,
                                            const std::string& request_id);
  transaction::ExecuteBatchRequest TransferBatch(const std::string& note) const;
  Status CommitBatch();
  // Runs a batch that must fail at `statement` with `code`, and demands that nothing has changed.
  Status ExpectRolledBack(const transaction::ExecuteBatchRequest& batch, StatusCode code,
                          uint32_t statement);
  Status RollBackBatches();

  Status CreateTables();
  Status InsertAtomically();
  Status UpdateRows();
  Status CommitInTwoPhases();
  Status RollBackInTwoPhases();
  Status Prepare(const std::string& tx_id, uint64_t number, const std::string& sql,
                 const std::vector<std::string>& args);
  Status PrepareTransfer(const std::string& tx_id);
  // For strong mode. The error names the nodes that do not have the transaction in that state.
  Status ExpectOnEveryNode(const std::string& tx_id, v1::TransactionState state);
  Status CompareVersions();
  Status CompareVersions(const std::string& table, const std::vector<NodeClient*>& nodes);

  static constexpr const char* kAccounts = "scenario_accounts";
  static constexpr const char* kTransfers = "scenario_transfers";

  const ScenarioOptions options_;
  std::ostream& out_;
  std::vector<std::unique_ptr<NodeClient>> nodes_;
  const std::string run_;  // tells this run's rows and ids from every other's
  uint64_t next_request_ = 1;
  size_t preferred_ = 0;  // who answered last
};

// Runs `name` ("full", "batch_commit_and_rollback" or "verify-only") and prints the verdict. Exit code.
int RunScenario(const std::string& name, const ScenarioOptions& options, std::ostream* out);

// A name that no other run has: 16 hex digits.
std::string RandomRunName();

}  // namespace cairn::tools
