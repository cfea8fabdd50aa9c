// VectorGraphs: the approximate indexes of vectors, which make vector_top_k() fast in large tables.
//
// A graph (vectors/graph.h) is this node's own. It is derived from the rows, is in no snapshot and no
// digest, and no write uses it. It names rows that are likely to be near. The search reads those rows
// in its own state and ranks them exactly, together with the rows that the graph may not know as they
// are (vector_changes.h). So an answer holds no row that is gone and no vector that was; it may miss a
// near row that the graph did not find. When there is no graph, or it is too far behind, the search
// reads all rows.
//
// A thread reads tables, brings graphs forward, and keeps them in files. Its priority is low once it has
// read the tables after a start. It reads a whole table in pieces, in short views. A file holds the links of a graph and a mark of each vector. After a
// restart the vectors come from the rows, and a row whose mark is another one is linked anew: a file
// that is old, or of another state, costs time and nothing else.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "base/result.h"
#include "state_machine/sqlite/vector_changes.h"
#include "vectors/graph.h"
#include "vectors/index_definition.h"
#include "vectors/vector.h"

namespace cairn::state_machine {

class ReadPool;
class ReadTransaction;
struct StateFigures;
class RowSink;

struct VectorGraphOptions {
  FileSystem* file_system = nullptr;
  std::string directory;     // of the files; made when the first one is written
  size_t bytes_max = 0;      // the memory of all graphs; 0: there are none
  size_t rows_min = 20'000;  // with fewer rows a search of all is as good
  size_t piece_rows = 4096;  // of a table, that are read in one view
  Clock* clock = &SystemClock();
};

class VectorGraphs {
 public:
  // `changes` must outlive the object.
  VectorGraphs(VectorGraphOptions options, VectorChanges* changes);
  ~VectorGraphs();

  // Starts the thread. `reads` must outlive it.
  void Start(ReadPool* reads);
  // Ends the thread, which keeps the graphs in files first.
  void Stop();
  // One round of the thread's work, for tests that have no thread. An error is of this node; the next
  // round tries again.
  Status RunRound(ReadPool* reads);
  // Keeps the graphs in files, as the thread does at its end; for the same tests.
  void KeepAll();

  // As vectors::FindCandidates, for a view at `applied`. Thread-safe.
  std::optional<std::vector<int64_t>> Candidates(LogIndex applied,
                                                 const vectors::IndexDefinition& index,
                                                 const vectors::View& query, size_t k) const;

  // Adds the graphs that readers find. Thread-safe.
  void AddTo(StateFigures* figures) const;

 private:
  // A graph as readers find it.
  struct Published {
    std::string table;
    std::shared_ptr<const vectors::Graph> graph;
    LogIndex as_of;  // it knows the rows as of this index
    uint64_t opened = 0;
    size_t rows = 0;
    size_t bytes = 0;
  };
  // An index of the schema. The thread's.
  struct Index {
    vectors::IndexDefinition definition;
    std::string table;  // as the schema writes its name
    // The last rowid of the piece of the table that begins at ?1; its rows from ?1 to ?2; the row ?1.
    std::string piece_end_sql, piece_sql, one_row_sql;
    std::shared_ptr<vectors::Graph> graph;  // null: none
    std::optional<LogIndex> as_of;
    uint64_t changes_counted = 0;  // of the table, when its rows were counted
    size_t rows_counted = 0;
    bool is_counted = false;
    SteadyTime not_before{0};  // the whole table is not read earlier
    bool is_refused = false;   // it can have no graph until the schema changes
    Status refusal;            // why it is about to be refused
    size_t unkept = 0;         // rows that have changed since the graph was kept
  };
  class Scan;

  void Run(ReadPool* reads);
  void LowerPriority();
  Status LoadIndexes(ReadPool* reads, uint64_t opened);
  Status FindSql(ReadTransaction* view, Index* index);
  Status Follow(ReadPool* reads, Index* index);
  Result<bool> IsWorthAGraph(ReadPool* reads, Index* index);
  Status ReadAll(ReadPool* reads, Index* index);
  Status FindApplied(ReadPool* reads, LogIndex* applied);
  // Gives the rows of `sql`, of one piece of the table after another. Rows may come twice.
  Status ReadPieces(ReadPool* reads, const Index& index, const std::string& sql, RowSink* sink);
  Status ReadPiece(ReadPool* reads, const Index& index, const std::string& sql, int64_t from,
                   std::optional<int64_t>* to, RowSink* sink);
  // A table that was read in vain is not read again at once.
  bool MustWait(const Index& index);
  void WaitAfter(SteadyTime began, Index* index) const;
  Status ReadChanged(ReadTransaction* view, const std::vector<int64_t>& rowids, Index* index);
  // Links what was read, and tells readers that the graph is as of `as_of`.
  Status Finish(LogIndex as_of, Index* index);
  void Publish(const Index& index);
  void Unpublish(const Index& index);
  void Refuse(Index* index);
  void Drop(Index* index);
  size_t bytes() const;
  // ---- Files.
  std::string PathOf(const Index& index) const;
  void Restore(LogIndex applied, Index* index);
  Status Keep(Index* index);
  void RemoveOtherFiles();

  static constexpr SteadyTime kViewWait = std::chrono::seconds(1);

  const VectorGraphOptions options_;
  VectorChanges* const changes_;
  std::atomic<bool> stops_{false};
  std::thread thread_;
  Mutex pause_mutex_;
  CondVar pause_ended_;

  // The thread's.
  bool may_lower_priority_ = false;
  std::map<std::string, Index> indexes_;  // by their text
  uint64_t opened_ = 0;
  uint64_t schema_ = 0;
  std::optional<SteadyTime> again_at_;  // there is something to do then, without news

  mutable Mutex mutex_;
  std::map<std::string, Published> published_ CAIRN_GUARDED_BY(mutex_);  // by their text
};

}  // namespace cairn::state_machine
