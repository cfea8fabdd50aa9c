// IncomingSnapshot: the file that a snapshot is received into. It survives broken transfers and
// crashes.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
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

// kBesides: a thread of its own syncs and reads back what was received while more is received.
// kInTurn: for the simulator, which has one thread.
enum class Recording : uint8_t { kInTurn, kBesides };

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
      const std::function<bool()>& proceed = [] { return true; },
      Recording recording = Recording::kInTurn);
  ~IncomingSnapshot();

  // The number of bytes received and checked so far. The next chunk must begin at this offset.
  uint64_t offset() const { return received_.offset; }
  bool whole() const { return received_.offset == key_.size_bytes; }

  // Returns DATA_LOSS if the chunk's CRC is wrong and INVALID_ARGUMENT if the chunk does not begin
  // at offset(). The bytes before the chunk stay valid.
  Status Append(uint64_t offset, std::string_view data, uint32_t crc);
  // Makes the received bytes durable and records them for a later Open.
  Status Suspend();
  // Call it once all bytes are there. Syncs the file, reads back what was not read back before,
  // compares the CRC32C of the whole, renames the file to its final name, syncs the directory, and
  // returns the path. If the CRC differs, Complete returns DATA_LOSS and deletes the part, because
  // no offset of the part can be trusted. Calls `proceed` repeatedly while it reads. When `proceed` returns false, Complete
  // returns CANCELLED.
  Result<std::string> Complete(uint32_t crc_of_whole, const std::function<bool()>& proceed);

 private:
  // The first `offset` bytes and their CRC32C.
  struct Prefix {
    uint64_t offset = 0;
    uint32_t crc = 0;
  };

  IncomingSnapshot(FileSystem& fs, std::string directory, const SnapshotKey& key,
                   Recording recording);

  Status OpenPart(uint64_t free_bytes_min, const std::function<bool()>& proceed);
  Status RemoveOtherParts();
  // Returns what may be resumed from; an empty prefix if nothing may.
  Result<Prefix> VerifiedPrefix(const std::function<bool()>& proceed);
  // Begins to record what was received so far.
  Status BeginRecord();
  // Waits for what BeginRecord began.
  Status AwaitRecord();
  // Syncs the bytes up to `end`, reads them back, and writes the record that vouches for them.
  Status Record(File& file, Prefix end);
  // Reads on from `from` up to `end`. Returns the CRC32C of all bytes before `end`.
  Result<uint32_t> ReadOn(const File& file, Prefix from, uint64_t end,
                          const std::function<bool()>& proceed) const;
  Status Discard();

  FileSystem& fs_;
  const std::string directory_;
  const SnapshotKey key_;
  const std::string name_;  // file name of the part, without directory
  const Recording recording_;
  std::unique_ptr<File> file_;
  std::unique_ptr<File> recorder_;  // the same file, for the other thread
  Prefix received_;
  uint64_t begun_ = 0;    // a record is made, or being made, of the bytes before it
  uint64_t started_ = 0;  // write-back to disk was started for the bytes before it
  // Synced, read back, and in the progress file. The other thread owns it while `record_` is valid.
  Prefix recorded_;
  std::future<Status> record_;
};

}  // namespace cairn::transport
