// IncomingSnapshot: the file that a snapshot is received into. It survives broken transfers and
// crashes.
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

// Identifies a snapshot. Two transfers with equal keys carry the same bytes.
struct SnapshotKey {
  uint64_t cluster_id = 0;
  GroupId group;
  LogIndex index;
  Term term;
  uint64_t copy_id = 0;
  uint64_t size_bytes = 0;
};

// Deletes the whole snapshots in `directory` that an earlier process received and did not install.
// Call it before the first snapshot is received. A directory that does not exist is not an error.
Status RemoveReceivedSnapshots(FileSystem& fs, const std::string& directory);

// One owner, one thread at a time; at most one in a directory. Its files:
//   incoming-<cluster>-<group>-<index>-<term>-<copy>-<size>.part            the bytes so far
//   incoming-....part.progress   how many of them are durable, and their CRC32C
//   received-....snapshot        the whole, verified; no longer ours
class IncomingSnapshot {
 public:
  // Resumes the part file of the same snapshot if its bytes still have the recorded CRC; otherwise
  // starts at 0. Deletes the parts of other snapshots. Returns RESOURCE_EXHAUSTED if the missing
  // bytes would leave less than `free_bytes_min` free on the file system. Calls `proceed`
  // repeatedly while a part is read back. When `proceed` returns false, Open returns CANCELLED and
  // the part stays.
  static Result<std::unique_ptr<IncomingSnapshot>> Open(
      FileSystem& fs, const std::string& directory, const SnapshotKey& key, uint64_t free_bytes_min,
      const std::function<bool()>& proceed = [] { return true; });

  // The number of bytes received and checked so far. The next chunk must begin at this offset.
  uint64_t offset() const { return offset_; }
  bool whole() const { return offset_ == key_.size_bytes; }

  // Returns DATA_LOSS if the chunk's CRC is wrong and INVALID_ARGUMENT if the chunk does not begin
  // at offset(). The bytes before the chunk stay valid.
  Status Append(uint64_t offset, std::string_view data, uint32_t crc);
  // Makes the received bytes durable and records them for a later Open.
  Status Suspend();
  // Call it once all bytes are there. Syncs the file, reads it back and compares it with the CRC32C
  // of the whole, renames it to its final name, syncs the directory, and returns the path. If the
  // CRC differs, Complete returns DATA_LOSS and deletes the part, because no offset of the part can
  // be trusted. Calls `proceed` repeatedly while it reads. When `proceed` returns false, Complete
  // returns CANCELLED.
  Result<std::string> Complete(uint32_t crc_of_whole, const std::function<bool()>& proceed);

 private:
  IncomingSnapshot(FileSystem& fs, std::string directory, const SnapshotKey& key);

  Status OpenPart(uint64_t free_bytes_min, const std::function<bool()>& proceed);
  Status RemoveOtherParts();
  // Returns the offset to resume from and sets prefix_crc_. Returns 0 if there is none.
  Result<uint64_t> VerifiedPrefix(const std::function<bool()>& proceed);
  Result<uint32_t> ReadCrc(uint64_t size, const std::function<bool()>& proceed);
  Status Discard();

  FileSystem& fs_;
  const std::string directory_;
  const SnapshotKey key_;
  const std::string name_;  // file name of the part, without directory
  std::unique_ptr<File> file_;
  uint64_t offset_ = 0;
  uint32_t prefix_crc_ = 0;  // of the bytes before offset_
  uint64_t recorded_ = 0;    // the offset in the progress file
  uint64_t started_ = 0;     // write-back to disk was started for the bytes before it
};

}  // namespace cairn::transport
