#include "tools/shell.h"

#include <cstdio>
#include <utility>

#include "base/text.h"
#include "rpc/proto_convert.h"
#include "tools/cluster_view.h"
#include "tools/temporary_tables.h"
#include "tools/wait_notice.h"

namespace cairn::tools {
namespace {

using SteadyClock = std::chrono::steady_clock;

// The bytes of a statement that an error shows.
constexpr size_t kStatementShownMax = 200;
// The bytes of a statement that the notice shows. The notice must fit in one line of a terminal.
constexpr size_t kBusyShownMax = 30;
// The time for the node to say what it is busy with.
constexpr std::chrono::milliseconds kBusyTimeout{500};
constexpr int64_t kSliceRows = 1000;
constexpr int64_t kSliceRowsMax = 1'000'000;

// What is sent together of a script.
constexpr size_t kGroupStatementsMax = 256;
constexpr size_t kGroupBytesMax = 1u << 20;

// The sink of a query. Removes the notice before the first row is printed.
class NoticedSink final : public ResultSink {
 public:
  NoticedSink(ResultSink* sink, WaitNotice* notice) : sink_(sink), notice_(notice) {}
  Status OnColumns(const std::vector<Column>& columns) override {
    notice_->Stop();
    return sink_->OnColumns(columns);
  }
  Status OnRow(const Row& row) override { return sink_->OnRow(row); }

 private:
  ResultSink* const sink_;
  WaitNotice* const notice_;
};

// The statement as one short line.
std::string Shown(const std::string& statement, size_t bytes_max) {
  std::string out;
  for (const char c : statement) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    if (!space) out += c;
    if (space && !out.empty() && out.back() != ' ') out += ' ';
  }
  if (out.size() <= bytes_max) return out;
  size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xc0) == 0x80) --end;
  return out.substr(0, end) + "...";
}

// What a person who waits wants to know: whose command apply is at, and how to stop waiting.
std::string WhatRuns(NodeClient* node) {
  const std::string leave = "Ctrl-C stops waiting";
  const Result<v1::StatusResponse> status = node->ClusterStatus(kBusyTimeout);
  if (!status.ok() || !status->has_busy_apply()) return leave;
  const v1::BusyApply& busy = status->busy_apply();
  return leave + "; for " + std::to_string(busy.for_ms() / 1000) +
         " s all writes wait for: " + Shown(busy.statement(), kBusyShownMax);
}

// The error without the number of the statement in front, which the shell itself tells.
Status WithoutNumber(Status status) {
  const std::string number = "statement " + std::to_string(status.statement()) + ": ";
  if (!status.message().starts_with(number)) return status;
  return Status(status.code(), status.message().substr(number.size()))
      .With(status.outcome())
      .With(status.reason());
}

}  // namespace

Shell::Shell(NodeClient* node, Options options, std::ostream* out, std::ostream* err)
    : node_(node), options_(options), out_(*out), err_(*err) {}

void Shell::BeginSource(const std::string& name) {
  source_ = name;
  lines_ = 0;
  splitter_ = StatementSplitter();
}

Shell::Verdict Shell::TakeLine(const std::string& line) {
  ++lines_;
  if (!in_statement()) {
    const size_t first = line.find_first_not_of(" \t");
    if (first != std::string::npos && line[first] == '.') {
      splitter_.Append("\n");  // so that the splitter counts the line
      if (const Verdict before = RunGroup(); before != Verdict::kDone) return before;
      std::string command = line.substr(first);
      if (command.back() == '\r') command.pop_back();
      place_ = {source_, lines_, command};
      return RunUnlessEnding([&] { return RunDotCommand(command); });
    }
  }
  splitter_.Append(line + "\n");
  while (const auto statement = splitter_.Next()) {
    const Verdict verdict = RunUnlessEnding([&] { return RunStatement(*statement); });
    if (verdict != Verdict::kDone) {
      DropRest();
      return verdict;
    }
  }
  return Verdict::kDone;
}

Shell::Verdict Shell::TakeFailure(const Status& failure) {
  if (const Verdict before = RunGroup(); before != Verdict::kDone) return before;
  DropRest();
  place_ = {source_, lines_ + 1, ""};
  return Complain(failure.message());
}

