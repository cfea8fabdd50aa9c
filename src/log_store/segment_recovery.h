// Opening a log that is already there.
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

// All that a SegmentLog knows. The last segment is the one that is written.
struct LogState {
  uint64_t log_id = 0;
  std::map<uint64_t, Segment> segments;  // by sequence, without gaps
  std::map<GroupId, GroupIndex> groups;
  // Of the last segment: where the next batch goes, and up to where all is durable.
  uint64_t end = 0;
  uint64_t durable = 0;
  uint64_t next_batch = 1;
  uint32_t chain = 0;   // CRC of the last record
  bool sealed = false;  // nothing was written since the last seal or group heads
};

// Reads the log in `directory`; without segments there if there is none. First reads everything and
// changes nothing; only then cuts a torn tail, makes what is left durable, and removes files that
// never became segments.
Result<LogState> RecoverLog(FileSystem& fs, const std::string& directory);

}  // namespace cairn::log_store
