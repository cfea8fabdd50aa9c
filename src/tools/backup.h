// `cairn backup`: copies the database of a running cluster into a file, once or
// again and again.
#pragma once

#include <chrono>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cairn/backup.h"
#include "tools/backup_target.h"
#include "tools/stop_signals.h"

namespace cairn::tools {

struct BackupCommand {
  std::vector<std::string> addresses;  // asked in this order
  BackupOptions backup;                // without `proceed`
  // The path is that of a directory. The file gets a name by its time.
  bool in_directory = false;
  std::optional<S3TargetOptions> s3{};  // the same, in a storage
  size_t keep = 0;                      // of the backups there, the latest; 0: all
  std::chrono::seconds every{0};        // only there; 0: one backup
  bool read_back = true;                // what is stored is read again, and compared
};

struct BackupStreams {
  std::ostream* out;
  std::ostream* err;
  std::ostream* terminal;  // for progress; null: none
};

// "24h", "30m", "10s", "7d".
Result<std::chrono::seconds> ParseEvery(std::string_view text);

// Returns the exit code. With `every`, until a signal comes: a backup that
// fails is said and tried again within a minute. After a restart the next
// backup is due `every` after the latest one of the target. `signals` was made
// before any thread.
int RunBackup(const BackupCommand& command, StopSignals* signals, const BackupStreams& to);

}  // namespace cairn::tools
