#include "tools/virtual_table.h"

#include <cctype>
#include <optional>
#include <string_view>
#include <utility>

#include "base/sql_name.h"
#include "tools/sql_text.h"

namespace cairn::tools {
namespace {

bool IsSpace(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// The text without its quotes, of any of SQLite's four kinds. Nothing if it does not end with its
// quote.
std::optional<std::string> Unquoted(std::string_view text) {
  if (text.empty() || std::string_view("'\"`[").find(text[0]) == std::string_view::npos) {
    return std::string(text);
  }
  const char end = text[0] == '[' ? ']' : text[0];
  std::string out;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == end) {
      if (end == ']' || i + 1 == text.size() || text[i + 1] != end) {
        return i + 1 == text.size() ? std::optional(out) : std::nullopt;
      }
      ++i;
    }
    out += text[i];
  }
  return std::nullopt;
}

struct Definition {
  std::string module;                     // in lower case
  std::vector<std::string_view> options;  // as they stand between the commas
};

// The texts between commas, up to the parenthesis that closes the list.
std::vector<std::string_view> Arguments(std::string_view text) {
  std::vector<std::string_view> out;
  int depth = 0;
  char quote = '\0';
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != '\0') {
      if (c == quote) quote = '\0';
      continue;
    }
    if (c == '\'' || c == '"' || c == '`' || c == '[') quote = c == '[' ? ']' : c;
    if (c == '(') ++depth;
    const bool ends = depth == 0 && (c == ',' || c == ')');
    if (ends) out.push_back(Trimmed(text.substr(begin, i - begin)));
    if (ends) begin = i + 1;
    if (ends && c == ')') break;
    if (c == ')') --depth;
  }
  return out;
}

// CREATE VIRTUAL TABLE name USING module(options).
Definition Parse(const std::string& sql) {
  std::string_view rest = sql;
  std::string_view word;
  // The name may be the word USING, too, but only in quotes.
  do word = TakeToken(&rest);
  while (!word.empty() && UpperCase(word) != "USING");
  Definition out;
  out.module = Lower(Unquoted(TakeToken(&rest)).value_or(""));
  if (TakeToken(&rest) == "(") out.options = Arguments(rest);
  return out;
}

// The value of an option, as it stands. FTS5 takes the beginning of a name for the name.
std::optional<std::string_view> Option(const Definition& table, std::string_view name) {
  for (const std::string_view option : table.options) {
    const size_t equals = option.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string key = Lower(Trimmed(option.substr(0, equals)));
    const size_t shortest = name == "content" ? 1 : 3;  // "co" is of "content"
    const bool begins = key.size() >= shortest && name.starts_with(key);
    const bool found = key == name || (table.module == "fts5" && begins);
    if (found) return Trimmed(option.substr(equals + 1));
  }
  return std::nullopt;
}

Result<std::optional<std::string>> OptionText(const Definition& table, std::string_view name) {
  const std::optional<std::string_view> value = Option(table, name);
  if (!value) return std::optional<std::string>();
  std::optional<std::string> text = Unquoted(*value);
  if (!text) {
    return InvalidArgument("the option " + std::string(name) + " = " + std::string(*value) +
                           " of a full-text table is not understood: write its value in '...'");
  }
  return text;
}

bool HasOptions(const Definition& table) {
  return table.module == "fts4" || table.module == "fts5";
}

}  // namespace

Result<VirtualTable> DescribeVirtualTable(const std::string& sql) {
  VirtualTable table;
  const Definition definition = Parse(sql);
  const std::string& module = definition.module;
  if (module == "fts5vocab" || module == "fts4aux") table.has_rows = false;
  table.is_fts5 = module == "fts5";
  table.is_time_series = module == "timeseries";
  if (!HasOptions(definition) && module != "fts3") return table;
  table.more_columns = {table.is_fts5 ? "rowid" : "docid"};
  if (!HasOptions(definition)) return table;
  ASSIGN_OR_RETURN(const std::optional<std::string> content, OptionText(definition, "content"));
  table.has_rows = !content.has_value();
  table.without_content = content.has_value() && content->empty();
  table.rebuilds = content.has_value() && !content->empty();
  if (table.is_fts5) return table;
  ASSIGN_OR_RETURN(const std::optional<std::string> language, OptionText(definition, "languageid"));
  if (language) table.more_columns.push_back(*language);
  return table;
}

bool IsRollup(const std::string& sql) { return Parse(sql).module == "timeseries_rollup"; }

void ShadowTables::AddVirtual(const std::string& name, const std::string& sql) {
  virtual_tables_[Lower(name)] = sql;
}

bool ShadowTables::IsOwned(const std::string& name) const {
  const std::string lower = Lower(name);
  const size_t end = lower.rfind('_');
  if (end == std::string::npos) return false;
  const auto owner = virtual_tables_.find(lower.substr(0, end));
  if (owner == virtual_tables_.end()) return false;
  const std::string part = lower.substr(end + 1);
  const Definition definition = Parse(owner->second);
  if (part == "content") return !HasOptions(definition) || !Option(definition, "content");
  if (part != "docsize") return true;
  if (definition.module == "fts3") return false;
  const auto columnsize = Option(definition, "columnsize");
  const auto matchinfo = Option(definition, "matchinfo");
  if (definition.module == "fts5") return !columnsize || Unquoted(*columnsize) != "0";
  return definition.module != "fts4" || !matchinfo ||
         Lower(Unquoted(*matchinfo).value_or("")) != "fts3";
}

std::string SettingsOfFts5(const std::string& table) {
  return "SELECT k, v FROM " + QuotedName(table + "_config") + " WHERE k <> 'version'";
}

}  // namespace cairn::tools
