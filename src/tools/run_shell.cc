// The shell's surroundings: a terminal or a pipe.
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <thread>

#include "tools/cluster_view.h"
#include "tools/line_editor.h"
#include "tools/shell.h"

namespace cairn::tools {
namespace {

// While it lives, Ctrl-C cancels the node's call in flight instead of ending the shell.
class CancelOnInterrupt {
 public:
  explicit CancelOnInterrupt(NodeClient* node)
      : thread_([this, node] {
          while (signals_.Wait()) node->Cancel();
        }) {}
  ~CancelOnInterrupt() {
    signals_.Cancel();
    thread_.join();
  }

 private:
  StopSignals signals_;
  std::thread thread_;
};

int RunFromStream(Shell* shell, std::istream& in) {
  Shell::Verdict verdict = Shell::Verdict::kDone;
  for (std::string line; verdict == Shell::Verdict::kDone && std::getline(in, line);) {
    verdict = shell->TakeLine(line);
  }
  if (verdict == Shell::Verdict::kDone) verdict = shell->TakeEnd();
  return verdict == Shell::Verdict::kFailed ? 1 : 0;
}

int RunCommands(Shell* shell, const std::vector<std::string>& commands) {
  for (const std::string& command : commands) {
    Shell::Verdict verdict = shell->TakeLine(command);
    if (verdict == Shell::Verdict::kDone) verdict = shell->TakeEnd();
    if (verdict == Shell::Verdict::kFailed) return 1;
    if (verdict == Shell::Verdict::kQuit) break;
  }
  return 0;
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

int RunOnTerminal(const ShellOptions& options) {
  StopSignals signals;  // first: the threads of the node's client must inherit the block
  NodeClient node(options.address);
  Shell shell(&node, options.shell, &std::cout, &std::cerr);
  Greet(&node);
  const char* home = std::getenv("HOME");
  const std::string history = std::string(home == nullptr ? "." : home) + "/.cairn_history";
  const std::unique_ptr<LineEditor> editor = LineEditor::New(&signals, history);
  while (true) {
    std::string line;
    const LineEditor::Event event =
        editor->Read(shell.in_statement() ? "  ...> " : "cairn> ", &line);
    if (event == LineEditor::Event::kEnd) return 0;
    if (event == LineEditor::Event::kInterrupted) {
      shell.DropRest();
      continue;
    }
    CancelOnInterrupt cancel(&node);
    // A failure was printed; a person goes on.
    if (shell.TakeLine(line) == Shell::Verdict::kQuit) return 0;
  }
}

}  // namespace

int RunShell(const ShellOptions& options) {
  if (options.commands.empty() && isatty(STDIN_FILENO) != 0) return RunOnTerminal(options);
  NodeClient node(options.address);
  Shell shell(&node, options.shell, &std::cout, &std::cerr);
  if (!options.commands.empty()) return RunCommands(&shell, options.commands);
  return RunFromStream(&shell, std::cin);
}

}  // namespace cairn::tools
