// ProgressLine: how many bytes of a large file are done, on one line of a terminal.
#pragma once

#include <cstdint>
#include <ostream>

#include "base/clock.h"

namespace cairn::tools {

// The line is written again and again, a few times a second at most.
class ProgressLine {
 public:
  // Null: nothing is shown.
  explicit ProgressLine(std::ostream* terminal) : terminal_(terminal) {}
  void Show(uint64_t bytes, uint64_t bytes_total);
  void Clear();

 private:
  std::ostream* const terminal_;
  SteadyTime next_{0};
  bool shown_ = false;
};

}  // namespace cairn::tools
