// SegmentPreparer: makes zero-filled files for future segments.
//
// The preparer really writes and syncs the zeros. Blocks that are only reserved (fallocate) are
// marked "unwritten", and the first fdatasync of each block would also have to commit that mark to
// the journal.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "base/file_system.h"
#include "base/result.h"

namespace cairn::log_store {

// One owner. With `in_background`, a separate thread fills the file. The thread touches only the
// file system, under a name that no log reads. The destructor waits for the thread.
class SegmentPreparer {
 public:
  struct Prepared {
    std::unique_ptr<File> file;
    std::string path;
    uint64_t bytes = 0;
  };

  SegmentPreparer(FileSystem& fs, std::string directory, bool in_background)
      : fs_(fs), directory_(std::move(directory)), in_background_(in_background) {}
  ~SegmentPreparer() { Wait(); }
  SegmentPreparer(const SegmentPreparer&) = delete;
  SegmentPreparer& operator=(const SegmentPreparer&) = delete;

  // Begins a file of `bytes` bytes, unless a file is already begun or ready. Take reports a
  // failure, if the failure persists.
  void Start(uint64_t bytes);
  // A synced file of at least `bytes` bytes, all zero. If the file that was begun failed or is too
  // small, Take makes a file itself, in this call. RESOURCE_EXHAUSTED: the disk is full, or no
  // descriptor is free, and nothing is left behind.
  Result<Prepared> Take(uint64_t bytes);

  // True for the names that this class gives to files that are not segments yet. Files that a crash
  // left under such names may be removed before the first Start.
  static bool IsTemporary(const std::string& name);

 private:
  void Wait();
  Result<Prepared> Make(const std::string& name, uint64_t bytes);

  FileSystem& fs_;
  const std::string directory_;
  const bool in_background_;
  std::future<void> running_;
  std::optional<Result<Prepared>> ready_;  // the thread writes it; the owner reads it after Wait
};

}  // namespace cairn::log_store
