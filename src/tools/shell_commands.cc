// Shell: the dot commands.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <istream>
#include <sstream>
#include <utility>

#include "base/text.h"
#include "tools/cluster_view.h"
#include "tools/dump.h"
#include "tools/input_file.h"
#include "tools/load_data.h"
#include "tools/shell.h"
#include "tools/sql_literal.h"

namespace cairn::tools {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kReadDepthMax = 16;

constexpr const char* kHelp =
    R"(End a statement with a semicolon; it may span lines.
.help                      this list
.dump [TABLE ...]          the database, or tables, as SQL
.headers on|off            print the names of columns, in the modes that can leave them out
.import FILE TABLE         load a CSV file; --skip N leaves out rows at its start. In the mode list |
                           separates fields, otherwise a comma, or what .separator says
.indexes [TABLE]           names of indexes
.maintenance on|off        writes ask for the budget of maintenance: one at a time
.mode MODE                 how results are printed: auto, or box, column, csv, json, line, list,
                           markdown, table as in the shell of SQLite
.nodes                     all nodes of the cluster
.parameter CMD             values of parameters: set NAME VALUE, unset NAME, list, clear
.quit                      leave (so does Ctrl-D)
.read FILE                 run the statements in a file
.schema [TABLE]            the CREATE statements
.separator TEXT            between fields, in the modes csv and list and in files for .import
.slices [N] STATEMENT      run a DELETE or UPDATE of very many rows in slices of N rows (1000),
                           until it changes no more; others write in between. An UPDATE must
                           change what its WHERE looks for. Ctrl-C stops after a slice
.status                    this node
.tables [PATTERN]          tables and views whose names are LIKE the pattern
.timer on|off              print how long each statement took
)";

constexpr const char* kTables =
    "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE "
    "'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_cairn\\_%' ESCAPE '\\'";

// A line as the shell of SQLite reads one: words, and quoted words, which may hold spaces.
std::vector<std::string> WordsOf(const std::string& line) {
  std::vector<std::string> words;
  size_t at = 0;
  while ((at = line.find_first_not_of(" \t", at)) != std::string::npos) {
    const char quote = line[at] == '\'' || line[at] == '"' ? line[at] : '\0';
    size_t end = quote == '\0' ? line.find_first_of(" \t", at) : line.find(quote, at + 1);
    end = std::min(end, line.size());
    if (quote != '\0') ++at;
    words.push_back(line.substr(at, end - at));
    at = std::min(end + (quote == '\0' ? 0 : 1), line.size());
  }
  return words;
}

