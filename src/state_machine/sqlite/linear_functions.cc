#include "state_machine/sqlite/linear_functions.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <unordered_set>

#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/statement.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {
namespace {

bool ContinuesCharacter(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

// A value as text, or as the bytes of a blob. A null pointer means SQL's NULL or a lack of memory.
struct Bytes {
  const char* data = nullptr;
  size_t size = 0;
  std::string_view view() const { return {data, size}; }
};
Bytes TextOf(sqlite3_value* value) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
  return {text, text == nullptr ? 0 : static_cast<size_t>(sqlite3_value_bytes(value))};
}
Bytes BlobOf(sqlite3_value* value) {
  const auto* blob = static_cast<const char*>(sqlite3_value_blob(value));
  return {blob == nullptr ? "" : blob, static_cast<size_t>(sqlite3_value_bytes(value))};
}

WorkBudget* BudgetOf(sqlite3_context* context) {
  return static_cast<WorkBudget*>(sqlite3_user_data(context));
}

size_t SizeOf(sqlite3_value* value) { return static_cast<size_t>(sqlite3_value_bytes(value)); }

void ReturnText(sqlite3_context* context, std::string_view text) {
  sqlite3_result_text64(context, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

// ---- instr, replace -----------------------------------------------------------------------------

struct FreeValue {
  void operator()(sqlite3_value* value) const { sqlite3_value_free(value); }
};

void Instr(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  const int types[] = {sqlite3_value_type(argv[0]), sqlite3_value_type(argv[1])};
  if (types[0] == SQLITE_NULL || types[1] == SQLITE_NULL) return;
  if (!AllowWork(context, BudgetOf(context), (SizeOf(argv[0]) + SizeOf(argv[1])) / kBytesPerStep)) {
    return;
  }
  const bool blobs = types[0] == SQLITE_BLOB && types[1] == SQLITE_BLOB;
  if (blobs) {
    const size_t found = FindCharacters(BlobOf(argv[0]).view(), BlobOf(argv[1]).view(), true);
    return sqlite3_result_int64(context, static_cast<sqlite3_int64>(found));
  }
  // The function works on copies: asking for the text of a blob changes the blob.
  const std::unique_ptr<sqlite3_value, FreeValue> text(sqlite3_value_dup(argv[0]));
  const std::unique_ptr<sqlite3_value, FreeValue> needle(sqlite3_value_dup(argv[1]));
  if (text == nullptr || needle == nullptr) return sqlite3_result_error_nomem(context);
  const Bytes in = TextOf(text.get());
  const Bytes what = TextOf(needle.get());
  if (in.data == nullptr || what.data == nullptr) return sqlite3_result_error_nomem(context);
  sqlite3_result_int64(context,
                       static_cast<sqlite3_int64>(FindCharacters(in.view(), what.view(), false)));
}

void Replace(sqlite3_context* context, int /*argc*/, sqlite3_value** argv) {
  const Bytes text = TextOf(argv[0]);
  if (text.data == nullptr) return;
  const Bytes pattern = TextOf(argv[1]);
  if (pattern.data == nullptr) return;
  if (pattern.data[0] == '\0') return sqlite3_result_value(context, argv[0]);
  const Bytes replacement = TextOf(argv[2]);
  if (replacement.data == nullptr) return;
  WorkBudget* const budget = BudgetOf(context);
  const size_t bytes = text.size + pattern.size + replacement.size;
  if (!AllowWork(context, budget, bytes / kBytesPerStep)) return;

  const auto size_max = static_cast<size_t>(
      sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LENGTH, -1));
  std::string out;
  std::string_view rest = text.view();
  // find() of the standard library would take time in the product of both lengths.
  while (const void* const at = memmem(rest.data(), rest.size(), pattern.data, pattern.size)) {
    const auto found = static_cast<size_t>(static_cast<const char*>(at) - rest.data());
    if (out.size() + found + replacement.size > size_max) {
      return sqlite3_result_error_toobig(context);
    }
    out.append(rest.substr(0, found)).append(replacement.view());
    rest.remove_prefix(found + pattern.size);
  }
  out.append(rest);
  if (!AllowWork(context, budget, out.size() / kBytesPerStep)) return;
  ReturnText(context, out);
}

// ---- trim ---------------------------------------------------------------------------------------

template <bool left, bool right>
void TrimFunction(sqlite3_context* context, int argc, sqlite3_value** argv) {
  if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
  const Bytes text = TextOf(argv[0]);
  if (text.data == nullptr) return;
  std::vector<std::string_view> characters = {" "};
  size_t set_bytes = 0;
  if (argc == 2) {
    const Bytes set = TextOf(argv[1]);
    if (set.data == nullptr) return;
    set_bytes = set.size;
  }
  // Ten times the price of a copied byte, because each byte is searched for in the set.
  if (!AllowWork(context, BudgetOf(context), 10 * (text.size + set_bytes) / kBytesPerStep)) return;
  if (argc == 2) {
    const Bytes set = TextOf(argv[1]);
    // SQLite also reads up to the first NUL.
    if (!SplitCharacters(set.view().substr(0, std::strlen(set.data)), &characters)) {
      return sqlite3_result_error(context, "the characters to trim are not valid UTF-8", -1);
    }
  }
  ReturnText(context, Trim(text.view(), characters, left, right));
}

using Function = void (*)(sqlite3_context*, int, sqlite3_value**);

}  // namespace

void FailAsDelegate(sqlite3_context* context, sqlite3* delegate, int rc) {
  switch (rc & 0xff) {
    case SQLITE_TOOBIG: return sqlite3_result_error_toobig(context);
    case SQLITE_NOMEM: return sqlite3_result_error_nomem(context);
    default: return sqlite3_result_error(context, sqlite3_errmsg(delegate), -1);
  }
}

bool AllowWork(sqlite3_context* context, WorkBudget* budget, uint64_t steps) {
  if (budget == nullptr || !budget->running() || budget->Charge(steps)) return true;
  sqlite3_result_error(context, "the work of the statement is used up", -1);
  return false;
}

size_t FindCharacters(std::string_view text, std::string_view needle, bool by_bytes) {
  if (needle.empty()) return 1;
  size_t at = 0;
  if (!by_bytes && ContinuesCharacter(needle[0])) {
    // No character begins with such a byte, but a text may.
    if (!text.starts_with(needle)) return 0;
  } else {
    const void* const found = memmem(text.data(), text.size(), needle.data(), needle.size());
    if (found == nullptr) return 0;
    at = static_cast<size_t>(static_cast<const char*>(found) - text.data());
  }
  if (by_bytes) return at + 1;
  // The first byte of the text begins a character, whatever the byte is.
  const std::string_view passed = text.substr(1, at);
  return 1 + static_cast<size_t>(std::count_if(passed.begin(), passed.end(), [](char byte) {
           return !ContinuesCharacter(byte);
         }));
}

bool SplitCharacters(std::string_view set, std::vector<std::string_view>* characters) {
  characters->clear();
  if (!IsValidUtf8(set)) return false;
  for (size_t i = 0; i < set.size();) {
    size_t end = i + 1;
    while (end < set.size() && ContinuesCharacter(set[end])) ++end;
    characters->push_back(set.substr(i, end - i));
    i = end;
  }
  return true;
}

std::string_view Trim(std::string_view text, const std::vector<std::string_view>& characters,
                      bool left, bool right) {
  constexpr size_t kCharacterBytesMax = 4;
  const std::unordered_set<std::string_view> set(characters.begin(), characters.end());
  // No well-formed character is the beginning or the end of another one, so at most one matches.
  const auto fits = [&](bool at_start) -> size_t {
    for (size_t size = 1; size <= std::min(kCharacterBytesMax, text.size()); ++size) {
      const size_t at = at_start ? 0 : text.size() - size;
      if (set.contains(text.substr(at, size))) return size;
    }
    return 0;
  };
  for (size_t size = 0; left && (size = fits(true)) > 0;) text.remove_prefix(size);
  for (size_t size = 0; right && (size = fits(false)) > 0;) text.remove_suffix(size);
  return text;
}

Status InstallLinearFunctions(sqlite3* db, WorkBudget* budget) {
  const struct {
    const char* name;
    int args;
    Function function;
  } functions[] = {
      {"instr", 2, &Instr},
      {"replace", 3, &Replace},
      {"trim", 1, &TrimFunction<true, true>},
      {"trim", 2, &TrimFunction<true, true>},
      {"ltrim", 1, &TrimFunction<true, false>},
      {"ltrim", 2, &TrimFunction<true, false>},
      {"rtrim", 1, &TrimFunction<false, true>},
      {"rtrim", 2, &TrimFunction<false, true>},
  };
  for (const auto& each : functions) {
    const int rc = sqlite3_create_function_v2(db, each.name, each.args,
                                              SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS,
                                              budget, each.function, nullptr, nullptr, nullptr);
    if (rc != SQLITE_OK) return SqliteTrouble(db, rc, "create function");
  }
  return OkStatus();
}

}  // namespace cairn::state_machine
