#include "state_machine/sqlite/full_text_table.h"

#include <cstddef>
#include <string>
#include <vector>

#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

bool MovesText(const std::string& option) {
  // FTS5 takes each beginning of the word.
  if (!option.empty() && std::string_view("content").starts_with(option)) return true;
  return option == "compress" || option == "uncompress";
}

}  // namespace

bool KeepsItsText(std::string_view create_sql) {
  const std::vector<Token> tokens = TokensOf(create_sql);
  size_t at = 0;
  while (at < tokens.size() && !IsWord(tokens[at], "using")) ++at;
  if (++at >= tokens.size() || !IsName(tokens[at])) return false;
  const std::string module = NameOf(tokens[at]);
  if (module != "fts3" && module != "fts4" && module != "fts5") return false;
  for (; at + 1 < tokens.size(); ++at) {
    const bool is_option = IsName(tokens[at]) && tokens[at + 1].text == "=";
    if (is_option && MovesText(NameOf(tokens[at]))) return false;
  }
  return true;
}

}  // namespace cairn::state_machine
