// The SQL shell: statements and dot commands in, results out.
#pragma once

#include <chrono>
#include <ostream>
#include <string>
#include <vector>

#include "tools/node_client.h"
#include "tools/result_printer.h"
#include "tools/sql_text.h"

namespace cairn::tools {

// Runs what it is given, line by line, on one node. One thread.
class Shell {
 public:
  enum class Verdict { kDone, kFailed, kQuit };

  struct Options {
    OutputMode mode = OutputMode::kTable;
    std::chrono::milliseconds timeout{10'000};  // of each statement
  };

  // All must outlive the shell. Results go to `out`, errors to `err`.
  Shell(NodeClient* node, Options options, std::ostream* out, std::ostream* err);

  // A line without its end. Runs what it completes: a dot command, or statements up to their
  // semicolons; of several statements, none after the first that fails.
  Verdict TakeLine(const std::string& line);
  // The input ends: a last statement may lack its semicolon.
  Verdict TakeEnd();
  // Forgets a statement that was begun.
  void DropRest() { splitter_.TakeRest(); }
  bool in_statement() const { return splitter_.HasRest(); }

 private:
  Verdict RunStatement(const std::string& sql);
  Verdict RunDotCommand(const std::string& line);
  Verdict Finish(const Status& status, std::chrono::steady_clock::time_point began);
  Status RunQuery(const std::string& sql);
  Status RunWrite(const std::string& sql);
  Verdict ReadFile(const std::string& path);
  Verdict Complain(const std::string& what);

  NodeClient* const node_;
  Options options_;
  std::ostream& out_;
  std::ostream& err_;
  StatementSplitter splitter_;
  bool timer_ = false;
  int read_depth_ = 0;
};

struct ShellOptions {
  std::string address;
  Shell::Options shell;
  std::vector<std::string> commands;  // run these instead of reading standard input
};

// `cairn shell`: with a line editor on a terminal, plainly from a pipe. Exit code: 0, or 1 if
// something failed (from a pipe, it is the last thing that ran).
int RunShell(const ShellOptions& options);

}  // namespace cairn::tools
