#include "server/watch_snapshot.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/sql_name.h"
#include "server/limits.h"
#include "server/watch_event.h"
#include "state_machine/sqlite/full_text_table.h"
#include "state_machine/sqlite/schema_catalog.h"
#include "state_machine/sqlite/sql_tokens.h"
#include "state_machine/sqlite/table_shape.h"

namespace cairn::server {
namespace {

using state_machine::ChangedTable;
using state_machine::IsInternalTable;
using state_machine::LowerCase;
using state_machine::RowCondition;

// Tables with all their columns, in order, and the text of virtual ones.
constexpr char kTablesSql[] =
    "SELECT t.name, t.wr, x.name, x.type, x.pk, x.hidden, t.strict, CASE t.type WHEN 'virtual' "
    "THEN (SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = t.name) END "
    "FROM pragma_table_list AS t, pragma_table_xinfo(t.name) AS x WHERE t.schema = 'main' AND "
    "(t.type = 'table' OR t.type = 'virtual' AND (SELECT sql LIKE '%using%fts%' FROM sqlite_schema "
    "WHERE type = 'table' AND name = t.name)) ORDER BY t.name, x.cid";
constexpr size_t kTablesColumns = 8;

struct Table {
  ChangedTable shape;
  std::set<std::string> names;  // of all columns, also of those that events do not have
  bool has_rowid = true;
  std::vector<std::pair<int64_t, uint32_t>> key;  // rank in the primary key, place
};

std::string TextOf(const Value& value) {
  const auto* text = std::get_if<std::string>(&value);
  return text == nullptr ? "" : *text;
}
int64_t NumberOf(const Value& value) {
  const auto* number = std::get_if<int64_t>(&value);
  return number == nullptr ? 0 : *number;
}

// The name by which the rowid can be read; "" if columns have all of its names.
std::string RowidName(const Table& table) {
  if (!table.has_rowid) return "";
  for (const char* name : {"_rowid_", "rowid", "oid"}) {
    if (!table.names.contains(name)) return name;
  }
  return "";
}

// The columns of all tables come first, then the rows of one table after the other. All of it is
// read from one view.
class WatchSnapshot final : public QueryConsumer,
                            public std::enable_shared_from_this<WatchSnapshot> {
 public:
  WatchSnapshot(WatchHub* hub, WatchHub::WatchPtr watch, std::shared_ptr<WatchSink> sink,
                std::vector<WatchFilter> filters)
      : hub_(hub), watch_(std::move(watch)), sink_(std::move(sink)), filters_(std::move(filters)) {}

  // ---- QueryConsumer

  void Begin(LogIndex applied, bool provisional) override {
    applied_ = applied;
    provisional_ = provisional;
    tables_.clear();
    current_.reset();
    sent_ = SentTables();
    v1::WatchResponse first;
    first.set_snapshot_index(applied.value());
    if (const auto oldest = hub_->oldest()) ToProto(*oldest, first.mutable_oldest());
    chunk_ = first.SerializeAsString();
    if (!provisional_) SendChunk();
  }
  Status OnColumns(const std::vector<Column>&) override { return OkStatus(); }
  Status OnRow(Row row) override {
    if (failed_) return ResourceExhausted("too many results wait for their clients to take them");
    return current_ == nullptr ? AddColumn(row) : AddRow(std::move(row));
  }
  std::optional<Statement> NextStatement() override {
    if (current_ != nullptr) tables_.pop_front();
    current_ = nullptr;
    rules_.clear();
    if (tables_.empty()) return std::nullopt;
    Table& table = tables_.front();
    std::sort(table.key.begin(), table.key.end());
    for (const auto& [rank, place] : table.key) table.shape.key.push_back(place);
    current_ = hub_->tables()->Of(std::make_shared<ChangedTable>(table.shape));
    chunk_.append(sent_.FieldsFor({current_}));
    rowid_ = RowidName(table);
    Statement statement;
    statement.sql = "SELECT " + (rowid_.empty() ? "NULL" : rowid_);
    for (const Column& column : table.shape.columns)
      statement.sql += ", " + QuotedName(column.name);
    statement.sql += " FROM main." + QuotedName(table.shape.name);
    return statement;
  }
  bool Full() override {
    if (chunk_.size() < kQueryChunkBytes) return false;
    // The query begins anew. What it made is void.
    return provisional_ || !SendChunk();
  }
  void AwaitRoom(std::function<void()> resume) override {
    {
      MutexLock lock(mutex_);
      if (sending_) {
        resume_ = std::move(resume);
        return;
      }
    }
    resume();
  }
  void End(const Status& status) override {
    if (!status.ok()) return hub_->End(watch_, status);
    AppendPosition(state_machine::EndOf(applied_), &chunk_);
    AwaitRoom([self = shared_from_this()] { self->SendLast(); });
  }

 private:
  struct Rule {
    std::unique_ptr<RowCondition> condition;  // null: all rows pass
  };

  Status AddColumn(const Row& row) {
    if (row.size() != kTablesColumns) return Internal("unexpected columns");
    const std::string name = TextOf(row[0]);
    const std::string lower = LowerCase(name);
    const bool named = std::any_of(filters_.begin(), filters_.end(),
                                   [&](const WatchFilter& f) { return f.Names(lower); });
    if (!named || IsInternalTable(lower)) return OkStatus();
    // As changes are: of virtual tables, only those that keep their text are told.
    const std::string virtual_sql = TextOf(row[7]);
    if (!virtual_sql.empty() && !state_machine::KeepsItsText(virtual_sql)) return OkStatus();
    if (tables_.empty() || tables_.back().shape.name != name) {
      tables_.emplace_back();
      tables_.back().shape.name = name;
      tables_.back().has_rowid = NumberOf(row[1]) == 0;
      tables_.back().shape.is_strict = NumberOf(row[6]) != 0;
    }
    Table& table = tables_.back();
    table.names.insert(LowerCase(TextOf(row[2])));
    // Hidden columns of virtual tables, and VIRTUAL ones.
    if (NumberOf(row[5]) == 1 || NumberOf(row[5]) == 2) return OkStatus();
    const auto place = static_cast<uint32_t>(table.shape.columns.size());
    table.shape.columns.push_back({TextOf(row[2]), TextOf(row[3])});
    if (NumberOf(row[4]) > 0) table.key.emplace_back(NumberOf(row[4]), place);
    return OkStatus();
  }

  Status AddRow(Row row) {
    std::optional<int64_t> rowid;
    if (!rowid_.empty() && std::holds_alternative<int64_t>(row[0])) rowid = NumberOf(row[0]);
    row.erase(row.begin());
    ASSIGN_OR_RETURN(const bool passes, Passes(row));
    if (passes) AppendSnapshotRow(*current_, rowid, std::move(row), &chunk_);
    return OkStatus();
  }

  Result<bool> Passes(const Row& row) {
    if (rules_.empty()) RETURN_IF_ERROR(MakeRules());
    for (const Rule& rule : rules_) {
      if (rule.condition == nullptr) return true;
      ASSIGN_OR_RETURN(const bool matches, rule.condition->Matches(row));
      if (matches) return true;
    }
    return false;
  }

  Status MakeRules() {
    for (const WatchFilter& filter : filters_) {
      if (!filter.Names(current_->name)) continue;
      Rule rule;
      if (!filter.condition.empty()) {
        ASSIGN_OR_RETURN(rule.condition,
                         RowCondition::Compile(current_->table->name, current_->table->columns,
                                               filter.condition, current_->table->is_strict));
      }
      rules_.push_back(std::move(rule));
    }
    return OkStatus();
  }

  // False if the last chunk is still on its way.
  bool SendChunk() {
    {
      MutexLock lock(mutex_);
      if (sending_) return false;
      sending_ = true;
    }
    std::string chunk = std::exchange(chunk_, {});
    const bool sent =
        sink_->Send(std::move(chunk), [self = shared_from_this()] { self->OnTaken(); });
    if (!sent) {
      failed_ = true;  // the next row, or the end, reports it
      MutexLock lock(mutex_);
      sending_ = false;
    }
    return true;
  }
  void OnTaken() {
    std::function<void()> resume;
    {
      MutexLock lock(mutex_);
      sending_ = false;
      resume.swap(resume_);
    }
    if (resume) resume();
  }
  void SendLast() {
    const auto taken = [self = shared_from_this()] {
      self->hub_->GoOn(self->watch_, state_machine::EndOf(self->applied_));
    };
    if (!failed_ && sink_->Send(std::exchange(chunk_, {}), taken)) return;
    hub_->End(watch_, ResourceExhausted("too many results wait for their clients to take them"));
  }

  WatchHub* const hub_;
  const WatchHub::WatchPtr watch_;
  const std::shared_ptr<WatchSink> sink_;
  const std::vector<WatchFilter> filters_;
  LogIndex applied_;
  bool provisional_ = false;
  bool failed_ = false;  // a chunk was left out
  std::deque<Table> tables_;
  TableDefinitionPtr current_;  // whose rows are read; null: the columns of all tables are
  std::string rowid_;
  std::vector<Rule> rules_;
  SentTables sent_;
  std::string chunk_;

  Mutex mutex_;
  bool sending_ CAIRN_GUARDED_BY(mutex_) = false;
  std::function<void()> resume_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace

QueryRequest SnapshotQuestion() {
  QueryRequest question;
  question.statement.sql = kTablesSql;
  return question;
}

std::shared_ptr<QueryConsumer> NewWatchSnapshot(WatchHub* hub, WatchHub::WatchPtr watch,
                                                std::shared_ptr<WatchSink> sink,
                                                std::vector<WatchFilter> filters) {
  return std::make_shared<WatchSnapshot>(hub, std::move(watch), std::move(sink),
                                         std::move(filters));
}

}  // namespace cairn::server
