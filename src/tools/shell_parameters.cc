#include "tools/shell_parameters.h"

#include <sqlite3.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "tools/sql_literal.h"
#include "tools/sql_text.h"

namespace cairn::tools {
namespace {

// SQLite's own limit is 250,000. Each costs memory in the request.
constexpr size_t kNumberMax = 32766;

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};

Value ColumnOf(sqlite3_stmt* stmt) {
  const auto bytes = static_cast<size_t>(sqlite3_column_bytes(stmt, 0));
  switch (sqlite3_column_type(stmt, 0)) {
    case SQLITE_INTEGER: return sqlite3_column_int64(stmt, 0);
    case SQLITE_FLOAT: return sqlite3_column_double(stmt, 0);
    case SQLITE_TEXT:
      return std::string(reinterpret_cast<const char*>(sqlite3_column_text(stmt, 0)), bytes);
    case SQLITE_BLOB:
      return Blob{std::string(static_cast<const char*>(sqlite3_column_blob(stmt, 0)), bytes)};
    default: return std::monostate();
  }
}

// The value of an expression, in an empty database of its own.
std::optional<Value> Evaluate(const std::string& expression) {
  sqlite3* opened = nullptr;
  const int rc = sqlite3_open(":memory:", &opened);
  const std::unique_ptr<sqlite3, CloseDatabase> db(opened);
  if (rc != SQLITE_OK) return std::nullopt;
  sqlite3_stmt* stmt = nullptr;
  const std::string sql = "SELECT (" + expression + "\n)";
  if (sqlite3_prepare_v2(db.get(), sql.c_str(), -1, &stmt, nullptr) != SQLITE_OK) {
    return std::nullopt;
  }
  std::optional<Value> value;
  if (sqlite3_step(stmt) == SQLITE_ROW) value = ColumnOf(stmt);
  sqlite3_finalize(stmt);
  return value;
}

// Of "?5". 0 if it is another name.
size_t NumberOf(const std::string& name) {
  size_t number = 0;
  if (name.size() < 2 || name[0] != '?') return 0;
  const auto [end, error] = std::from_chars(name.data() + 1, name.data() + name.size(), number);
  return error == std::errc() && end == name.data() + name.size() ? number : 0;
}

}  // namespace

Status ShellParameters::Set(const std::string& name, const std::string& text,
                            const std::string& expression) {
  const bool named = name.size() > 1 && (name[0] == ':' || name[0] == '@' || name[0] == '$');
  const size_t number = NumberOf(name);
  if (!named && (number == 0 || number > kNumberMax)) {
    return InvalidArgument("the name of a parameter begins with :, @ or $, or is ? and a number");
  }
  const std::optional<Value> value = Evaluate(expression);
  values_[name] = value.value_or(Value(text));
  return OkStatus();
}

void ShellParameters::List(std::ostream* out) const {
  size_t longest = 0;
  for (const auto& [name, value] : values_) longest = std::max(longest, name.size());
  for (const auto& [name, value] : values_) {
    *out << name << std::string(longest - name.size() + 1, ' ') << LiteralText(value) << "\n";
  }
}

Statement ShellParameters::Bind(const std::string& sql) const {
  Statement statement{sql, {}, {}};
  for (const std::string& name : ParametersOf(sql)) {
    const auto found = values_.find(name);
    Value value = found == values_.end() ? Value() : found->second;
    const size_t number = name == "?" ? statement.positional.size() + 1 : NumberOf(name);
    if (number == 0) {
      statement.named.push_back({name, std::move(value)});
    } else if (number <= kNumberMax) {
      statement.positional.resize(std::max(statement.positional.size(), number));
      statement.positional[number - 1] = std::move(value);
    }
  }
  return statement;
}

}  // namespace cairn::tools
