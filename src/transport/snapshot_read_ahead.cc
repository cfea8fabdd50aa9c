#include "transport/snapshot_read_ahead.h"

#include <algorithm>
#include <utility>

namespace cairn::transport {

SnapshotReadAhead::SnapshotReadAhead(SnapshotSource* source, uint64_t from, size_t chunk_bytes)
    : source_(*source), chunk_bytes_(chunk_bytes), thread_([this, from] { Run(from); }) {}

SnapshotReadAhead::~SnapshotReadAhead() {
  {
    const MutexLock lock(mutex_);
    stopped_ = true;
  }
  changed_.NotifyAll();
  thread_.join();
}

Status SnapshotReadAhead::Next(SummedBytes* chunk) {
  {
    MutexLock lock(mutex_);
    changed_.Wait(lock, [this]() CAIRN_REQUIRES(mutex_) { return ready_; });
    RETURN_IF_ERROR(failure_);
    std::swap(*chunk, next_);
    ready_ = false;
  }
  changed_.NotifyAll();
  return OkStatus();
}

void SnapshotReadAhead::Run(uint64_t from) {
  const uint64_t end = source_.size_bytes();
  SummedBytes chunk;
  for (uint64_t at = from; at < end; at += chunk_bytes_) {
    {
      MutexLock lock(mutex_);
      changed_.Wait(lock, [this]() CAIRN_REQUIRES(mutex_) { return stopped_ || !ready_; });
      if (stopped_) return;
      std::swap(chunk, next_);  // memory that was used before
    }
    Status read = ReadChunk(at, &chunk);
    const bool over = !read.ok();
    {
      const MutexLock lock(mutex_);
      std::swap(chunk, next_);
      failure_ = std::move(read);
      ready_ = true;
    }
    changed_.NotifyAll();
    if (over) return;
  }
}

Status SnapshotReadAhead::ReadChunk(uint64_t at, SummedBytes* chunk) {
  const auto want =
      static_cast<size_t>(std::min<uint64_t>(chunk_bytes_, source_.size_bytes() - at));
  RETURN_IF_ERROR(source_.ReadInto(at, want, chunk));
  return chunk->bytes.size() == want ? OkStatus()
                                     : DataLoss("the snapshot is shorter than its size");
}

}  // namespace cairn::transport
