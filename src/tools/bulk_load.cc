#include "tools/bulk_load.h"

#include <algorithm>
#include <random>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/sql_name.h"
#include "base/text.h"
#include "tools/command_maker.h"
#include "tools/load_plan.h"
#include "tools/result_printer.h"
#include "tools/sql_literal.h"

namespace cairn::tools {
namespace {

// A command of a load in many of them, and how many of those are under way.
constexpr size_t kCommandBytes = 2u << 20;
constexpr size_t kInFlightMax = 6;
constexpr size_t kRowBytesMax = 15u << 20;
constexpr int kMaintenanceTriesMax = 100;
constexpr std::chrono::milliseconds kMaintenanceWait{200};

std::string StageName(const std::string& stage, const std::string& table) { return stage + table; }

// Sends commands, several at a time.
class Sender {
 public:
  explicit Sender(Client* client) : client_(*client) {}
  ~Sender() { Wait().ok(); }

  // Returns the first failure so far.
  Status Send(std::vector<Statement> statements, ForeignKeys keys) {
    MutexLock lock(mutex_);
    while (in_flight_ >= kInFlightMax) changed_.Wait(lock);
    RETURN_IF_ERROR(failure_);
    ++in_flight_;
    ++commands_;
    lock.Unlock();
    client_.ExecuteAsync(std::move(statements), keys, [this](const Result<ExecuteResult>& result) {
      MutexLock done(mutex_);
      if (!result.ok() && failure_.ok()) failure_ = result.status();
      --in_flight_;
      changed_.NotifyAll();
    });
    return OkStatus();
  }
  Status Wait() {
    MutexLock lock(mutex_);
    while (in_flight_ > 0) changed_.Wait(lock);
    return failure_;
  }
  uint64_t commands() const { return commands_; }  // on the caller's thread

 private:
  Client& client_;
  Mutex mutex_;
  CondVar changed_;
  size_t in_flight_ CAIRN_GUARDED_BY(mutex_) = 0;
  Status failure_ CAIRN_GUARDED_BY(mutex_);
  uint64_t commands_ = 0;
};

// More work than a request may do, or the 'rebuild' of a full-text index.
bool NeedsMaintenance(const Status& status) {
  return status.outcome() != Outcome::kUnknown &&
         (status.code() == StatusCode::kResourceExhausted ||
          status.code() == StatusCode::kPermissionDenied);
}

class Loader {
 public:
  Loader(LocalDatabase* local, Client* client, Client* maintenance, const BulkLoadOptions& options)
      : local_(*local), client_(*client), maintenance_(*maintenance), options_(options) {}

  Result<BulkLoadResult> Run() {
    ASSIGN_OR_RETURN(plan_, PlanLoad(&local_, options_.existing));
    RETURN_IF_ERROR(CheckTarget());
    if (!options_.unchecked) RETURN_IF_ERROR(CheckReferences());
    result_.tables = plan_.tables.size();
    const bool all_new = options_.existing.empty();
    if (options_.resume && !all_new) return Report(LoadResuming());
    Result<bool> fits = LoadAtOnce();
    if (!fits.ok()) return fits.status();
    if (*fits) return result_;
    if (all_new) return Report(LoadStaged());
    return ResourceExhausted(
        "the rows for a table that the cluster has are more than one command takes (15 MiB), so "
        "they cannot be loaded as a whole. --resume loads them by many commands: if one fails, the "
        "rows before it stay, and the same call goes on behind them. Or load them into a new "
        "table");
  }

 private:
  Result<BulkLoadResult> Report(const Status& status) {
    if (!status.ok()) return status;
    return result_;
  }

  ForeignKeys Keys(ForeignKeys off) const {
    return plan_.has_foreign_keys ? off : ForeignKeys::kEnforced;
  }

  Status CheckTarget() {
    if (plan_.tables.empty()) return InvalidArgument(options_.source + ": there is no table in it");
    std::set<std::string> names;
    for (const LoadTable& table : plan_.tables) {
      if (!table.exists) names.insert(UpperName(table.name));
    }
    ASSIGN_OR_RETURN(const QueryResult schema,
                     client_.Query({"SELECT name FROM sqlite_schema", {}, {}}));
    std::string left;
    for (const Row& row : schema.rows) {
      const std::string name = PlainText(row.at(0));
      if (names.contains(UpperName(name))) {
        return FailedPrecondition("the cluster has " + name +
                                  " already: drop or rename it, or load rows alone");
      }
      if (name.starts_with(kStagePrefix)) left += " DROP TABLE " + QuotedName(name) + ";";
    }
    if (!left.empty() && options_.tell) {
      options_.tell("note: a load that was killed has left tables, unless it runs now:" + left);
    }
    return OkStatus();
  }

