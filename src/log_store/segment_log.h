// SegmentLog: the LogStore on files. docs/internals/log_format.md specifies every byte of the
// files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/file_system.h"
#include "base/result.h"
#include "log_store/log_store.h"

namespace cairn::log_store {

struct SegmentLogOptions {
  // Size in bytes of one preallocated, zero-filled segment file. A batch never spans files; a batch
  // that is larger than this gets a segment of its own size.
  uint64_t segment_bytes = 16 << 20;
  // A batch with more bytes than this is refused (INVALID_ARGUMENT, nothing written).
  uint64_t batch_bytes_max = 128 << 20;
  // True: a separate thread makes the next segment, off the commit path. False: the call that opens
  // the current segment also makes the next one, so that a simulation does the same I/O in the same
  // order every time.
  bool prepare_in_background = true;
  // The identity of a newly created log; 0: drawn from the operating system.
  uint64_t new_log_id = 0;
};

// Opens the log in `directory`, or creates an empty log there. Damage below the highest offset
// known durable is DATA_LOSS, which names file and offset, and changes nothing. A torn tail is cut,
// zeroed and synced. FAILED_PRECONDITION if the log is of another format version. `fs` must outlive
// the store. Nobody else may use the directory: the caller holds the directory's lock.
Result<std::unique_ptr<LogStore>> OpenSegmentLog(FileSystem& fs, const std::string& directory,
                                                 SegmentLogOptions options);

}  // namespace cairn::log_store
