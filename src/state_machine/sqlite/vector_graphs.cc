#include "state_machine/sqlite/vector_graphs.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/crc32c.h"
#include "base/log.h"
#include "base/thread_priority.h"
#include "state_machine/sqlite/read_pool.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "vectors/graph_distance.h"
#include "vectors/index_search.h"

namespace cairn::state_machine {
namespace {

using vectors::Graph;
using vectors::IndexDefinition;

// Between two rounds, so that many small writes cost few rounds; and after one that failed.
constexpr SteadyTime kPause = std::chrono::milliseconds(100);
constexpr SteadyTime kPauseAfterError = std::chrono::seconds(1);
constexpr SteadyTime kViewWait = std::chrono::seconds(1);

// A search of fewer rows than these finds most of the nearest ten; a wider one finds more.
constexpr size_t kWidthMin = 64;
// A search that asks for more than this share of the rows reads them all.
constexpr size_t kRowsForOneAsked = 50;
// So does one that would read more than this share of them, because they have changed.
constexpr size_t kRowsForOneChanged = 8;

// Rows change by this share, and by so many, before a graph is kept again.
constexpr size_t kRowsForOneUnkept = 16;
constexpr size_t kUnkeptMin = 1000;

class Rows final : public RowSink {
 public:
  Status OnColumns(const std::vector<Column>& /*columns*/) override { return OkStatus(); }
  Status OnRow(Row row) override {
    rows_.push_back(std::move(row));
    return OkStatus();
  }
  const std::vector<Row>& rows() const { return rows_; }

 private:
  std::vector<Row> rows_;
};

std::string TextOf(const Value& value) {
  const auto* const text = std::get_if<std::string>(&value);
  return text == nullptr ? std::string() : *text;
}

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

VectorGraphs::VectorGraphs(VectorGraphOptions options, VectorChanges* changes)
    : options_(std::move(options)), changes_(changes) {}

VectorGraphs::~VectorGraphs() { Stop(); }

// ---- Readers ------------------------------------------------------------------------------------

std::optional<std::vector<int64_t>> VectorGraphs::Candidates(LogIndex applied,
                                                             const IndexDefinition& index,
                                                             const vectors::View& query,
                                                             size_t k) const {
  Published found;
  {
    MutexLock lock(mutex_);
    const auto it = published_.find(index.sql);
    if (it == published_.end()) return std::nullopt;
    found = it->second;
  }
  if (k > found.rows / kRowsForOneAsked) return std::nullopt;
  const auto vector = vectors::ToGraphVector(index.parameters.metric, query);
  if (!vector.has_value() || vector->empty()) return std::nullopt;
  // The graph may know these rows otherwise than the view has them.
  const LogIndex from = std::min(found.as_of, applied);
  auto changed = changes_->Since(found.opened, found.table, from);
  if (!changed.has_value() || changed->size() > found.rows / kRowsForOneChanged) {
    return std::nullopt;
  }
  std::sort(changed->begin(), changed->end());
  const size_t count = k + k / 4 + 8;
  const std::vector<Graph::Found> near =
      found.graph->Search(*vector, count, std::max(kWidthMin, 2 * count), *changed);
  // The graph has changed meanwhile, by rows that were noted before.
  changed = changes_->Since(found.opened, found.table, from);
  if (!changed.has_value()) return std::nullopt;
  std::sort(changed->begin(), changed->end());
  changed->erase(std::unique(changed->begin(), changed->end()), changed->end());
  std::vector<int64_t> rowids = *changed;
  for (const Graph::Found& each : near) {
    if (!std::binary_search(changed->begin(), changed->end(), each.rowid)) {
      rowids.push_back(each.rowid);
    }
  }
  return rowids;
}

void VectorGraphs::Publish(const Index& index) {
  MutexLock lock(mutex_);
  published_[index.definition.sql] = {index.table, index.graph, *index.as_of, opened_,
                                      index.graph->size()};
}

void VectorGraphs::Unpublish(const Index& index) {
  MutexLock lock(mutex_);
  published_.erase(index.definition.sql);
}

// ---- The thread ---------------------------------------------------------------------------------

void VectorGraphs::Start(ReadPool* reads) {
  if (options_.bytes_max == 0) return;
  thread_ = std::thread([this, reads] { Run(reads); });
}

void VectorGraphs::Stop() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(pause_mutex_);
    stops_ = true;
  }
  pause_ended_.NotifyAll();
  changes_->Wake();
  thread_.join();
}

// What a start has to read is read at once: meanwhile each search reads all rows.
void VectorGraphs::LowerPriority() {
  if (std::exchange(may_lower_priority_, false)) LowerThreadPriority();
}

