// `cairn backup`: copies the database of a running cluster into a file.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "cairn/backup.h"
#include "tools/stop_signals.h"

namespace cairn::tools {

struct BackupCommand {
  std::vector<std::string> addresses;  // asked in this order
  BackupOptions backup;                // without `proceed`
};

// Returns the exit code. Progress goes to `terminal`, if there is one. `signals` was made before any
// thread.
int RunBackup(const BackupCommand& command, StopSignals* signals, std::ostream* out,
              std::ostream* err, std::ostream* terminal);

}  // namespace cairn::tools
