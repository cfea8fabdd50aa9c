#include "state_machine/sqlite/statement_compiler.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "state_machine/feature_level.h"
#include "state_machine/sqlite/index_commands.h"
#include "state_machine/sqlite/joined_names.h"
#include "state_machine/sqlite/schema_charges.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/sql_tokens.h"
#include "state_machine/sqlite/statement.h"
#include "state_machine/sqlite/vector_sql.h"
#include "state_machine/sqlite/work_budget.h"
#include "state_machine/value_bytes.h"

namespace cairn::state_machine {
namespace {

// To sort the rows of an index takes one step of the machine, and to put an entry into the index, too. A
// row takes 10 steps in all, and as much time as 80.
constexpr uint64_t kPriceOfIndexes = 8;

bool BuildsIndex(std::string_view sql) {
  Tokenizer tokens(sql);
  Token token = tokens.Next();
  while (token.type == TokenType::kSemicolon) token = tokens.Next();
  if (IsWord(token, "REINDEX")) return true;
  if (!IsWord(token, "CREATE")) return false;
  token = tokens.Next();
  if (IsWord(token, "UNIQUE")) token = tokens.Next();
  return IsWord(token, "INDEX");
}

}  // namespace

Status RowsTooLarge() {
  return ResourceExhausted("the rows of RETURNING have more than " +
                           std::to_string(kResultRowsBytesMax) + " bytes");
}

uint64_t StatementCompiler::StepsBefore(const Statement& statement) {
  size_t bytes = 0;
  for (const Value& value : statement.positional) bytes += ContentBytes(value);
  for (const NamedValue& named : statement.named) bytes += ContentBytes(named.value);
  const size_t values = statement.positional.size() + statement.named.size();
  return kStepsPerStatement + statement.sql.size() + values + bytes / kBytesPerStep;
}

Status StatementCompiler::Compile(const Statement& statement, Program* program, Status* verdict) {
  *verdict = CheckSqlText(
      statement.sql, level_ >= kLevelDataPlatform ? LongLiterals::kAreFree : LongLiterals::kCount);
  if (!verdict->ok()) return OkStatus();
  const uint64_t expansions = catalog_->expansions().Of(statement.sql);
  *verdict = CheckExpansions(expansions);
  if (!verdict->ok()) return OkStatus();
  program->expansions = expansions * expansions;
  ColumnGrowth::Verdict columns = catalog_->columns().Judge(statement.sql);
  *verdict = std::move(columns.status);
  if (!verdict->ok()) return OkStatus();
  program->may_flatten = columns.may_flatten;
  program->grown_tokens = columns.grown;
  const FlatteningAllowed flattening(db_, columns.may_flatten, catalog_->columns().may_flatten());
  RETURN_IF_ERROR(CompileOnly(statement, program, verdict));
  if (!verdict->ok()) return OkStatus();
  *verdict = NoteJoins(statement, &program->facts);
  if (!verdict->ok()) return OkStatus();
  if (program->facts.changes_schema) {
    *verdict = CheckTimeSeriesAlone(*catalog_, statement.sql);
  } else {
    *verdict = CheckReadsOfStorage(*catalog_, program->facts);
  }
  if (!verdict->ok()) return OkStatus();
  JudgeCost(statement, program);
  ASSIGN_OR_RETURN(program->commands_index,
                   GivesLongIndexCommand(db_, *catalog_, program->facts, statement.sql));
  *verdict = JudgeMeaning(*program);
  if (!verdict->ok()) return OkStatus();
  ASSIGN_OR_RETURN(const bool runs_view,
                   RunsViewOfContent(db_, *catalog_, program->facts, statement.sql));
  if (runs_view) {
    *verdict = PermissionDenied(
        "the content of the full-text table is a view, and nothing counts the work of that view: a "
        "write may only insert rows into such a table, and give it the command 'delete'");
    return OkStatus();
  }
  NoteChanges(&program->facts);
  RETURN_IF_ERROR(NoteIndirectReads(&program->facts));
  *verdict = TakeColumns(program);
  return OkStatus();
}

Status StatementCompiler::CompileOnly(const Statement& statement, Program* program,
                                      Status* verdict) {
  // A command that fails leaves nothing in any case. To end the transaction would undo all earlier
  // commands too.
  std::string sql = WithoutRollback(statement.sql);
  if (level_ >= kLevelDataPlatform) {
    Result<std::string> text = WithVectorColumn(db_, sql);
    if (!text.ok()) {
      *verdict = text.status();
      return OkStatus();
    }
    sql = std::move(text).value();
  }
  const char* const end = sql.data() + sql.size();
  authorizer_->StartCompiling();
  sqlite3_stmt* raw = nullptr;
  const char* tail = nullptr;
  int rc = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                              SQLITE_PREPARE_PERSISTENT, &raw, &tail);
  program->stmt.reset(raw);
  program->sql = statement.sql;
  program->facts = authorizer_->facts();
  const Status refusal = authorizer_->refusal();
  sqlite3_stmt* second = nullptr;
  while (rc == SQLITE_OK && second == nullptr && tail < end) {
    rc = sqlite3_prepare_v3(db_, tail, static_cast<int>(end - tail), 0, &second, &tail);
  }
  sqlite3_finalize(second);
  authorizer_->SetMode(WriteAuthorizer::Mode::kInternal);
  if (!refusal.ok()) {
    *verdict = refusal;
  } else if (program->stmt != nullptr && (second != nullptr || rc == SQLITE_ERROR)) {
    *verdict = InvalidArgument("the text holds more than one statement");
  } else if (rc != SQLITE_OK) {
    return judge_->Judge(rc, "compile", verdict);
  } else if (program->stmt == nullptr) {
    *verdict = InvalidArgument("the text holds no statement");
  }
  return OkStatus();
}