void VectorGraphs::Run(ReadPool* reads) {
  may_lower_priority_ = true;
  bool failed = false;
  while (!stops_) {
    changes_->WaitForNews();
    if (stops_) break;
    const Status status = RunRound(reads);
    LowerPriority();
    if (!status.ok() && !stops_) {
      if (!failed) LOG_WARN("the indexes of vectors wait: {}", status.message());
      changes_->Wake();
    }
    failed = !status.ok();
    MutexLock lock(pause_mutex_);
    pause_ended_.WaitFor(lock, failed ? kPauseAfterError : kPause,
                         [this] { return stops_.load(); });
  }
  KeepAll();
}

// While a graph waits for its rows, the file from which it came is the better one.
void VectorGraphs::KeepAll() {
  for (auto& [sql, index] : indexes_) {
    if (index.unkept == 0 || index.graph == nullptr || index.graph->hollow() > 0) continue;
    if (Status kept = Keep(&index); !kept.ok()) {
      LOG_WARN("an index of vectors was not kept: {}", kept.message());
    }
  }
}

Status VectorGraphs::RunRound(ReadPool* reads) {
  const uint64_t opened = changes_->opened();
  const uint64_t schema = changes_->schema();
  if (opened != opened_ || schema != schema_) {
    RETURN_IF_ERROR(LoadIndexes(reads, opened));
    schema_ = schema;
  }
  // An index that fails does not stop the others.
  Status first;
  for (auto& [sql, index] : indexes_) {
    if (stops_) return Cancelled("the graphs of vectors are stopped");
    Status status = index.is_refused ? OkStatus() : Follow(reads, &index);
    if (!index.refusal.ok()) {
      Refuse(&index);
      status = OkStatus();
    }
    if (first.ok()) first = std::move(status);
  }
  return first;
}

Status VectorGraphs::LoadIndexes(ReadPool* reads, uint64_t opened) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ReadTransaction> view, reads->Open(kViewWait));
  Rows found;
  RETURN_IF_ERROR(view->QueryInternal({"SELECT tbl_name, sql FROM main.sqlite_schema WHERE "
                                       "type = 'index' AND instr(lower(sql), 'libsql_vector_idx')",
                                       {},
                                       {}},
                                      &found));
  std::map<std::string, Index> indexes;
  std::set<std::string> tables;
  for (const Row& row : found.rows()) {
    auto definition = vectors::ParseIndexDefinition(TextOf(row.at(1)));
    if (!definition.ok() || !definition->has_value()) continue;
    if (!(*definition)->parameters.column.has_value()) continue;
    Index index;
    const auto old = indexes_.find((*definition)->sql);
    if (old != indexes_.end() && old->second.table == TextOf(row.at(0))) {
      index = old->second;
    }
    index.definition = std::move(**definition);
    index.table = TextOf(row.at(0));
    index.is_refused = index.is_counted = false;
    if (opened != opened_) index.as_of.reset();
    RETURN_IF_ERROR(FindSql(view.get(), &index));
    tables.insert(index.table);
    std::string text = index.definition.sql;
    indexes.emplace(std::move(text), std::move(index));
  }
  {
    MutexLock lock(mutex_);
    std::erase_if(published_, [&](const auto& each) {
      return opened != opened_ || !indexes.contains(each.first);
    });
  }
  indexes_ = std::move(indexes);
  opened_ = opened;
  changes_->Watch(opened, tables);
  RemoveOtherFiles();
  return OkStatus();
}

Status VectorGraphs::FindSql(ReadTransaction* view, Index* index) {
  Rows columns;
  RETURN_IF_ERROR(view->QueryInternal(
      {"SELECT name FROM pragma_table_xinfo(?1, 'main')", {index->table}, {}}, &columns));
  std::vector<std::string> names;
  for (const Row& row : columns.rows()) names.push_back(LowerCase(TextOf(row.at(0))));
  const char* const rowid = vectors::NameOfRowid(names);
  if (rowid == nullptr) {
    index->is_refused = true;
    return OkStatus();
  }
  index->all_rows_sql = vectors::SelectRows(index->definition, rowid, /*one_row=*/false);
  index->one_row_sql = vectors::SelectRows(index->definition, rowid, /*one_row=*/true);
  return OkStatus();
}

size_t VectorGraphs::bytes() const {
  size_t bytes = 0;
  for (const auto& [sql, index] : indexes_) {
    if (index.graph != nullptr) bytes += index.graph->bytes();
  }
  return bytes;
}

