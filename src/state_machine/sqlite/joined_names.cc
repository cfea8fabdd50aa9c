#include "state_machine/sqlite/joined_names.h"

#include <algorithm>
#include <vector>

#include "state_machine/sqlite/local_tables.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/sql_scan.h"
#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {
namespace {

// A name of a table, and not a text such as '_cairn_%'.
bool IsIdentifier(std::string_view name) {
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool IsInternal(std::string_view lower_name) {
  return lower_name == kPagesTable || (IsReservedName(lower_name) && IsIdentifier(lower_name));
}

bool DiffersBetweenNodes(std::string_view lower_name) {
  return lower_name == "rootpage" || IsLocalTable(lower_name);
}

}  // namespace

bool JoinsByName(std::string_view sql) {
  const bool natural = HoldsWord(sql, "natural");
  if (!natural && !HoldsWord(sql, "using")) return false;
  Tokenizer tokens(sql);
  for (Token token = tokens.Next(); token.type != TokenType::kEnd;) {
    if (IsWord(token, "natural")) return true;
    const bool is_using = IsWord(token, "using");
    token = tokens.Next();
    if (is_using && token.type == TokenType::kOpen) return true;
  }
  return false;
}

std::set<std::string> NamesIn(std::string_view sql) {
  std::set<std::string> names;
  Tokenizer tokens(sql);
  for (Token token = tokens.Next(); token.type != TokenType::kEnd; token = tokens.Next()) {
    if (IsName(token)) names.insert(NameOf(token));
  }
  return names;
}

Status CheckJoinsOfQuery(std::string_view sql) {
  if (!JoinsByName(sql)) return OkStatus();
  for (const std::string& name : NamesIn(sql)) {
    if (IsInternal(name)) return PermissionDenied(name + " is internal to Cairn");
  }
  return OkStatus();
}

Status CheckJoinsOfWrite(std::string_view sql) {
  if (!JoinsByName(sql)) return OkStatus();
  for (const std::string& name : NamesIn(sql)) {
    if (IsInternal(name)) return PermissionDenied(name + " is internal to Cairn");
    if (!DiffersBetweenNodes(name)) continue;
    return PermissionDenied(name +
                            " may differ between nodes; a write that joins by USING or NATURAL may "
                            "not name it");
  }
  return OkStatus();
}

void NamesOfSchema::Clear() {
  texts_.clear();
  joins_by_name_ = false;
}

void NamesOfSchema::Add(const std::string& lower_name, std::string_view sql) {
  Text& text = texts_[lower_name];
  text.names.merge(NamesIn(sql));
  if (text.refusal.ok()) text.refusal = CheckJoinsOfWrite(sql);
  joins_by_name_ = joins_by_name_ || JoinsByName(sql);
}

NamesOfSchema::Reached NamesOfSchema::From(std::string_view sql,
                                           const std::set<std::string>& triggers) const {
  Reached reached;
  reached.names = NamesIn(sql);
  reached.names.insert(triggers.begin(), triggers.end());
  std::vector<std::string> todo(reached.names.begin(), reached.names.end());
  while (!todo.empty()) {
    const auto found = texts_.find(todo.back());
    todo.pop_back();
    if (found == texts_.end()) continue;
    if (reached.refusal.ok()) reached.refusal = found->second.refusal;
    for (const std::string& name : found->second.names) {
      if (reached.names.insert(name).second) todo.push_back(name);
    }
  }
  return reached;
}

}  // namespace cairn::state_machine
