// Applier: Prepare, Commit and Rollback.

#include <algorithm>
#include <utility>

#include "state_machine/sqlite/applier.h"
#include "state_machine/sqlite/request_memory.h"

namespace cairn::state_machine {

Status Applier::ApplyPrepare(const Operation& operation, const Place& place,
                             CommandResult* result) {
  const auto& prepare = std::get<Prepare>(operation);
  result->status = CheckOwner(prepare.tx_id, place);
  if (!result->status.ok()) return OkStatus();
  const PreparedTx* const known = txs_.FindPrepared(prepare.tx_id);
  if (prepare.tx_id.empty() || prepare.tx_id.size() > kTxIdBytesMax) {
    result->status =
        InvalidArgument("a transaction id has 1 to " + std::to_string(kTxIdBytesMax) + " bytes");
  } else if (prepare.timeout_ms > kPrepareTimeoutMaxMs) {
    result->status = InvalidArgument("a transaction may stay prepared for at most " +
                                     std::to_string(kPrepareTimeoutMaxMs) + " ms");
  } else if (txs_.FindEnded(prepare.tx_id) != nullptr) {
    result->status =
        FailedPrecondition("the transaction '" + prepare.tx_id + "' has ended already");
  } else if (IsOutOfPlace(prepare, known, result)) {
    return OkStatus();
  } else if (known != nullptr && known->statements.size() >= kStatementsPerTxMax) {
    result->status =
        ResourceExhausted("the transaction has " + std::to_string(kStatementsPerTxMax) +
                          " statements already: do more in each")
            .With(Outcome::kNotApplied);
  } else {
    if (known == nullptr) {
      result->status = txs_.CheckRoomForId(std::string(place.principal), prepare.tx_id);
      if (!result->status.ok()) return OkStatus();
    }
    const uint64_t before = known == nullptr ? kTxBytes : BytesOf(*known);
    result->status = txs_.CheckRoom(known == nullptr ? std::string(place.principal) : known->owner,
                                    prepare.tx_id, before + BytesOf(prepare.statement));
  }
  if (!result->status.ok()) return OkStatus();

  const BatchHeader& header = *place.header;
  PreparedTx tx;
  if (known != nullptr) {
    tx = *known;
  } else {
    tx.id = prepare.tx_id;
    tx.owner = place.principal;
    tx.number = place.number;
    tx.wall_ms = header.wall_ms;
    tx.seed = SeedOf(place);
  }
  const uint64_t timeout = prepare.timeout_ms == 0 ? kPrepareTimeoutDefaultMs : prepare.timeout_ms;
  tx.deadline_lease_ms = std::max(tx.deadline_lease_ms, place.lease_ms + timeout);

  RETURN_IF_ERROR(
      engine_->BeginCommand({tx.wall_ms, tx.seed, header.command_steps_max, false}, nullptr));
  Status verdict;
  StatementResult staged;
  RETURN_IF_ERROR(StagePrepared(prepare, &tx, &staged, &verdict));
  RETURN_IF_ERROR(engine_->EndCommand(/*keep=*/false, &verdict));
  if (MustRunAgain()) return OkStatus();
  // Checks again, now with the names of the tables that the transaction holds.
  if (verdict.ok()) verdict = txs_.CheckRoom(tx.owner, tx.id, BytesOf(tx));
  result->status = verdict;
  result->steps = StepsOfCommand();
  if (engine_->batch_lost()) LeaveOut(place, *result);
  if (!verdict.ok()) return OkStatus();
  result->statements.push_back(std::move(staged));
  return txs_.Stage(std::move(tx));
}

// True if the number of the statement shows that it is not the next one of its transaction. The bad
// schedule without the number: a transaction of two statements expires and is forgotten; its second
// Prepare comes late and begins a new transaction; the Commit applies half and returns OK.
bool Applier::IsOutOfPlace(const Prepare& prepare, const PreparedTx* known,
                           CommandResult* result) const {
  const uint64_t staged = known == nullptr ? 0 : known->statements.size();
  if (prepare.number == 0 || prepare.number == staged + 1) return false;
  const std::string which =
      "statement " + std::to_string(prepare.number) + " of the transaction '" + prepare.tx_id + "'";
  if (prepare.number > staged) {
    result->status = FailedPrecondition(which + " came, but " + std::to_string(staged) +
                                        " are prepared: the transaction has expired, or an earlier "
                                        "Prepare has failed; roll it back");
  } else if (known->statements[prepare.number - 1] == prepare.statement) {
    result->result_gone = true;  // sent again
  } else {
    result->status =
        FailedPrecondition(which + " is prepared already, and is another one; roll it back");
  }
  return true;
}

Status Applier::StagePrepared(const Prepare& prepare, PreparedTx* tx, StatementResult* result,
                              Status* verdict) {
  // The new statement must see the effects of the earlier ones.
  std::vector<StatementResult> unused;
  RETURN_IF_ERROR(RunStatements(tx->statements, {}, nullptr, &unused, verdict));
  if (!verdict->ok()) return OkStatus();
  ProgramFacts facts;
  RETURN_IF_ERROR(RunStatement(prepare.statement, &tx->id, result, verdict, &facts));
  if (!verdict->ok()) return OkStatus();
  *verdict = engine_->CheckDeferred();
  if (!verdict->ok()) return OkStatus();
  for (auto [from, to] :
       {std::pair(&facts.reads, &tx->reads), std::pair(&facts.writes, &tx->writes)}) {
    to->insert(from->begin(), from->end());
  }
  tx->holds_all = tx->holds_all || facts.changes_schema || facts.writes_sequence;
  tx->statements.push_back(prepare.statement);
  return OkStatus();
}

Status Applier::ApplyCommit(const Operation& operation, const Place& place, CommandResult* result) {
  const auto& commit = std::get<Commit>(operation);
  result->status = CheckOwner(commit.tx_id, place);
  if (!result->status.ok()) return OkStatus();
  const PreparedTx* const known = txs_.FindPrepared(commit.tx_id);
  if (known == nullptr) {
    *result = AnswerToEnded(commit.tx_id, std::move(*result));
    return OkStatus();
  }
  if (commit.statements != 0 && commit.statements != known->statements.size()) {
    result->status = FailedPrecondition(
        "the transaction '" + commit.tx_id + "' has " + std::to_string(known->statements.size()) +
        " prepared statements, and the Commit is of " + std::to_string(commit.statements) +
        ": it is not the transaction that was meant, or not all of it; roll it back");
    return OkStatus();
  }
  // Without a budget, because Commit may not fail for reasons of SQL. The last Prepare did the same
  // work within a budget.
  RETURN_IF_ERROR(
      engine_->BeginCommand({known->wall_ms, known->seed, /*steps_max=*/0, false}, nullptr));
  version_changes_.clear();
  Status verdict;
  RETURN_IF_ERROR(RunStatements(known->statements, {}, nullptr, &result->statements, &verdict));
  RETURN_IF_ERROR(engine_->EndCommand(/*keep=*/true, &verdict));
  if (MustRunAgain()) return OkStatus();
  result->steps = StepsOfCommand();
  if (verdict.ok()) {
    CountVersions();
    return txs_.Finish(commit.tx_id, TxState::kCommitted, place.number, known->owner);
  }
  result->status = Internal("a prepared statement failed: " + verdict.message());
  if (engine_->batch_lost()) {
    LeaveOut(place, *result, commit.tx_id);
    return OkStatus();
  }
  return txs_.Finish(commit.tx_id, TxState::kRolledBack, place.number, known->owner);
}

// The answer to a Commit of a transaction that is not prepared.
CommandResult Applier::AnswerToEnded(const std::string& tx_id, CommandResult result) const {
  const EndedTx* const known = txs_.FindEnded(tx_id);
  if (known == nullptr) {
    result.status = NotFound("no transaction '" + tx_id + "' is known");
    if (txs_.ended_from() == 0) return result;
    result.status = std::move(result.status)
                        .Prefixed("it was not prepared, or has ended longer ago than is remembered")
                        .With(Outcome::kUnknown);
    return result;
  }
  switch (known->state) {
    case TxState::kCommitted:
      result.index = IndexOfCommand(known->number);
      result.result_gone = true;
      return result;
    case TxState::kExpired:
      result.status = FailedPrecondition("the transaction '" + tx_id +
                                         "' was not committed before its deadline and has expired");
      return result;
    default:
      result.status = FailedPrecondition("the transaction '" + tx_id + "' was rolled back");
      return result;
  }
}

Status Applier::ApplyRollback(const Operation& operation, const Place& place,
                              CommandResult* result) {
  const auto& rollback = std::get<Rollback>(operation);
  if (rollback.tx_id.empty() || rollback.tx_id.size() > kTxIdBytesMax) {
    result->status =
        InvalidArgument("a transaction id has 1 to " + std::to_string(kTxIdBytesMax) + " bytes");
    return OkStatus();
  }
  result->status = CheckOwner(rollback.tx_id, place);
  if (!result->status.ok()) return OkStatus();
  if (const EndedTx* const ended = txs_.FindEnded(rollback.tx_id)) {
    if (ended->state == TxState::kCommitted) {
      result->status =
          FailedPrecondition("the transaction '" + rollback.tx_id + "' is committed already");
    }
    return OkStatus();
  }
  const std::string owner(place.principal);
  if (txs_.FindPrepared(rollback.tx_id) == nullptr) {
    result->status = txs_.CheckRoomForId(owner, rollback.tx_id);
    if (!result->status.ok()) return OkStatus();
  }
  return txs_.Finish(rollback.tx_id, TxState::kRolledBack, place.number, owner);
}

}  // namespace cairn::state_machine
