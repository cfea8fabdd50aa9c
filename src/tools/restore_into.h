// `cairn restore BACKUP --into ADDR`: replaces the whole database of a running cluster by a backup.
#pragma once

#include <istream>
#include <ostream>
#include <string>
#include <vector>

#include "server/restore.h"
#include "tools/stop_signals.h"

namespace cairn::tools {

struct RestoreIntoCommand {
  server::RestoreOptions restore;      // the backup, and how it is checked
  std::vector<std::string> addresses;  // of nodes of the cluster; asked in turn
  uint64_t bytes_per_second_max = 0;   // 0: as fast as the cluster takes it
  bool confirmed = false;              // otherwise a person is asked
  std::string finish{};                // the name of an earlier restore, whose outcome is unknown
  std::string abort{};                 // the name of one that is to be given up
};

struct RestoreIntoStreams {
  std::ostream* out;
  std::ostream* err;
  std::ostream* terminal;  // for progress; null: none
  std::istream* answers;   // of a person; null: there is none to ask
};

// Returns the exit code: 0 restored, 1 not, or unknown (the message says which), 2 not confirmed, 128
// and the signal that ended it. `signals` was made before any thread.
int RunRestoreInto(RestoreIntoCommand command, StopSignals* signals, const RestoreIntoStreams& to);

// Gives up the restore `abort`, which somebody else may have begun. Returns 0, 1 (it is not under way, or
// has finished) or 128 and the signal.
int RunAbortOfRestore(const RestoreIntoCommand& command, StopSignals* signals,
                      const RestoreIntoStreams& to);

}  // namespace cairn::tools