  static std::string UpperName(std::string name) {
    for (char& c : name) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return name;
  }

  // Found before anything is sent.
  Status CheckReferences() {
    if (!plan_.has_foreign_keys || !options_.existing.empty()) return OkStatus();
    std::string found;
    size_t count = 0;
    RETURN_IF_ERROR(local_.Query("PRAGMA foreign_key_check", [&](const Row& row) {
      if (++count <= 10) {
        found += "\n  row " + PlainText(row.at(1)) + " of " + PlainText(row.at(0)) +
                 " refers to no row of " + PlainText(row.at(2));
      }
      return OkStatus();
    }));
    if (count == 0) return OkStatus();
    return FailedPrecondition(options_.source + ": " + Counted(count, "row") +
                              " violate foreign keys; --unchecked loads them as they are" + found);
  }

  // ---- All in one command

  // False: it is too much for one.
  Result<bool> LoadAtOnce() {
    CommandMaker maker;
    for (const LoadTable& table : plan_.tables) {
      if (!table.exists) maker.Add(table.sql);
    }
    bool fits = true;
    for (const LoadTable& table : plan_.tables) {
      // A row for a table that the cluster has is named by its statement if it fails.
      maker.BeginTable(table.name, table.columns, table.exists ? 1 : kRowsPerStatement);
      RETURN_IF_ERROR(EachRow(
          table, 0,
          [&](const Row& row) {
            maker.Add(row);
            fits = !maker.IsFull(options_.one_command_bytes);
            return fits ? OkStatus() : ResourceExhausted("");
          },
          &fits));
      if (!fits) return false;
    }
    AddEnd(plan_.objects, &maker);
    if (maker.IsFull(options_.one_command_bytes)) return false;
    const ForeignKeys keys =
        !options_.existing.empty()
            ? ForeignKeys::kEnforced
            : Keys(options_.unchecked ? ForeignKeys::kUnchecked : ForeignKeys::kCheckedAtEnd);
    const std::vector<Statement> statements = maker.Take();
    Result<ExecuteResult> done = client_.Execute(statements, keys);
    if (NeedsMaintenance(done.status())) done = Maintain(statements, keys);
    if (!done.ok()) return Where(done.status(), statements);
    result_.rows = plan_.rows;
    result_.commands = 1;
    return true;
  }

  // The failure, with the statement or the row that it is about.
  Status Where(Status status, const std::vector<Statement>& statements) const {
    const size_t failed = status.statement();
    if (failed == 0 || failed > statements.size()) return status;
    const Statement& statement = statements[failed - 1];
    std::string what = statement.sql.substr(0, 200);
    if (!statement.positional.empty()) {
      size_t row = 1;
      for (size_t i = 0; i + 1 < failed; ++i) {
        if (!statements[i].positional.empty()) ++row;
      }
      if (!options_.existing.empty()) what = "row " + std::to_string(row);
    }
    return std::move(status).Prefixed(options_.source + ": " + what);
  }

  // Calls `take` for each row behind the first `skip`. A failure of `take` that sets *go_on false ends
  // the rows without an error.
  Status EachRow(const LoadTable& table, uint64_t skip,
                 const std::function<Status(const Row&)>& take, const bool* go_on) {
    if (!table.kind.has_rows) return OkStatus();
    std::string sql = "SELECT ";
    for (size_t i = 0; i < table.columns.size(); ++i) {
      sql += (i == 0 ? "" : ",") + QuotedName(table.columns[i]);
    }
    sql += " FROM " + QuotedName(table.name);
    if (skip > 0) sql += " LIMIT -1 OFFSET " + std::to_string(skip);
    const Status status = local_.Query(sql, [&](const Row& row) {
      size_t bytes = 0;
      for (const Value& value : row) bytes += RequestBytesOf(value);
      if (bytes > kRowBytesMax) {
        return InvalidArgument(options_.source + ": a row of " + table.name + " has " +
                               std::to_string(bytes) + " bytes; at most 15 MiB fit in a command");
      }
      return take(row);
    });
    return *go_on ? status : OkStatus();
  }