Status StatementCompiler::FindHeld(Program* program) const {
  const bool searches = MaySearch(*catalog_, program->facts);
  if (!searches && !MayHoldValues(program->facts, program->sql)) return OkStatus();
  if (program->facts.sees_changes) {
    // The look sets changes() to zero, and only nodes that do not know the program look.
    program->held = {true, true, true, true, true};
    if (searches) program->searches.emplace_back();
    return OkStatus();
  }
  const FlatteningAllowed flattening(db_, program->may_flatten, catalog_->columns().may_flatten());
  return ForEachListing(db_, program->sql, [&](const ProgramListing& listing) {
    FindHeldValues(listing, &program->held);
    if (searches) FindSearches(listing, *catalog_, program->facts, &program->searches);
  });
}

void StatementCompiler::JudgeCost(const Statement& statement, Program* program) const {
  const ProgramFacts& facts = program->facts;
  const auto has_virtual = [this](const std::set<std::string>& names) {
    return std::any_of(names.begin(), names.end(),
                       [this](const std::string& name) { return catalog_->IsVirtual(name); });
  };
  const bool reads_virtual = has_virtual(facts.reads);
  program->touches_virtual = reads_virtual || has_virtual(facts.writes);
  if (reads_virtual) {
    program->price = kPriceOfVirtualReads;
  } else if (facts.reads.contains("json_each") || facts.reads.contains("json_tree")) {
    program->price = kPriceOfJsonTables;
  } else if (facts.changes_schema && BuildsIndex(statement.sql)) {
    program->price = kPriceOfIndexes;
  }
  uint64_t cursors = program->text_price.tables;
  for (const std::string& name : facts.schema_texts) {
    const CompilePrice trigger = catalog_->prices().OfTrigger(name);
    program->triggers_price += trigger.steps;
    cursors += trigger.trees;
    program->schema_bytes += catalog_->TextBytes(name);
    const uint64_t expansions = catalog_->expansions().OfTrigger(name);
    program->expansions += expansions * expansions;
  }
  program->blob_literal_bytes = BlobLiteralBytes(statement, facts);
  program->price = std::max(program->price, 1 + cursors / kCursorsPerStep);
  program->keep = !catalog_->has_long_literal() &&
                  !HasLongLiteral(statement.sql, static_cast<size_t>(kValueBytesAlways));
}

// Builds of lower levels do not look at blob literals, and store NULL for one that is too long.
size_t StatementCompiler::BlobLiteralBytes(const Statement& statement,
                                           const ProgramFacts& facts) const {
  if (level_ < kLevelDataPlatform) return 0;
  size_t longest = LongestBlobLiteral(statement.sql);
  for (const auto* names : {&facts.schema_texts, &facts.reads, &facts.writes}) {
    for (const std::string& name : *names) {
      longest = std::max(longest, catalog_->LongestBlobLiteralOf(name));
    }
  }
  return longest;
}

Status StatementCompiler::JudgeMeaning(const Program& program) const {
  sqlite3_stmt* const stmt = program.stmt.get();
  const ProgramFacts& facts = program.facts;
  if (sqlite3_stmt_isexplain(stmt) != 0 ||
      (sqlite3_stmt_readonly(stmt) != 0 && sqlite3_column_count(stmt) > 0)) {
    return InvalidArgument("this statement only reads: use Query");
  }
  if (facts.writes_statistics && !facts.changes_schema) {
    return PermissionDenied("the planner's statistics are written by ANALYZE alone");
  }
  if (program.touches_virtual && facts.recursive) {
    // The work would be unbounded. Virtual tables compile statements of their own when they need
    // them, so their work cannot be counted alike on a fresh node and a warm one.
    return InvalidArgument("a write to or from a virtual table may not use WITH RECURSIVE");
  }
  const bool reads_rank = facts.reads_rank && std::any_of(facts.reads.begin(), facts.reads.end(),
                                                          [this](const std::string& table) {
                                                            return catalog_->IsVirtual(table);
                                                          });
  if (!reads_rank) return OkStatus();
  return PermissionDenied(
      "rank is computed with log(), whose last bits differ between nodes; a write may not read it");
}

