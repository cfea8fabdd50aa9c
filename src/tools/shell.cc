#include "tools/shell.h"

#include <cstdio>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/text.h"
#include "rpc/proto_convert.h"
#include "tools/cluster_view.h"
#include "tools/wait_notice.h"

namespace cairn::tools {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kReadDepthMax = 16;
// The bytes of a statement that an error shows.
constexpr size_t kStatementShownMax = 200;
// The bytes of a statement that the notice shows. The notice must fit in one line of a terminal.
constexpr size_t kBusyShownMax = 30;
// The time for the node to say what it is busy with.
constexpr std::chrono::milliseconds kBusyTimeout{500};
constexpr int64_t kSliceRows = 1000;
constexpr int64_t kSliceRowsMax = 1'000'000;

constexpr const char* kHelp =
    R"(End a statement with a semicolon; it may span lines.
.help                      this list
.tables                    tables and views
.schema [TABLE]            the CREATE statements
.status                    this node
.nodes                     all nodes of the cluster
.mode table|csv|json|line  how results are printed
.timer on|off              print how long each statement took
.maintenance on|off        writes ask for the budget of maintenance: one at a time
.read FILE                 run the statements in a file
.slices [N] STATEMENT      run a DELETE or UPDATE of very many rows in slices of N rows (1000),
                           until it changes no more; others write in between. An UPDATE must
                           change what its WHERE looks for. Ctrl-C stops after a slice
.quit                      leave (so does Ctrl-D)
)";

constexpr const char* kTables =
    "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE "
    "'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_cairn\\_%' ESCAPE '\\' ORDER BY name";

std::vector<std::string> Words(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

std::string SqlLiteral(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += '\'';
    out += c;
  }
  return out + "'";
}

std::string SchemaQuery(const std::vector<std::string>& words) {
  std::string sql =
      "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE '\\_cairn\\_%' ESCAPE "
      "'\\'";
  if (words.size() > 1) {
    sql += " AND lower(tbl_name) = lower(" + SqlLiteral(words[1]) + ")";
  } else {
    // Leaves out SQLite's own objects, which nobody may create.
    sql += " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
  }
  return sql + " ORDER BY tbl_name, type DESC, name";
}

// Prints the first column of each row as a statement of a script.
class ScriptSink final : public ResultSink {
 public:
  explicit ScriptSink(std::ostream* out) : out_(*out) {}
  Status OnColumns(const std::vector<Column>&) override { return OkStatus(); }
  Status OnRow(const Row& row) override {
    if (!row.empty() && std::holds_alternative<std::string>(row[0])) {
      out_ << std::get<std::string>(row[0]) << ";\n";
    }
    return OkStatus();
  }

 private:
  std::ostream& out_;
};

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
      place_ = {source_, lines_, line.substr(first)};
      return RunUnlessEnding([&] { return RunDotCommand(line.substr(first)); });
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

Shell::Verdict Shell::TakeEnd() {
  const StatementSplitter::Statement rest = splitter_.TakeRest();
  if (rest.sql.empty()) return Verdict::kDone;
  return RunUnlessEnding([&] { return RunStatement(rest); });
}

Shell::Verdict Shell::TakeEndOfAll() {
  if (!in_transaction()) return Verdict::kDone;
  place_ = {source_, transaction_.line(), "BEGIN"};
  const Verdict verdict = Complain("the transaction has no COMMIT: nothing of it has run");
  transaction_.Drop();
  return verdict;
}

