#include "transport/incoming_snapshot.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

namespace cairn::transport {
namespace {

constexpr std::string_view kPartPrefix = "incoming-";
constexpr std::string_view kReceivedPrefix = "received-";
constexpr size_t kReadBackBytes = 1 << 20;
// A crash loses at most a sixteenth of a transfer, within these bounds. A record costs three syncs.
constexpr uint64_t kRecordEveryBytesMin = 8 << 20;
constexpr uint64_t kRecordEveryBytesMax = 64 << 20;
// Write-back to disk starts after each piece of this size, so that a sync finds little left to do.
constexpr uint64_t kStartSyncBytes = 4 << 20;
constexpr size_t kProgressBytes = 16;

std::string KeyName(const SnapshotKey& key) {
  return std::to_string(key.cluster_id) + "-" + ToString(key.group) + "-" + ToString(key.index) +
         "-" + ToString(key.term) + "-" + std::to_string(key.copy_id) + "-" +
         std::to_string(key.size_bytes);
}

struct Progress {
  uint64_t offset = 0;
  uint32_t crc = 0;
};

std::string EncodeProgress(const Progress& progress) {
  std::string out;
  ByteWriter writer(&out);
  writer.U64(progress.offset);
  writer.U32(progress.crc);
  writer.U32(Crc32c(out));
  return out;
}

// Returns a zero Progress if the bytes hold no trustworthy record.
Progress DecodeProgress(std::string_view bytes) {
  if (bytes.size() != kProgressBytes) return {};
  ByteReader reader(bytes);
  Progress progress;
  progress.offset = reader.U64();
  progress.crc = reader.U32();
  if (reader.U32() != Crc32c(bytes.substr(0, kProgressBytes - sizeof(uint32_t)))) return {};
  return progress;
}

}  // namespace

Status RemoveReceivedSnapshots(FileSystem& fs, const std::string& directory) {
  ASSIGN_OR_RETURN(const bool exists, fs.Exists(directory));
  if (!exists) return OkStatus();
  ASSIGN_OR_RETURN(const std::vector<std::string> names, fs.List(directory));
  for (const std::string& name : names) {
    if (name.starts_with(kReceivedPrefix)) RETURN_IF_ERROR(fs.Remove(directory + "/" + name));
  }
  return OkStatus();
}

IncomingSnapshot::IncomingSnapshot(FileSystem& fs, std::string directory, const SnapshotKey& key)
    : fs_(fs),
      directory_(std::move(directory)),
      key_(key),
      name_(std::string(kPartPrefix) + KeyName(key) + ".part") {}

Result<std::unique_ptr<IncomingSnapshot>> IncomingSnapshot::Open(
    FileSystem& fs, const std::string& directory, const SnapshotKey& key, uint64_t free_bytes_min,
    const std::function<bool()>& proceed) {
  RETURN_IF_ERROR(fs.CreateDirectories(directory));
  std::unique_ptr<IncomingSnapshot> incoming(new IncomingSnapshot(fs, directory, key));
  RETURN_IF_ERROR(incoming->RemoveOtherParts());
  RETURN_IF_ERROR(incoming->OpenPart(free_bytes_min, proceed));
  return incoming;
}

Status IncomingSnapshot::RemoveOtherParts() {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_.List(directory_));
  for (const std::string& name : names) {
    if (!name.starts_with(kPartPrefix) || name == name_ || name == name_ + ".progress") continue;
    RETURN_IF_ERROR(fs_.Remove(directory_ + "/" + name));
  }
  return OkStatus();
}

Status IncomingSnapshot::OpenPart(uint64_t free_bytes_min, const std::function<bool()>& proceed) {
  const std::string path = directory_ + "/" + name_;
  ASSIGN_OR_RETURN(file_, fs_.Open(path, /*create=*/true));
  ASSIGN_OR_RETURN(offset_, VerifiedPrefix(proceed));
  recorded_ = started_ = offset_;
  RETURN_IF_ERROR(file_->Truncate(offset_));
  ASSIGN_OR_RETURN(const uint64_t free_bytes, fs_.FreeBytes(directory_));
  const uint64_t missing = key_.size_bytes - offset_;
  if (free_bytes < free_bytes_min || free_bytes - free_bytes_min < missing) {
    return ResourceExhausted("the snapshot needs " + std::to_string(missing) +
                             " more bytes beside the reserve of " + std::to_string(free_bytes_min) +
                             ", and " + std::to_string(free_bytes) + " are free");
  }
  return OkStatus();
}

