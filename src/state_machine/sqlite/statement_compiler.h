// StatementCompiler: compiles a client's statement on the writer's connection, and finds out what it
// touches and what its steps cost.
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

// Rows and columns of RETURNING, over all statements of one command; and the verdict on more.
inline constexpr size_t kResultRowsBytesMax = 1 << 20;
Status RowsTooLarge();

// The engine's; its thread only. What it is given outlives it.
class StatementCompiler {
 public:
  StatementCompiler(WriteAuthorizer* authorizer, const SchemaCatalog* catalog, ErrorJudge* judge)
      : authorizer_(authorizer), catalog_(catalog), judge_(judge) {}

  // Once, before all else.
  void Open(sqlite3* db) { db_ = db; }

  // What a statement costs before its first step, in steps of a WorkBudget. A node that does not know
  // the statement compiles it, so it counts as compiled on every node.
  static uint64_t StepsBefore(const Statement& statement);

  // Fills an empty *program. A verdict that is not OK: the statement may not run.
  Status Compile(const Statement& statement, Program* program, Status* verdict);

  // Of a program that Compile has filled.
  Status FindHeld(Program* program) const;

  // After a change of the schema by a statement with these facts. A verdict that is not OK: what the
  // statement has made reads or is made over what is reserved, and would fail at each use. SQLite
  // resolves a view only when it is used; a view that cannot be resolved yet is let pass, and refused
  // when it is read.
  Status CheckReadsNothingReserved(const ProgramFacts& facts, Status* verdict);

 private:
  Status CompileOnly(const Statement& statement, Program* program, Status* verdict);
  int CompileSelectAll(const std::string& name);
  void JudgeCost(const Statement& statement, Program* program) const;
  Status JudgeMeaning(const Program& program) const;
  void NoteChanges(ProgramFacts* facts) const;
  void NoteIndirectReads(ProgramFacts* facts);
  std::set<std::string> ReadsOfView(const std::string& name);
  static Status TakeColumns(Program* program);

  WriteAuthorizer* const authorizer_;
  const SchemaCatalog* const catalog_;
  ErrorJudge* const judge_;
  sqlite3* db_ = nullptr;
};

}  // namespace cairn::state_machine
