#include "state_machine/sqlite/pragmas.h"

#include <strings.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

bool Contains(const std::string_view* begin, const std::string_view* end, std::string_view name) {
  return std::any_of(begin, end, [name](std::string_view each) {
    return each.size() == name.size() && strncasecmp(each.data(), name.data(), name.size()) == 0;
  });
}

// PRAGMAs that only read. An argument names what they report on.
constexpr std::string_view kReading[] = {
    "table_info",     "table_xinfo",     "table_list",       "index_info",
    "index_xinfo",    "index_list",      "foreign_key_list", "foreign_key_check",
    "collation_list", "function_list",   "module_list",      "pragma_list",
    "database_list",  "integrity_check", "quick_check",      "compile_options",
};
// PRAGMAs that read without an argument. With an argument they would change a setting of this
// connection. FTS5 itself uses data_version, with the rights of the client that reads the table.
constexpr std::string_view kReadingWithoutArgument[] = {
    "encoding",       "page_size",    "page_count",         "freelist_count",
    "schema_version", "foreign_keys", "recursive_triggers", "data_version",
};
// PRAGMAs that ordinary transactions write to the file's header.
constexpr std::string_view kReplicated[] = {"user_version", "application_id"};

// A PRAGMA that sets up a connection.
struct Answered {
  std::string_view name;
  // What stands, as SQL: a value, or columns with their names. Empty: it is refused in any form.
  std::string_view value;
  // SQLite gives a row also when the PRAGMA sets something.
  bool answers_sets = false;
  // The only settings that stand, by spaces. Empty: any setting is taken for a hint.
  std::string_view stands = {};
  std::string_view advice = {};
};

constexpr std::string_view kOn = "on yes true 1";
constexpr std::string_view kOff = "off no false 0";
// No setting stands.
constexpr std::string_view kNone = "-";
constexpr Answered kAnswered[] = {
    {"journal_mode", "'wal'", true},
    {"synchronous", "2"},
    {"busy_timeout", "0", true},
    {"cache_size", "-2000"},
    {"cache_spill", "1"},
    {"temp_store", "0"},
    {"mmap_size", "0", true},
    {"locking_mode", "'normal'", true},
    {"wal_autocheckpoint", "0", true},
    {"journal_size_limit", "-1", true},
    {"page_size", "4096"},
    {"auto_vacuum", "0"},
    {"incremental_vacuum", "0"},
    {"optimize", "0"},
    {"threads", "0", true},
    {"analysis_limit", "0", true},
    {"read_uncommitted", "0"},
    {"cell_size_check", "0"},
    {"fullfsync", "0"},
    {"checkpoint_fullfsync", "0"},
    {"automatic_index", "1", false, kOn,
     "indexes that SQLite makes for one query cannot be turned off"},
    {"foreign_keys", "1", false, kOn,
     "foreign keys are enforced for all clients: put statements in an order that keeps them, "
     "declare them DEFERRABLE INITIALLY DEFERRED and send the statements as one request, or send a "
     "migration in foreign_keys_off of cairn.v1 Execute, as `cairn shell` does"},
    {"defer_foreign_keys", "0", false, kOff,
     "declare the foreign keys DEFERRABLE INITIALLY DEFERRED"},
    {"recursive_triggers", "0", false, kOff, "triggers do not fire themselves"},
    {"ignore_check_constraints", "0", false, kOff, "CHECK constraints hold for all clients"},
    {"legacy_alter_table", "0", false, kOff, "ALTER TABLE RENAME changes all references"},
    {"writable_schema", "0", false, kOff, "change the schema by CREATE, ALTER and DROP"},
    {"case_sensitive_like", "0", false, kOff, "use GLOB, or compare with COLLATE BINARY"},
    {"secure_delete", "0", true, "off no false 0 fast",
     "nodes keep deleted data in free pages, in the log and in snapshots: overwrite what must go"},
    {"query_only", "0", false, kOff, "a query never writes"},
    {"trusted_schema", "1", false, kOn, "the schema's functions are those that Cairn allows"},
    {"encoding", "'UTF-8'", false, "utf-8 utf8", "text is UTF-8"},
    // As of a file whose log holds nothing: nodes write theirs back by themselves.
    {"wal_checkpoint", "0 AS busy, -1 AS log, -1 AS checkpointed", true},
    {"shrink_memory", "0"},
    {"soft_heap_limit", "0", true},
    {"empty_result_callbacks", "0"},
    {"full_column_names", "0", false, kOff, "name the columns of a result by AS"},
    {"short_column_names", "1", false, kOn, "name the columns of a result by AS"},
    {"count_changes", "0", false, kOff, "the answer to a write says how many rows it changed"},
    {"reverse_unordered_selects", "0", false, kOff,
     "without ORDER BY rows come in any order: write ORDER BY"},
    {"temp_store_directory", "''", false, kNone,
     "SQLITE_TMPDIR in the environment of a node names its directory of temporary files"},
    {"max_page_count", "4294967294", true, kNone,
     "the disk of the nodes bounds the database: delete rows, or DROP tables"},
    {"schema_version", "0", false, kNone,
     "SQLite counts it up at each change of the schema; a program's own number is user_version"},
    {"stats", "", false, {}, "run ANALYZE and read sqlite_stat1, or read PRAGMA index_list"},
};