Result<uint64_t> IncomingSnapshot::VerifiedPrefix(const std::function<bool()>& proceed) {
  prefix_crc_ = 0;
  const Result<std::string> bytes =
      ReadWholeFile(fs_, directory_ + "/" + name_ + ".progress", kProgressBytes);
  if (!bytes.ok()) return uint64_t{0};
  const Progress progress = DecodeProgress(*bytes);
  const Result<uint64_t> size = file_->Size();
  if (!size.ok() || progress.offset > *size || progress.offset > key_.size_bytes) {
    return uint64_t{0};
  }
  const Result<uint32_t> crc = ReadCrc(progress.offset, proceed);
  if (crc.status().code() == StatusCode::kCancelled) return crc.status();
  if (!crc.ok() || *crc != progress.crc) return uint64_t{0};
  prefix_crc_ = progress.crc;
  return progress.offset;
}

Result<uint32_t> IncomingSnapshot::ReadCrc(uint64_t size, const std::function<bool()>& proceed) {
  uint32_t crc = 0;
  for (uint64_t at = 0; at < size;) {
    if (!proceed()) return Cancelled("the transfer was ended");
    const auto want = static_cast<size_t>(std::min<uint64_t>(kReadBackBytes, size - at));
    ASSIGN_OR_RETURN(const std::string block, file_->ReadAt(at, want));
    if (block.size() != want) return DataLoss(name_ + " is shorter than what was written");
    crc = Crc32c(block, crc);
    at += want;
  }
  return crc;
}

Status IncomingSnapshot::Append(uint64_t offset, std::string_view data, uint32_t crc) {
  if (offset != offset_ || data.empty() || data.size() > key_.size_bytes - offset_) {
    return InvalidArgument("a chunk of " + std::to_string(data.size()) + " bytes at " +
                           std::to_string(offset) + " where " + std::to_string(offset_) + " of " +
                           std::to_string(key_.size_bytes) + " are received");
  }
  if (Crc32c(data) != crc) {
    return DataLoss("the chunk at " + std::to_string(offset) + " was damaged on the way");
  }
  if (Status written = file_->WriteAt(offset, data); !written.ok()) {
    // A part file that filled the disk would keep the disk full until the next transfer.
    if (written.code() == StatusCode::kResourceExhausted) (void)Discard();
    return written;
  }
  offset_ += data.size();
  prefix_crc_ = Crc32c(data, prefix_crc_);
  if (offset_ - started_ >= kStartSyncBytes) {
    file_->StartSync(started_, offset_ - started_);
    started_ = offset_;
  }
  const uint64_t record_every =
      std::clamp(key_.size_bytes / 16, kRecordEveryBytesMin, kRecordEveryBytesMax);
  if (offset_ - recorded_ >= record_every) return Suspend();
  return OkStatus();
}

Status IncomingSnapshot::Suspend() {
  if (file_ == nullptr || offset_ == recorded_) return OkStatus();
  // The record vouches for the bytes, so the bytes are synced first. After a failed sync the
  // content of the disk is unknown, so nothing of the part is kept.
  if (Status synced = file_->Sync(); !synced.ok()) {
    (void)Discard();
    return synced;
  }
  RETURN_IF_ERROR(WriteFileAtomically(fs_, directory_ + "/" + name_ + ".progress",
                                      EncodeProgress({offset_, prefix_crc_})));
  recorded_ = offset_;
  return OkStatus();
}

Result<std::string> IncomingSnapshot::Complete(uint32_t crc_of_whole,
                                               const std::function<bool()>& proceed) {
  CHECK(file_ != nullptr && whole()) << offset_ << " of " << key_.size_bytes << " bytes received";
  if (Status synced = file_->Sync(); !synced.ok()) {
    (void)Discard();
    return synced;
  }
  ASSIGN_OR_RETURN(const uint32_t crc, ReadCrc(key_.size_bytes, proceed));
  if (crc != crc_of_whole) {
    RETURN_IF_ERROR(Discard());
    return DataLoss("the received snapshot has CRC32C " + std::to_string(crc) + ", its sender " +
                    "promised " + std::to_string(crc_of_whole));
  }
  const std::string path =
      directory_ + "/" + std::string(kReceivedPrefix) + KeyName(key_) + ".snapshot";
  file_.reset();
  // The part is renamed before its record is removed. A crash in between leaves a record without a
  // part, which is worthless; it never leaves a whole part without its record.
  RETURN_IF_ERROR(fs_.Rename(directory_ + "/" + name_, path));
  RETURN_IF_ERROR(fs_.Remove(directory_ + "/" + name_ + ".progress"));
  // Without this sync a power cut may undo the rename after others were told of the new name.
  RETURN_IF_ERROR(fs_.SyncDirectory(directory_));
  return path;
}

Status IncomingSnapshot::Discard() {
  file_.reset();
  RETURN_IF_ERROR(fs_.Remove(directory_ + "/" + name_ + ".progress"));
  return fs_.Remove(directory_ + "/" + name_);
}

}  // namespace cairn::transport
