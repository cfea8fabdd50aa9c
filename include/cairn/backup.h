// Backup: the whole database, copied into a file while the cluster goes on.
//
//   auto done = (*client)->Backup({.path = "/backups/today.db"});
//
// The file is a SQLite database that any SQLite opens. FILE.sha256 beside it holds its checksum in
// the format of sha256sum. `cairn restore` makes a new cluster of the two.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace cairn {

struct BackupProgress {
  uint64_t bytes = 0;  // that have come
  uint64_t bytes_total = 0;
};

struct BackupOptions {
  // An older file of this name is replaced once the new one is whole and stored. Until then the new
  // one is PATH.partial.
  std::string path{};
  uint64_t bytes_per_second_max = 0;  // at least 65,536; 0: as fast as disk and network
  // Take what the node holds, although it may lack the latest writes. For a cluster without a
  // majority.
  bool stale = false;
  // Called when the backup was cut off: with the reason, and whether it goes on after the bytes that have
  // come. On the thread that called Backup.
  std::function<void(const std::string& what)> told{};
  // Called several times a second, on the thread that called Backup. False ends the backup with
  // CANCELLED.
  std::function<bool(const BackupProgress&)> proceed{};
};

struct BackupResult {
  uint64_t cluster_id = 0;
  uint64_t index = 0;  // every write up to this log entry is in the backup, and nothing later
  uint64_t term = 0;
  uint64_t bytes = 0;
  std::string sha256{};
};

}  // namespace cairn