const Answered* FindAnswered(std::string_view name) {
  const auto* const found = std::find_if(
      std::begin(kAnswered), std::end(kAnswered),
      [name](const Answered& each) { return Contains(&each.name, &each.name + 1, name); });
  return found == std::end(kAnswered) ? nullptr : found;
}

// `value` is one of the words, which are separated by spaces.
bool IsOneOf(std::string_view words, std::string_view value) {
  while (!words.empty()) {
    const size_t end = std::min(words.find(' '), words.size());
    if (words.substr(0, end) == value) return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

struct PragmaText {
  std::string name;   // in lower case
  std::string value;  // in lower case, without quotes; empty: none
};

// PRAGMA [schema.]name [= value | (value)]. Nothing for any other text.
std::optional<PragmaText> ParsePragma(std::string_view sql) {
  if (!HoldsWord(sql, "pragma")) return std::nullopt;
  std::vector<Token> tokens = TokensOf(sql);
  while (!tokens.empty() && tokens.back().type == TokenType::kSemicolon) tokens.pop_back();
  size_t at = 0;
  while (at < tokens.size() && tokens[at].type == TokenType::kSemicolon) ++at;
  if (at + 1 >= tokens.size() || !IsWord(tokens[at], "PRAGMA")) return std::nullopt;
  ++at;
  if (at + 2 < tokens.size() && tokens[at + 1].text == ".") at += 2;
  if (!IsName(tokens[at])) return std::nullopt;
  PragmaText pragma{NameOf(tokens[at]), {}};
  ++at;
  if (at == tokens.size()) return pragma;
  const bool in_parentheses = tokens[at].type == TokenType::kOpen;
  if (in_parentheses && tokens.back().type == TokenType::kClose) {
    tokens.pop_back();
  } else if (tokens[at].text != "=") {
    return std::nullopt;
  }
  for (++at; at < tokens.size(); ++at) {
    pragma.value += IsName(tokens[at]) ? NameOf(tokens[at]) : LowerCase(tokens[at].text);
  }
  return pragma;
}

}  // namespace

Result<std::optional<std::string>> AnswerToPragma(std::string_view sql) {
  const std::optional<PragmaText> pragma = ParsePragma(sql);
  if (!pragma.has_value()) return std::optional<std::string>();
  return AnswerToPragma(pragma->name, pragma->value);
}

Result<std::optional<std::string>> AnswerToPragma(const std::string& name,
                                                  const std::string& value) {
  const Answered* const answered = FindAnswered(name);
  const bool sets = !value.empty();
  // Some are read as they are (ClassifyPragma).
  if (answered == nullptr || (!sets && ClassifyPragma(name, false) == PragmaUse::kRead)) {
    return std::optional<std::string>();
  }
  const bool stands = answered->stands.empty() || IsOneOf(answered->stands, LowerCase(value));
  if (answered->value.empty() || (sets && !stands)) {
    return PermissionDenied("PRAGMA " + std::string(answered->name) +
                            (sets ? " = " + LowerCase(value) : "") +
                            " may not be used: " + std::string(answered->advice));
  }
  std::string query = "SELECT " + std::string(answered->value);
  if (query.find(" AS ") == std::string::npos) query += " AS " + std::string(answered->name);
  const bool acts = answered->name == "optimize" || answered->name == "incremental_vacuum" ||
                    answered->name == "shrink_memory";
  if (acts || (sets && !answered->answers_sets)) query += " WHERE 0";
  return std::optional<std::string>(std::move(query));
}

PragmaUse ClassifyPragma(std::string_view name, bool has_argument) {
  if (Contains(std::begin(kReplicated), std::end(kReplicated), name)) {
    return has_argument ? PragmaUse::kWrite : PragmaUse::kRead;
  }
  if (Contains(std::begin(kReading), std::end(kReading), name)) return PragmaUse::kRead;
  if (!has_argument &&
      Contains(std::begin(kReadingWithoutArgument), std::end(kReadingWithoutArgument), name)) {
    return PragmaUse::kRead;
  }
  return PragmaUse::kRefused;
}

}  // namespace cairn::state_machine
