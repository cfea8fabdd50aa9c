#include "tools/load_commands.h"

#include <chrono>
#include <thread>
#include <utility>

#include "base/sql_name.h"
#include "tools/result_printer.h"

namespace cairn::tools {
namespace {

constexpr size_t kInFlightMax = 6;
// For so long a command waits for what is in its way.
constexpr int kTriesMax = 300;
constexpr std::chrono::milliseconds kWait{200};
// Of a statement in an error.
constexpr size_t kShownBytes = 200;

// More work than a request may do, or the 'rebuild' of a full-text index.
bool NeedsMaintenance(const Status& status) {
  return status.outcome() != Outcome::kUnknown &&
         (status.code() == StatusCode::kResourceExhausted ||
          status.code() == StatusCode::kPermissionDenied);
}

// The rowid of a row of the local database, as text.
std::string RowidOf(const LoadContext& load, const LoadTable& table, uint64_t row) {
  const std::string name = RowidName(table.columns);
  if (name.empty()) return "";
  std::string rowid;
  load.local
      ->Query("SELECT " + QuotedName(name) + " FROM " + QuotedName(table.name) +
                  " LIMIT 1 OFFSET " + std::to_string(row - 1),
              [&](const Row& found) {
                rowid = PlainText(found.at(0));
                return OkStatus();
              })
      .ok();  // without a rowid the table's own count names the row
  return rowid;
}

}  // namespace

std::string RowName(const LoadContext& load, uint64_t row) {
  const std::string& source = load.options->source;
  for (const LoadTable& table : load.plan.tables) {
    if (row > table.rows) {
      row -= table.rows;
      continue;
    }
    const std::string name = "row " + std::to_string(row) + " of " + table.name;
    const bool has_line = load.options->rows_are_lines && table.exists;
    const std::string line = has_line ? RowidOf(load, table, row) : "";
    return source + ":" + (line.empty() ? " " : line + ": ") + name;
  }
  return source;
}

Status LoadCommands::Where(Status status, const std::vector<size_t>& rows, uint64_t rows_before,
                           const std::string& sql) const {
  const size_t failed = status.statement();
  if (failed == 0 || failed > rows.size()) {
    return std::move(status).Prefixed(load_.options->source);
  }
  for (size_t i = 0; i + 1 < failed; ++i) rows_before += rows[i];
  const size_t count = rows[failed - 1];
  if (count == 0) {
    return std::move(status).Prefixed(load_.options->source + ": " + sql.substr(0, kShownBytes));
  }
  const std::string first = RowName(load_, rows_before + 1);
  const std::string more =
      count == 1 ? "" : " or one of the " + std::to_string(count - 1) + " rows behind it";
  return std::move(status).Prefixed(first + more);
}

bool LoadCommands::IsInTheWay(const Status& status, bool maintains) {
  // Of a prepared transaction.
  if (status.code() == StatusCode::kAborted) return status.outcome() != Outcome::kUnknown;
  return maintains && status.code() == StatusCode::kResourceExhausted &&
         status.outcome() == Outcome::kNotApplied;
}

Status LoadCommands::Must(const Command& command, ForeignKeys keys, uint64_t rows_before,
                          Work work) {
  ++load_.result.commands;
  bool maintains = false;
  Result<ExecuteResult> done = Aborted("");
  for (int tries = 1; tries <= kTriesMax; ++tries) {
    Client& client = maintains ? *load_.maintenance : *load_.client;
    done = client.Execute(command.statements, keys);
    if (!maintains && work == Work::kAsNeeded && NeedsMaintenance(done.status())) {
      maintains = true;
      continue;
    }
    if (done.ok()) return OkStatus();
    if (!IsInTheWay(done.status(), maintains)) break;
    std::this_thread::sleep_for(kWait);
  }
  const size_t failed = done.status().statement();
  const bool has_text = failed > 0 && failed <= command.statements.size();
  return Where(done.status(), command.rows, rows_before,
               has_text ? command.statements[failed - 1].sql : "");
}

Status LoadCommands::Must(Statement statement, ForeignKeys keys) {
  Command command;
  command.statements.push_back(std::move(statement));
  command.rows = {0};
  return Must(command, keys, 0);
}

Status LoadCommands::Send(Command command, ForeignKeys keys, uint64_t rows_before) {
  MutexLock lock(mutex_);
  while (in_flight_ >= kInFlightMax) changed_.Wait(lock);
  const bool go_on = failure_.status.ok() && again_.empty();
  lock.Unlock();
  if (!go_on) RETURN_IF_ERROR(Wait());
  lock.Lock();
  ++in_flight_;
  lock.Unlock();
  ++load_.result.commands;
  auto sent = std::make_shared<Sent>(Sent{std::move(command), keys, rows_before});
  load_.client->ExecuteAsync(
      sent->command.statements, keys, [this, sent](const Result<ExecuteResult>& result) {
        MutexLock done(mutex_);
        if (IsInTheWay(result.status(), /*maintains=*/false)) {
          again_.push_back(std::move(*sent));
        } else if (!result.ok() && failure_.status.ok()) {
          failure_ = {result.status(), sent->command.rows, sent->rows_before};
        }
        --in_flight_;
        changed_.NotifyAll();
      });
  return OkStatus();
}

Status LoadCommands::Wait() {
  WaitForAll();
  MutexLock lock(mutex_);
  const Failure failure = failure_;
  std::vector<Sent> again = std::exchange(again_, {});
  lock.Unlock();
  if (!failure.status.ok()) {
    return Where(failure.status, failure.rows, failure.rows_before, "");
  }
  for (const Sent& each : again) {
    RETURN_IF_ERROR(Must(each.command, each.keys, each.rows_before));
    --load_.result.commands;  // that is counted already
  }
  return OkStatus();
}

void LoadCommands::WaitForAll() {
  MutexLock lock(mutex_);
  while (in_flight_ > 0) changed_.Wait(lock);
}

}  // namespace cairn::tools
