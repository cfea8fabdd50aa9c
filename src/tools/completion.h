// Completion of words in the shell: commands, SQL, names of tables and columns.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace cairn::tools {

class NodeClient;

struct Completion {
  std::string insert;                // behind the cursor
  std::vector<std::string> choices;  // sorted, each once
};
// Of the word at the end of `before`, in any case of letters. `words` as in LineEditor::CompleteBy.
Completion CompletionOf(
    const std::string& before,
    const std::function<std::vector<std::string>(const std::string& line)>& words);

// The words that may follow `line`: dot commands at its start, and otherwise SQL's keywords and the
// names that a node knows. The node is asked at most once in some seconds.
class ShellWords {
 public:
  explicit ShellWords(NodeClient* node) : node_(node) {}
  std::vector<std::string> Of(const std::string& line);

 private:
  void AskNode();

  NodeClient* const node_;
  std::vector<std::string> names_;
  std::chrono::steady_clock::time_point asked_{};
};

}  // namespace cairn::tools