std::string SchemaQuery(const std::vector<std::string>& words) {
  std::string sql =
      "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE '\\_cairn\\_%' ESCAPE "
      "'\\'";
  if (words.size() > 1) {
    sql += " AND lower(tbl_name) = lower(" + LiteralText(words[1]) + ")";
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

// Prints the names side by side, downwards first, as wide as a terminal.
void PrintNames(const std::vector<std::string>& names, std::ostream* out) {
  constexpr size_t kWidth = 80;
  size_t longest = 0;
  for (const std::string& name : names) longest = std::max(longest, name.size());
  const size_t columns = std::max<size_t>(kWidth / (longest + 2), 1);
  const size_t lines = (names.size() + columns - 1) / columns;
  for (size_t line = 0; line < lines; ++line) {
    for (size_t i = line; i < names.size(); i += lines) {
      *out << (i < lines ? "" : "  ") << names[i] << std::string(longest - names[i].size(), ' ');
    }
    *out << "\n";
  }
}

}  // namespace

Status Shell::ShowSchema(const Words& words) {
  ScriptSink sink(&out_);
  return node_->Query({SchemaQuery(words), {}, {}}, v1::ReadOptions(), options_.timeout, &sink);
}

Status Shell::ShowTables(const Words& words) {
  std::string sql = kTables;
  if (words.size() > 1) sql += " AND name LIKE " + LiteralText(words[1]);
  return RunQuery(sql + " ORDER BY name");
}

Status Shell::ShowIndexes(const Words& words) {
  std::string sql =
      "SELECT name FROM sqlite_schema WHERE type = 'index' AND name NOT LIKE '\\_cairn\\_%' ESCAPE "
      "'\\' AND tbl_name NOT LIKE '\\_cairn\\_%' ESCAPE '\\'";
  if (words.size() > 1) sql += " AND tbl_name LIKE " + LiteralText(words[1]);
  ASSIGN_OR_RETURN(const std::vector<Row> rows,
                   ReadAll(node_, {sql + " ORDER BY 1", {}, {}}, options_.timeout));
  std::vector<std::string> names;
  for (const Row& row : rows) names.push_back(PlainText(row.at(0)));
  PrintNames(names, &out_);
  return OkStatus();
}

Status Shell::ShowStatus() {
  ASSIGN_OR_RETURN(const v1::StatusResponse status, node_->ClusterStatus(options_.timeout));
  // One row of many columns reads best down the page.
  PrintStyle style = options_.style;
  if (PrintsForPeople()) style.mode = OutputMode::kLine;
  PrintRows(style, StatusColumns(), {StatusRow(status)}, &out_);
  return OkStatus();
}

Status Shell::ShowNodes() {
  ASSIGN_OR_RETURN(
      const std::vector<Row> rows,
      MembersTable(node_, std::min(options_.timeout, std::chrono::milliseconds(1000))));
  PrintRows(options_.style, MembersColumns(), rows, &out_);
  return OkStatus();
}

Status Shell::Dump(const Words& words) {
  return DumpSql(node_, {words.begin() + 1, words.end()}, options_.timeout, &out_);
}

Shell::Verdict Shell::Import(const Words& words) {
  LoadRequest request;
  request.format = LoadFormat::kCsv;
  request.separator = ImportSeparator();
  request.addresses = {node_->address()};
  std::vector<std::string> names;
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "--skip" && i + 1 < words.size()) {
      const std::string& number = words[++i];
      const char* const end = number.data() + number.size();
      if (std::from_chars(number.data(), end, request.skip).ptr != end) names.clear();
    } else if (words[i] == "--csv") {
      request.separator = ',';
    } else {
      names.push_back(words[i]);
    }
  }
  if (names.size() != 2) return Complain("usage: .import [--csv] [--skip N] FILE TABLE");
  if (request.separator == '\0') {
    return Complain(".import takes a separator of one byte, and no quote or line end");
  }
  request.path = names[0];
  request.table = names[1];
  out_.flush();
  const auto began = SteadyClock::now();
  const Result<BulkLoadResult> loaded = LoadData(request, &err_);
  if (loaded.ok() && PrintsForPeople()) out_ << "ok, " << Counted(loaded->rows, "row") << "\n";
  return Finish(loaded.status(), began);
}

Shell::Verdict Shell::SetMode(const Words& words) {
  if (words.size() == 1) {
    out_ << "current output mode: " << OutputModeName(options_.style.mode) << "\n";
    return Verdict::kDone;
  }
  const auto mode = words.size() == 2 ? ParseOutputMode(words[1]) : std::nullopt;
  if (!mode) {
    std::string names;
    for (const std::string& name : OutputModes()) names += " " + name;
    return Complain("mode should be one of:" + names);
  }
  options_.style.mode = *mode;
  // These modes have separators of their own.
  if (*mode == OutputMode::kCsv || *mode == OutputMode::kList) options_.style.separator.clear();
  return Verdict::kDone;
}

Shell::Verdict Shell::SetSeparator(const Words& words) {
  if (words.size() != 2 || words[1].empty()) return Complain("usage: .separator TEXT");
  options_.style.separator = words[1] == "\\t" ? "\t" : words[1];
  return Verdict::kDone;
}

// NUL: there is none that a file can have.
char Shell::ImportSeparator() const {
  const std::string& separator = options_.style.separator;
  if (separator.empty()) return options_.style.mode == OutputMode::kList ? '|' : ',';
  const bool fits = separator.size() == 1 && separator.find_first_of("\"\r\n") != 0;
  return fits ? separator[0] : '\0';
}

Shell::Verdict Shell::SetOnOff(const Words& words, bool* setting) {
  if (words.size() != 2 || (words[1] != "on" && words[1] != "off")) {
    return Complain("usage: " + words[0] + " on|off");
  }
  *setting = words[1] == "on";
  return Verdict::kDone;
}

Shell::Verdict Shell::SetParameters(const Words& words, const std::string& line) {
  const std::string command = words.size() > 1 ? words[1] : "";
  if (command == "list" && words.size() == 2) {
    parameters_.List(&out_);
    return Verdict::kDone;
  }
  if (in_transaction()) return Complain("parameters stay as they are up to COMMIT");
  if (command == "init" && words.size() == 2) return Verdict::kDone;
  if (command == "clear" && words.size() == 2) {
    parameters_.Clear();
    return Verdict::kDone;
  }
  if (command == "unset" && words.size() == 3) {
    parameters_.Unset(words[2]);
    return Verdict::kDone;
  }
  if (command == "set" && words.size() >= 4) {
    // An expression may hold spaces. A quoted name or value is one word.
    const size_t name_at = line.find(words[2], line.find("set") + 3);
    const std::string rest = line.substr(name_at + words[2].size());
    const Status set = parameters_.Set(words[2], words.size() == 4 ? words[3] : rest, rest);
    return set.ok() ? Verdict::kDone : Complain(set.message());
  }
  return Complain("usage: .parameter set NAME VALUE | unset NAME | list | clear");
}

