// SegmentLog: the LogStore on files. docs/internals/log_format.md specifies every byte.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/file_system.h"
#include "base/result.h"
#include "log_store/log_store.h"

namespace cairn::log_store {

struct SegmentLogOptions {
  // Size of one preallocated, zero-filled segment file. A batch never spans files; a larger batch
  // gets a segment of its own size.
  uint64_t segment_bytes = 16 << 20;
  // A batch larger than this is refused (INVALID_ARGUMENT, nothing written).
  uint64_t batch_bytes_max = 128 << 20;
  // Makes the next segment on a thread of its own, off the commit path. False: in the call that
  // opened the current one, so that a simulation does the same I/O in the same order every time.
  bool prepare_in_background = true;
  // Identity of a log that is made new; 0: drawn from the operating system.
  uint64_t new_log_id = 0;
};

// Opens the log in `directory`, or makes an empty one there. Damage below the highest offset known
// durable is DATA_LOSS, naming file and offset, and changes nothing; a torn tail is cut, zeroed and
// synced. FAILED_PRECONDITION if the log is of another format version. `fs` must outlive the store,
// and nobody else may use the directory: the caller holds its lock.
Result<std::unique_ptr<LogStore>> OpenSegmentLog(FileSystem& fs, const std::string& directory,
                                                 SegmentLogOptions options);

}  // namespace cairn::log_store
