// Opens an existing log.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/file_system.h"
#include "base/result.h"
#include "log_store/group_index.h"
#include "log_store/log_format.h"

namespace cairn::log_store {

struct Segment {
  std::unique_ptr<File> file;
  std::string path;
  uint64_t bytes = 0;
};

// The whole state of a SegmentLog. The last segment is the one being written.
struct LogState {
  uint64_t log_id = 0;
  std::map<uint64_t, Segment> segments;  // by sequence, without gaps
  std::map<GroupId, GroupIndex> groups;
  // In the last segment: the offset of the next batch, and the offset below which everything is
  // durable.
  uint64_t end = 0;
  uint64_t durable = 0;
  uint64_t next_batch = 1;
  uint32_t chain = 0;   // CRC of the last record
  bool sealed = false;  // nothing was written since the last seal or the group heads
};

// Reads the log in `directory`; the result has no segments if there is no log there. Recovery first
// reads everything and changes nothing. Only then does it cut a torn tail, make what is left
// durable, and remove files that never became segments.
Result<LogState> RecoverLog(FileSystem& fs, const std::string& directory);

}  // namespace cairn::log_store
