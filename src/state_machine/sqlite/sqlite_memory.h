// SQLite's allocations in this process. All of them go through two functions that are installed
// here before the first use of SQLite.
#pragma once

#include <cstddef>

#include "base/status.h"

namespace cairn::state_machine {

// True if the machine has refused memory to SQLite on this thread since ForgetThatMemoryRanOut. If
// not, SQLITE_NOMEM means a value that is larger than SQLite asks any machine for.
bool MemoryRanOut();
void ForgetThatMemoryRanOut();

// Allocations pass without a question until they reach this sum.
inline constexpr size_t kBytesBetweenAsks = 256 << 10;

// While a MemoryGate exists, SQLite asks the gate before it allocates much on this thread, and gets
// SQLITE_NOMEM if the answer is no. The progress handler is not enough: SQLite calls it only where
// a program jumps, and a row of 2,000 columns may make as many values of 16 MiB before that. Only
// readers have a gate, because what the writer may do must not depend on this node.
class MemoryGate {
 public:
  // Returns OK, or why the bytes may not be allocated. Must not call SQLite.
  using Ask = Status (*)(void* owner, size_t bytes);

  MemoryGate(Ask ask, void* owner);
  ~MemoryGate();
  MemoryGate(const MemoryGate&) = delete;
  MemoryGate& operator=(const MemoryGate&) = delete;

  // Why the gate has refused; OK if it has not.
  const Status& refusal() const { return refusal_; }

  // Called by the allocator.
  bool Allows(size_t bytes);

 private:
  const Ask ask_;
  void* const owner_;
  MemoryGate* const outer_;
  size_t bytes_since_asked_ = 0;
  Status refusal_;
};

}  // namespace cairn::state_machine
