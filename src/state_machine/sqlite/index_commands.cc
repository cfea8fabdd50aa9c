#include "state_machine/sqlite/index_commands.h"

#include <strings.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

// A name or a string, without its quotes.
std::string Unquoted(const Token& token) {
  std::string_view text = token.text;
  if (token.type != TokenType::kQuoted || text.size() < 2) return std::string(text);
  const char quote = text.back();
  text = text.substr(1, text.size() - 2);
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    plain += text[i];
    if (text[i] == quote && quote != ']') ++i;
  }
  return plain;
}

bool IsNamed(const Token& token, std::string_view name) {
  const std::string plain = Unquoted(token);
  return plain.size() == name.size() && strncasecmp(plain.data(), name.data(), name.size()) == 0;
}

// Walks through the tokens of lists in parentheses.
class ListWalker {
 public:
  ListWalker(const std::vector<Token>& tokens, size_t at) : tokens_(tokens), at_(at) {}

  const Token& Now() const { return at_ < tokens_.size() ? tokens_[at_] : end_; }
  void Skip(size_t tokens = 1) { at_ += tokens; }
  // Walks from behind "(" to behind its ")". Returns the place of `name` among the items.
  std::optional<size_t> PlaceOf(std::string_view name) {
    std::optional<size_t> place;
    Items([&](size_t item, const Token& token, bool alone) {
      if (alone && IsNamed(token, name)) place = item;
    });
    return place;
  }
  // Walks in the same way. Returns the string that is the whole item at `place`.
  std::optional<std::string> StringAt(size_t place) {
    std::optional<std::string> string;
    Items([&](size_t item, const Token& token, bool alone) {
      if (item != place) return;
      const bool is_string = token.type == TokenType::kQuoted && token.text.front() == '\'';
      string.reset();
      if (alone && is_string) string = Unquoted(token);
    });
    return string;
  }

 private:
  // Calls `tell` for each token, with whether the token is the first of its item.
  template <class Tell>
  void Items(Tell tell) {
    size_t item = 0;
    bool first = true;
    for (int depth = 1; Now().type != TokenType::kEnd; Skip()) {
      if (Now().type == TokenType::kOpen) ++depth;
      if (Now().type == TokenType::kClose && --depth == 0) break;
      if (depth == 1 && Now().text == ",") {
        ++item;
        first = true;
        continue;
      }
      tell(item, Now(), first);
      first = false;
    }
    Skip();
  }

  const std::vector<Token>& tokens_;
  const Token end_;
  size_t at_;
};

// Keyed by the word before "=". Unknown commands count as long.
constexpr std::string_view kShortCommands[] = {"automerge",     "crisismerge", "delete",
                                               "delete-all",    "deletemerge", "hashsize",
                                               "secure-delete", "rank",        "usermerge"};

bool IsLong(const std::optional<std::string>& command) {
  if (!command.has_value()) return true;
  const std::string word = LowerCase(command->substr(0, command->find('=')));
  return std::find(std::begin(kShortCommands), std::end(kShortCommands), word) ==
         std::end(kShortCommands);
}

// Of a full-text table, or the one whose content it takes. FTS5 knows its options by their first
// letters, too, so each option may name the content.
bool HasViewAsContent(const SchemaCatalog& catalog, const std::string& table,
                      std::set<std::string>* seen) {
  if (!catalog.IsVirtual(table) || !seen->insert(table).second) return false;
  const std::string sql = catalog.SqlOfVirtual(table);
  const std::vector<Token> tokens = TokensOf(sql);
  for (size_t i = 1; i + 1 < tokens.size(); ++i) {
    if (tokens[i].text != "=") continue;
    const std::string name = NameOf(tokens[i + 1]);
    if (catalog.IsView(name) || HasViewAsContent(catalog, name, seen)) return true;
  }
  return false;
}

// Of a CREATE VIRTUAL TABLE.
std::string ModuleOf(std::string_view create_sql) {
  Tokenizer tokens(create_sql);
  for (Token token = tokens.Next(); token.type != TokenType::kEnd; token = tokens.Next()) {
    if (IsWord(token, "USING")) return NameOf(tokens.Next());
  }
  return {};
}

bool IsStorageOfTimeSeries(const SchemaCatalog& catalog, const std::string& lower_table) {
  const size_t underscore = lower_table.rfind('_');
  if (underscore == std::string::npos) return false;
  const std::string owner = lower_table.substr(0, underscore);
  const std::string word = lower_table.substr(underscore + 1);
  const bool is_storage =
      word == "series" || word == "tail" || word == "blocks" || word == "config";
  if (!is_storage || !catalog.IsVirtual(owner)) return false;
  const std::string module = ModuleOf(catalog.SqlOfVirtual(owner));
  return module == "timeseries" || module == "timeseries_rollup";
}

// Judges the text of one statement or trigger. A column has the name of its table only where a
// command is given.
bool TextGivesLong(const SchemaCatalog& catalog, const ProgramFacts& facts, std::string_view sql) {
  for (const std::string& table : facts.writes) {
    if (!catalog.IsVirtual(table) || IsTimeSeries(catalog.SqlOfVirtual(table))) continue;
    for (const std::optional<std::string>& command : ValuesForOwnName(sql, table)) {
      if (IsLong(command)) return true;
    }
  }
  return false;
}

}  // namespace

