// ColumnGrowth: what the columns of subqueries, views and generated columns grow to when SQLite
// compiles them.
//
// SQLite flattens a subquery into the query around it: the expression of a column takes the place of
// each use of the column. Where each level uses the column of the level below twice, the expression
// doubles at each level. SQLite also compiles a virtual generated column anew at each use. So thirty
// levels in two kilobytes of text take hours to compile, before the first step that a budget counts,
// and nothing can interrupt SQLite meanwhile.
//
// The size is computed from the texts before SQLite sees them. Where columns of subqueries would grow,
// SQLite compiles the subqueries apart, and gives the same rows in more steps. Generated columns that
// grow are refused.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"

namespace cairn::state_machine {

// In tokens. SQLite takes about half a microsecond for each.
inline constexpr uint64_t kFlattenedTokensMax = 20'000;   // of a statement; more are compiled apart
inline constexpr uint64_t kUsedColumnTokensMax = 2000;    // of one column that others use, likewise
inline constexpr uint64_t kGeneratedTokensMax = 5000;     // of the generated columns of a table
inline constexpr uint64_t kGeneratedUsesMax = 2'000'000;  // of all uses of them in a statement

// The engine's: its thread only.
class ColumnGrowth {
 public:
  // Of a SELECT, or of a text.
  struct Size {
    uint64_t column = 1;     // the largest column of the result, when all is flattened
    uint64_t used = 1;       // the largest column that is used within
    uint64_t flattened = 0;  // all of it
    uint64_t apart = 0;      // all of it, when subqueries are compiled apart
    uint64_t plain = 0;      // the same without generated columns
    uint64_t copies = 1;     // of a query that it is flattened into: the arms of a compound SELECT
  };
  struct Verdict {
    Status status;  // not OK: the text may not be compiled
    bool may_flatten = true;
    uint64_t grown = 0;  // tokens that are compiled, beyond a multiple of those of the texts
  };

  void Clear();
  void AddView(const std::string& lower_name, std::string_view sql);
  void AddTrigger(std::string_view sql);
  void AddTable(std::string_view sql);
  // After all were added.
  void Compute();

  Verdict Judge(std::string_view sql) const;
  // Whether the views and triggers of the schema may be flattened. Else nothing is, in any statement:
  // virtual tables and triggers bring views along that the text does not name.
  bool may_flatten() const { return may_flatten_; }
  // Of the table that has most.
  uint64_t generated() const { return generated_; }

 private:
  std::multimap<std::string, std::string> texts_;  // of views; of triggers, without a name
  std::map<std::string, Size> views_;              // computed
  uint64_t generated_ = 0;
  uint64_t generated_column_ = 1;  // the largest one
  uint64_t grown_ = 0;             // by all triggers
  bool may_flatten_ = true;
};

// INVALID_ARGUMENT if it is above kGeneratedTokensMax.
Status CheckGenerated(uint64_t tokens);

// From now on, on this connection.
void AllowFlattening(sqlite3* db, bool allowed);

// The same, while it lives.
class FlatteningAllowed {
 public:
  // `then`: what is allowed when it is gone.
  FlatteningAllowed(sqlite3* db, bool allowed, bool then) : db_(db), then_(then) {
    AllowFlattening(db, allowed);
  }
  ~FlatteningAllowed() { AllowFlattening(db_, then_); }
  FlatteningAllowed(const FlatteningAllowed&) = delete;
  FlatteningAllowed& operator=(const FlatteningAllowed&) = delete;

 private:
  sqlite3* const db_;
  const bool then_;
};

}  // namespace cairn::state_machine
