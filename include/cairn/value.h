// Values, statements and results: what goes into and comes out of the database.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace cairn {

// SQLite's five storage classes. Text is UTF-8, and may hold NULs only as SQLite allows.
struct Blob {
  std::string bytes{};
  bool operator==(const Blob&) const = default;
};
using Value = std::variant<std::monostate, int64_t, double, std::string, Blob>;

struct NamedValue {
  std::string name{};  // with or without its prefix (:, @ or $)
  Value value{};
  bool operator==(const NamedValue&) const = default;
};

struct Statement {
  std::string sql{};                // exactly one statement
  std::vector<Value> positional{};  // bound to ?1, ?2, ...
  std::vector<NamedValue> named{};
  bool operator==(const Statement&) const = default;
};

// How many rows a statement must change or, with RETURNING, return.
struct RowExpectation {
  enum class Kind : uint8_t { kAny = 0, kExactly = 1, kAtLeast = 2 } kind = Kind::kAny;
  uint64_t rows = 0;  // 0 with kAny
  bool operator==(const RowExpectation&) const = default;
};
// If the expectation is missed, nothing of the batch takes effect: the answer is ABORTED,
// Reason::kUnexpectedRows. After a lost answer the reason may be missing. Any ABORTED with the
// outcome applied means that nothing changed.
struct BatchStatement {
  Statement statement{};
  RowExpectation expect{};
  bool operator==(const BatchStatement&) const = default;
};

// What a write does about foreign keys.
enum class ForeignKeys : uint8_t {
  kEnforced = 0,
  // As between PRAGMA foreign_keys = OFF and ON: they are not enforced while the statements run, so
  // no action such as ON DELETE CASCADE fires, and a table can be rebuilt. PRAGMA foreign_key_check
  // follows the statements. If it finds a row, nothing of the write takes effect.
  kCheckedAtEnd = 1,
  // The same without the check: the write may leave rows that refer to nothing.
  kUnchecked = 2,
};

struct Column {
  std::string name{};
  std::string decl_type{};  // empty for an expression
  bool operator==(const Column&) const = default;
};
using Row = std::vector<Value>;

struct StatementResult {
  int64_t rows_affected = 0;
  int64_t last_insert_id = 0;
  std::vector<Column> columns{};  // of RETURNING
  std::vector<Row> rows{};
  bool operator==(const StatementResult&) const = default;
};

}  // namespace cairn