Shell::Verdict Shell::TakeEnd() {
  const StatementSplitter::Statement rest = splitter_.TakeRest();
  if (!rest.sql.empty()) {
    const Verdict verdict = RunUnlessEnding([&] { return RunStatement(rest); });
    if (verdict != Verdict::kDone) return verdict;
  }
  return RunGroup();
}

Shell::Verdict Shell::TakeEndOfAll() {
  if (!in_transaction()) return Verdict::kDone;
  if (transaction_.open() || source_.empty()) return ComplainOfBegin();
  // PRAGMA foreign_keys = OFF ends with the script.
  return RunUnlessEnding([&] { return Finish(RunGathered(), SteadyClock::now()); });
}

Shell::Verdict Shell::ComplainOfBegin() {
  const bool begun = transaction_.open();
  place_ = {source_, transaction_.line(), begun ? "BEGIN" : "PRAGMA foreign_keys = OFF"};
  const Verdict verdict =
      Complain(begun ? "the transaction has no COMMIT: nothing of it has run"
                     : "PRAGMA foreign_keys = ON is missing: nothing has run since it is off");
  transaction_.Drop();
  return verdict;
}

Shell::Verdict Shell::Complain(const std::string& what) {
  out_.flush();
  err_ << "error: ";
  if (!place_.source.empty()) err_ << place_.source << ":" << place_.line << ": ";
  err_ << what << "\n";
  if (!place_.source.empty() && !place_.statement.empty())
    err_ << "  in: " << Shown(place_.statement, kStatementShownMax) << "\n";
  // A script ends here. A person goes on with the transaction, but not if a file that is a part of it
  // failed: what the person has pasted behind it must not run alone.
  if (!place_.source.empty()) {
    if (in_transaction()) {
      err_ << "  nothing has run of the transaction that begins in line " << transaction_.line()
           << "\n";
    }
    if (reads_into_transaction_) {
      transaction_.Spoil();
    } else {
      transaction_.Drop();
    }
  }
  err_.flush();
  return Verdict::kFailed;
}

bool Shell::Interrupt() {
  if (in_slices_ && !stop_slices_.exchange(true)) return true;
  return node_->Cancel();
}

bool Shell::End() {
  ending_ = true;
  if (!running_) return false;
  Interrupt();
  return true;
}

// The shell first says that it runs, and then asks whether the program ends; End does both the
// other way round. So either the command does not begin, or End knows of it.
Shell::Verdict Shell::RunUnlessEnding(const std::function<Verdict()>& command) {
  const bool outer = running_.exchange(true);  // a `.read`
  const Verdict verdict = ending_ ? Verdict::kQuit : command();
  running_ = outer;
  return verdict;
}

Shell::Verdict Shell::RunStatement(const StatementSplitter::Statement& statement) {
  const std::string& sql = statement.sql;
  const auto began = SteadyClock::now();
  using Next = GatheredTransaction::Next;
  Result<Next> next =
      InvalidArgument("the statement is not valid UTF-8; other bytes go into a blob: x'00ff'");
  if (rpc::IsUtf8(sql)) {
    next = transaction_.Take(statement);
  } else {
    transaction_.Spoil();
  }
  if (next.ok() && *next == Next::kRunAlone) return RunAlone(statement);
  if (const Verdict before = RunGroup(); before != Verdict::kDone) return before;
  place_ = {source_, statement.line, sql};
  if (!next.ok()) return Finish(next.status(), began);
  switch (*next) {
    case Next::kSend: return Finish(RunGathered(), began);
    case Next::kBegan:
      if (PrintsForPeople()) out_ << "the statements up to COMMIT are gathered into one command\n";
      break;
    case Next::kKeysOff:
      if (PrintsForPeople()) {
        out_ << "foreign keys are off up to PRAGMA foreign_keys = ON: the statements in between "
                "are gathered into one command, and foreign keys are checked at its end\n";
      }
      break;
    case Next::kDropped:
      if (PrintsForPeople()) out_ << "ok, nothing was run\n";
      break;
    default: break;
  }
  return Verdict::kDone;
}