Shell::Verdict Shell::Complain(const std::string& what) {
  out_.flush();
  err_ << "error: ";
  if (!place_.source.empty()) err_ << place_.source << ":" << place_.line << ": ";
  err_ << what << "\n";
  if (!place_.source.empty())
    err_ << "  in: " << Shown(place_.statement, kStatementShownMax) << "\n";
  // A script ends here. A person goes on with the transaction.
  if (!place_.source.empty() && in_transaction()) {
    err_ << "  nothing has run of the transaction that begins in line " << transaction_.line()
         << "\n";
    transaction_.Drop();
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
  place_ = {source_, statement.line, sql};
  if (!rpc::IsUtf8(sql)) {
    return Complain("the statement is not valid UTF-8; other bytes go into a blob: x'00ff'");
  }
  const auto began = SteadyClock::now();
  const auto next = transaction_.Take(statement);
  if (!next.ok()) return Finish(next.status(), began);
  switch (*next) {
    case GatheredTransaction::Next::kRunAlone:
      return Finish(IsQuery(sql) ? RunQuery(sql) : RunWrite(sql), began);
    case GatheredTransaction::Next::kSend: return Finish(RunGathered(), began);
    case GatheredTransaction::Next::kBegan:
      if (PrintsForPeople()) out_ << "the statements up to COMMIT are gathered into one command\n";
      break;
    case GatheredTransaction::Next::kDropped:
      if (PrintsForPeople()) out_ << "ok, nothing was run\n";
      break;
    case GatheredTransaction::Next::kGathered: break;
  }
  return Verdict::kDone;
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
  const std::unique_ptr<ResultPrinter> printer = NewResultPrinter(options_.mode, &out_);
  WaitNotice notice(options_.terminal, [this] { return WhatRuns(node_); });
  NoticedSink sink(printer.get(), &notice);
  Status status = node_->Query(sql, v1::ReadOptions(), options_.timeout, &sink);
  notice.Stop();
  if (status.ok() || printer->rows() > 0) printer->Finish();
  return status;
}

Status Shell::RunWrite(const std::string& sql) {
  WaitNotice notice(options_.terminal, [this] { return WhatRuns(node_); });
  Result<v1::ExecuteResponse> response =
      node_->ExecuteV1(sql, options_.timeout, options_.maintenance);
  notice.Stop();
  if (!response.ok()) return response.status();
  PrintResults(&*response);
  return OkStatus();
}

Status Shell::RunGathered() {
  const size_t begin_line = transaction_.line();
  const std::vector<StatementSplitter::Statement> statements = transaction_.TakeStatements();
  if (statements.empty()) return OkStatus();
  std::vector<std::string> sql;
  for (const StatementSplitter::Statement& each : statements) sql.push_back(each.sql);
  WaitNotice notice(options_.terminal, [this] { return WhatRuns(node_); });
  Result<v1::ExecuteResponse> response =
      node_->ExecuteAll(sql, options_.timeout, options_.maintenance);
  notice.Stop();
  if (response.ok()) {
    PrintResults(&*response);
    return OkStatus();
  }
  Status status = response.status();
  const size_t failed = status.statement();
  if (failed == 0 || failed > statements.size()) return status;
  place_ = {source_, statements[failed - 1].line, sql[failed - 1]};
  return std::move(status).Prefixed(
      "statement " + std::to_string(failed) + " of the transaction" +
      (source_.empty() ? "" : " that begins in line " + std::to_string(begin_line)));
}

void Shell::PrintResults(v1::ExecuteResponse* response) {
  uint64_t rows = 0;
  for (v1::StatementResult& wire : *response->mutable_results()) {
    const StatementResult result = rpc::FromProto(&wire);
    if (!result.columns.empty()) PrintRows(options_.mode, result.columns, result.rows, &out_);
    rows += static_cast<uint64_t>(result.rows_affected);
  }
  if (!PrintsForPeople()) return;
  out_ << "ok, " << Counted(rows, "row") << " changed";
  const auto statements = static_cast<uint64_t>(response->results_size());
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

Status Shell::ShowSchema(const std::vector<std::string>& words) {
  ScriptSink sink(&out_);
  return node_->Query(SchemaQuery(words), v1::ReadOptions(), options_.timeout, &sink);
}

Status Shell::ShowStatus() {
  ASSIGN_OR_RETURN(const v1::StatusResponse status, node_->ClusterStatus(options_.timeout));
  // One row of many columns reads best down the page.
  const OutputMode mode = options_.mode == OutputMode::kTable ? OutputMode::kLine : options_.mode;
  PrintRows(mode, StatusColumns(), {StatusRow(status)}, &out_);
  return OkStatus();
}

Status Shell::ShowNodes() {
  ASSIGN_OR_RETURN(
      const std::vector<Row> rows,
      MembersTable(node_, std::min(options_.timeout, std::chrono::milliseconds(1000))));
  PrintRows(options_.mode, MembersColumns(), rows, &out_);
  return OkStatus();
}

Shell::Verdict Shell::SetMode(const std::vector<std::string>& words) {
  const auto mode = words.size() == 2 ? ParseOutputMode(words[1]) : std::nullopt;
  if (!mode) return Complain("usage: .mode table|csv|json|line");
  options_.mode = *mode;
  return Verdict::kDone;
}

Shell::Verdict Shell::SetMaintenance(const std::vector<std::string>& words) {
  if (words.size() != 2 || (words[1] != "on" && words[1] != "off")) {
    return Complain("usage: .maintenance on|off");
  }
  options_.maintenance = words[1] == "on";
  return Verdict::kDone;
}

Shell::Verdict Shell::SetTimer(const std::vector<std::string>& words) {
  if (words.size() != 2 || (words[1] != "on" && words[1] != "off")) {
    return Complain("usage: .timer on|off");
  }
  timer_ = words[1] == "on";
  return Verdict::kDone;
}

Shell::Verdict Shell::RunDotCommand(const std::string& line) {
  const std::vector<std::string> words = Words(line);
  const std::string& name = words[0];
  const auto began = SteadyClock::now();
  if (name == ".quit" || name == ".exit") return Quit();
  if (name == ".slices" && in_transaction()) {
    return Complain(name + " runs commands of its own: COMMIT or ROLLBACK comes before it");
  }
  if (name == ".help") {
    out_ << kHelp;
    return Finish(OkStatus(), began);
  }
  if (name == ".tables") return Finish(RunQuery(kTables), began);
  if (name == ".schema") return Finish(ShowSchema(words), began);
  if (name == ".status") return Finish(ShowStatus(), began);
  if (name == ".nodes") return Finish(ShowNodes(), began);
  if (name == ".slices") return Finish(RunSlices(line.substr(name.size())), began);
  if (name == ".mode") return SetMode(words);
  if (name == ".timer") return SetTimer(words);
  if (name == ".maintenance") return SetMaintenance(words);
  if (name == ".read") {
    if (words.size() != 2) return Complain("usage: .read FILE");
    return ReadFile(words[1]);
  }
  return Complain("unknown command " + name + "; .help lists them");
}

// A script that leaves an open transaction has lost what it wrote. A person knows.
Shell::Verdict Shell::Quit() {
  if (!source_.empty() && in_transaction()) return TakeEndOfAll();
  return Verdict::kQuit;
}

Shell::Verdict Shell::ReadFile(const std::string& path) {
  if (read_depth_ >= kReadDepthMax) return Complain(".read is nested too deep at " + path);
  std::ifstream file(path);
  if (!file) return Complain(ErrnoStatus("open " + path, errno).message());
  ++read_depth_;
  const bool in_outer_transaction = in_transaction();
  const std::string outer = std::exchange(source_, "");
  const size_t outer_lines = std::exchange(lines_, 0);
  StatementSplitter outer_splitter = std::move(splitter_);
  BeginSource(path);
  Verdict verdict = Verdict::kDone;
  for (std::string line; verdict == Verdict::kDone && std::getline(file, line);) {
    verdict = TakeLine(line);
  }
  if (verdict == Verdict::kDone) verdict = TakeEnd();
  if (verdict == Verdict::kDone && !in_outer_transaction) verdict = TakeEndOfAll();
  source_ = outer;
  lines_ = outer_lines;
  splitter_ = std::move(outer_splitter);
  --read_depth_;
  return verdict;
}

}  // namespace cairn::tools
