// The shell on a terminal or a pipe.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <thread>

#include "tools/cluster_view.h"
#include "tools/completion.h"
#include "tools/line_editor.h"
#include "tools/line_source.h"
#include "tools/shell.h"

namespace cairn::tools {
namespace {

// While it lives, Ctrl-C stops waiting for what the shell runs, and does not end the shell.
class StopOnInterrupt {
 public:
  explicit StopOnInterrupt(Shell* shell)
      : thread_([this, shell] {
          while (signals_.Wait()) shell->Interrupt();
        }) {}
  ~StopOnInterrupt() {
    signals_.Cancel();
    thread_.join();
  }

 private:
  StopSignals signals_;
  std::thread thread_;
};

// While it lives, a signal ends the program. If a statement runs, the shell first says what became
// of it. The second signal ends the program at once.
class EndOnSignal {
 public:
  EndOnSignal(StopSignals* signals, Shell* shell)
      : signals_(signals), thread_([this, shell] {
          while (const std::optional<int> signal = signals_->Wait()) {
            if (signal_.exchange(*signal) != 0 || !shell->End()) std::_Exit(128 + *signal);
          }
        }) {}
  ~EndOnSignal() {
    signals_->Cancel();
    thread_.join();
  }
  // The exit code of a shell that ended with `otherwise`.
  int ExitCode(int otherwise) const { return signal_ != 0 ? 128 + signal_ : otherwise; }

 private:
  StopSignals* const signals_;
  std::atomic<int> signal_ = 0;
  std::thread thread_;
};

// How errors name standard input: by the file, if it is one.
std::string InputName() {
  struct stat info;
  char path[4096];
  if (fstat(STDIN_FILENO, &info) == 0 && S_ISREG(info.st_mode)) {
    const ssize_t length = readlink("/proc/self/fd/0", path, sizeof(path));
    if (length > 0) return {path, static_cast<size_t>(length)};
  }
  return "standard input";
}

int RunFromInput(Shell* shell) {
  shell->BeginSource(InputName());
  LineSource lines(STDIN_FILENO);
  Shell::Verdict verdict = Shell::Verdict::kDone;
  std::string line;
  while (verdict == Shell::Verdict::kDone) {
    // A program that types and waits for each answer must get it.
    if (!lines.HasMore()) verdict = shell->Pause();
    if (verdict != Shell::Verdict::kDone || !lines.Next(&line)) break;
    verdict = shell->TakeLine(line);
  }
  if (verdict == Shell::Verdict::kDone && !lines.failure().ok()) {
    verdict = shell->TakeFailure(lines.failure());
  }
  if (verdict == Shell::Verdict::kDone) verdict = shell->TakeEnd();
  if (verdict == Shell::Verdict::kDone) verdict = shell->TakeEndOfAll();
  return verdict == Shell::Verdict::kFailed ? 1 : 0;
}

int RunCommands(Shell* shell, const std::vector<std::string>& commands) {
  for (size_t i = 0; i < commands.size(); ++i) {
    shell->BeginSource("-c" + (commands.size() == 1 ? "" : " " + std::to_string(i + 1)));
    Shell::Verdict verdict = Shell::Verdict::kDone;
    std::istringstream lines(commands[i]);
    for (std::string line; verdict == Shell::Verdict::kDone && std::getline(lines, line);) {
      verdict = shell->TakeLine(line);
    }
    if (verdict == Shell::Verdict::kDone) verdict = shell->TakeEnd();
    if (verdict == Shell::Verdict::kFailed) return 1;
    if (verdict == Shell::Verdict::kQuit) return 0;
  }
  return shell->TakeEndOfAll() == Shell::Verdict::kFailed ? 1 : 0;
}

void Greet(NodeClient* node) {
  const Result<v1::StatusResponse> status = node->ClusterStatus(std::chrono::seconds(2));
  if (!status.ok()) {
    std::cout << "cannot reach " << node->address() << " yet: " << ErrorInWords(status.status())
              << "\n";
    return;
  }
  std::cout << "node " << status->node_id() << " (" << RoleName(status->role()) << ") at "
            << node->address() << "; .help lists the commands\n";
}

const char* Prompt(const Shell& shell) {
  if (shell.in_statement()) return "  ...> ";
  return shell.in_transaction() ? "BEGIN> " : "cairn> ";
}

int RunOnTerminal(const ShellOptions& options) {
  StopSignals signals;  // first: the threads of the node's client must inherit the block
  NodeClient node(options.address);
  Shell::Options shown = options.shell;
  shown.terminal = &std::cout;
  shown.style.for_terminal = isatty(STDOUT_FILENO) != 0;
  Shell shell(&node, shown, &std::cout, &std::cerr);
  Greet(&node);
  const char* home = std::getenv("HOME");
  const std::string history = std::string(home == nullptr ? "." : home) + "/.cairn_history";
  const std::unique_ptr<LineEditor> editor = LineEditor::New(&signals, history);
  ShellWords words(&node);
  editor->CompleteBy([&words](const std::string& line) { return words.Of(line); });
  while (true) {
    std::string line;
    const LineEditor::Event event = editor->Read(Prompt(shell), &line);
    if (event == LineEditor::Event::kEnd) {
      return shell.TakeEndOfAll() == Shell::Verdict::kFailed ? 1 : 0;
    }
    if (event == LineEditor::Event::kInterrupted) {
      shell.DropRest();
      continue;
    }
    StopOnInterrupt stop(&shell);
    // A failure was printed, and a person goes on.
    if (shell.TakeLine(line) == Shell::Verdict::kQuit) return 0;
  }
}

}  // namespace

int RunShell(const ShellOptions& options) {
  if (options.commands.empty() && isatty(STDIN_FILENO) != 0) return RunOnTerminal(options);
  StopSignals signals;  // first: the threads of the node's client must inherit the block
  NodeClient node(options.address);
  Shell::Options shown = options.shell;
  if (isatty(STDERR_FILENO) != 0) shown.terminal = &std::cerr;
  shown.style.for_terminal = isatty(STDOUT_FILENO) != 0;
  Shell shell(&node, shown, &std::cout, &std::cerr);
  EndOnSignal end(&signals, &shell);
  return end.ExitCode(options.commands.empty() ? RunFromInput(&shell)
                                               : RunCommands(&shell, options.commands));
}

}  // namespace cairn::tools