// A change of a script waits for its neighbours. A person wants each answer at once.
Shell::Verdict Shell::RunAlone(const StatementSplitter::Statement& statement) {
  const bool waits =
      !source_.empty() && !timer_ && !options_.maintenance && IsPlainChange(statement.sql);
  if (waits) {
    group_.push_back(statement);
    group_bytes_ += statement.sql.size();
    const bool full = group_.size() >= kGroupStatementsMax || group_bytes_ >= kGroupBytesMax;
    return full ? RunGroup() : Verdict::kDone;
  }
  if (const Verdict before = RunGroup(); before != Verdict::kDone) return before;
  place_ = {source_, statement.line, statement.sql};
  const auto began = SteadyClock::now();
  return Finish(IsQuery(statement.sql) ? RunQuery(statement.sql) : RunWrite(statement.sql), began);
}

Shell::Verdict Shell::RunGroup() {
  if (group_.empty()) return Verdict::kDone;
  group_bytes_ = 0;
  return RunUnlessEnding([this] {
    const auto began = SteadyClock::now();
    return Finish(SendGroup(std::exchange(group_, {})), began);
  });
}

// Sends the statements as one command, which takes effect as a whole or not at all. If one of them
// fails, those before it are sent again without it, and then the statement alone: it gives the error,
// or has none without its neighbours. So each statement has the effect and the answer that it would
// have alone.
Status Shell::SendGroup(std::vector<StatementSplitter::Statement> group) {
  while (!group.empty()) {
    std::vector<Statement> statements;
    for (const auto& each : group) statements.push_back(parameters_.Bind(each.sql));
    place_ = {source_, group.front().line, group.front().sql};
    WaitNotice notice(options_.terminal, [this] { return WhatRuns(node_); });
    Result<v1::ExecuteResponse> response =
        node_->ExecuteAll(std::move(statements), options_.timeout, false);
    notice.Stop();
    if (response.ok()) {
      for (v1::StatementResult& each : *response->mutable_results()) {
        PrintChanges(static_cast<uint64_t>(each.rows_affected()), 1);
      }
      return OkStatus();
    }
    const Status& status = response.status();
    if (group.size() == 1) return status;
    if (status.outcome() == Outcome::kUnknown) {
      Status unknown = status;
      return std::move(unknown).Prefixed("of the statements up to line " +
                                         std::to_string(group.back().line));
    }
    const size_t named = status.statement();
    const size_t failed = named == 0 || named > group.size() ? 1 : named;
    const auto first = group.begin() + static_cast<std::ptrdiff_t>(failed - 1);
    RETURN_IF_ERROR(SendGroup({group.begin(), first}));
    RETURN_IF_ERROR(SendGroup({*first}));
    group.erase(group.begin(), first + 1);
  }
  return OkStatus();
}

Shell::Verdict Shell::Finish(const Status& status, SteadyClock::time_point began) {
  if (!status.ok()) return Complain(ErrorInWords(status));
  if (timer_) {
    const std::chrono::duration<double, std::milli> took = SteadyClock::now() - began;
    char text[32];
    std::snprintf(text, sizeof(text), "%.1f ms\n", took.count());
    out_ << text;
  }
  // Otherwise a script would go on, and its exit status would say that all was printed.
  if (!out_.flush()) return Complain("the results cannot be written to standard output");
  return Verdict::kDone;
}

Status Shell::RunQuery(const std::string& sql) {
  const std::unique_ptr<ResultPrinter> printer = NewResultPrinter(options_.style, &out_);
  WaitNotice notice(options_.terminal, [this] { return WhatRuns(node_); });
  NoticedSink sink(printer.get(), &notice);
  Status status = node_->Query(parameters_.Bind(sql), v1::ReadOptions(), options_.timeout, &sink);
  notice.Stop();
  if (status.ok() || printer->rows() > 0) printer->Finish();
  return status;
}

