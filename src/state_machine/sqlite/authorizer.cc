#include "state_machine/sqlite/authorizer.h"

#include <algorithm>
#include <iterator>

#include "state_machine/sqlite/local_tables.h"
#include "state_machine/sqlite/pragmas.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/write_functions.h"

namespace cairn::state_machine {
namespace {

// Modules whose tables keep all their data in the database.
constexpr std::string_view kModules[] = {"fts3",      "fts4",  "fts4aux",  "fts5",
                                         "fts5vocab", "rtree", "rtree_i32"};
constexpr std::string_view kTimeSeries = "timeseries";
// What full-text tables compute of a row that they have found.
constexpr std::string_view kOfFullText[] = {"highlight", "matchinfo", "offsets", "snippet"};

template <size_t n>
bool IsOneOf(const std::string_view (&list)[n], std::string_view lower_name) {
  return std::find(std::begin(list), std::end(list), lower_name) != std::end(list);
}

std::string_view OrEmpty(const char* text) {
  return text == nullptr ? std::string_view() : std::string_view(text);
}

bool IsSchemaTable(std::string_view lower_name) {
  return lower_name == "sqlite_master" || lower_name == "sqlite_schema";
}

}  // namespace

Status TableNameTooLong() {
  return InvalidArgument("the name of a table has at most " + std::to_string(kTableNameBytesMax) +
                         " bytes");
}

void WriteAuthorizer::StartCompiling() {
  mode_ = Mode::kCompiling;
  facts_ = ProgramFacts();
  last_text_.clear();
  refusal_ = OkStatus();
}

void WriteAuthorizer::StartInspecting() {
  StartCompiling();
  mode_ = Mode::kInspecting;
}

int WriteAuthorizer::Authorize(void* self, int action, const char* a, const char* b,
                               const char* schema, const char* trigger) {
  auto* const authorizer = static_cast<WriteAuthorizer*>(self);
  switch (authorizer->mode_) {
    case Mode::kInternal: return SQLITE_OK;
    case Mode::kRunning:
      // An FTS table can name any table as its content.
      return IsReservedName(OrEmpty(a)) ? SQLITE_DENY : SQLITE_OK;
    case Mode::kInspecting:
      return action == SQLITE_READ ? authorizer->CheckReserved(OrEmpty(a)) : SQLITE_OK;
    case Mode::kCompiling:
      authorizer->NoteOrigin(action, OrEmpty(b), trigger);
      return authorizer->Check(action, OrEmpty(a), b, OrEmpty(schema));
  }
  return SQLITE_DENY;
}

void WriteAuthorizer::NoteOrigin(int action, std::string_view function, const char* trigger) {
  if (trigger != nullptr && last_text_ != trigger) {
    last_text_ = trigger;
    facts_.schema_texts.insert(LowerCase(trigger));
  }
  if (action == SQLITE_INSERT && trigger != nullptr) facts_.inserting_triggers.insert(trigger);
  if (action == SQLITE_SELECT) {
    facts_.selects = true;
    facts_.selects_within = facts_.selects_within || trigger != nullptr;
  }
  if (action != SQLITE_FUNCTION) return;
  facts_.calls = true;
  const std::string lower = LowerCase(function);
  const bool changes = lower == "changes" || lower == "total_changes";
  facts_.sees_changes = facts_.sees_changes || changes;
  // SQLite reports a view as a trigger here.
  if (trigger != nullptr) {
    if (changes) facts_.changes_callers.insert(LowerCase(trigger));
    return;
  }
  facts_.asks_for_changes = facts_.asks_for_changes || changes;
  if (lower == "last_insert_rowid") facts_.asks_for_rowid = true;
}

int WriteAuthorizer::Refuse(std::string message) {
  if (refusal_.ok()) refusal_ = PermissionDenied(std::move(message));
  return SQLITE_DENY;
}

int WriteAuthorizer::Check(int action, std::string_view a, const char* b, std::string_view schema) {
  switch (action) {
    case SQLITE_SELECT: return SQLITE_OK;
    case SQLITE_RECURSIVE: facts_.recursive = true; return SQLITE_OK;
    case SQLITE_READ: return CheckRead(a, OrEmpty(b));
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
      // ALTER TABLE RENAME also searches the temporary tables. There are none.
      if (schema == "temp" && !facts_.alters_table)
        return Refuse("TEMP tables and triggers are not replicated");
      if (action != SQLITE_INSERT) facts_.rewrites.insert(LowerCase(a));
      if (action == SQLITE_UPDATE) facts_.updates[LowerCase(a)].insert(LowerCase(OrEmpty(b)));
      return CheckWrite(a);
    case SQLITE_FUNCTION: return CheckFunction(OrEmpty(b));
    case SQLITE_PRAGMA: return CheckPragma(a, b != nullptr);
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_TABLE:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_CREATE_VIEW:
    case SQLITE_CREATE_VTABLE:
    case SQLITE_DROP_INDEX:
    case SQLITE_DROP_TABLE:
    case SQLITE_DROP_TRIGGER:
    case SQLITE_DROP_VIEW:
    case SQLITE_DROP_VTABLE:
    case SQLITE_REINDEX:
    case SQLITE_ANALYZE: return CheckSchemaChange(action, a, OrEmpty(b));
    // ALTER TABLE names the schema first.
    case SQLITE_ALTER_TABLE: return CheckSchemaChange(action, OrEmpty(b), OrEmpty(b));
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
    case SQLITE_DROP_TEMP_INDEX:
    case SQLITE_DROP_TEMP_TABLE:
    case SQLITE_DROP_TEMP_TRIGGER:
    case SQLITE_DROP_TEMP_VIEW: return Refuse("TEMP objects are not replicated");
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
      return Refuse(
          "BEGIN, COMMIT, ROLLBACK and SAVEPOINT are not replicated; send the statements together "
          "in one request, or use Prepare and Commit");
    case SQLITE_ATTACH:
    case SQLITE_DETACH: return Refuse("ATTACH and DETACH are not replicated");
    default: return Refuse("this kind of statement is not replicated");
  }
}

int WriteAuthorizer::CheckSchemaChange(int action, std::string_view name,
                                       std::string_view on_table) {
  if (IsReservedName(name) || IsReservedName(on_table)) {
    // Left out of an ANALYZE of all tables, because the contents of these tables are not settled
    // within a batch.
    if (action == SQLITE_ANALYZE) return SQLITE_IGNORE;
    return Refuse("names that start with _cairn_ are reserved");
  }
  const bool makes_table = action == SQLITE_CREATE_TABLE || action == SQLITE_CREATE_VTABLE;
  if (makes_table && name.size() > kTableNameBytesMax) {
    if (refusal_.ok()) refusal_ = TableNameTooLong();
    return SQLITE_DENY;
  }
  facts_.changes_schema = true;
  const std::string lower = LowerCase(name);
  switch (action) {
    case SQLITE_CREATE_VTABLE:
      if (!IsOneOf(kModules, LowerCase(on_table)) &&
          !(allows_time_series_ && LowerCase(on_table) == kTimeSeries)) {
        return Refuse("virtual tables of module " + std::string(on_table) + " are not replicated");
      }
      facts_.writes.insert(lower);
      break;
    case SQLITE_CREATE_TABLE: facts_.writes.insert(lower); break;
    case SQLITE_CREATE_VIEW: facts_.created_view = lower; break;
    case SQLITE_DROP_TABLE:
    case SQLITE_DROP_VTABLE:
      facts_.writes.insert(lower);
      facts_.dropped_table = lower;
      facts_.drops_or_alters = true;
      break;
    case SQLITE_CREATE_INDEX: facts_.indexed_table = LowerCase(on_table); break;
    case SQLITE_REINDEX: facts_.rebuilt_indexes.insert(lower); break;
    case SQLITE_DROP_INDEX: facts_.dropped_index = lower; [[fallthrough]];
    case SQLITE_DROP_TRIGGER:
    case SQLITE_DROP_VIEW: facts_.drops_or_alters = true; break;
    case SQLITE_ALTER_TABLE:
      facts_.drops_or_alters = true;
      facts_.alters_table = true;
      facts_.altered_table = lower;
      facts_.writes.insert(lower);
      break;
    default: break;
  }
  return SQLITE_OK;
}

int WriteAuthorizer::CheckWrite(std::string_view table) {
  const std::string lower = LowerCase(table);
  if (CheckReserved(lower) != SQLITE_OK) return SQLITE_DENY;
  if (lower.starts_with("sqlite_stat")) facts_.writes_statistics = true;
  if (lower == "sqlite_sequence" && !facts_.changes_schema) facts_.writes_sequence = true;
  // SQLite itself guards sqlite_schema. A write that is reported here is part of a change of the
  // schema.
  if (!lower.starts_with("sqlite_")) facts_.writes.insert(lower);
  return SQLITE_OK;
}

int WriteAuthorizer::CheckReserved(std::string_view table) {
  return IsReservedName(table) ? Refuse(std::string(table) + " is internal to Cairn") : SQLITE_OK;
}

int WriteAuthorizer::CheckRead(std::string_view table, std::string_view column) {
  const std::string lower = LowerCase(table);
  if (CheckReserved(lower) != SQLITE_OK) return SQLITE_DENY;
  // ADD COLUMN uses pragma_quick_check to find rows that break the new column's constraints.
  if (facts_.alters_table && lower == "pragma_quick_check") return SQLITE_OK;
  if (IsLocalTable(lower)) {
    return Refuse(std::string(table) + " may differ between nodes; a write may not read it");
  }
  const std::string lower_column = LowerCase(column);
  if (IsSchemaTable(lower) && lower_column == "rootpage" && !facts_.drops_or_alters) {
    return Refuse("rootpage may differ between nodes; a write may not read it");
  }
  if (lower_column == "rank") facts_.reads_rank = true;
  facts_.reads.insert(lower);
  return SQLITE_OK;
}

int WriteAuthorizer::CheckFunction(std::string_view name) {
  if (IsReplicableFunction(name)) return SQLITE_OK;
  // ALTER TABLE rewrites the schema by functions of SQLite that nobody else can call.
  if (facts_.alters_table && name.starts_with("sqlite_")) return SQLITE_OK;
  if (IsOneOf(kOfFullText, LowerCase(name))) {
    // snippet() of FTS5 takes the square of the hits in a row: weeks for a text of 16 MiB.
    return Refuse(
        std::string(name) +
        "() of a full-text table does work that nothing counts, so a write may not use it; "
        "compute it in a query and pass it as a parameter");
  }
  if (LowerCase(name) == "optimize") {
    // optimize() releases a savepoint of its own, which SQLite refuses while a statement runs. The
    // failure looks like a lock of another connection. That would be trouble, and every node would
    // stop.
    return Refuse("optimize() cannot run in a write; use INSERT INTO f(f) VALUES('optimize')");
  }
  return Refuse("the result of " + std::string(name) +
                "() may differ between nodes, so a write may not use it; compute it in the client "
                "and pass it as a parameter");
}

int WriteAuthorizer::CheckPragma(std::string_view name, bool has_argument) {
  switch (ClassifyPragma(name, has_argument)) {
    case PragmaUse::kWrite: return SQLITE_OK;
    case PragmaUse::kRead:
      refusal_ = InvalidArgument("PRAGMA " + std::string(name) + " only reads: use Query");
      return SQLITE_DENY;
    case PragmaUse::kRefused: break;
  }
  return Refuse("PRAGMA " + std::string(name) + " is not replicated");
}

}  // namespace cairn::state_machine
