// What a node checks and creates on disk before it opens anything.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "base/status.h"
#include "node/data_lock.h"

namespace cairn::server {

// The files of one node: the SQLite file and, beside it, FILE.cairn/
// (docs/internals/data_directory.md). Holds the lock while it lives.
//
// FILE may be a symbolic link. FILE.cairn/ lies beside the link. The database is what the link
// leads to, with its WAL beside it, and an installed snapshot takes the place of the link's target.
// A received copy must therefore lie on the target's file system. If FILE.cairn/ does not, copies
// lie in TARGET.snapshot/.
class DataDirectory {
 public:
  // Checks everything that can be checked without changing anything on disk. NOT_FOUND or
  // PERMISSION_DENIED for a directory that is not there or cannot be written, FAILED_PRECONDITION
  // for a file that is not SQLite's.
  static Status Check(FileSystem& fs, const std::string& db_path);
  // Creates the missing directories and takes the lock. FAILED_PRECONDITION if another process
  // holds the lock, or if the directory belongs to another node id.
  //
  // Data that were found to be a copy (node/boot_file.h) are put aside as FILE.copy, FILE.copy-wal
  // and FILE.copy.cairn (.copy2 to .copy4 the next times), and the node starts empty. If the disk
  // then has too little room for the database that the cluster will send, what was put aside is
  // removed, the oldest first: `free_bytes_min` stays free. Putting aside is
  // refused if the node would then be alone (`lists_others` is false), because it would found a
  // cluster of its own.
  static Result<std::unique_ptr<DataDirectory>> Open(FileSystem& fs, const std::string& db_path,
                                                     uint64_t node_id, bool lists_others,
                                                     uint64_t free_bytes_min = 0);
  // Unless Keep was called, removes what was created since Open, also an empty WAL and SQLite's
  // index of it.
  ~DataDirectory();
  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  void Keep() { keep_ = true; }

  // FAILED_PRECONDITION if there is a database that has taken part in a cluster, but nothing that
  // says in which cluster and as which node: the file was copied here without its data directory.
  // Changes nothing.
  Status CheckNotAlone() const;

  const std::string& root() const { return root_; }
  // The SQLite file itself, with all links resolved.
  const std::string& database() const { return database_; }
  std::string log() const { return root_ + "/log"; }
  const std::string& snapshot() const { return snapshot_; }
  // Whether its node was a member before; see node::MustJoin.
  bool must_join() const { return must_join_; }

 private:
  DataDirectory(const std::string& db_path, std::string database, uint64_t free_bytes_min)
      : database_(std::move(database)),
        root_(db_path + ".cairn"),
        free_bytes_min_(free_bytes_min) {}
  Status Make(FileSystem& fs, uint64_t node_id, bool lists_others);
  Status MakeSnapshotDirectory(FileSystem& fs);
  Status PutAsideCopy(FileSystem& fs, bool lists_others);
  Status MakeRoom(FileSystem& fs, uint64_t database_bytes);

  const std::string database_;
  const std::string root_;
  const uint64_t free_bytes_min_;
  std::string snapshot_;
  std::unique_ptr<node::DataLock> lock_;
  std::vector<std::string> made_;       // whole trees
  std::vector<std::string> not_there_;  // of what SQLite makes beside the database
  bool has_identity_ = false;
  bool must_join_ = false;
  bool keep_ = false;
};

}  // namespace cairn::server
