#include <cstdio>
#include <fstream>
#include <sstream>

#include "rpc/proto_convert.h"
#include "tools/cluster_view.h"
#include "tools/shell.h"

namespace cairn::tools {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kReadDepthMax = 16;

constexpr const char* kHelp =
    R"(End a statement with a semicolon; it may span lines.
.help                      this list
.tables                    tables and views
.schema [TABLE]            the CREATE statements
.status                    this node
.nodes                     all nodes of the cluster
.mode table|csv|json|line  how results are printed
.timer on|off              print how long each statement took
.read FILE                 run the statements in a file
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
    // SQLite's own, which nobody may create.
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

}  // namespace

Shell::Shell(NodeClient* node, Options options, std::ostream* out, std::ostream* err)
    : node_(node), options_(options), out_(*out), err_(*err) {}

Shell::Verdict Shell::TakeLine(const std::string& line) {
  if (!in_statement()) {
    const size_t first = line.find_first_not_of(" \t");
    if (first != std::string::npos && line[first] == '.') return RunDotCommand(line);
  }
  splitter_.Append(line + "\n");
  while (const std::optional<std::string> sql = splitter_.Next()) {
    if (RunStatement(*sql) == Verdict::kFailed) {
      DropRest();
      return Verdict::kFailed;
    }
  }
  return Verdict::kDone;
}

Shell::Verdict Shell::TakeEnd() {
  const std::string rest = splitter_.TakeRest();
  return rest.empty() ? Verdict::kDone : RunStatement(rest);
}

Shell::Verdict Shell::Complain(const std::string& what) {
  out_.flush();
  err_ << "error: " << what << std::endl;
  return Verdict::kFailed;
}

Shell::Verdict Shell::RunStatement(const std::string& sql) {
  if (!rpc::IsUtf8(sql)) {
    return Complain("the statement is not valid UTF-8; other bytes go into a blob: x'00ff'");
  }
  const auto began = SteadyClock::now();
  return Finish(IsQuery(sql) ? RunQuery(sql) : RunWrite(sql), began);
}

Shell::Verdict Shell::Finish(const Status& status, SteadyClock::time_point began) {
  if (!status.ok()) return Complain(ErrorInWords(status));
  if (timer_) {
    const std::chrono::duration<double, std::milli> took = SteadyClock::now() - began;
    char text[32];
    std::snprintf(text, sizeof(text), "%.1f ms\n", took.count());
    out_ << text;
  }
  out_.flush();
  return Verdict::kDone;
}

Status Shell::RunQuery(const std::string& sql) {
  const std::unique_ptr<ResultPrinter> printer = NewResultPrinter(options_.mode, &out_);
  Status status = node_->Query(sql, v1::ReadOptions(), options_.timeout, printer.get());
  if (status.ok() || printer->rows() > 0) printer->Finish();
  return status;
}

Status Shell::RunWrite(const std::string& sql) {
  ASSIGN_OR_RETURN(v1::ExecuteResponse response, node_->ExecuteV1(sql, options_.timeout));
  for (v1::StatementResult& wire : *response.mutable_results()) {
    const StatementResult result = rpc::FromProto(&wire);
    if (!result.columns.empty()) PrintRows(options_.mode, result.columns, result.rows, &out_);
    // The other modes are for programs, which want the rows alone.
    if (options_.mode == OutputMode::kTable) {
      out_ << "ok, " << result.rows_affected << (result.rows_affected == 1 ? " row" : " rows")
           << " changed\n";
    }
  }
  return OkStatus();
}

Shell::Verdict Shell::RunDotCommand(const std::string& line) {
  const std::vector<std::string> words = Words(line);
  const std::string& name = words[0];
  const auto began = SteadyClock::now();
  if (name == ".quit" || name == ".exit") return Verdict::kQuit;
  if (name == ".help") {
    out_ << kHelp << std::flush;
    return Verdict::kDone;
  }
  if (name == ".tables") return Finish(RunQuery(kTables), began);
  if (name == ".schema") {
    ScriptSink sink(&out_);
    return Finish(node_->Query(SchemaQuery(words), v1::ReadOptions(), options_.timeout, &sink),
                  began);
  }
  if (name == ".status") {
    const Result<v1::StatusResponse> status = node_->ClusterStatus(options_.timeout);
    if (!status.ok()) return Finish(status.status(), began);
    // One row of many columns is read best down the page.
    const OutputMode mode = options_.mode == OutputMode::kTable ? OutputMode::kLine : options_.mode;
    PrintRows(mode, StatusColumns(), {StatusRow(*status)}, &out_);
    return Finish(OkStatus(), began);
  }
  if (name == ".nodes") {
    const auto rows =
        MembersTable(node_, std::min(options_.timeout, std::chrono::milliseconds(1000)));
    if (!rows.ok()) return Finish(rows.status(), began);
    PrintRows(options_.mode, MembersColumns(), *rows, &out_);
    return Finish(OkStatus(), began);
  }
  if (name == ".mode") {
    const auto mode = words.size() == 2 ? ParseOutputMode(words[1]) : std::nullopt;
    if (!mode) return Complain("usage: .mode table|csv|json|line");
    options_.mode = *mode;
    return Verdict::kDone;
  }
  if (name == ".timer") {
    if (words.size() != 2 || (words[1] != "on" && words[1] != "off")) {
      return Complain("usage: .timer on|off");
    }
    timer_ = words[1] == "on";
    return Verdict::kDone;
  }
  if (name == ".read") {
    if (words.size() != 2) return Complain("usage: .read FILE");
    return ReadFile(words[1]);
  }
  return Complain("unknown command " + name + "; .help lists them");
}

Shell::Verdict Shell::ReadFile(const std::string& path) {
  if (read_depth_ >= kReadDepthMax) return Complain(".read is nested too deep at " + path);
  std::ifstream file(path);
  if (!file) return Complain(ErrnoStatus("open " + path, errno).message());
  ++read_depth_;
  Verdict verdict = Verdict::kDone;
  size_t number = 0;
  for (std::string line; verdict == Verdict::kDone && std::getline(file, line);) {
    ++number;
    verdict = TakeLine(line);
  }
  if (verdict == Verdict::kDone) verdict = TakeEnd();
  --read_depth_;
  if (verdict == Verdict::kFailed)
    return Complain("stopped at " + path + ":" + std::to_string(number));
  return verdict;
}

}  // namespace cairn::tools