void VectorGraphs::Refuse(Index* index) {
  LOG_WARN("the index of vectors {} is searched row by row: {}", index->definition.name,
           std::exchange(index->refusal, OkStatus()).message());
  Drop(index);
  index->is_refused = true;
}

void VectorGraphs::Drop(Index* index) {
  Unpublish(*index);
  index->graph.reset();
  index->as_of.reset();
  index->is_counted = false;
  index->unkept = 0;
}

// ---- Following the rows -------------------------------------------------------------------------

Status VectorGraphs::Follow(ReadPool* reads, Index* index) {
  if (index->graph == nullptr) {
    ASSIGN_OR_RETURN(const bool is_worth, IsWorthAGraph(reads, index));
    if (!is_worth) return OkStatus();
    index->graph = std::make_shared<Graph>(
        vectors::PaddedDimensions(index->definition.parameters.column->dimensions));
    return ReadAll(reads, index);
  }
  if (!index->as_of.has_value()) return ReadAll(reads, index);
  const auto news = changes_->Since(opened_, index->table, *index->as_of);
  if (news.has_value() && news->empty()) return OkStatus();
  std::optional<LogIndex> as_of;
  {
    ASSIGN_OR_RETURN(const std::unique_ptr<ReadTransaction> view, reads->Open(kViewWait));
    const auto changed = changes_->Since(opened_, index->table, *index->as_of);
    if (changed.has_value()) {
      RETURN_IF_ERROR(ReadChanged(view.get(), *changed, index));
      as_of = view->applied();
    }
  }
  return as_of.has_value() ? Finish(*as_of, index) : ReadAll(reads, index);
}

Result<bool> VectorGraphs::IsWorthAGraph(ReadPool* reads, Index* index) {
  const uint64_t changes = changes_->Count(index->table);
  if (index->is_counted && changes - index->changes_counted < options_.rows_min / 8) return false;
  ASSIGN_OR_RETURN(const std::unique_ptr<ReadTransaction> view, reads->Open(kViewWait));
  Rows counted;
  RETURN_IF_ERROR(view->QueryInternal(
      {"SELECT count(*) FROM (" + index->all_rows_sql + "\n)", {}, {}}, &counted));
  const auto* const rows =
      counted.rows().empty() ? nullptr : std::get_if<int64_t>(&counted.rows()[0].at(0));
  index->is_counted = true;
  index->changes_counted = changes;
  if (rows == nullptr || static_cast<size_t>(*rows) < options_.rows_min) return false;
  const size_t wanted =
      static_cast<size_t>(*rows) *
      Graph::BytesOfRow(vectors::PaddedDimensions(index->definition.parameters.column->dimensions));
  if (bytes() + wanted <= options_.bytes_max) return true;
  index->refusal = ResourceExhausted("it would take " + std::to_string(wanted) +
                                     " bytes of memory, and all graphs together may take " +
                                     std::to_string(options_.bytes_max));
  return false;
}

Status VectorGraphs::ReadAll(ReadPool* reads, Index* index) {
  LogIndex as_of;
  {
    ASSIGN_OR_RETURN(const std::unique_ptr<ReadTransaction> view, reads->Open(kViewWait));
    as_of = view->applied();
    if (index->graph->IsEmpty()) {
      index->as_of.reset();
      Restore(as_of, index);
    }
    index->graph->BeginRound();
    Scan scan(this, index);
    RETURN_IF_ERROR(view->QueryInternal({index->all_rows_sql, {}, {}}, &scan));
  }
  index->unkept += index->graph->EndRound();
  return Finish(as_of, index);
}

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

Status VectorGraphs::Finish(LogIndex as_of, Index* index) {
  if (index->graph->unlinked() > kUnkeptMin) LowerPriority();
  while (index->graph->LinkNext()) {
    if (stops_) return Cancelled("the graphs of vectors are stopped");
  }
  index->graph->MendIfWorn();
  if (index->graph->size() < options_.rows_min / 2) {
    // The rows that have no place in a graph may be many, so the table is not counted at once.
    index->changes_counted = changes_->Count(index->table);
    Drop(index);
    index->is_counted = true;
    return options_.file_system->Remove(PathOf(*index));
  }
  if (!index->as_of.has_value()) {
    LOG_INFO("the index of vectors {} is searched by a graph of {} rows, {} bytes",
             index->definition.name, index->graph->size(), index->graph->bytes());
  }
  index->as_of = as_of;
  Publish(*index);
  if (index->unkept <= std::max(kUnkeptMin, index->graph->size() / kRowsForOneUnkept)) {
    return OkStatus();
  }
  return Keep(index);
}

}  // namespace cairn::state_machine
