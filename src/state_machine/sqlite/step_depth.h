// StepDepth: tells whether SQLite's progress handler is called for the statement that the caller
// steps, or for one that a virtual table steps within it.
//
// SQLite does not say, and counts the steps of a statement where they can be read only when that
// statement has ended. But whatever runs within a statement runs deeper in the stack, by the frames
// of sqlite3_step() and of the machine at least. The frames of the statement itself have the same
// size at each call, so they are measured once.
#pragma once

#include <sqlite3.h>

#include <cstdint>

#include "base/status.h"

namespace cairn::state_machine {

// One connection's; its thread only.
class StepDepth {
 public:
  // Once, when the progress handler is set and passes its frame to IsOwn.
  Status Measure(sqlite3* db);
  // sqlite3_step().
  int Step(sqlite3_stmt* stmt);
  // `frame`: __builtin_frame_address(0) of the progress handler, whenever it is called. True: for the
  // statement that Step was given.
  bool IsOwn(const void* frame);

 private:
  uintptr_t base_ = 0;  // of Step, while it runs
  uintptr_t own_ = 0;   // from there to the handler; 0: not measured yet
};

}  // namespace cairn::state_machine
