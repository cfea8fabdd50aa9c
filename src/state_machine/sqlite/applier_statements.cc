// Applier, continued: the statements of one command, their results, and the versions of what they write.
#include <set>
#include <string>
#include <utility>

#include "base/text.h"
#include "state_machine/sqlite/applier.h"
#include "state_machine/value_bytes.h"

namespace cairn::state_machine {

namespace {

Status CheckRows(const RowExpectation& expect, const StatementResult& result) {
  const bool returns = !result.columns.empty();
  const uint64_t rows = returns ? result.rows.size() : static_cast<uint64_t>(result.rows_affected);
  switch (expect.kind) {
    case RowExpectation::Kind::kAny: return OkStatus();
    case RowExpectation::Kind::kExactly:
      if (rows == expect.rows) return OkStatus();
      break;
    case RowExpectation::Kind::kAtLeast:
      if (rows >= expect.rows) return OkStatus();
      break;
  }
  const bool exactly = expect.kind == RowExpectation::Kind::kExactly;
  return Aborted(std::string(exactly ? "exactly " : "at least ") + Counted(expect.rows, "row") +
                 " had to be " + (returns ? "returned" : "changed") + ", and there were " +
                 std::to_string(rows))
      .With(Reason::kUnexpectedRows);
}

// The bound on results that wait for the commit of their transaction.
constexpr size_t kResultsHeldBytesMax = 32 << 20;

}  // namespace

// Results wait for the commit of their transaction. This function bounds the memory that they take
// meanwhile. It changes only what this node tells the client, because the result is already
// recorded.
void Applier::HoldResult(CommandResult* result) {
  size_t bytes = 0;
  for (const StatementResult& each : result->statements) bytes += HeldBytes(each);
  results_held_bytes_ += bytes;
  if (bytes == 0 || results_held_bytes_ <= kResultsHeldBytesMax) return;
  result->statements.clear();
  result->status =
      ResourceExhausted(
          "applied, but its rows are left out: the results of what was applied with it are too "
          "large; ask for fewer rows at a time")
          .With(Outcome::kApplied)
          .With(Reason::kResultTooLarge);
}

Status Applier::RunStatements(std::span<const Statement> statements,
                              std::span<const RowExpectation> expect, const std::string* tx_id,
                              std::vector<StatementResult>* results, Status* verdict) {
  results->resize(statements.size());
  for (size_t i = 0; i < statements.size(); ++i) {
    RETURN_IF_ERROR(RunStatement(statements[i], tx_id, &(*results)[i], verdict, nullptr));
    if (verdict->ok() && !expect.empty()) *verdict = CheckRows(expect[i], (*results)[i]);
    if (verdict->ok()) continue;
    *verdict = FailureOf(i, statements.size(), std::move(*verdict));
    return OkStatus();
  }
  return OkStatus();
}

Status Applier::RunStatement(const Statement& statement, const std::string* tx_id,
                             StatementResult* result, Status* verdict, ProgramFacts* facts) {
  Program* program = nullptr;
  RETURN_IF_ERROR(engine_->Compile(statement, &program, verdict));
  if (!verdict->ok()) return OkStatus();
  if (tx_id != nullptr && txs_.any_prepared()) {
    *verdict = txs_.CheckConflicts(program->facts, *tx_id);
    if (!verdict->ok()) return OkStatus();
  }
  if (facts != nullptr) *facts = program->facts;
  // A change of the schema frees the program, and may change the name of a table. A table that the
  // command itself has created may still be undone, so its counter is not created here.
  const bool changes_schema = program->facts.changes_schema;
  std::set<std::string> written;
  std::string altered;
  if (changes_schema) {
    written = program->facts.writes;
    altered = program->facts.altered_table;
  } else if (program->counters.empty() && !engine_->schema_changed_in_command()) {
    program->counters.push_back(versions_.Counter(""));
    for (const std::string& table : program->facts.writes) {
      // Views are written through their triggers.
      if (engine_->catalog().HasTable(table)) {
        program->counters.push_back(versions_.Counter(table));
      }
    }
  }
  RETURN_IF_ERROR(engine_->Run(program, statement, result, verdict));
  if (!verdict->ok()) return OkStatus();
  if (!changes_schema) {
    for (VersionCounter* counter : program->counters) version_changes_.push_back({counter, {}, {}});
    if (program->counters.empty()) NoteVersionsByName(program->facts.writes);
    return OkStatus();
  }
  version_changes_.push_back({versions_.Counter(""), {}, {}});
  const std::string& renamed_to = engine_->renamed_to();
  for (const std::string& table : written) {
    const bool remains = engine_->catalog().HasTable(table) || !renamed_to.empty();
    version_changes_.push_back({nullptr, table, remains ? table : std::string()});
  }
  if (!renamed_to.empty()) version_changes_.push_back({nullptr, altered, renamed_to});
  return OkStatus();
}

void Applier::NoteVersionsByName(const std::set<std::string>& written) {
  version_changes_.push_back({versions_.Counter(""), {}, {}});
  for (const std::string& table : written) {
    if (engine_->catalog().HasTable(table)) version_changes_.push_back({nullptr, table, table});
  }
}

void Applier::CountVersions() {
  for (const VersionChange& change : version_changes_) {
    if (change.counter != nullptr) {
      versions_.Add(change.counter, 1);
    } else if (change.to.empty()) {
      versions_.Drop(change.from);
    } else if (change.to == change.from) {
      versions_.AddToTable(change.from);
    } else {
      versions_.Rename(change.from, change.to);
    }
  }
}

}  // namespace cairn::state_machine
