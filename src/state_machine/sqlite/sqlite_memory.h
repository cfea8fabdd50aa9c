// What SQLite allocates in this process. All of it goes through the two functions that are installed
// here before SQLite is used for the first time.
#pragma once

#include <cstddef>

#include "base/status.h"

namespace cairn::state_machine {

// Whether this machine has refused SQLite memory on this thread since it was told to forget it.
// SQLITE_NOMEM without that is of a value larger than SQLite asks any machine for.
bool MemoryRanOut();
void ForgetThatMemoryRanOut();

// Allocations are let pass without a question until they make up so much together.
inline constexpr size_t kBytesBetweenAsks = 256 << 10;

// While one lives, SQLite asks it before it allocates much on this thread, and gets SQLITE_NOMEM if
// the answer is no. One operation of SQLite's machine makes one value, but SQLite calls its progress
// handler only where a program jumps: a row of 2,000 columns may make as many values of 16 MiB
// before that. Readers alone have one: what the writer may do must not depend on this node.
class MemoryGate {
 public:
  // OK, or why the bytes may not be allocated. Must not call SQLite.
  using Ask = Status (*)(void* owner, size_t bytes);

  MemoryGate(Ask ask, void* owner);
  ~MemoryGate();
  MemoryGate(const MemoryGate&) = delete;
  MemoryGate& operator=(const MemoryGate&) = delete;

  // Why it has refused; OK if it has not.
  const Status& refusal() const { return refusal_; }

  // For the allocator.
  bool Allows(size_t bytes);

 private:
  const Ask ask_;
  void* const owner_;
  MemoryGate* const outer_;
  size_t bytes_since_asked_ = 0;
  Status refusal_;
};

}  // namespace cairn::state_machine
