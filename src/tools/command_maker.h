// CommandMaker: rows as the statements of one command.
#pragma once

#include <string>
#include <vector>

#include "cairn/value.h"

namespace cairn::tools {

// Rows in one INSERT: enough that a row's share of a statement is small.
inline constexpr size_t kRowsPerStatement = 64;

// The bytes of a value in a request, about.
size_t RequestBytesOf(const Value& value);

size_t RequestBytesOf(const Row& row);

struct Command {
  std::vector<Statement> statements;
  std::vector<size_t> rows;  // that each of the statements inserts; 0: it inserts none
};

// Not thread-safe.
class CommandMaker {
 public:
  // The rows that follow go into these columns, at most `rows_max` by one statement.
  void BeginTable(std::string table, std::vector<std::string> columns, size_t rows_max);
  void Add(const Row& row);
  void Add(std::string sql, std::vector<Value> values = {});
  // The command has so many bytes, or as many statements and values as a request may.
  bool IsFull(size_t bytes_max) const;
  size_t bytes() const { return bytes_; }
  // What was added, and an empty command from then on.
  Command Take();

 private:
  void EndStatement();

  std::string table_;
  std::vector<std::string> columns_;
  size_t rows_max_ = 1;
  std::string full_sql_;  // of rows_max_ rows
  std::vector<Value> values_;
  size_t rows_ = 0;
  Command command_;
  size_t bytes_ = 0;
  size_t all_values_ = 0;
};

}  // namespace cairn::tools