Status Shell::RunWrite(const std::string& sql) {
  WaitNotice notice(options_.terminal, [this] { return WhatRuns(node_); });
  Result<v1::ExecuteResponse> response =
      node_->ExecuteAll({parameters_.Bind(sql)}, options_.timeout, options_.maintenance);
  notice.Stop();
  if (!response.ok()) return response.status();
  uint64_t rows = 0;
  for (v1::StatementResult& each : *response->mutable_results()) {
    rows += static_cast<uint64_t>(each.rows_affected());
    PrintResult(&each);
  }
  PrintChanges(rows, 1);
  return OkStatus();
}

Status Shell::RunGathered() {
  const size_t begin_line = transaction_.line();
  const ForeignKeys foreign_keys = transaction_.foreign_keys();
  std::vector<StatementSplitter::Statement> statements = transaction_.TakeStatements();
  if (statements.empty()) return OkStatus();
  size_t refused = 0;
  if (Status bad = MakeTemporaryTablesOrdinary(&statements, &refused); !bad.ok()) {
    place_ = {source_, statements[refused].line, statements[refused].sql};
    return bad;
  }
  std::vector<Statement> wire;
  for (const auto& each : statements) wire.push_back(parameters_.Bind(each.sql));
  WaitNotice notice(options_.terminal, [this] { return WhatRuns(node_); });
  Result<v1::ExecuteResponse> response =
      node_->ExecuteAll(std::move(wire), options_.timeout, options_.maintenance, foreign_keys);
  notice.Stop();
  if (response.ok()) {
    uint64_t rows = 0;
    for (v1::StatementResult& each : *response->mutable_results()) {
      rows += static_cast<uint64_t>(each.rows_affected());
      PrintResult(&each);
    }
    PrintChanges(rows, statements.size());
    return OkStatus();
  }
  Status status = response.status();
  const size_t failed = status.statement();
  if (failed == 0 || failed > statements.size()) return status;
  place_ = {source_, statements[failed - 1].line, statements[failed - 1].sql};
  return WithoutNumber(std::move(status))
      .Prefixed("statement " + std::to_string(failed) + " of the transaction" +
                (source_.empty() ? "" : " that begins in line " + std::to_string(begin_line)));
}

void Shell::PrintResult(v1::StatementResult* result) {
  const StatementResult given = rpc::FromProto(result);
  if (!given.columns.empty()) PrintRows(options_.style, given.columns, given.rows, &out_);
}

void Shell::PrintChanges(uint64_t rows, uint64_t statements) {
  if (!PrintsForPeople()) return;
  out_ << "ok, " << Counted(rows, "row") << " changed";
  if (statements != 1) out_ << " by " << Counted(statements, "statement") << " in one command";
  out_ << "\n";
}

// Each slice is a request with its own id, so that the outcome of one slice says nothing of the
// next. Other clients write between two slices, and the log grows in small entries.
Status Shell::RunSlices(const std::string& arguments) {
  ASSIGN_OR_RETURN(const Sliced sliced, ParseSlices(arguments, kSliceRows, kSliceRowsMax));
  std::atomic<uint64_t> rows = 0;
  std::atomic<uint64_t> slices = 0;
  const auto so_far = [&] {
    return Counted(rows, "row") + " changed in " + Counted(slices, "slice");
  };
  stop_slices_ = false;
  in_slices_ = true;
  Status status;
  {
    WaitNotice notice(options_.terminal,
                      [&] { return so_far() + "; Ctrl-C stops after this slice"; });
    int64_t changed = sliced.rows;
    while (status.ok() && changed >= sliced.rows_to_go_on && !stop_slices_) {
      const Result<v1::ExecuteResponse> response = node_->ExecuteV1(sliced.sql, options_.timeout);
      status = response.status();
      if (!status.ok()) break;
      changed = response->results_size() == 0 ? 0 : response->results(0).rows_affected();
      rows += static_cast<uint64_t>(changed);
      ++slices;
    }
    if (changed < sliced.rows_to_go_on) stop_slices_ = false;  // it came too late to stop anything
  }
  in_slices_ = false;
  if (!status.ok()) return std::move(status).Prefixed("after " + so_far());
  if (stop_slices_) return Cancelled("stopped after " + so_far() + "; run it again to go on");
  if (PrintsForPeople()) out_ << "ok, " << so_far() << "\n";
  return OkStatus();
}

}  // namespace cairn::tools
