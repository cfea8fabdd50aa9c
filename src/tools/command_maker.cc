#include "tools/command_maker.h"

#include <algorithm>
#include <utility>

#include "base/sql_name.h"
#include "tools/sql_literal.h"

namespace cairn::tools {
namespace {

// Bounds of a request (docs/limits.md), with room to spare.
constexpr size_t kStatementsMax = 12'000;
constexpr size_t kValuesMax = 800'000;
// Of one statement: its text is compiled again for the last rows of a command.
constexpr size_t kValuesPerStatement = 400;

// INSERT INTO table(columns) VALUES(?, ?), (?, ?)...
std::string InsertSql(const std::string& table, const std::vector<std::string>& columns,
                      size_t rows) {
  std::string sql = "INSERT INTO " + QuotedName(table) + "(";
  std::string row = "(";
  for (size_t i = 0; i < columns.size(); ++i) {
    sql += (i == 0 ? "" : ",") + QuotedName(columns[i]);
    row += i == 0 ? "?" : ",?";
  }
  sql += ") VALUES";
  for (size_t i = 0; i < rows; ++i) sql += (i == 0 ? "" : ",") + row + ")";
  return sql;
}

}  // namespace

size_t RequestBytesOf(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return text->size() + 16;
  if (const auto* blob = std::get_if<Blob>(&value)) return blob->bytes.size() + 16;
  return 16;
}

size_t RequestBytesOf(const Row& row) {
  size_t bytes = 0;
  for (const Value& value : row) bytes += RequestBytesOf(value);
  return bytes;
}

void CommandMaker::BeginTable(std::string table, std::vector<std::string> columns,
                              size_t rows_max) {
  EndStatement();
  table_ = std::move(table);
  columns_ = std::move(columns);
  rows_max_ =
      std::clamp<size_t>(kValuesPerStatement / std::max<size_t>(columns_.size(), 1), 1, rows_max);
  full_sql_ = InsertSql(table_, columns_, rows_max_);
}

void CommandMaker::Add(const Row& row) {
  bytes_ += RequestBytesOf(row);
  values_.insert(values_.end(), row.begin(), row.end());
  all_values_ += row.size();
  if (++rows_ == rows_max_) EndStatement();
}

void CommandMaker::Add(std::string sql, std::vector<Value> values) {
  EndStatement();
  bytes_ += sql.size() + 32;
  command_.statements.push_back({std::move(sql), std::move(values), {}});
  command_.rows.push_back(0);
}

bool CommandMaker::IsFull(size_t bytes_max) const {
  return bytes_ >= bytes_max || command_.statements.size() >= kStatementsMax ||
         all_values_ >= kValuesMax;
}

Command CommandMaker::Take() {
  EndStatement();
  bytes_ = all_values_ = 0;
  return std::exchange(command_, {});
}

void CommandMaker::EndStatement() {
  if (rows_ == 0) return;
  std::string sql = rows_ == rows_max_ ? full_sql_ : InsertSql(table_, columns_, rows_);
  bytes_ += sql.size() + 32;
  command_.statements.push_back({std::move(sql), std::exchange(values_, {}), {}});
  command_.rows.push_back(std::exchange(rows_, 0));
}

}  // namespace cairn::tools
