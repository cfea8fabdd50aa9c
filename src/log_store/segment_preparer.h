// SegmentPreparer: zero-filled files for the segments to come.
//
// The zeros are really written and synced: blocks that are only reserved (fallocate) are marked
// "unwritten", and the first fdatasync of each would also have to commit that mark to the journal.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "base/file_system.h"
#include "base/result.h"

namespace cairn::log_store {

// One owner. With `in_background`, a thread of its own fills the file; it touches nothing but the
// file system, under a name that no log reads. The destructor waits for it.
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

  // Begins a file of `bytes`, unless one is there. A failure shows in Take, if it lasts.
  void Start(uint64_t bytes);
  // A synced file of at least `bytes`, all zero. If the one begun failed or is too small, makes one
  // here and now. RESOURCE_EXHAUSTED: the disk is full, nothing is left behind.
  Result<Prepared> Take(uint64_t bytes);

  // True for the names this class gives to files that are not segments yet; what a crash left of
  // them may be removed before the first Start.
  static bool IsTemporary(const std::string& name);

 private:
  void Wait();
  Result<Prepared> Make(const std::string& name, uint64_t bytes);

  FileSystem& fs_;
  const std::string directory_;
  const bool in_background_;
  std::future<void> running_;
  std::optional<Result<Prepared>> ready_;  // written by the thread; read after Wait
};

}  // namespace cairn::log_store
