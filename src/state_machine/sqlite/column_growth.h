// ColumnGrowth: the size of the columns of subqueries, views and generated columns after SQLite has
// expanded them.
//
// SQLite flattens a subquery into the query around it: the expression of a column replaces each use
// of the column. If each level uses the column of the level below twice, the expression doubles at
// each level. SQLite also compiles a virtual generated column anew at each use. So thirty levels in
// two kilobytes of text take hours to compile, before the first step that a budget counts, and
// nothing can interrupt SQLite meanwhile.
//
// The size is computed from the texts before SQLite sees them. Where columns of subqueries would
// grow too large, SQLite compiles the subqueries separately, and gives the same rows in more steps.
// Generated columns that grow too large are refused.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"

namespace cairn::state_machine {

// Bounds in tokens. SQLite takes about half a microsecond for each token. Past the first two
// bounds, subqueries are compiled separately.
//
// Of a statement.
inline constexpr uint64_t kFlattenedTokensMax = 20'000;
inline constexpr uint64_t kUsedColumnTokensMax = 2000;  // of one column that others use
inline constexpr uint64_t kGeneratedTokensMax = 5000;   // of the generated columns of a table
// Of all uses of generated columns in a statement.
inline constexpr uint64_t kGeneratedUsesMax = 2'000'000;

// Owned by the engine, and used on its thread only.
class ColumnGrowth {
 public:
  // The size of a SELECT, or of a text.
  struct Size {
    uint64_t column = 1;     // the largest column of the result, when all is flattened
    uint64_t used = 1;       // the largest column that is used within
    uint64_t flattened = 0;  // the whole text, when all is flattened
    uint64_t apart = 0;      // the whole text, when subqueries are compiled separately
    uint64_t plain = 0;      // as `apart`, without generated columns
    // Copies of the query around it when all is flattened: one for each arm of a compound SELECT.
    uint64_t copies = 1;
  };
  struct Verdict {
    Status status;  // not OK: the text may not be compiled
    bool may_flatten = true;
    uint64_t grown = 0;  // compiled tokens, beyond a multiple of the tokens in the texts
  };

  void Clear();
  void AddView(const std::string& lower_name, std::string_view sql);
  void AddTrigger(std::string_view sql);
  void AddTable(std::string_view sql);
  // Called after all texts were added.
  void Compute();

  Verdict Judge(std::string_view sql) const;
  // True if the views and triggers of the schema may be flattened. If not, nothing is flattened in
  // any statement, because virtual tables and triggers bring in views that the text does not name.
  bool may_flatten() const { return may_flatten_; }
  // The tokens of generated columns, in the table that has most.
  uint64_t generated() const { return generated_; }

 private:
  std::multimap<std::string, std::string> texts_;  // of views by name; of triggers under ""
  std::map<std::string, Size> views_;              // computed
  uint64_t generated_ = 0;
  uint64_t generated_column_ = 1;  // the largest generated column
  uint64_t grown_ = 0;             // by all triggers
  bool may_flatten_ = true;
};

// INVALID_ARGUMENT if `tokens` is above kGeneratedTokensMax.
Status CheckGenerated(uint64_t tokens);

// Allows or forbids flattening on this connection, from now on.
void AllowFlattening(sqlite3* db, bool allowed);

// Allows or forbids flattening for the lifetime of the object.
class FlatteningAllowed {
 public:
  // `then`: whether flattening is allowed afterwards.
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
