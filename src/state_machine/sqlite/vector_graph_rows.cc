// VectorGraphs: reading the rows of tables.

#include <chrono>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/crc32c.h"
#include "state_machine/sqlite/read_pool.h"
#include "state_machine/sqlite/vector_graphs.h"
#include "vectors/graph_distance.h"

namespace cairn::state_machine {
namespace {

using vectors::Graph;

// A piece is read again if its view was ended, so many times in all.
constexpr int kTriesOfPiece = 5;
// The share of the time that goes into reading a table in vain.
constexpr int kTimeForOneInVain = 20;

// One number of one row.
class Number final : public RowSink {
 public:
  Status OnColumns(const std::vector<Column>& /*columns*/) override { return OkStatus(); }
  Status OnRow(Row row) override {
    const auto* const number = std::get_if<int64_t>(&row.at(0));
    if (number != nullptr) value = *number;
    return OkStatus();
  }
  std::optional<int64_t> value;
};

// Adds up the rows of pieces, each of which has its first rowid and its number of rows. A piece that
// is read twice counts once.
class Counter final : public RowSink {
 public:
  Status OnColumns(const std::vector<Column>& /*columns*/) override { return OkStatus(); }
  Status OnRow(Row row) override {
    const auto* const from = std::get_if<int64_t>(&row.at(0));
    const auto* const rows = std::get_if<int64_t>(&row.at(1));
    if (from == nullptr || rows == nullptr || last_ == *from) return OkStatus();
    last_ = *from;
    sum_ += static_cast<size_t>(*rows);
    return OkStatus();
  }
  size_t sum() const { return sum_; }

 private:
  std::optional<int64_t> last_;
  size_t sum_ = 0;
};

}  // namespace

// Gives rows to a graph.
class VectorGraphs::Scan final : public RowSink {
 public:
  Scan(const VectorGraphs* owner, Index* index) : owner_(*owner), index_(*index) {}
  Status OnColumns(const std::vector<Column>& /*columns*/) override { return OkStatus(); }
  Status OnRow(Row row) override {
    if (owner_.stops_) return Cancelled("the graphs of vectors are stopped");
    const auto* const rowid = std::get_if<int64_t>(&row.at(0));
    const auto* const blob = std::get_if<Blob>(&row.at(1));
    if (rowid == nullptr || blob == nullptr) return Refuse("a row holds no vector");
    found_ = true;
    const uint32_t mark = Crc32c(blob->bytes);
    if (index_.graph->Holds(*rowid, mark)) return OkStatus();
    ASSIGN_OR_RETURN(const vectors::View view, vectors::ViewOf(blob->bytes));
    const vectors::ColumnType& column = *index_.definition.parameters.column;
    if (view.kind != column.kind || view.dimensions != column.dimensions) {
      return Refuse("a row holds a vector of another kind");
    }
    const auto vector = vectors::ToGraphVector(index_.definition.parameters.metric, view);
    if (!vector.has_value()) return Refuse("a vector is too large or too small");
    if (vector->empty()) {
      if (index_.graph->Remove(*rowid)) ++index_.unkept;
      return OkStatus();
    }
    if (owner_.bytes() > owner_.options_.bytes_max) {
      return Refuse("the memory for graphs of vectors is used up");
    }
    if (index_.graph->Take(*rowid, mark, *vector)) ++index_.unkept;
    return OkStatus();
  }
  // True if there was a row since the last call.
  bool TakeFound() { return std::exchange(found_, false); }

 private:
  Status Refuse(const char* why) {
    index_.refusal = FailedPrecondition(why);
    return index_.refusal;
  }

