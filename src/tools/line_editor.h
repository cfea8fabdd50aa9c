// LineEditor: lines typed by a person, with editing and a history that outlives the shell.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tools/stop_signals.h"

namespace cairn::tools {

// There is one in a process at a time, used by one thread. Restores the terminal when destroyed.
class LineEditor {
 public:
  enum class Event { kLine, kInterrupted, kEnd };

  // Ctrl-C comes through `signals`, which must outlive this. The history is read from and written
  // to `history_path` (private to the user); without a readable one it starts empty.
  static std::unique_ptr<LineEditor> New(StopSignals* signals, std::string history_path);
  virtual ~LineEditor() = default;

  // kLine: `line` is what was typed, without its end. kInterrupted: Ctrl-C, what was typed is
  // dropped. kEnd: Ctrl-D, the terminal is gone, or SIGTERM.
  virtual Event Read(const std::string& prompt, std::string* line) = 0;

  // Tab completes the word before the cursor. `words` gives all words that may stand there; `line` is
  // what stands before the word.
  using Words = std::function<std::vector<std::string>(const std::string& line)>;
  virtual void CompleteBy(Words words) = 0;
};

}  // namespace cairn::tools
