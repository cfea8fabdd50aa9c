#include "state_machine/sqlite/value_bound.h"

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <utility>

#include "state_machine/sqlite/internal_sql.h"
#include "state_machine/sqlite/sql_tokens.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {
namespace {

// The memory of one operation of a program.
constexpr uint64_t kOperationBytes = 24;
// EXPLAIN may compile a little more or less than the statement has.
constexpr uint64_t kOperationsMore = 64;

// An operation that allocates the value it makes, and the operand that names the target register.
struct Maker {
  std::string_view operation;
  int operand;  // 1 to 3
};
constexpr Maker kMakers[] = {
    {"AggFinal", 1}, {"AggInverse", 3}, {"AggStep", 3}, {"AggStep1", 3},   {"AggValue", 3},
    {"Blob", 2},     {"Cast", 1},       {"Column", 3},  {"Concat", 3},     {"Function", 3},
    {"PureFunc", 3}, {"MakeRecord", 3}, {"RowData", 2}, {"SorterData", 2}, {"VColumn", 3},
};

// The registers of a program and of those of its triggers.
class Places {
 public:
  void Add(InternalStatement* row) {
    ++operations_;
    if (row->Int(0) == 0) ++program_;
    const std::string_view operation = row->Bytes(1);
    if (operation == "Copy") {
      for (int64_t i = 0; i <= row->Int(4); ++i) places_.emplace(program_, row->Int(3) + i);
      return;
    }
    for (const Maker& maker : kMakers) {
      if (maker.operation == operation) places_.emplace(program_, row->Int(1 + maker.operand));
    }
  }
  // At most the number of operations; otherwise QuickValueBound could return more.
  uint64_t count() const { return std::min<uint64_t>(places_.size(), operations_); }

 private:
  int64_t program_ = 0;
  uint64_t operations_ = 0;
  std::set<std::pair<int64_t, int64_t>> places_;
};

// Semicolons may stand before a statement, but not behind EXPLAIN.
std::string_view FromFirstToken(std::string_view sql) {
  Tokenizer tokens(sql);
  Token token = tokens.Next();
  while (token.type == TokenType::kSemicolon) token = tokens.Next();
  if (token.type == TokenType::kEnd) return sql;
  return sql.substr(static_cast<size_t>(token.text.data() - sql.data()));
}

int BoundFor(uint64_t places) {
  const uint64_t bytes = kHeldBytesMax / std::max<uint64_t>(places, 1);
  return static_cast<int>(std::clamp<uint64_t>(bytes, kValueBytesAlways, kValueBytesMax));
}

}  // namespace

Result<int> ValueBound(sqlite3* db, std::string_view sql) {
  InternalStatement explain;
  RETURN_IF_ERROR(explain.Prepare(db, "EXPLAIN " + std::string(FromFirstToken(sql))));
  Places places;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, explain.Next());
    if (!row) break;
    places.Add(&explain);
  }
  return BoundFor(places.count());
}

int QuickValueBound(sqlite3_stmt* stmt) {
  const auto bytes =
      static_cast<uint64_t>(sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_MEMUSED, /*resetFlg=*/0));
  return BoundFor(2 * bytes / kOperationBytes + kOperationsMore);
}

size_t LargestValueBytes(const Statement& statement) {
  size_t largest = 0;
  const auto look = [&largest](const Value& value) {
    if (const auto* text = std::get_if<std::string>(&value))
      largest = std::max(largest, text->size());
    if (const auto* blob = std::get_if<Blob>(&value))
      largest = std::max(largest, blob->bytes.size());
  };
  for (const Value& value : statement.positional) look(value);
  for (const NamedValue& named : statement.named) look(named.value);
  return largest;
}

}  // namespace cairn::state_machine