  const VectorGraphs& owner_;
  Index& index_;
  bool found_ = false;
};

// ---- Whole tables -------------------------------------------------------------------------------

// The thread tries again at that time.
bool VectorGraphs::MustWait(const Index& index) {
  if (index.not_before <= options_.clock->SteadyNow()) return false;
  again_at_ = std::min(again_at_.value_or(index.not_before), index.not_before);
  return true;
}

void VectorGraphs::WaitAfter(SteadyTime began, Index* index) const {
  const SteadyTime now = options_.clock->SteadyNow();
  index->not_before = now + kTimeForOneInVain * (now - began);
}

Result<bool> VectorGraphs::IsWorthAGraph(ReadPool* reads, Index* index) {
  const uint64_t changes = changes_->Count(index->table);
  // A change adds one row at most.
  const size_t missing = options_.rows_min - std::min(options_.rows_min, index->rows_counted);
  if (index->is_counted &&
      changes - index->changes_counted < std::max(options_.rows_min / 8, missing)) {
    return false;
  }
  if (MustWait(*index)) return false;
  const SteadyTime began = options_.clock->SteadyNow();
  LogIndex as_of;
  Counter counter;
  Status status = FindApplied(reads, &as_of);
  if (status.ok()) {
    status = ReadPieces(reads, *index, "SELECT ?1, count(*) FROM (" + index->piece_sql + "\n)",
                        &counter);
  }
  WaitAfter(began, index);
  RETURN_IF_ERROR(status);
  const size_t rows = counter.sum();
  // Rows may have come that were not noted, if the table was not watched yet.
  index->is_counted = changes_->Since(opened_, index->table, as_of).has_value();
  index->changes_counted = changes;
  index->rows_counted = rows;
  if (rows < options_.rows_min) return false;
  const size_t wanted =
      rows *
      Graph::BytesOfRow(vectors::PaddedDimensions(index->definition.parameters.column->dimensions));
  if (bytes() + wanted <= options_.bytes_max) return true;
  index->refusal = ResourceExhausted("it would take " + std::to_string(wanted) +
                                     " bytes of memory, and all graphs together may take " +
                                     std::to_string(options_.bytes_max));
  return false;
}

// The pieces are of later states, so the graph may be ahead of `as_of`: as it is while it goes on.
Status VectorGraphs::ReadAll(ReadPool* reads, Index* index) {
  if (MustWait(*index)) return OkStatus();
  const SteadyTime began = options_.clock->SteadyNow();
  LogIndex as_of;
  RETURN_IF_ERROR(FindApplied(reads, &as_of));
  if (index->graph->IsEmpty()) {
    index->as_of.reset();
    Restore(as_of, index);
  }
  index->graph->BeginRound();
  Scan scan(this, index);
  if (Status status = ReadPieces(reads, *index, index->piece_sql, &scan); !status.ok()) {
    WaitAfter(began, index);
    return status;
  }
  index->unkept += index->graph->EndRound();
  return Finish(as_of, index);
}

Status VectorGraphs::FindApplied(ReadPool* reads, LogIndex* applied) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ReadTransaction> view, reads->Open(kViewWait));
  *applied = view->applied();
  return OkStatus();
}

Status VectorGraphs::ReadPieces(ReadPool* reads, const Index& index, const std::string& sql,
                                RowSink* sink) {
  for (int64_t from = std::numeric_limits<int64_t>::min();;) {
    std::optional<int64_t> to;
    Status status;
    for (int i = 0; i < kTriesOfPiece; ++i) {
      if (stops_) return Cancelled("the graphs of vectors are stopped");
      if (changes_->opened() != opened_) return Unavailable("the database is another one");
      status = ReadPiece(reads, index, sql, from, &to, sink);
      if (status.ok() || !index.refusal.ok()) break;
    }
    RETURN_IF_ERROR(status);
    if (!to.has_value() || *to == std::numeric_limits<int64_t>::max()) return OkStatus();
    from = *to + 1;
  }
}

// A long view would keep the WAL from beginning anew.
Status VectorGraphs::ReadPiece(ReadPool* reads, const Index& index, const std::string& sql,
                               int64_t from, std::optional<int64_t>* to, RowSink* sink) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ReadTransaction> view, reads->Open(kViewWait));
  Number end;
  RETURN_IF_ERROR(view->QueryInternal({index.piece_end_sql, {from}, {}}, &end));
  *to = end.value;
  if (!end.value.has_value()) return OkStatus();
  return view->QueryInternal({sql, {from, *end.value}, {}}, sink);
}

// ---- Changed rows -------------------------------------------------------------------------------

Status VectorGraphs::ReadChanged(ReadTransaction* view, const std::vector<int64_t>& rowids,
                                 Index* index) {
  Scan scan(this, index);
  const std::set<int64_t> each_once(rowids.begin(), rowids.end());
  for (const int64_t rowid : each_once) {
    RETURN_IF_ERROR(view->QueryInternal({index->one_row_sql, {rowid}, {}}, &scan));
    if (scan.TakeFound()) continue;
    if (index->graph->Remove(rowid)) ++index->unkept;
  }
  return OkStatus();
}

}  // namespace cairn::state_machine
