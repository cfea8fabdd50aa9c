// ColumnSizer: computes the expanded size of the columns of one text (column_growth.h).
// GeneratedColumns does so for the generated columns of a table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "state_machine/sqlite/column_growth.h"
#include "state_machine/sqlite/sql_tokens.h"

namespace cairn::state_machine {

// Larger counts are treated as this one.
inline constexpr uint64_t kTokensMost = uint64_t{1} << 40;
// The size of a definition that is not known to end. It is not flattened.
inline constexpr ColumnGrowth::Size kEndlessColumns{kTokensMost, kTokensMost, 0, 0, 0, 1};

// Computes each SELECT once. The size may be too large: a name that equals the name of a view
// counts as the view, and each column of a subquery counts as the largest.
class ColumnSizer {
 public:
  using Size = ColumnGrowth::Size;
  // Returns the size of a view; null if there is no view of that name.
  using FindView = std::function<const Size*(const std::string&)>;

  // `leaf_column`: the size of a column of a table.
  ColumnSizer(std::string_view sql, uint64_t leaf_column, FindView view);

  Size Whole() { return SizeOf(0, 0); }

 private:
  // The contents of one pair of parentheses that holds a SELECT. The first part is the whole text.
  struct Part {
    size_t begin = 0;
    size_t end = 0;
    size_t parent = 0;
    size_t nesting = 0;                         // parts around it
    bool is_body = false;                       // of a common table expression
    std::multimap<std::string, size_t> bodies;  // of the table expressions that are defined in it
    enum { kUnknown, kUnderWay, kKnown } state = kUnknown;
    Size size;
  };
  // One column of the result, or one clause.
  struct Item {
    bool in_result = false;
    uint64_t uses = 0;  // of columns, by name
    uint64_t nested = 0;
    uint64_t others = 0;
  };
  struct Reading;

  void FindParts();
  // The size as seen from within the part `from`.
  Size SizeOf(size_t part, size_t from);
  bool IsWithin(size_t part, size_t outer) const;
  Size Compute(size_t part);
  void TakeToken(size_t part, size_t at, Reading* reading);
  void TakeName(size_t part, size_t at, Reading* reading);
  bool TakeTable(size_t part, const std::string& name, Reading* reading);
  static void TakeSource(const Size& source, Reading* reading);
  static void TakeExpression(const Size& inner, Reading* reading);

  const std::vector<Token> tokens_;
  const uint64_t leaf_column_;
  const FindView view_;
  std::vector<Part> parts_;
  std::map<size_t, size_t> part_at_;  // by the places of the parentheses
  size_t depth_ = 0;
};

// The expanded size of the generated columns of a table. Each token counts as one, and a generated
// column counts as its own expression.
class GeneratedColumns {
 public:
  explicit GeneratedColumns(std::string_view create_table);

  uint64_t total() const { return total_; }
  uint64_t largest() const { return largest_; }

 private:
  struct Column {
    size_t begin = 0;  // of its expression
    size_t end = 0;
    uint64_t tokens = 0;
  };

  void AddColumn(size_t begin, size_t end);
  uint64_t TokensOfColumn(const std::string& name, size_t depth);

  const std::vector<Token> tokens_;
  std::map<std::string, Column> columns_;
  uint64_t total_ = 0;
  uint64_t largest_ = 1;
};

}  // namespace cairn::state_machine