  // What follows the rows.
  void AddEnd(const std::vector<LoadObject>& objects, CommandMaker* maker) const {
    for (const LoadTable& table : plan_.tables) {
      if (table.exists) continue;
      if (table.sequence >= 0) {
        // A table without rows has no entry yet.
        maker->Add("DELETE FROM sqlite_sequence WHERE name = ?1", {table.name});
        maker->Add("INSERT INTO sqlite_sequence VALUES(?1, ?2)", {table.name, table.sequence});
      }
      if (table.kind.rebuilds) {
        const std::string name = QuotedName(table.name);
        maker->Add("INSERT INTO " + name + "(" + name + ") VALUES('rebuild')");
      }
    }
    for (const LoadObject& object : objects) maker->Add(object.sql);
  }

  // ---- New tables, by many commands

  Status LoadStaged() {
    std::random_device random;
    char id[16];
    std::snprintf(id, sizeof(id), "%08x_", static_cast<unsigned>(random()));
    stage_ = std::string(kStagePrefix) + id;
    Status status = Stage();
    if (status.ok()) return status;
    if (status.outcome() == Outcome::kUnknown && renaming_) {
      return std::move(status).Prefixed(
          "whether the tables were renamed is not known: look at "
          ".tables");
    }
    DropStaged();
    return status;
  }

  // A virtual table is made with its rows at the end if other tables are its content.
  static bool IsStaged(const LoadTable& table) { return table.kind.has_rows; }

  Status Stage() {
    const ForeignKeys keys = Keys(ForeignKeys::kUnchecked);
    CommandMaker maker;
    for (const LoadTable& table : plan_.tables) {
      if (IsStaged(table)) maker.Add(WithTable(table.sql, StageName(stage_, table.name)));
    }
    RETURN_IF_ERROR(Must(maker.Take(), keys));
    staged_ = true;
    Sender sender(&client_);
    for (const LoadTable& table : plan_.tables) {
      if (!IsStaged(table)) continue;
      maker.BeginTable(StageName(stage_, table.name), table.columns, kRowsPerStatement);
      const bool go_on = true;
      RETURN_IF_ERROR(EachRow(
          table, 0,
          [&](const Row& row) {
            maker.Add(row);
            return CountRow(&sender, &maker, keys);
          },
          &go_on));
    }
    RETURN_IF_ERROR(sender.Send(maker.Take(), keys));
    RETURN_IF_ERROR(sender.Wait());
    result_.commands += sender.commands();
    std::vector<LoadObject> others;
    for (const LoadObject& object : plan_.objects) {
      const auto table =
          std::find_if(plan_.tables.begin(), plan_.tables.end(),
                       [&](const LoadTable& each) { return each.name == object.table; });
      if (!object.is_index || table == plan_.tables.end()) {
        others.push_back(object);
        continue;
      }
      if (options_.tell) options_.tell("index of " + object.table);
      RETURN_IF_ERROR(
          Must({{WithTable(object.sql, StageName(stage_, table->name)), {}, {}}}, keys));
    }
    for (const LoadTable& table : plan_.tables) {
      maker.Add(IsStaged(table) ? "ALTER TABLE " + QuotedName(StageName(stage_, table.name)) +
                                      " RENAME TO " + QuotedName(table.name)
                                : table.sql);
    }
    AddEnd(others, &maker);
    renaming_ = true;
    return Must(maker.Take(), keys);
  }

  Status CountRow(Sender* sender, CommandMaker* maker, ForeignKeys keys) {
    ++result_.rows;
    if (!maker->IsFull(kCommandBytes)) return OkStatus();
    bytes_ += maker->bytes();
    if (options_.on_progress) options_.on_progress(result_.rows, plan_.rows, bytes_);
    return sender->Send(maker->Take(), keys);
  }

  // One command, with the budget of maintenance if it needs that.
  Status Must(const std::vector<Statement>& statements, ForeignKeys keys) {
    ++result_.commands;
    const Result<ExecuteResult> done = client_.Execute(statements, keys);
    if (done.ok()) return OkStatus();
    if (!NeedsMaintenance(done.status())) return Where(done.status(), statements);
    const Result<ExecuteResult> again = Maintain(statements, keys);
    return again.ok() ? OkStatus() : Where(again.status(), statements);
  }

  // The cluster grants maintenance to one request at a time.
  Result<ExecuteResult> Maintain(const std::vector<Statement>& statements, ForeignKeys keys) {
    for (int tries = 1;; ++tries) {
      Result<ExecuteResult> done = maintenance_.Execute(statements, keys);
      const bool busy = done.status().code() == StatusCode::kResourceExhausted &&
                        done.status().outcome() == Outcome::kNotApplied;
      if (!busy || tries == kMaintenanceTriesMax) return done;
      std::this_thread::sleep_for(kMaintenanceWait);
    }
  }

