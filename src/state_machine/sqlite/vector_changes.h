// VectorChanges: which rows have changed lately, of the tables that have vector indexes.
//
// A graph of vectors (vector_graphs.h) is brought forward behind the rows. So a search must know which
// rows the graph may have otherwise than the state that it reads. Apply notes the rowid of each row
// before it changes, and so before a reader can see the change. A change that is undone stays noted:
// a row too much costs time and changes no answer.
//
// What is noted is bounded. What is no longer known, or was never, is not told at all: the search then
// looks at all rows.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "state_machine/sqlite/row_observer.h"

namespace cairn::state_machine {

// The bound on the changes that are noted of a table. The oldest go first.
inline constexpr size_t kVectorChangesMax = 32'768;

// The calls of RowObserver, Open and Close are the apply thread's. The others are thread-safe.
class VectorChanges final : public RowObserver {
 public:
  // The database was opened, with the entries up to `applied`. No table is watched.
  void Open(LogIndex applied);
  void Close();

  // ---- As a RowObserver. OnRow returns 0: not every node has graphs.
  void BatchBegun() override;
  void EntryBegun(LogIndex index) override;
  void BatchCommitted() override;
  void BatchUndone() override;
  void CommandUndone() override {}
  size_t SchemaChanged() override;
  size_t OnRow(const RowChange& change) override;

  // ---- For the one who keeps the graphs.
  // Another number each time the database is opened or closed. What was learned of the database
  // under one number is not true under another.
  uint64_t opened() const;
  // Another number when the schema may have changed. Readers find that schema already.
  uint64_t schema() const;
  // Notes the changes of these tables from now on, and of no others. Does nothing if `opened` has
  // passed.
  void Watch(uint64_t opened, const std::set<std::string>& tables);
  // Changes that were noted of the table since it is watched.
  uint64_t Count(const std::string& table) const;
  // Waits until there may be something to do, or Wake is called. False: the timeout has passed.
  bool WaitForNews(std::optional<SteadyTime> timeout);
  void Wake();

  // ---- For readers.
  // The rows of the table that entries behind `from` have changed; in no order. None if they are not
  // known, or if `opened` has passed. A reader that calls this after it has opened its view learns of
  // all changes in the view.
  std::optional<std::vector<int64_t>> Since(uint64_t opened, const std::string& table,
                                            LogIndex from) const;

 private:
  struct Change {
    uint64_t index = 0;
    int64_t rowid = 0;
  };
  struct Table {
    uint64_t floor = 0;  // changes up to this index may be missing
    uint64_t count = 0;
    std::deque<Change> changes;  // in the order of their indexes
  };
  // True if there are new tables.
  bool Adopt() CAIRN_REQUIRES(mutex_);
  void EndBatch() CAIRN_REQUIRES(mutex_);
  void Note(Table* table, int64_t rowid) CAIRN_REQUIRES(mutex_);

  // So that a node without vector indexes does nothing for a row.
  std::atomic<bool> watches_{false};
  mutable Mutex mutex_;
  CondVar news_changed_;
  bool news_ CAIRN_GUARDED_BY(mutex_) = false;
  bool in_batch_ CAIRN_GUARDED_BY(mutex_) = false;
  // In this batch.
  bool changed_ CAIRN_GUARDED_BY(mutex_) = false;
  bool schema_changed_ CAIRN_GUARDED_BY(mutex_) = false;
  uint64_t opened_ CAIRN_GUARDED_BY(mutex_) = 0;
  uint64_t schema_ CAIRN_GUARDED_BY(mutex_) = 0;
  uint64_t index_ CAIRN_GUARDED_BY(mutex_) = 0;  // of the last entry that was begun
  std::map<std::string, Table, std::less<>> tables_ CAIRN_GUARDED_BY(mutex_);
  std::optional<std::set<std::string>> wanted_ CAIRN_GUARDED_BY(mutex_);  // behind this batch
};

}  // namespace cairn::state_machine
