// SnapshotReadAhead: reads the next chunk of a snapshot while the chunk before is being sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <thread>

#include "base/mutex.h"
#include "base/status.h"
#include "base/summed_bytes.h"
#include "transport/transport.h"

namespace cairn::transport {

// Reads from `from` to the end, on a thread of its own, one chunk ahead. Nobody else may read the
// source meanwhile.
class SnapshotReadAhead {
 public:
  SnapshotReadAhead(SnapshotSource* source, uint64_t from, size_t chunk_bytes);
  // Waits for the source to return from what it is reading.
  ~SnapshotReadAhead();
  SnapshotReadAhead(const SnapshotReadAhead&) = delete;
  SnapshotReadAhead& operator=(const SnapshotReadAhead&) = delete;

  // Waits for the next chunk, and gives it for the one that `chunk` holds, whose memory is used
  // again. Call only while there is a next chunk. After an error there is none.
  Status Next(SummedBytes* chunk);

 private:
  void Run(uint64_t from);
  Status ReadChunk(uint64_t at, SummedBytes* chunk);

  SnapshotSource& source_;
  const size_t chunk_bytes_;
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ CAIRN_GUARDED_BY(mutex_) = false;
  bool ready_ CAIRN_GUARDED_BY(mutex_) = false;  // next_ is read, or failure_ says why it is not
  Status failure_ CAIRN_GUARDED_BY(mutex_);
  SummedBytes next_ CAIRN_GUARDED_BY(mutex_);
  std::thread thread_;  // last: it uses the others
};

}  // namespace cairn::transport
