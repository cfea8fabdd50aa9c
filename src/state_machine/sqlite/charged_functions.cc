#include "state_machine/sqlite/charged_functions.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/linear_functions.h"
#include "state_machine/sqlite/pattern_match.h"

namespace cairn::state_machine {
namespace {

constexpr int kDeterministic = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
constexpr uint64_t kStepsPerCall = 20;  // of a call through the second connection
// A comparison of two characters takes a fifth of a step.
constexpr uint64_t kCharactersPerStep = 5;

WorkBudget* BudgetOf(sqlite3_context* context) {
  return static_cast<WorkBudget*>(sqlite3_user_data(context));
}

bool HasBytes(sqlite3_value* value) {
  const int type = sqlite3_value_type(value);
  return type == SQLITE_TEXT || type == SQLITE_BLOB;
}
uint64_t BytesOf(sqlite3_value* value) {
  return HasBytes(value) ? static_cast<uint64_t>(sqlite3_value_bytes(value)) : 0;
}

// ---- LIKE and GLOB ------------------------------------------------------------------------------

// Sets the rules for the third argument. False if that cannot be done; the function has then failed
// or returned NULL.
bool SetEscape(sqlite3_context* context, sqlite3_value* value, PatternRules* rules) {
  const unsigned char* text = sqlite3_value_text(value);
  if (text == nullptr) return false;
  const unsigned char* end = text;
  rules->other = ReadCharacter(&end);
  if (rules->other == 0 || *end != 0) {
    sqlite3_result_error(context, "ESCAPE expression must be a single character", -1);
    return false;
  }
  if (rules->other == rules->match_all) rules->match_all = 0;
  if (rules->other == rules->match_one) rules->match_one = 0;
  return true;
}

template <bool is_glob>
void Match(sqlite3_context* context, int argc, sqlite3_value** argv) {
  // SQLite is compiled so that a blob matches no pattern.
  if (sqlite3_value_type(argv[0]) == SQLITE_BLOB || sqlite3_value_type(argv[1]) == SQLITE_BLOB) {
    return sqlite3_result_int(context, 0);
  }
  if (sqlite3_value_bytes(argv[0]) > kLikePatternBytesMax) {
    return sqlite3_result_error(context, "LIKE or GLOB pattern too complex", -1);
  }
  PatternRules rules = is_glob ? GlobRules() : PatternRules();
  if (argc == 3 && !SetEscape(context, argv[2], &rules)) return;
  const unsigned char* const pattern = sqlite3_value_text(argv[0]);
  const unsigned char* const text = sqlite3_value_text(argv[1]);
  if (pattern == nullptr || text == nullptr) return;
  WorkBudget* const budget = BudgetOf(context);
  if (!AllowWork(context, budget, BytesOf(argv[1]) / kBytesPerStep)) return;
  PatternMatch match(rules, [context, budget] {
    return AllowWork(context, budget, PatternMatch::kCharactersPerAsk / kCharactersPerStep);
  });
  const bool matches = match.Matches(pattern, text);
  if (!match.stopped()) sqlite3_result_int(context, matches ? 1 : 0);
}

// ---- Each byte once -----------------------------------------------------------------------------

template <bool upper>
void ChangeCase(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  const auto* const text = reinterpret_cast<const char*>(sqlite3_value_text(argv[0]));
  if (text == nullptr) return;
  const auto size = static_cast<size_t>(sqlite3_value_bytes(argv[0]));
  if (!AllowWork(context, BudgetOf(context), size / kBytesPerStep)) return;
  std::string changed(text, size);
  for (char& c : changed) {
    const bool other_case = upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z';
    if (other_case) c = static_cast<char>(c ^ 0x20);
  }
  sqlite3_result_text64(context, changed.data(), changed.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

void Hex(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  const auto* const bytes = static_cast<const unsigned char*>(sqlite3_value_blob(argv[0]));
  const auto size = static_cast<size_t>(sqlite3_value_bytes(argv[0]));
  sqlite3* const db = sqlite3_context_db_handle(context);
  if (2 * size > static_cast<size_t>(sqlite3_limit(db, SQLITE_LIMIT_LENGTH, -1))) {
    return sqlite3_result_error_toobig(context);
  }
  if (!AllowWork(context, BudgetOf(context), 4 * size / kBytesPerStep)) return;
  std::string hex(2 * size, '\0');
  for (size_t i = 0; i < size; ++i) {
    hex[2 * i] = kDigits[bytes[i] >> 4];
    hex[2 * i + 1] = kDigits[bytes[i] & 0xf];
  }
  sqlite3_result_text64(context, hex.data(), hex.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

void ZeroBlob(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  const auto size = static_cast<uint64_t>(std::max<int64_t>(sqlite3_value_int64(argv[0]), 0));
  const int limit = sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LENGTH, -1);
  if (size > static_cast<uint64_t>(limit)) return sqlite3_result_error_toobig(context);
  if (!AllowWork(context, BudgetOf(context), size / kBytesPerStep)) return;
  sqlite3_result_zeroblob64(context, size);
}

// ---- count(*) -----------------------------------------------------------------------------------

void CountStep(sqlite3_context* context, int /*argc*/, sqlite3_value** /*argv*/) {
  auto* const count = static_cast<int64_t*>(sqlite3_aggregate_context(context, sizeof(int64_t)));
  if (count != nullptr) ++*count;
}
void CountInverse(sqlite3_context* context, int /*argc*/, sqlite3_value** /*argv*/) {
  auto* const count = static_cast<int64_t*>(sqlite3_aggregate_context(context, sizeof(int64_t)));
  if (count != nullptr) --*count;
}
void CountResult(sqlite3_context* context) {
  const auto* const count = static_cast<int64_t*>(sqlite3_aggregate_context(context, 0));
  sqlite3_result_int64(context, count == nullptr ? 0 : *count);
}

Status Created(sqlite3* db, int rc) {
  return rc == SQLITE_OK ? OkStatus() : SqliteTrouble(db, rc, "create function");
}

}  // namespace

Status InstallPatternFunctions(sqlite3* db, WorkBudget* budget) {
  const auto add = [&](const char* name, int args, auto* function) {
    return Created(db, sqlite3_create_function_v2(db, name, args, kDeterministic, budget, function,
                                                  nullptr, nullptr, nullptr));
  };
  RETURN_IF_ERROR(add("like", 2, &Match<false>));
  RETURN_IF_ERROR(add("like", 3, &Match<false>));
  return add("glob", 2, &Match<true>);
}

// ---- SQLite's own -------------------------------------------------------------------------------

Status ChargedFunctions::Install(sqlite3* db, const char* vfs, WorkBudget* budget) {
  budget_ = budget;
  RETURN_IF_ERROR(delegated_.Open(vfs));
  RETURN_IF_ERROR(InstallLinearFunctions(db, budget));
  RETURN_IF_ERROR(InstallPatternFunctions(db, budget));
  RETURN_IF_ERROR(json_aggregates_.Install(db, budget));
  const struct {
    const char* name;
    int args;
    void (*function)(sqlite3_context*, int, sqlite3_value**);
  } own[] = {{"upper", 1, &ChangeCase<true>},
             {"lower", 1, &ChangeCase<false>},
             {"hex", 1, &Hex},
             {"zeroblob", 1, &ZeroBlob}};
  for (const auto& each : own) {
    RETURN_IF_ERROR(
        Created(db, sqlite3_create_function_v2(db, each.name, each.args, kDeterministic, budget,
                                               each.function, nullptr, nullptr, nullptr)));
  }
  RETURN_IF_ERROR(Created(
      db, sqlite3_create_window_function(db, "count", 0, kDeterministic, nullptr, &CountStep,
                                         &CountResult, &CountResult, &CountInverse, nullptr)));
  constexpr Price kJson = {16, 16, true, false};
  for (const char* name : {"json_array", "json_extract", "json_insert", "json_object",
                           "json_remove", "json_replace", "json_set"}) {
    RETURN_IF_ERROR(Delegate(db, name, -1, kJson));
  }
  for (const char* name : {"json", "json_array_length", "json_quote", "json_type", "json_valid"}) {
    RETURN_IF_ERROR(Delegate(db, name, 1, kJson));
  }
  for (const char* name : {"json_array_length", "json_type", "->", "->>"}) {
    RETURN_IF_ERROR(Delegate(db, name, 2, kJson));
  }
  RETURN_IF_ERROR(Delegate(db, "json_patch", 2, {16, 16, false, true}));
  RETURN_IF_ERROR(Delegate(db, "quote", 1, {4, 4, false, false}));
  // A directive of two characters takes as long as five steps.
  constexpr Price kDirectives = {160, 4, false, false};
  RETURN_IF_ERROR(Delegate(db, "printf", -1, kDirectives));
  RETURN_IF_ERROR(Delegate(db, "format", -1, kDirectives));
  return Delegate(db, "strftime", -1, kDirectives);
}

Status ChargedFunctions::Delegate(sqlite3* db, const std::string& name, int args,
                                  const Price& price) {
  charged_.push_back(std::make_unique<Charged>(Charged{this, delegated_.Add(name), price}));
  return Created(
      db, sqlite3_create_function_v2(db, name.c_str(), args, kDeterministic, charged_.back().get(),
                                     &CallDelegated, nullptr, nullptr, nullptr));
}

uint64_t ChargedFunctions::PriceOf(const Price& price, int argc, sqlite3_value** argv) {
  uint64_t bytes = 0;
  for (int i = 1; i < argc; ++i) bytes += BytesOf(argv[i]) * price.per_byte;
  if (argc > 0) bytes += BytesOf(argv[0]) * price.per_first_byte;
  uint64_t steps = bytes / kBytesPerStep;
  if (price.by_arguments) steps += steps * static_cast<uint64_t>(argc) / 4;
  if (price.multiplies) steps += BytesOf(argv[0]) * BytesOf(argv[1]) / 512;
  return kStepsPerCall + steps;
}

void ChargedFunctions::CallDelegated(sqlite3_context* context, int argc, sqlite3_value** argv) {
  const auto* const charged = static_cast<const Charged*>(sqlite3_user_data(context));
  ChargedFunctions* const self = charged->owner;
  if (!AllowWork(context, self->budget_, PriceOf(charged->price, argc, argv))) return;
  self->delegated_.Call(charged->function, context, argc, argv, [&](sqlite3_value* result) {
    return AllowWork(context, self->budget_, BytesOf(result) / kBytesPerStep);
  });
}

}  // namespace cairn::state_machine
