// Watcher: the committed changes of the database, in the order of their commit.
//
//   auto watcher = (*client)->Watch({.filters = {{.table = "points", .condition = "temp > 30"}}});
//   for (;;) {
//     auto event = (*watcher)->Next(std::chrono::seconds(1));
//     if (event.ok()) Handle(*event);
//     else if (event.status().code() != cairn::StatusCode::kDeadlineExceeded) break;
//   }
//
// A broken connection is made anew, to the same node or to another one, and the watch goes on after
// the last event: each event comes once. A node holds the changes of the last minutes in memory, if
// somebody watches there. If no node holds what follows the last event, the watch ends with
// OUT_OF_RANGE, Reason::kPositionNotHeld. The program then reads its state anew, best by a watch
// that begins with a snapshot.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cairn/status.h"
#include "cairn/value.h"

namespace cairn {

// The place of a change in the history of the database, the same on every node: the log entry, and
// the number of the change in the entry. To resume after a position is to get all later changes.
struct ChangePosition {
  uint64_t index = 0;
  uint64_t ordinal = 0;
  auto operator<=>(const ChangePosition&) const = default;
};

enum class ChangeKind : uint8_t {
  kInsert,
  kUpdate,
  kDelete,
  kSchema,
  kCommandEnd,     // after the events of one command
  kSnapshotBegin,  // rows follow; what a snapshot gave before is void
  kRow,            // a row of the snapshot
  kSnapshotEnd,    // all rows have come, and changes after them follow
  // A command has written, changed or deleted points of one series of a time series, between two
  // times. The row has the tags of the series, then the columns first_time and last_time.
  kPoints,
};

struct WatchFilter {
  std::string table{};  // in any case; "": all tables
  std::vector<ChangeKind>
      operations{};  // none: all of them; kInsert, kUpdate, kDelete, kSchema, kPoints
  // An SQL expression over the columns of the table. For an UPDATE the old row or the new row must
  // fulfil it. Text is compared byte by byte, unless the expression has COLLATE.
  std::string condition{};
};

struct WatchOptions {
  std::vector<WatchFilter> filters{};  // a change must pass one of them; none: all changes
  enum class From : uint8_t { kNow, kPosition, kSnapshot } from = From::kNow;
  ChangePosition after{};  // of kPosition
};

struct WatchedTable {
  std::string name{};
  std::vector<Column> columns{};  // those of SELECT *
  std::vector<uint32_t> key{};    // the places of the primary key's columns; none: only a rowid
};

struct WatchedSchema {
  enum class Kind : uint8_t { kCreated, kAltered, kDropped } kind = Kind::kCreated;
  std::string type{};   // table, index, view or trigger
  std::string name{};   // afterwards, if it still exists
  std::string table{};  // that the object belongs to
  std::string sql{};
  std::string renamed_from{};  // of a table that is renamed: its name before
  // The filters name the table, and not its name before: its rows were not told. A copy of the table
  // begins anew with a snapshot.
  bool begin_anew = false;
};

struct WatchEvent {
  ChangeKind kind = ChangeKind::kCommandEnd;
  // Of a change, and of kCommandEnd. For the events of a snapshot: the end of the index that its
  // rows are of.
  ChangePosition position{};
  std::shared_ptr<const WatchedTable> table{};  // of a row
  std::optional<int64_t> old_rowid{};
  std::optional<int64_t> new_rowid{};
  Row old_row{};                    // of kUpdate and kDelete
  Row new_row{};                    // of kInsert, kUpdate, kRow and kPoints
  std::vector<uint32_t> changed{};  // of kUpdate: the places of the columns with another value
  WatchedSchema schema{};           // of kSchema
  // The row was too large to be sent. Only the columns of its key have their values here.
  bool too_large = false;
};

// Wait for events by one thread at a time. The other functions are thread-safe. A watcher
// may outlive its client.
class Watcher {
 public:
  virtual ~Watcher() = default;
  // The next event. DEADLINE_EXCEEDED if none comes within the timeout: ask again. After any other
  // error the watch has ended. If nobody calls Next, the node sends no more than a few messages.
  virtual Result<WatchEvent> Next(std::chrono::milliseconds timeout) = 0;
  // Where a new watch goes on after the last event that Next gave. None before the watch has begun,
  // and during a snapshot.
  virtual std::optional<ChangePosition> position() const = 0;
  // The oldest position that the node held, after kPositionNotHeld.
  virtual std::optional<ChangePosition> oldest() const = 0;
  // Ends the watch: Next gives CANCELLED.
  virtual void Cancel() = 0;
};

}  // namespace cairn
