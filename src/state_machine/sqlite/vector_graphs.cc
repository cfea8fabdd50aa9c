#include "state_machine/sqlite/vector_graphs.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/sql_name.h"
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
  published_[index.definition.sql] = {index.table, index.graph,         *index.as_of,
                                      opened_,     index.graph->size(), index.graph->bytes()};
}

void VectorGraphs::AddTo(StateFigures* figures) const {
  MutexLock lock(mutex_);
  figures->vector_graphs += published_.size();
  for (const auto& [sql, published] : published_) figures->vector_graph_bytes += published.bytes;
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
    std::optional<SteadyTime> timeout;
    if (again_at_.has_value()) {
      timeout = std::max(*again_at_ - options_.clock->SteadyNow(), SteadyTime(0));
    }
    (void)changes_->WaitForNews(timeout);
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
  again_at_.reset();
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
    if (opened != opened_) {
      index.as_of.reset();
      index.not_before = {};
    }
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
  const std::string name(rowid);
  index->piece_end_sql = "SELECT max(at) FROM (SELECT " + name + " AS at FROM main." +
                         QuotedName(index->table) + " NOT INDEXED WHERE " + name +
                         " >= ?1 ORDER BY " + name + " LIMIT " +
                         std::to_string(options_.piece_rows) + ")";
  index->piece_sql = vectors::SelectRows(index->definition, rowid, /*one_row=*/false) + " AND " +
                     name + " BETWEEN ?1 AND ?2";
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
    index->not_before = {};
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

Status VectorGraphs::Finish(LogIndex as_of, Index* index) {
  if (index->graph->unlinked() > kUnkeptMin) LowerPriority();
  while (index->graph->LinkNext()) {
    if (stops_) return Cancelled("the graphs of vectors are stopped");
  }
  index->graph->MendIfWorn();
  if (index->graph->size() < options_.rows_min / 2) {
    // The rows that have no place in a graph may be many, so the table is not counted at once.
    index->changes_counted = changes_->Count(index->table);
    index->rows_counted = index->graph->size();
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
