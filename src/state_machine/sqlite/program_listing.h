// ProgramListing: what EXPLAIN shows of a compiled statement: the operations of its program, and which
// of them run once, or again and again. It is the same on all nodes.
#pragma once

#include <sqlite3.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace cairn::state_machine {

struct ProgramOperation {
  std::string name;
  int64_t p1 = 0, p2 = 0, p3 = 0;
  std::string p4;
  int64_t p5 = 0;
};

template <size_t n>
bool IsOneOf(const std::string& name, const char* const (&names)[n]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// One program: the statement's own, or a trigger's. Not empty.
class ProgramListing {
 public:
  ProgramListing(std::vector<ProgramOperation> ops, bool is_trigger);

  const std::vector<ProgramOperation>& ops() const { return ops_; }
  bool is_trigger() const { return is_trigger_; }
  // Behind Once, or where Init jumps to.
  bool RunsOnce(size_t i) const { return before_[i]; }
  // Between a jump back and its target; or called from there.
  bool IsLooped(size_t i) const { return looped_[i]; }

 private:
  size_t Clamp(int64_t address) const;
  void FindBefore();
  void FindLoops();

  std::vector<ProgramOperation> ops_;
  const bool is_trigger_;
  std::vector<bool> before_;
  std::vector<bool> looped_;
  size_t init_ = SIZE_MAX;
};

// Compiles the text once more, and tells of its program and of those of its triggers. Sets changes() to
// zero.
Status ForEachListing(sqlite3* db, std::string_view sql,
                      const std::function<void(const ProgramListing&)>& tell);

}  // namespace cairn::state_machine
