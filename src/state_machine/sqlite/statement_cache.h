// The statements that a connection for reads keeps compiled.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "state_machine/command.h"
#include "state_machine/sqlite/statement.h"

namespace cairn::state_machine {

using ColumnsPtr = std::shared_ptr<const std::vector<Column>>;

// A prepared statement and the columns it yields.
struct PreparedRead {
  std::string sql;
  StatementPtr stmt;
  ColumnsPtr columns;
  int reprepared = -1;      // SQLite's count of recompilations when `columns` were read
  bool flattened = true;    // subqueries were flattened, if possible (column_growth.h)
  size_t near_phrases = 0;  // of this run; 0: few (near_phrases.h)
};

// The most recently used statements of one connection.
class StatementCache {
 public:
  explicit StatementCache(size_t size_max) : size_max_(size_max) {}
  // Null if the statement is not cached.
  PreparedRead* Find(const std::string& sql);
  // May finalize the least recently used statement.
  PreparedRead* Insert(const std::string& sql, StatementPtr stmt);
  void Clear();

 private:
  const size_t size_max_;
  std::list<PreparedRead> lru_;  // most recently used first
  std::unordered_map<std::string_view, std::list<PreparedRead>::iterator> by_sql_;
};

}  // namespace cairn::state_machine
