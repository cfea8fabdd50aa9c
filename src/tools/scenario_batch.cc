// Scenario, continued: batches.
#include <utility>

#include "tools/scenario.h"

namespace cairn::tools {

Result<std::vector<int64_t>> Scenario::ExecuteBatch(const transaction::ExecuteBatchRequest& batch,
                                                    const std::string& request_id) {
  std::vector<int64_t> rows;
  const Status done = OnAnyNode([&](NodeClient& node) -> Status {
    ASSIGN_OR_RETURN(rows, node.ExecuteBatch(batch, request_id, options_.call_timeout));
    return OkStatus();
  });
  RETURN_IF_ERROR(done);
  return rows;
}

// Moves 30 from account 1 to account 2, if account 1 has as much, and writes that down.
transaction::ExecuteBatchRequest Scenario::TransferBatch(const std::string& note) const {
  transaction::ExecuteBatchRequest batch;
  const std::string update = std::string("UPDATE ") + kAccounts + " SET balance = balance ";
  transaction::BatchStatement* take = batch.add_statements();
  take->set_sql(update + "- 30 WHERE run = ?1 AND id = 1 AND balance >= 30");
  take->add_args(run_);
  take->mutable_expect()->set_exactly(1);
  transaction::BatchStatement* give = batch.add_statements();
  give->set_sql(update + "+ 30 WHERE run = ?1 AND id = 2");
  give->add_args(run_);
  transaction::BatchStatement* record = batch.add_statements();
  record->set_sql(std::string("INSERT INTO ") + kTransfers + " VALUES (?1, ?2, 30)");
  record->add_args(run_);
  record->add_args(note);
  return batch;
}

Status Scenario::CommitBatch() {
  const std::string request_id = run_ + "-" + std::to_string(next_request_++);
  const transaction::ExecuteBatchRequest batch = TransferBatch("batch");
  const auto commit = [&]() -> Status {
    ASSIGN_OR_RETURN(const std::vector<int64_t> rows, ExecuteBatch(batch, request_id));
    if (rows == std::vector<int64_t>{1, 1, 1}) return OkStatus();
    return FailedPrecondition("a batch of three statements answers otherwise than one row each");
  };
  RETURN_IF_ERROR(ExpectGrowth(kTransfers, 1, [&] { return ExpectGrowth(kAccounts, 2, commit); }));
  Say("a batch of 3 statements took effect");
  RETURN_IF_ERROR(ExpectGrowth(kTransfers, 0, [&] { return ExpectGrowth(kAccounts, 0, commit); }));
  Say("sent again, it got the same answer and changed nothing");
  return OkStatus();
}

Status Scenario::ExpectRolledBack(const transaction::ExecuteBatchRequest& batch, StatusCode code,
                                  uint32_t statement) {
  const auto fail = [&]() -> Status {
    const Status failure =
        ExecuteBatch(batch, run_ + "-" + std::to_string(next_request_++)).status();
    if (failure.ok()) return FailedPrecondition("a batch that must fail succeeded");
    if (failure.code() != code) return failure;
    if (failure.statement() == statement) return OkStatus();
    return FailedPrecondition("the error names statement " + std::to_string(failure.statement()) +
                              " and not " + std::to_string(statement) + ": " + failure.message());
  };
  return ExpectGrowth(kTransfers, 0, [&] { return ExpectGrowth(kAccounts, 0, fail); });
}

Status Scenario::RollBackBatches() {
  transaction::ExecuteBatchRequest twice = TransferBatch("bad");
  transaction::BatchStatement* bad = twice.add_statements();
  bad->set_sql(std::string("INSERT INTO ") + kAccounts + " VALUES (?1, 1, 'again', 0)");
  bad->add_args(run_);
  RETURN_IF_ERROR(ExpectRolledBack(twice, StatusCode::kAlreadyExists, 4));
  Say("a batch whose 4th statement fails was rolled back as a whole");
  transaction::ExecuteBatchRequest missed = TransferBatch("missed");
  missed.mutable_statements(1)->mutable_expect()->set_at_least(2);
  RETURN_IF_ERROR(ExpectRolledBack(missed, StatusCode::kAborted, 2));
  Say("a batch whose 2nd statement changes fewer rows than it must was rolled back as a whole");
  // Only the batch that took effect has moved anything.
  ASSIGN_OR_RETURN(
      const int64_t rows,
      Execute(std::string("UPDATE ") + kAccounts + " SET balance = balance WHERE run = '" + run_ +
              "' AND ((id = 1 AND balance = 70) OR (id = 2 AND balance = 130))"));
  if (rows == 2) return OkStatus();
  return FailedPrecondition("accounts 1 and 2 do not hold 70 and 130 after one transfer of 30");
}

Status Scenario::BatchCommitAndRollback() {
  std::vector<NodeClient*> reachable;
  RETURN_IF_ERROR(FindReachable(&reachable));
  RETURN_IF_ERROR(CreateTables());
  RETURN_IF_ERROR(InsertAtomically());
  RETURN_IF_ERROR(CommitBatch());
  RETURN_IF_ERROR(RollBackBatches());
  return CompareVersions();
}

}  // namespace cairn::tools
