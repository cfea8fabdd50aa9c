#include "state_machine/command_access.h"

#include <string>
#include <variant>
#include <vector>

#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

constexpr Privileges kRows = privilege::kRead | privilege::kWrite;

void Add(const Statement& statement, Needs* needs) {
  if (ChangesSchema(statement.sql)) {
    needs->everywhere |= kRows | privilege::kSchema;
  } else {
    needs->somewhere |= privilege::kWrite;
  }
}

struct Need {
  // Without enforced foreign keys the rows of other tables can be broken, and maintenance holds up all
  // writers for long.
  Needs operator()(const Execute& execute) const {
    Needs needs;
    if (execute.maintenance || execute.foreign_keys != ForeignKeys::kEnforced) {
      needs.everywhere = kRows | privilege::kSchema;
    }
    for (const Statement& statement : execute.statements) Add(statement, &needs);
    return needs;
  }
  // A session is for writes, and takes room.
  Needs operator()(const OpenSession&) const { return {0, privilege::kWrite}; }
  Needs operator()(const Prepare& prepare) const {
    Needs needs;
    Add(prepare.statement, &needs);
    return needs;
  }
  // Apply knows the statements. Whoever began a transaction may give it up.
  Needs operator()(const Commit&) const { return {0, privilege::kWrite}; }
  Needs operator()(const Rollback&) const { return {}; }
  // The cluster asks itself.
  Needs operator()(const AdvanceLease&) const { return {}; }
  Needs operator()(const Digest&) const { return {}; }
  Needs operator()(const MaintainTimeSeries&) const { return {}; }
  Needs operator()(const RaiseLevel&) const { return {privilege::kMembership, 0}; }
  Needs operator()(const RetainChanges&) const { return {privilege::kSchema, 0}; }
  Needs operator()(const Restore&) const { return {privilege::kRestore, 0}; }
  Needs operator()(const ChangeAccess&) const { return {privilege::kSecurity, 0}; }
  Needs operator()(const RecordAudit&) const { return {0, 0, /*of_node=*/true}; }
};

}  // namespace

bool ChangesSchema(std::string_view sql) {
  Tokenizer tokens(sql);
  Token first = tokens.Next();
  while (first.type == TokenType::kSemicolon) first = tokens.Next();
  return IsAnyWord(first, "CREATE", "ALTER", "DROP", "REINDEX", "ANALYZE", "PRAGMA");
}

Needs NeededBy(const Command& command) { return std::visit(Need{}, command.operation); }

Status Lacking(std::string_view principal, Privileges privileges, std::string_view table) {
  std::string on = table.empty() ? "" : " on " + std::string(table);
  const std::string_view limit =
      principal.starts_with(kNamedPrefix) ? ParseNamed(principal).limit : std::string_view();
  std::string advice = ": a principal with the privilege security can grant it (cairn grant)";
  // A grant does not widen a token.
  if ((privileges & ~PrivilegesOf(limit)) != 0 && !limit.empty()) {
    advice = ": its token is limited to " + std::string(limit);
  }
  return PermissionDenied(std::string(principal) + " lacks the privilege " + InWords(privileges) +
                          on + advice)
      .With(Outcome::kNotApplied);
}

Status CheckNeeds(std::string_view principal, Privileges everywhere, Privileges somewhere,
                  const Needs& needs) {
  if (needs.of_node && !principal.starts_with(kNodePrefix)) {
    return PermissionDenied("nodes of the cluster alone add to the audit")
        .With(Outcome::kNotApplied);
  }
  const Privileges missing = (needs.everywhere & ~everywhere) | (needs.somewhere & ~somewhere);
  return missing == 0 ? OkStatus() : Lacking(principal, missing, "");
}

}  // namespace cairn::state_machine
