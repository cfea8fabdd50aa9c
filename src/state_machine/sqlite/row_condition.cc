#include "state_machine/sqlite/row_condition.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/sql_name.h"
#include "state_machine/sqlite/charged_functions.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/sql_tokens.h"
#include "state_machine/value_bytes.h"

namespace cairn::state_machine {
namespace {

// Values that the expression makes may have so many bytes, or twice those of the columns it names.
constexpr size_t kValueBytesMin = 64 << 10;
// Steps of SQLite for one row, and the bytes that all of them together may look at: about a second.
// One step is at most one call of a function, which takes time in the length of its arguments.
constexpr size_t kStepsMax = 10'000;
constexpr size_t kStepBytesMax = 2u << 30;
constexpr int kStepsBetweenCounts = 8;
// What LIKE and GLOB may do for one row, in steps of a WorkBudget: about half a second. One step of
// SQLite may compare each character of a text with each of a pattern.
constexpr uint64_t kPatternStepsMax = 20'000'000;
// A longer row is forgotten at once: there are many conditions, and each would keep its last row.
constexpr size_t kKeptBytesMax = 64 << 10;

// A type with the affinity of the declared type, by the rules of SQLite. The declared type itself
// may be any text.
const char* TypeOf(const std::string& declared, bool is_strict) {
  const std::string type = LowerCase(declared);
  const auto has = [&](const char* word) { return type.find(word) != std::string::npos; };
  if (has("int")) return "INTEGER";
  if (has("char") || has("clob") || has("text")) return "TEXT";
  if (type.empty() || (type == "any" && is_strict) || has("blob")) return "BLOB";
  if (has("real") || has("floa") || has("doub")) return "REAL";
  return "NUMERIC";
}

// The names in the text. INVALID_ARGUMENT unless the text can stand between parentheses.
Result<std::set<std::string>> NamesIn(const std::string& text) {
  if (text.size() > RowCondition::kTextBytesMax) {
    return InvalidArgument("a condition may have " + std::to_string(RowCondition::kTextBytesMax) +
                           " bytes");
  }
  RETURN_IF_ERROR(CheckSqlText(text));
  std::set<std::string> names;
  int depth = 0;
  for (const Token& token : TokensOf(text)) {
    if (token.type == TokenType::kOpen) ++depth;
    if (token.type == TokenType::kClose && --depth < 0) break;
    if (IsName(token)) names.insert(NameOf(token));
  }
  if (depth != 0) return InvalidArgument("the parentheses of the condition do not match");
  return names;
}

}  // namespace

Result<std::unique_ptr<RowCondition>> RowCondition::Compile(const std::string& table,
                                                            const std::vector<Column>& columns,
                                                            const std::string& text,
                                                            bool is_strict) {
  std::unique_ptr<RowCondition> condition(new RowCondition());
  RETURN_IF_ERROR(condition->Open());
  RETURN_IF_ERROR(condition->Define(table, columns, text, is_strict));
  return condition;
}

RowCondition::~RowCondition() {
  put_.reset();
  ask_.reset();
  const int rc = sqlite3_close(db_);
  CHECK(rc == SQLITE_OK) << "a statement outlived its condition: " << rc;
}

Status RowCondition::Open() {
  const int rc = sqlite3_open_v2(
      ":memory:", &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY | SQLITE_OPEN_NOMUTEX, nullptr);
  if (rc != SQLITE_OK) return ResourceExhausted("no memory for the condition of a watch");
  sqlite3_db_config(db_, SQLITE_DBCONFIG_LOOKASIDE, nullptr, 0, 0);
  sqlite3_limit(db_, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_limit(db_, SQLITE_LIMIT_EXPR_DEPTH, 200);
  Bound(0);
  // A name in quotes that no column has is a mistake, and not a text.
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  // Nothing is kept, so nothing is to be undone. The pages of a long row are given back.
  sqlite3_exec(db_, "PRAGMA page_size = 1024; PRAGMA auto_vacuum = FULL; PRAGMA journal_mode = OFF",
               nullptr, nullptr, nullptr);
  sqlite3_progress_handler(db_, kStepsBetweenCounts, &CountSteps, this);
  RETURN_IF_ERROR(functions_.Install(db_, nullptr, /*candidates=*/{}));
  return InstallPatternFunctions(db_, &pattern_work_);
}

Status RowCondition::Define(const std::string& table, const std::vector<Column>& columns,
                            const std::string& text, bool is_strict) {
  ASSIGN_OR_RETURN(const std::set<std::string> names, NamesIn(text));
  std::string key = "cairn_key";
  std::string passes = "cairn_passes";
  const auto taken = [&](const std::string& name) {
    return names.contains(name) || std::any_of(columns.begin(), columns.end(), [&](const auto& c) {
             return LowerCase(c.name) == name;
           });
  };
  while (taken(key)) key += "_";
  while (taken(passes)) passes += "_";
  std::string define = "CREATE TABLE " + QuotedName(table) + "(" + key + " INTEGER PRIMARY KEY";
  std::string put = "REPLACE INTO " + QuotedName(table) + "(" + key;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (!names.contains(LowerCase(columns[i].name))) continue;
    used_.push_back({i, columns[i]});
    define += ", " + QuotedName(columns[i].name) + " " + TypeOf(columns[i].decl_type, is_strict);
    put += ", " + QuotedName(columns[i].name);
  }
  define += ", " + passes + " AS ((\n" + text + "\n) IS TRUE))";
  put += ") VALUES (1";
  for (size_t i = 1; i <= used_.size(); ++i) put += ", ?" + std::to_string(i);
  put += ")";
  steps_left_ = SIZE_MAX;
  const int rc = sqlite3_exec(db_, define.c_str(), nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) {
    return InvalidArgument("the condition is not valid for table '" + table +
                           "': " + sqlite3_errmsg(db_));
  }
  ASSIGN_OR_RETURN(put_, PrepareSingle(db_, put, SQLITE_PREPARE_PERSISTENT));
  ASSIGN_OR_RETURN(ask_, PrepareSingle(db_, "SELECT " + passes + " FROM " + QuotedName(table),
                                       SQLITE_PREPARE_PERSISTENT));
  // What SQLite finds out only when it runs, such as date('now'), is mostly found here.
  const Result<bool> tried = Matches(Row(columns.size()));
  if (!tried.ok()) return InvalidArgument(tried.status().message());
  return OkStatus();
}

void RowCondition::Bound(size_t bytes) {
  const size_t value_bytes = kValueBytesMin + 2 * bytes;
  sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, static_cast<int>(std::min<size_t>(value_bytes, 1 << 30)));
  steps_left_ = std::min(kStepsMax, kStepBytesMax / value_bytes);
}

