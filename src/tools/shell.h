// The SQL shell: statements and dot commands in, results out.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "tools/gathered_transaction.h"
#include "tools/node_client.h"
#include "tools/result_printer.h"
#include "tools/shell_parameters.h"
#include "tools/sql_text.h"

namespace cairn::tools {

// Runs lines on one node. Not thread-safe, except Interrupt.
class Shell {
 public:
  enum class Verdict { kDone, kFailed, kQuit };

  struct Options {
    PrintStyle style = {};
    std::chrono::milliseconds timeout = kAsLongAsItTakes;  // of each statement
    bool maintenance = false;  // writes ask for the budget of maintenance
    // A terminal, where a person reads how long a statement has been running; null if there is
    // none.
    std::ostream* terminal = nullptr;
  };

  // Results go to `out`, errors to `err`. Everything passed in must outlive the shell.
  Shell(NodeClient* node, Options options, std::ostream* out, std::ostream* err);

  // The next lines come from the source of this name, from its first line on. Errors name the
  // source, the line and the statement. An empty name means a person who has just typed the
  // statement.
  void BeginSource(const std::string& name);
  // Takes a line without its end, and runs what the line completes: a dot command, or statements up
  // to their semicolons. After a statement that fails, the other statements of the line do not run.
  Verdict TakeLine(const std::string& line);
  // The input cannot be read on. What was begun of a statement is forgotten: it may be cut off.
  Verdict TakeFailure(const Status& failure);
  // The input ends: a last statement may lack its semicolon.
  Verdict TakeEnd();
  // The last source has ended. A transaction that is still open is an error, and is forgotten.
  Verdict TakeEndOfAll();
  // The next line has not come yet: runs what waits for its neighbours. INSERT, UPDATE and DELETE of
  // a script are sent together, with the effects, the answers and the errors of one after the other.
  Verdict Pause() { return RunGroup(); }
  // Runs a query for the shell itself, such as one for names that complete a word.
  NodeClient* node() const { return node_; }
  // Forgets a statement that was begun.
  void DropRest() { splitter_.TakeRest(); }
  bool in_statement() const { return splitter_.HasRest(); }
  // Statements wait for COMMIT, or for PRAGMA foreign_keys = ON.
  bool in_transaction() const { return transaction_.waits(); }

  // Stops waiting for what runs now. `.slices` stops after the slice that runs now; a second
  // Interrupt stops waiting for that slice, too. False if nothing runs. May be called from any
  // thread.
  bool Interrupt();
  // The program ends: interrupts what runs, and lets nothing run after it, not even when it ends
  // well before the interrupt reaches it. False if nothing runs. From any thread.
  bool End();

 private:
  // What an error is about.
  struct Place {
    std::string source;
    size_t line = 0;
    std::string statement;
  };

  using Words = std::vector<std::string>;
  using TimePoint = std::chrono::steady_clock::time_point;

  Verdict RunUnlessEnding(const std::function<Verdict()>& command);
  Verdict RunStatement(const StatementSplitter::Statement& statement);
  Verdict RunAlone(const StatementSplitter::Statement& statement);
  Verdict RunGroup();
  Status SendGroup(std::vector<StatementSplitter::Statement> group);
  Verdict Finish(const Status& status, TimePoint began);
  Status RunQuery(const std::string& sql);
  Status RunWrite(const std::string& sql);
  Status RunGathered();
  void PrintResult(v1::StatementResult* result);
  void PrintChanges(uint64_t rows, uint64_t statements);
  Status RunSlices(const std::string& arguments);
  Verdict Complain(const std::string& what);
  // Complains of the transaction that is not ended.
  Verdict ComplainOfBegin();

  // Dot commands: shell_commands.cc.
  Verdict RunDotCommand(const std::string& line);
  Verdict RunReport(const Words& words, const std::string& line);
  Status ShowStatus();
  Status ShowNodes();
  Status ShowSchema(const Words& words);
  Status ShowIndexes(const Words& words);
  Status Dump(const Words& words);
  Verdict Import(const Words& words);
  Verdict SetMode(const Words& words);
  Verdict SetSeparator(const Words& words);
  char ImportSeparator() const;
  Status ShowTables(const Words& words);
  Verdict SetOnOff(const Words& words, bool* setting);
  Verdict SetParameters(const Words& words, const std::string& line);
  Verdict ReadFile(const std::string& path);
  Verdict Quit();
  // The other modes are for programs, which need the rows alone.
  bool PrintsForPeople() const { return options_.style.mode == OutputMode::kAuto; }

  NodeClient* const node_;
  Options options_;
  std::ostream& out_;
  std::ostream& err_;
  StatementSplitter splitter_;
  GatheredTransaction transaction_;
  bool reads_into_transaction_ = false;              // a person's `.read` between BEGIN and COMMIT
  std::vector<StatementSplitter::Statement> group_;  // that waits to be sent together
  size_t group_bytes_ = 0;
  ShellParameters parameters_;
  std::string source_;
  size_t lines_ = 0;  // lines taken from the source
  Place place_;       // of what runs now
  bool timer_ = false;
  int read_depth_ = 0;
  std::atomic<bool> in_slices_ = false;
  std::atomic<bool> stop_slices_ = false;
  std::atomic<bool> running_ = false;
  std::atomic<bool> ending_ = false;
};

struct ShellOptions {
  std::string address;
  Shell::Options shell;
  std::vector<std::string> commands;  // run these instead of reading standard input
};

// `cairn shell`: with a line editor on a terminal, plainly from a pipe. Exit code: 0; 1 if
// something failed (from a pipe, it is the last thing that ran); 128 and the signal's number if a
// signal ended it.
int RunShell(const ShellOptions& options);

}  // namespace cairn::tools
