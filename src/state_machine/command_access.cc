#include "state_machine/command_access.h"

#include <algorithm>
#include <string>
#include <variant>
#include <vector>

#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

Privileges NeededBy(const Statement& statement) {
  using namespace privilege;
  return kRead | kWrite | (ChangesSchema(statement.sql) ? kSchema : 0);
}

struct Need {
  Privileges operator()(const Execute& execute) const {
    Privileges needed = privilege::kRead | privilege::kWrite;
    for (const Statement& statement : execute.statements) needed |= NeededBy(statement);
    return needed;
  }
  Privileges operator()(const OpenSession&) const { return 0; }
  Privileges operator()(const Prepare& prepare) const { return NeededBy(prepare.statement); }
  // Who may end a transaction is told by its owner.
  Privileges operator()(const Commit&) const { return privilege::kWrite; }
  Privileges operator()(const Rollback&) const { return privilege::kWrite; }
  // The cluster asks itself.
  Privileges operator()(const AdvanceLease&) const { return 0; }
  Privileges operator()(const Digest&) const { return 0; }
  Privileges operator()(const MaintainTimeSeries&) const { return 0; }
  Privileges operator()(const RaiseLevel&) const { return privilege::kMembership; }
  Privileges operator()(const RetainChanges&) const { return privilege::kSchema; }
  Privileges operator()(const Restore&) const { return privilege::kRestore; }
  Privileges operator()(const ChangeAccess&) const { return privilege::kSecurity; }
};

}  // namespace

bool ChangesSchema(std::string_view sql) {
  Tokenizer tokens(sql);
  Token first = tokens.Next();
  while (first.type == TokenType::kSemicolon) first = tokens.Next();
  return IsAnyWord(first, "CREATE", "ALTER", "DROP", "REINDEX", "ANALYZE");
}

Privileges NeededBy(const Command& command) { return std::visit(Need{}, command.operation); }

Status CheckPrivileges(std::string_view principal, Privileges has, Privileges needed) {
  if ((needed & ~has) == 0) return OkStatus();
  return PermissionDenied(std::string(principal) + " lacks the privilege " +
                          InWords(needed & ~has) +
                          ": a principal with the privilege security can grant it (cairn grant)")
      .With(Outcome::kNotApplied);
}

}  // namespace cairn::state_machine