int RowCondition::Bind(const Row& row) {
  size_t bytes = 0;
  for (const Used& used : used_) {
    if (used.place < row.size()) bytes += ContentBytes(row[used.place]);
  }
  Bound(bytes);
  is_long_ = bytes > kKeptBytesMax;
  int number = 0;
  for (const Used& used : used_) {
    ++number;
    if (used.place >= row.size()) continue;
    const int rc = BindAsStored(put_.get(), number, row[used.place]);
    if (rc != SQLITE_OK) return rc;
  }
  return SQLITE_OK;
}

Result<bool> RowCondition::Matches(const Row& row) {
  bool matches = false;
  int rc = Bind(row);
  pattern_work_.BeginCommand(kPatternStepsMax);
  pattern_work_.BeginStatement(ask_.get(), false, 1, kValueBytesMax, false);
  if (rc == SQLITE_OK) rc = sqlite3_step(put_.get());
  if (rc == SQLITE_DONE) {
    rc = sqlite3_step(ask_.get());
    matches = rc == SQLITE_ROW && sqlite3_column_int(ask_.get(), 0) != 0;
  }
  const bool failed = rc != SQLITE_ROW;
  const bool too_much = (rc & 0xff) == SQLITE_INTERRUPT || pattern_work_.exhausted();
  const std::string why = !failed    ? ""
                          : too_much ? "it needs too much work for a row"
                                     : sqlite3_errmsg(db_);
  sqlite3_reset(put_.get());
  sqlite3_reset(ask_.get());
  sqlite3_clear_bindings(put_.get());
  if (is_long_) Forget();
  if (failed) return FailedPrecondition("the condition of the watch fails: " + why);
  return matches;
}

// A row of NULLs takes the place of the last row.
void RowCondition::Forget() {
  Bound(0);
  sqlite3_step(put_.get());
  sqlite3_reset(put_.get());
  sqlite3_db_release_memory(db_);
}

int RowCondition::CountSteps(void* self) {
  auto* const condition = static_cast<RowCondition*>(self);
  constexpr size_t kCounted = kStepsBetweenCounts;
  if (condition->steps_left_ < kCounted) return 1;
  condition->steps_left_ -= kCounted;
  return 0;
}

}  // namespace cairn::state_machine
