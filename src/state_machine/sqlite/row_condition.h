// RowCondition: an SQL expression over the columns of a table, asked of one row at a time.
//
// The expression is that of a generated column of a table in memory, so SQLite itself refuses what
// depends on more than the row: subqueries, parameters, aggregates, random() and the time of day.
// Text is compared as the expression says (COLLATE), otherwise byte by byte: the collations of the
// table's columns are not known here. There is no rowid.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cairn/value.h"
#include "state_machine/sqlite/reader_functions.h"
#include "state_machine/sqlite/statement.h"
#include "state_machine/sqlite/work_budget.h"

namespace cairn::state_machine {

// One thread at a time.
class RowCondition {
 public:
  static constexpr size_t kTextBytesMax = 4096;

  // INVALID_ARGUMENT if the text is no such expression over these columns. `is_strict`: the table
  // is STRICT, so a column of type ANY keeps values as they are.
  static Result<std::unique_ptr<RowCondition>> Compile(const std::string& table,
                                                       const std::vector<Column>& columns,
                                                       const std::string& text,
                                                       bool is_strict = false);
  ~RowCondition();
  RowCondition(const RowCondition&) = delete;
  RowCondition& operator=(const RowCondition&) = delete;

  // Whether WHERE would take the row. FAILED_PRECONDITION if the expression fails for the row, or
  // needs too much work or memory.
  Result<bool> Matches(const Row& row);

 private:
  struct Used {
    size_t place;
    Column column;
  };

  RowCondition() = default;
  Status Open();
  Status Define(const std::string& table, const std::vector<Column>& columns,
                const std::string& text, bool is_strict);
  // Bounds what the expression may do with columns of so many bytes.
  void Bound(size_t bytes);
  int Bind(const Row& row);
  void Forget();
  static int CountSteps(void* self);

  ReaderFunctions functions_{[] { return true; }};  // CountSteps bounds the work
  WorkBudget pattern_work_;
  sqlite3* db_ = nullptr;
  StatementPtr put_;
  StatementPtr ask_;
  std::vector<Used> used_;  // the columns that the expression names
  size_t steps_left_ = 0;
  bool is_long_ = false;  // the row that is bound
};

}  // namespace cairn::state_machine