// SQLite does not report what is joined by USING or NATURAL. Every table that a text names counts as
// read, so at worst a table is charged or held that need not be. Builds of lower levels count what
// SQLite reports.
Status StatementCompiler::NoteJoins(const Statement& statement, ProgramFacts* facts) const {
  if (level_ < kLevelDataPlatform) return OkStatus();
  const NamesOfSchema& schema = catalog_->names();
  if (!schema.joins_by_name() && !JoinsByName(statement.sql)) return OkStatus();
  RETURN_IF_ERROR(CheckJoinsOfWrite(statement.sql));
  const NamesOfSchema::Reached reached = schema.From(statement.sql, facts->schema_texts);
  RETURN_IF_ERROR(reached.refusal);
  for (const std::string& name : reached.names) {
    const bool is_function = name == kTopKTable || name == "json_each" || name == "json_tree";
    if (is_function || catalog_->HasTable(name) || catalog_->IsView(name)) {
      facts->reads.insert(name);
    }
  }
  facts->reads_rank = facts->reads_rank || reached.names.contains("rank");
  return OkStatus();
}

// SQLite reports no call in a DEFAULT, and for a call in a trigger only the name of the trigger.
// The texts of the schema tell the rest. A table counts if its text has such a call at all, even if
// the statement does not use that DEFAULT.
void StatementCompiler::NoteChanges(ProgramFacts* facts) const {
  const bool by_default =
      std::any_of(facts->writes.begin(), facts->writes.end(),
                  [this](const std::string& table) { return catalog_->TableCallsChanges(table); });
  facts->sees_changes = facts->sees_changes || by_default;
  facts->sees_changes_first =
      by_default || facts->asks_for_changes ||
      std::any_of(facts->changes_callers.begin(), facts->changes_callers.end(),
                  [this](const std::string& caller) {
                    return !catalog_->TriggerCallsChangesBehindItsOwn(caller);
                  });
}

// SQLite does not report what virtual tables read by their own statements, nor which tables are
// their storage. Two-phase commit must know both, to hold what a prepared statement saw.
// The index that vector_top_k() searches is known only when it runs.
Status StatementCompiler::NoteIndirectReads(ProgramFacts* facts) {
  if (facts->reads.contains(kTopKTable)) {
    RETURN_IF_ERROR(AddTablesOfVectorIndexes(db_, &facts->reads));
  }
  std::vector<std::string> todo(facts->reads.begin(), facts->reads.end());
  todo.insert(todo.end(), facts->writes.begin(), facts->writes.end());
  while (!todo.empty()) {
    const std::string name = std::move(todo.back());
    todo.pop_back();
    std::vector<std::string> found = catalog_->NamedBy(name);
    if (std::string owner = catalog_->OwnerForCharges(name); !owner.empty()) {
      found.push_back(std::move(owner));
    }
    for (const std::string& each : found) {
      if (!facts->reads.insert(each).second) continue;
      todo.push_back(each);
      if (!catalog_->IsView(each)) continue;
      for (const std::string& behind : ReadsOfView(each)) {
        if (facts->reads.insert(behind).second) todo.push_back(behind);
      }
    }
  }
  return OkStatus();
}

std::set<std::string> StatementCompiler::ReadsOfView(const std::string& name) {
  authorizer_->StartCompiling();
  // A view that does not compile cannot be read through the virtual table.
  CompileSelectAll(name);
  authorizer_->SetMode(WriteAuthorizer::Mode::kInternal);
  return authorizer_->facts().reads;
}

int StatementCompiler::CompileSelectAll(const std::string& name) {
  char* const sql = sqlite3_mprintf("SELECT * FROM main.\"%w\"", name.c_str());
  sqlite3_stmt* stmt = nullptr;
  const int rc = sqlite3_prepare_v2(db_, sql, -1, &stmt, nullptr);
  sqlite3_finalize(stmt);
  sqlite3_free(sql);
  return rc;
}

Status StatementCompiler::TakeColumns(Program* program) {
  sqlite3_stmt* const stmt = program->stmt.get();
  for (int i = 0; i < sqlite3_column_count(stmt); ++i) {
    const char* name = sqlite3_column_name(stmt, i);
    const char* type = sqlite3_column_decltype(stmt, i);
    program->columns.push_back({name == nullptr ? "" : name, type == nullptr ? "" : type});
    const Column& column = program->columns.back();
    program->columns_bytes += kColumnBytes + column.name.size() + column.decl_type.size();
    // For example, a column that is returned 2000 times and has a type as long as a statement.
    if (program->columns_bytes > kResultRowsBytesMax) return RowsTooLarge();
  }
  return OkStatus();
}

Status StatementCompiler::CheckReadsNothingReserved(const ProgramFacts& facts, Status* verdict) {
  for (const std::string& table : facts.writes) {
    for (const std::string& named : catalog_->NamedBy(table)) {
      if (IsReservedName(named)) *verdict = PermissionDenied(named + " is internal to Cairn");
    }
  }
  if (facts.created_view.empty() || !verdict->ok()) return OkStatus();
  authorizer_->StartInspecting();
  const int rc = CompileSelectAll(facts.created_view);
  authorizer_->SetMode(WriteAuthorizer::Mode::kInternal);
  *verdict = authorizer_->refusal();
  Status unresolved;
  return rc == SQLITE_OK || !verdict->ok() ? OkStatus()
                                           : judge_->Judge(rc, "compile a view", &unresolved);
}

}  // namespace cairn::state_machine
