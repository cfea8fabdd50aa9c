// StatementCompiler: compiles a client's statement on the writer's connection, and finds out what
// the statement touches and what its steps cost.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include "base/status.h"
#include "state_machine/command.h"
#include "state_machine/sqlite/authorizer.h"
#include "state_machine/sqlite/error_judge.h"
#include "state_machine/sqlite/program_cache.h"
#include "state_machine/sqlite/schema_catalog.h"

namespace cairn::state_machine {

// The bound on rows and columns of RETURNING, over all statements of a command. RowsTooLarge is the
// verdict past it.
inline constexpr size_t kResultRowsBytesMax = 1 << 20;
Status RowsTooLarge();

// Owned by the engine, and used on its thread only. The arguments must outlive it.
class StatementCompiler {
 public:
  StatementCompiler(WriteAuthorizer* authorizer, const SchemaCatalog* catalog, ErrorJudge* judge)
      : authorizer_(authorizer), catalog_(catalog), judge_(judge) {}

  // Called once, before all else.
  void Open(sqlite3* db) { db_ = db; }

  // The feature level decides what a text means.
  void SetLevel(uint64_t level) { level_ = level; }

  // The price of a statement before its first step, in steps of a WorkBudget. A node that does not
  // know the statement compiles it, so every node charges for the compilation.
  static uint64_t StepsBefore(const Statement& statement);

  // Fills a *program that has its text_price alone. If *verdict is not OK, the statement may not run.
  Status Compile(const Statement& statement, Program* program, Status* verdict);

  // Finds the HeldValues of a program that Compile has filled.
  Status FindHeld(Program* program) const;

  // Called after a statement with these facts changed the schema. *verdict is not OK if the new
  // object reads reserved names or is built on them, and so would fail at each use. SQLite resolves
  // a view only at its use. A view that cannot be resolved yet passes, and is refused when it is
  // read.
  Status CheckReadsNothingReserved(const ProgramFacts& facts, Status* verdict);

 private:
  Status CompileOnly(const Statement& statement, Program* program, Status* verdict);
  int CompileSelectAll(const std::string& name);
  void JudgeCost(const Statement& statement, Program* program) const;
  size_t BlobLiteralBytes(const Statement& statement, const ProgramFacts& facts) const;
  Status JudgeMeaning(const Program& program) const;
  Status NoteJoins(const Statement& statement, ProgramFacts* facts) const;
  void NoteChanges(ProgramFacts* facts) const;
  Status NoteIndirectReads(ProgramFacts* facts);
  std::set<std::string> ReadsOfView(const std::string& name);
  static Status TakeColumns(Program* program);

  WriteAuthorizer* const authorizer_;
  const SchemaCatalog* const catalog_;
  ErrorJudge* const judge_;
  sqlite3* db_ = nullptr;
  uint64_t level_ = 0;
};

}  // namespace cairn::state_machine
