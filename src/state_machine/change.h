// What a committed command changed: rows and the schema, in the order in which it happened.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "cairn/value.h"

namespace cairn::state_machine {

// The place of a change in the history of the database: the log entry, and the number of the change
// within the entry, from 1. It is the same on every node.
//
// A position also says what a reader has seen: all changes up to and with the position. {N + 1, 0}
// means all of entry N, and nothing after it.
struct ChangePosition {
  LogIndex index;
  uint64_t ordinal = 0;
  auto operator<=>(const ChangePosition&) const = default;
};
inline std::string ToString(ChangePosition position) {
  return ToString(position.index) + "." + std::to_string(position.ordinal);
}
inline ChangePosition EndOf(LogIndex index) { return {index + 1, 0}; }

enum class ChangeKind : uint8_t {
  kInsert,
  kUpdate,
  kDelete,
  kSchema,
  kCommandEnd,  // the last change of each command that changed anything
  kPoints,      // points of one series of a time series (sqlite/series_teller.h)
};

// The table of a changed row, as it was at the change.
struct ChangedTable {
  std::string name;
  std::vector<Column> columns;  // those of SELECT *, in its order, but the VIRTUAL generated ones
  std::vector<uint32_t> key;    // the places of the primary key's columns; empty: only a rowid
  bool is_strict = false;       // which decides what the type ANY means
  bool operator==(const ChangedTable&) const = default;
};

// An object of the schema that was created, dropped or altered. The text is that of sqlite_schema.
struct SchemaChange {
  enum class Kind : uint8_t { kCreated, kAltered, kDropped } kind = Kind::kCreated;
  std::string type;           // table, index, view or trigger
  std::string name;           // afterwards, if it still exists
  std::string table;          // that the object belongs to
  std::string sql;            // empty for a dropped object, and for the index of a constraint
  std::string old_name = {};  // of a table that is renamed; empty: it is not
};

struct Change {
  ChangeKind kind = ChangeKind::kCommandEnd;
  ChangePosition position;
  // Of a row. Each row has the values that a SELECT of the columns reads; the old row is empty for
  // kInsert, and the new row for kDelete. kPoints has a new row alone, and it is that of the series.
  std::shared_ptr<const ChangedTable> table;
  std::optional<int64_t> old_rowid;  // of a table with rowids
  std::optional<int64_t> new_rowid;
  Row old_row;
  Row new_row;
  SchemaChange schema;  // of kSchema
};

// All changes of one command, or a part of them (sqlite/retained_reader.h). Never empty. The last one
// of a command is the kCommandEnd.
struct CommandChanges {
  std::vector<Change> changes;
  size_t bytes = 0;  // of memory, about
  LogIndex index() const { return changes.back().position.index; }
};

}  // namespace cairn::state_machine