  void DropStaged() {
    if (!staged_) return;
    for (const LoadTable& table : plan_.tables) {
      if (!IsStaged(table)) continue;
      const Statement drop{
          "DROP TABLE IF EXISTS " + QuotedName(StageName(stage_, table.name)), {}, {}};
      const Status dropped = Must({drop}, Keys(ForeignKeys::kUnchecked));
      if (!dropped.ok() && options_.tell) {
        options_.tell("note: " + drop.sql + " failed: " + dropped.message());
      }
    }
  }

  // ---- Tables of the cluster, by many commands

  Status LoadResuming() {
    for (const LoadTable& table : plan_.tables) {
      if (!table.exists) {
        return FailedPrecondition("--resume loads rows for tables that the cluster has, and " +
                                  table.name + " is new: load it by itself");
      }
    }
    if (options_.tell) {
      options_.tell(
          "--resume: not all or nothing. If a command fails, the rows before it stay, and the same "
          "call goes on behind them");
    }
    RETURN_IF_ERROR(Must({{"CREATE TABLE IF NOT EXISTS cairn_load(source TEXT PRIMARY KEY, rows "
                           "INTEGER NOT NULL)",
                           {},
                           {}}},
                         ForeignKeys::kEnforced));
    RETURN_IF_ERROR(
        Must({{"INSERT OR IGNORE INTO cairn_load VALUES(?1, 0)", {options_.source}, {}}},
             ForeignKeys::kEnforced));
    ASSIGN_OR_RETURN(
        const QueryResult so_far,
        client_.Query({"SELECT rows FROM cairn_load WHERE source = ?1", {options_.source}, {}}));
    if (so_far.rows.empty()) return Aborted("another load of the same input has ended now");
    done_ = static_cast<uint64_t>(std::get<int64_t>(so_far.rows[0].at(0)));
    if (done_ > 0 && options_.tell) options_.tell("goes on behind row " + std::to_string(done_));
    uint64_t before = 0;
    CommandMaker maker;
    for (const LoadTable& table : plan_.tables) {
      const uint64_t skip = std::min(done_ > before ? done_ - before : 0, table.rows);
      before += table.rows;
      result_.rows += skip;
      maker.BeginTable(table.name, table.columns, 1);
      const bool go_on = true;
      RETURN_IF_ERROR(EachRow(
          table, skip,
          [&](const Row& row) {
            maker.Add(row);
            ++result_.rows;
            return maker.IsFull(kCommandBytes) ? SendResuming(&maker) : OkStatus();
          },
          &go_on));
    }
    RETURN_IF_ERROR(SendResuming(&maker));
    return Must({{"DELETE FROM cairn_load WHERE source = ?1", {options_.source}, {}}},
                ForeignKeys::kEnforced);
  }

  // The command counts on what the one before it has written, so that no row is loaded twice.
  Status SendResuming(CommandMaker* maker) {
    bytes_ += maker->bytes();
    std::vector<BatchStatement> batch;
    batch.push_back(
        {{"UPDATE cairn_load SET rows = ?1 WHERE source = ?2 AND rows = ?3",
          {static_cast<int64_t>(result_.rows), options_.source, static_cast<int64_t>(done_)},
          {}},
         {RowExpectation::Kind::kExactly, 1}});
    for (Statement& statement : maker->Take()) batch.push_back({std::move(statement), {}});
    ++result_.commands;
    const Result<ExecuteResult> sent = client_.ExecuteBatch(std::move(batch));
    if (!sent.ok()) {
      Status status = sent.status();
      const size_t failed = status.statement();
      const std::string row = failed < 2 ? "behind row " + std::to_string(done_)
                                         : "row " + std::to_string(done_ + failed - 1);
      return std::move(status).Prefixed(options_.source + ": " + row);
    }
    done_ = result_.rows;
    if (options_.on_progress) options_.on_progress(result_.rows, plan_.rows, bytes_);
    return OkStatus();
  }

  LocalDatabase& local_;
  Client& client_;
  Client& maintenance_;
  const BulkLoadOptions& options_;
  LoadPlan plan_;
  BulkLoadResult result_;
  std::string stage_;
  bool staged_ = false;
  bool renaming_ = false;
  uint64_t bytes_ = 0;
  uint64_t done_ = 0;
};

}  // namespace

Result<BulkLoadResult> BulkLoad(LocalDatabase* local, Client* client, Client* maintenance,
                                const BulkLoadOptions& options) {
  return Loader(local, client, maintenance, options).Run();
}

}  // namespace cairn::tools
