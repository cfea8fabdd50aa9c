#include "tools/resumed_load.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "tools/result_printer.h"
#include "tools/sql_literal.h"

namespace cairn::tools {
namespace {

class ResumedLoad {
 public:
  ResumedLoad(LoadContext* load, const std::string& digest)
      : load_(*load), digest_(digest), commands_(load) {
    for (const LoadTable& table : load_.plan.tables) {
      tables_ += (tables_.empty() ? "" : ", ") + table.name;
    }
  }

  Status Run() {
    for (const LoadTable& table : load_.plan.tables) {
      if (table.exists) continue;
      return FailedPrecondition("--resume loads rows for tables that the cluster has, and " +
                                table.name + " is new: load it by itself");
    }
    RETURN_IF_ERROR(Begin());
    if (done_ == load_.plan.rows) {
      Tell(
          "all rows of this input are loaded already: nothing is sent. To load them once more, run "
          "first: " +
          Forget(digest_));
      return OkStatus();
    }
    Tell(done_ > 0 ? "goes on behind row " + std::to_string(done_)
                   : "--resume: not all or nothing. If a command fails, the rows before it stay, "
                     "and the same call goes on behind them");
    return SendRows();
  }

 private:
  void Tell(const std::string& line) const {
    if (load_.options->tell) load_.options->tell(line);
  }
  static std::string Forget(const std::string& digest) {
    return "DELETE FROM " + std::string(kMarksTable) + " WHERE input = " + LiteralText(digest) +
           ";";
  }

  // Finds the mark of this load, or makes one.
  Status Begin() {
    const std::string create(kMarksSql);
    const std::string text =
        "CREATE TABLE IF NOT EXISTS " + create.substr(create.find(kMarksTable));
    RETURN_IF_ERROR(commands_.Must({text, {}, {}}, ForeignKeys::kEnforced));
    ASSIGN_OR_RETURN(
        const QueryResult others,
        load_.client->Query({"SELECT input, rows FROM cairn_load WHERE source = ?1 AND tables = ?2 "
                             "AND input <> ?3 AND rows < rows_all",
                             {load_.options->source, tables_, digest_},
                             {}}));
    if (!others.rows.empty()) {
      const Row& other = others.rows[0];
      return FailedPrecondition(
          load_.options->source + ": an earlier load of it into " + tables_ + " ended behind row " +
          PlainText(other.at(1)) +
          ", and its rows have changed since. The rows up to there are "
          "loaded, and stay. Load the rest of the rows, or run this first to load all of this "
          "input: " +
          Forget(PlainText(other.at(0))));
    }
    RETURN_IF_ERROR(commands_.Must(
        {"INSERT OR IGNORE INTO cairn_load VALUES(?1, ?2, ?3, 0, ?4)",
         {digest_, load_.options->source, tables_, static_cast<int64_t>(load_.plan.rows)},
         {}},
        ForeignKeys::kEnforced));
    ASSIGN_OR_RETURN(
        const QueryResult so_far,
        load_.client->Query({"SELECT rows FROM cairn_load WHERE input = ?1", {digest_}, {}}));
    if (so_far.rows.empty()) return Aborted("somebody has deleted the mark of this load just now");
    done_ = static_cast<uint64_t>(std::get<int64_t>(so_far.rows[0].at(0)));
    return OkStatus();
  }

  Status SendRows() {
    uint64_t before = 0;
    CommandMaker maker;
    for (const LoadTable& table : load_.plan.tables) {
      const uint64_t skip = std::min(done_ > before ? done_ - before : 0, table.rows);
      before += table.rows;
      load_.result.rows += skip;
      maker.BeginTable(table.name, table.columns, 1);
      const Status sent = EachRow(load_.local, table, skip, [&](const Row& row) {
        // Together with the rows before it, a large row may be more than a request takes.
        if (maker.bytes() > 0 && maker.bytes() + RequestBytesOf(row) > kCommandBytes) {
          RETURN_IF_ERROR(SendSome(&maker));
        }
        maker.Add(row);
        ++load_.result.rows;
        return maker.IsFull(kCommandBytes) ? SendSome(&maker) : OkStatus();
      });
      if (!sent.ok()) return sent;
    }
    return maker.bytes() > 0 ? SendSome(&maker) : OkStatus();
  }

  // The command counts on what the one before it has written, so that no row is loaded twice.
  Status SendSome(CommandMaker* maker) {
    bytes_ += maker->bytes();
    Command command = maker->Take();
    std::vector<BatchStatement> batch;
    batch.push_back(
        {{"UPDATE cairn_load SET rows = ?1 WHERE input = ?2 AND rows = ?3",
          {static_cast<int64_t>(load_.result.rows), digest_, static_cast<int64_t>(done_)},
          {}},
         {RowExpectation::Kind::kExactly, 1}});
    for (Statement& each : command.statements) batch.push_back({std::move(each), {}});
    command.rows.insert(command.rows.begin(), 0);
    ++load_.result.commands;
    const Result<ExecuteResult> sent = load_.client->ExecuteBatch(std::move(batch));
    if (!sent.ok()) {
      if (sent.status().statement() > 1) {
        return commands_.Where(sent.status(), command.rows, done_, "");
      }
      return Status(sent.status())
          .Prefixed(load_.options->source + ": behind row " + std::to_string(done_));
    }
    done_ = load_.result.rows;
    if (load_.options->on_progress) {
      load_.options->on_progress(load_.result.rows, load_.plan.rows, bytes_);
    }
    return OkStatus();
  }

  LoadContext& load_;
  const std::string digest_;
  LoadCommands commands_;
  std::string tables_;  // their names
  uint64_t bytes_ = 0;
  uint64_t done_ = 0;  // rows that are loaded
};

}  // namespace

Status LoadResuming(LoadContext* load, const std::string& digest) {
  return ResumedLoad(load, digest).Run();
}

}  // namespace cairn::tools