// The commands that ask the node, or print.
Shell::Verdict Shell::RunReport(const Words& words, const std::string& line) {
  const std::string& name = words[0];
  const auto began = SteadyClock::now();
  if (name == ".help") {
    out_ << kHelp;
    return Finish(OkStatus(), began);
  }
  if (name == ".tables") {
    if (words.size() > 2) return Complain("usage: .tables [PATTERN]");
    return Finish(ShowTables(words), began);
  }
  if (name == ".schema") return Finish(ShowSchema(words), began);
  if (name == ".indexes" || name == ".indices") {
    if (words.size() > 2) return Complain("usage: .indexes [TABLE]");
    return Finish(ShowIndexes(words), began);
  }
  if (name == ".dump") return Finish(Dump(words), began);
  if (name == ".import") return Import(words);
  if (name == ".status") return Finish(ShowStatus(), began);
  if (name == ".nodes") return Finish(ShowNodes(), began);
  if (name == ".slices") return Finish(RunSlices(line.substr(name.size())), began);
  return Complain("unknown command " + name + "; .help lists them");
}

Shell::Verdict Shell::RunDotCommand(const std::string& line) {
  const Words words = WordsOf(line);
  const std::string& name = words[0];
  if (name == ".quit" || name == ".exit") return Quit();
  if ((name == ".slices" || name == ".import") && in_transaction()) {
    return Complain(name + " runs commands of its own: COMMIT or ROLLBACK comes before it");
  }
  if (name == ".mode") return SetMode(words);
  if (name == ".separator") return SetSeparator(words);
  if (name == ".timer") return SetOnOff(words, &timer_);
  if (name == ".maintenance") return SetOnOff(words, &options_.maintenance);
  if (name == ".headers" || name == ".header") {
    bool headers = false;
    const Verdict verdict = SetOnOff(words, &headers);
    if (verdict == Verdict::kDone) options_.style.headers = headers;
    return verdict;
  }
  if (name == ".parameter") return SetParameters(words, line);
  if (name == ".read") {
    if (words.size() != 2) return Complain("usage: .read FILE");
    return ReadFile(words[1]);
  }
  return RunReport(words, line);
}

// A script that leaves an open transaction has lost what it wrote. A person knows.
Shell::Verdict Shell::Quit() {
  if (!source_.empty() && transaction_.open()) return ComplainOfBegin();
  return Verdict::kQuit;
}

Shell::Verdict Shell::ReadFile(const std::string& path) {
  if (read_depth_ >= kReadDepthMax) return Complain(".read is nested too deep at " + path);
  const Result<std::unique_ptr<InputFile>> file = InputFile::Open(path);
  if (!file.ok()) {
    if (source_.empty()) transaction_.Spoil();
    return Complain(file.status().message());
  }
  std::istream in(file->get());
  ++read_depth_;
  const bool read_by_person = source_.empty();
  if (read_by_person) reads_into_transaction_ = in_transaction();
  const bool in_outer_transaction = in_transaction();
  const bool keys_were_off = transaction_.keys_off();
  const std::string outer = std::exchange(source_, "");
  const size_t outer_lines = std::exchange(lines_, 0);
  StatementSplitter outer_splitter = std::move(splitter_);
  BeginSource(path);
  Verdict verdict = Verdict::kDone;
  for (std::string line; verdict == Verdict::kDone && std::getline(in, line);) {
    verdict = TakeLine(line);
  }
  if (verdict == Verdict::kDone && !(*file)->failure().ok()) {
    verdict = TakeFailure((*file)->failure());
  }
  if (verdict == Verdict::kDone) verdict = TakeEnd();
  if (verdict == Verdict::kDone && !in_outer_transaction) {
    verdict = TakeEndOfAll();
    // What a file turns off does not stay off behind it.
    if (!keys_were_off) transaction_.Drop();
  }
  source_ = outer;
  lines_ = outer_lines;
  splitter_ = std::move(outer_splitter);
  --read_depth_;
  if (read_by_person) reads_into_transaction_ = false;
  return verdict;
}

}  // namespace cairn::tools
