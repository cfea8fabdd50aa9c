#include "state_machine/sqlite/named_tables.h"

#include <algorithm>
#include <vector>

#include "state_machine/sqlite/joined_names.h"
#include "state_machine/sqlite/local_tables.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/sql_tokens.h"
#include "state_machine/sqlite/vector_sql.h"

namespace cairn::state_machine {
namespace {

bool ReadsMore(const std::string& name) {
  return name.starts_with("sqlite_") || name == kTopKTable || IsLocalTable(name);
}

// Also within an EXPLAIN.
bool IsPragma(const std::vector<Token>& tokens) {
  for (const Token& token : tokens) {
    if (IsWord(token, "pragma")) return true;
    if (token.type != TokenType::kSemicolon && !IsAnyWord(token, "explain", "query", "plan")) break;
  }
  return false;
}

// The place of the verb: the first INSERT, REPLACE, UPDATE or DELETE outside of parentheses.
size_t PlaceOfVerb(const std::vector<Token>& tokens) {
  int depth = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].type == TokenType::kOpen) ++depth;
    if (tokens[i].type == TokenType::kClose) --depth;
    if (depth == 0 && IsAnyWord(tokens[i], "insert", "replace", "update", "delete")) return i;
  }
  return tokens.size();
}

// The table behind the verb and its conflict resolution: [OR x] [INTO | FROM] [schema .] name.
std::string TargetAt(const std::vector<Token>& tokens, size_t at) {
  const auto token = [&](size_t i) { return i < tokens.size() ? tokens[i] : Token(); };
  ++at;
  if (IsWord(token(at), "or")) at += 2;
  if (IsAnyWord(token(at), "into", "from")) ++at;
  if (token(at + 1).text == ".") at += 2;
  return IsName(token(at)) ? NameOf(token(at)) : std::string();
}

}  // namespace

NamedTables TablesNamedBy(std::string_view sql,
                          const std::function<bool(const std::string&)>& is_object) {
  const std::string_view text = WithoutConstantRows(sql);
  const std::vector<Token> tokens = TokensOf(text);
  NamedTables named;
  named.reads_more = IsPragma(tokens);
  const size_t verb = PlaceOfVerb(tokens);
  if (verb < tokens.size()) named.target = TargetAt(tokens, verb);
  for (const std::string& name : NamesIn(text)) {
    named.reads_more = named.reads_more || ReadsMore(name);
    if (is_object(name)) named.reads.insert(name);
  }
  const auto times = std::count_if(tokens.begin(), tokens.end(), [&](const Token& token) {
    return IsName(token) && NameOf(token) == named.target;
  });
  // An upsert and RETURNING read columns of the target without its name.
  const auto reads = [](const Token& token) { return IsAnyWord(token, "returning", "conflict"); };
  const bool only_writes = verb < tokens.size() && IsAnyWord(tokens[verb], "insert", "replace") &&
                           times == 1 && std::none_of(tokens.begin(), tokens.end(), reads);
  if (only_writes) named.reads.erase(named.target);
  return named;
}

}  // namespace cairn::state_machine
