#include "tools/temporary_tables.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::tools {
namespace {

// A statement about one table that has no schema before its name: CREATE, DROP or ALTER TABLE.
struct TableStatement {
  std::string verb;
  std::string name;
  bool temporary = false;
  std::string ordinary;  // the statement without TEMP and IF NOT EXISTS
};

std::optional<TableStatement> Parse(const std::string& sql) {
  TableStatement out;
  std::string_view rest = sql;
  const std::string_view verb = TakeToken(&rest);
  out.verb = UpperCase(verb);
  if (out.verb != "CREATE" && out.verb != "DROP" && out.verb != "ALTER") return std::nullopt;
  std::string_view word = TakeToken(&rest);
  if (UpperCase(word) == "TEMP" || UpperCase(word) == "TEMPORARY") {
    out.temporary = true;
    word = TakeToken(&rest);
  }
  if (UpperCase(word) != "TABLE") return std::nullopt;
  std::string_view before = rest;
  std::string_view name = TakeToken(&rest);
  if (UpperCase(name) == "IF") {  // [NOT] EXISTS
    for (std::string_view each = name; !each.empty() && UpperCase(each) != "EXISTS";) {
      each = TakeToken(&rest);
    }
    before = rest;
    name = TakeToken(&rest);
  }
  out.name = UpperCase(UnquotedName(name));
  if (out.name.empty() || TakeToken(&rest) == ".") return std::nullopt;
  out.ordinary = std::string(verb) + " TABLE " + std::string(before);
  return out;
}

}  // namespace

Status MakeTemporaryTablesOrdinary(std::vector<StatementSplitter::Statement>* statements,
                                   size_t* failed) {
  std::map<std::string, size_t> alive;  // by name: the place of CREATE
  for (size_t i = 0; i < statements->size(); ++i) {
    std::string& sql = (*statements)[i].sql;
    std::optional<TableStatement> statement = Parse(sql);
    if (!statement) continue;
    *failed = i;
    const bool is_alive = alive.contains(statement->name);
    if (statement->temporary && statement->verb == "CREATE") {
      if (is_alive) return InvalidArgument("the transaction makes this TEMP table twice");
      alive[statement->name] = i;
      sql = std::move(statement->ordinary);
    } else if (is_alive && statement->verb == "ALTER") {
      return InvalidArgument(
          "a TEMP table of a transaction is not altered: make it as it must be, or make an "
          "ordinary "
          "table");
    } else if (is_alive && statement->verb == "DROP") {
      alive.erase(statement->name);
    }
  }
  if (alive.empty()) return OkStatus();
  *failed = alive.begin()->second;
  return InvalidArgument(
      "a TEMP table belongs to one connection and is not replicated. Within BEGIN and COMMIT a "
      "TEMP "
      "table is taken if the transaction drops it, too");
}

}  // namespace cairn::tools
