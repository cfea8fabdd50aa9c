// BackupTarget: where `cairn backup` keeps backups that it makes again and
// again, each named by its time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/status.h"
#include "tools/s3_client.h"

namespace cairn::tools {

// One thread at a time.
class BackupTarget {
 public:
  virtual ~BackupTarget() = default;
  // The names of the whole backups, in order of their times.
  virtual Result<std::vector<std::string>> List() = 0;
  // The file on this machine into which a backup of this name is written.
  virtual std::string FileOf(const std::string& name) const = 0;
  // The backup and its checksum lie at FileOf(name). Keeps both. If this fails,
  // the target has none of this name.
  virtual Status Keep(const std::string& name) = 0;
  // The SHA-256 of a backup that is kept, read from where it is kept. `goes_on` ends the reading.
  virtual Result<std::string> ReadBack(const std::string& name,
                                       const std::function<bool()>& goes_on) = 0;
  // A backup that is there no more is no error.
  virtual Status Remove(const std::string& name) = 0;
  // Removes what backups left that were killed.
  virtual Status RemoveUnfinished() = 0;
  // For people.
  virtual std::string NameFor(const std::string& name) const = 0;
};

// "cairn-20261130T090000Z.db".
std::string NameOfBackupNow();
bool IsNameOfBackup(std::string_view name);

std::unique_ptr<BackupTarget> NewDirectoryTarget(std::string directory);

struct S3TargetOptions {
  S3Place place;
  std::string prefix;  // of the keys; empty, or ends with "/"
  std::string spool;   // a directory of this machine with room for one backup
  size_t part_bytes = 8 << 20;
};
// Each backup is written into the spool first, and then sent in parts.
// `goes_on` ends Keep.
Result<std::unique_ptr<BackupTarget>> NewS3Target(S3TargetOptions options, GoesOn goes_on);

}  // namespace cairn::tools
