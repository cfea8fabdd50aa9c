// Reads a segment file from its start. Recovery uses the scan, and the scan tells a torn tail from
// damage.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/file_system.h"
#include "base/result.h"
#include "log_store/log_format.h"

namespace cairn::log_store {

// Reads a file through one window that slides forward, so that a scan reads in large pieces.
class FileWindow {
 public:
  // Views never reach beyond `limit`. `file` must outlive the window.
  FileWindow(const File& file, uint64_t limit, size_t window_bytes)
      : file_(file), limit_(limit), window_bytes_(window_bytes) {}

  // `size` bytes from `offset`, or as many as there are below the limit. The view is valid until
  // the next call.
  Result<std::string_view> View(uint64_t offset, size_t size);

 private:
  const File& file_;
  const uint64_t limit_;
  const size_t window_bytes_;
  uint64_t start_ = 0;
  std::string bytes_;
};

struct SegmentScan {
  uint64_t end = 0;         // the offset where the whole batches end
  uint64_t next_batch = 0;  // the sequence of the batch that would follow
  uint32_t chain = 0;       // CRC of the last record
  // The highest offset that anything in the file records as durable.
  uint64_t durable = 0;
  bool sealed = false;     // the last batch is a seal or the group heads
  std::string stopped_by;  // why there is no whole batch at `end`
  uint64_t dirty_end =
      0;  // the offset behind the last nonzero byte after `end`; `end` if there is none
};

// Called with each record and the offset where the record begins.
using RecordVisitor = std::function<Status(const Record& record, uint64_t offset)>;

// Reads the batches of a segment up to the first place without a whole batch, or to `limit`. If the
// visitor returns an error, ScanSegment returns it with file and offset in front. With
// `search_tail`, the scan also searches the rest of the file for what later batch headers record as
// durable.
Result<SegmentScan> ScanSegment(const File& file, const std::string& path,
                                const SegmentHeader& header, uint64_t limit, bool search_tail,
                                const RecordVisitor& visit);

}  // namespace cairn::log_store
