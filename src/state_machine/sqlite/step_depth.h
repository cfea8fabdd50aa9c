// StepDepth: tells whether SQLite calls the progress handler for the statement that the caller
// steps, or for a statement that a virtual table steps within it.
//
// SQLite does not report this, and a statement's count of steps can be read only after its end. But
// an inner statement runs deeper in the stack, at least by the frames of sqlite3_step() and of
// SQLite's virtual machine. The frames of the outer statement have the same size at each call, so
// they are measured once.
#pragma once

#include <sqlite3.h>

#include <cstdint>

#include "base/status.h"

namespace cairn::state_machine {

// Belongs to one connection, and is used on its thread only.
class StepDepth {
 public:
  // Called once, when the progress handler is set and passes its frame to IsOwn.
  Status Measure(sqlite3* db);
  // Calls sqlite3_step().
  int Step(sqlite3_stmt* stmt);
  // `frame`: __builtin_frame_address(0) in each call of the progress handler. True if SQLite calls
  // the handler for the statement that Step runs.
  bool IsOwn(const void* frame);

 private:
  uintptr_t base_ = 0;  // the frame of Step, while it runs
  uintptr_t own_ = 0;   // from there to the handler; 0: not measured yet
};

}  // namespace cairn::state_machine