bool IsTimeSeries(std::string_view create_sql) { return ModuleOf(create_sql) == "timeseries"; }

Status CheckTimeSeriesAlone(const SchemaCatalog& catalog, std::string_view sql) {
  const std::vector<Token> tokens = TokensOf(sql);
  bool attaches = false;  // CREATE INDEX, CREATE TRIGGER
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    // CREATE UNIQUE INDEX has one word more.
    constexpr size_t kWordsOfKind = 3;
    attaches = attaches ||
               (i < kWordsOfKind && (IsWord(tokens[i], "INDEX") || IsWord(tokens[i], "TRIGGER")));
    const bool on = attaches && IsWord(tokens[i], "ON");
    if (!on && !IsWord(tokens[i], "REFERENCES")) continue;
    const bool has_schema = i + 3 < tokens.size() && tokens[i + 2].text == ".";
    const std::string table = LowerCase(NameOf(tokens[i + (has_schema ? 3 : 1)]));
    if (!IsStorageOfTimeSeries(catalog, table)) continue;
    return PermissionDenied(
        table +
        " is the storage of a time series: it takes no trigger, no index and no "
        "foreign key");
  }
  return OkStatus();
}

Status CheckReadsOfStorage(const SchemaCatalog& catalog, const ProgramFacts& facts) {
  for (const std::string& table : facts.reads) {
    if (!IsStorageOfTimeSeries(catalog, table)) continue;
    std::string series = catalog.OwnerOfShadow(table);
    // That may be a rollup.
    if (!IsTimeSeries(catalog.SqlOfVirtual(series))) series = catalog.OwnerForCharges(series);
    // UPDATE and DELETE read all before they write.
    if (!facts.writes.contains(series) || facts.rewrites.contains(series)) continue;
    return PermissionDenied(table + " is the storage of " + series +
                            ": a statement that inserts into a time series does not read its "
                            "storage");
  }
  return OkStatus();
}

std::vector<std::optional<std::string>> ValuesForOwnName(std::string_view sql,
                                                         std::string_view table) {
  std::vector<std::optional<std::string>> values;
  const std::vector<Token> tokens = TokensOf(sql);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (!IsWord(tokens[i], "INTO")) continue;
    ListWalker walker(tokens, i + 1);
    const bool has_schema = i + 2 < tokens.size() && tokens[i + 2].text == ".";
    if (has_schema) walker.Skip(2);
    if (!IsNamed(walker.Now(), table)) continue;
    walker.Skip();
    if (IsWord(walker.Now(), "AS")) walker.Skip(2);
    if (walker.Now().type != TokenType::kOpen) continue;
    walker.Skip();
    const std::optional<size_t> place = walker.PlaceOf(table);
    if (!place.has_value()) continue;
    if (!IsWord(walker.Now(), "VALUES")) values.emplace_back();  // a query gives it
    while (IsWord(walker.Now(), "VALUES") || walker.Now().text == ",") {
      walker.Skip(2);  // and "("
      values.push_back(walker.StringAt(*place));
    }
  }
  return values;
}

Result<bool> GivesLongIndexCommand(sqlite3* db, const SchemaCatalog& catalog,
                                   const ProgramFacts& facts, std::string_view sql) {
  if (!catalog.has_virtual_tables()) return false;
  if (TextGivesLong(catalog, facts, sql)) return true;
  InternalStatement find;
  for (const std::string& trigger : facts.inserting_triggers) {
    RETURN_IF_ERROR(find.Prepare(
        db, "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?1 COLLATE NOCASE"));
    ASSIGN_OR_RETURN(const bool found, find.BindText(1, trigger).Next());
    if (found && TextGivesLong(catalog, facts, find.Bytes(0))) return true;
  }
  return false;
}

Result<bool> RunsViewOfContent(sqlite3* db, const SchemaCatalog& catalog, const ProgramFacts& facts,
                               std::string_view sql) {
  if (!catalog.has_virtual_tables()) return false;
  std::set<std::string> tables = facts.reads;
  tables.insert(facts.writes.begin(), facts.writes.end());
  std::erase_if(tables, [&catalog](const std::string& table) {
    std::set<std::string> seen;
    return !HasViewAsContent(catalog, table, &seen);
  });
  const bool reads = std::any_of(tables.begin(), tables.end(), [&facts](const std::string& table) {
    return facts.reads.contains(table) || facts.rewrites.contains(table);
  });
  if (reads && !facts.drops_or_alters) return true;
  if (tables.empty() || facts.changes_schema) return false;
  // The row that a REPLACE deletes is read, and its conflict rule holds in triggers, too.
  const auto may_read = [&](std::string_view text) {
    return HoldsWord(text, "replace") || TextGivesLong(catalog, facts, text);
  };
  if (may_read(sql)) return true;
  InternalStatement find;
  for (const std::string& trigger : facts.inserting_triggers) {
    RETURN_IF_ERROR(find.Prepare(
        db, "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?1 COLLATE NOCASE"));
    ASSIGN_OR_RETURN(const bool found, find.BindText(1, trigger).Next());
    if (found && may_read(find.Bytes(0))) return true;
  }
  return false;
}

}  // namespace cairn::state_machine
