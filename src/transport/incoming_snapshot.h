// IncomingSnapshot: the file that a snapshot is received into, across broken transfers and crashes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/file_system.h"
#include "base/ids.h"
#include "base/result.h"

namespace cairn::transport {

// What a snapshot is told apart by; two transfers with equal keys carry the same bytes.
struct SnapshotKey {
  uint64_t cluster_id = 0;
  GroupId group;
  LogIndex index;
  Term term;
  uint64_t copy_id = 0;
  uint64_t size_bytes = 0;
};

// Deletes the whole snapshots that an earlier process received there and did not install. Call it
// before any is received. A directory that does not exist holds none.
Status RemoveReceivedSnapshots(FileSystem& fs, const std::string& directory);

// One owner, one thread at a time; at most one in a directory. Its files:
//   incoming-<cluster>-<group>-<index>-<term>-<copy>-<size>.part            the bytes so far
//   incoming-....part.progress   how many of them are durable, and their CRC32C
//   received-....snapshot        the whole, verified; no longer ours
class IncomingSnapshot {
 public:
  // Resumes the part of the same snapshot, as far as its bytes still have the CRC that was recorded
  // for them, else begins anew. Deletes the parts of other snapshots. RESOURCE_EXHAUSTED if what is
  // missing would leave less than `free_bytes_min` on the file system. `proceed` is called now and
  // then while a part is read back; when it returns false, CANCELLED, and the part stays.
  static Result<std::unique_ptr<IncomingSnapshot>> Open(
      FileSystem& fs, const std::string& directory, const SnapshotKey& key, uint64_t free_bytes_min,
      const std::function<bool()>& proceed = [] { return true; });

  // Received and checked so far; where the next chunk must begin.
  uint64_t offset() const { return offset_; }
  bool whole() const { return offset_ == key_.size_bytes; }

  // DATA_LOSS if the chunk's CRC is wrong, INVALID_ARGUMENT if it does not belong here; the bytes
  // before it stay good.
  Status Append(uint64_t offset, std::string_view data, uint32_t crc);
  // Makes what is there durable and records it, for a later Open.
  Status Suspend();
  // Once whole: syncs, reads the file back and compares it with the CRC32C of the whole, gives it
  // its final name, syncs the directory; returns the path. DATA_LOSS (and the part is deleted, for
  // it cannot be trusted at any offset) if the CRC is another. `proceed` is called now and then
  // during the reading; when it returns false, CANCELLED.
  Result<std::string> Complete(uint32_t crc_of_whole, const std::function<bool()>& proceed);

 private:
  IncomingSnapshot(FileSystem& fs, std::string directory, const SnapshotKey& key);

  Status OpenPart(uint64_t free_bytes_min, const std::function<bool()>& proceed);
  Status RemoveOtherParts();
  // The offset that can be resumed from, with prefix_crc_ set; 0 if there is none.
  Result<uint64_t> VerifiedPrefix(const std::function<bool()>& proceed);
  Result<uint32_t> ReadCrc(uint64_t size, const std::function<bool()>& proceed);
  Status Discard();

  FileSystem& fs_;
  const std::string directory_;
  const SnapshotKey key_;
  const std::string name_;  // of the part, without directory
  std::unique_ptr<File> file_;
  uint64_t offset_ = 0;
  uint32_t prefix_crc_ = 0;  // of the bytes before offset_
  uint64_t recorded_ = 0;    // offset in the progress file
  uint64_t started_ = 0;     // before it the part is being written to the disk
};

}  // namespace cairn::transport
