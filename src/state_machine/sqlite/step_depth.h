// StepDepth: tells whether SQLite calls the progress handler for the statement that the caller
// steps, or for a statement that a virtual table steps within it.
//
// SQLite does not say, and its count of a statement's steps can be read only when the statement has
// ended. But whatever runs within a statement runs deeper in the stack, at least by the frames of
// sqlite3_step() and of SQLite's machine. The frames of the statement itself have the same size at
// each call, so they are measured once.
#pragma once

#include <sqlite3.h>

#include <cstdint>

#include "base/status.h"

namespace cairn::state_machine {

// One connection's; its thread only.
class StepDepth {
 public:
  // Once, when the progress handler is set and gives its frame to IsOwn.
  Status Measure(sqlite3* db);
  // sqlite3_step().
  int Step(sqlite3_stmt* stmt);
  // `frame`: __builtin_frame_address(0) of the progress handler, at each of its calls. True if
  // SQLite calls it for the statement that Step was given.
  bool IsOwn(const void* frame);

 private:
  uintptr_t base_ = 0;  // of Step, while it runs
  uintptr_t own_ = 0;   // from there to the handler; 0: not measured yet
};

}  // namespace cairn::state_machine
