#include "transport/incoming_snapshot.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/crc32c_join.h"

namespace cairn::transport {
namespace {

constexpr std::string_view kPartPrefix = "incoming-";
constexpr std::string_view kReceivedPrefix = "received-";
constexpr size_t kReadBackBytes = 128 << 10;
// A crash loses at most two sixteenths of a transfer, within these bounds: one that is being
// recorded, and one that is received meanwhile. A record costs three syncs.
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

std::string EncodeProgress(uint64_t offset, uint32_t crc) {
  std::string out;
  ByteWriter writer(&out);
  writer.U64(offset);
  writer.U32(crc);
  writer.U32(Crc32c(out));
  return out;
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

IncomingSnapshot::IncomingSnapshot(FileSystem& fs, std::string directory, const SnapshotKey& key,
                                   Recording recording)
    : fs_(fs),
      directory_(std::move(directory)),
      key_(key),
      name_(std::string(kPartPrefix) + KeyName(key) + ".part"),
      recording_(recording) {}

IncomingSnapshot::~IncomingSnapshot() { (void)AwaitRecord(); }

Result<std::unique_ptr<IncomingSnapshot>> IncomingSnapshot::Open(
    FileSystem& fs, const std::string& directory, const SnapshotKey& key, uint64_t free_bytes_min,
    const std::function<bool()>& proceed, Recording recording) {
  RETURN_IF_ERROR(fs.CreateDirectories(directory));
  std::unique_ptr<IncomingSnapshot> incoming(new IncomingSnapshot(fs, directory, key, recording));
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
  ASSIGN_OR_RETURN(received_, VerifiedPrefix(proceed));
  recorded_ = received_;
  begun_ = started_ = received_.offset;
  RETURN_IF_ERROR(file_->Truncate(received_.offset));
  if (recording_ == Recording::kBesides) {
    ASSIGN_OR_RETURN(recorder_, fs_.Open(path, /*create=*/false));
  }
  ASSIGN_OR_RETURN(const uint64_t free_bytes, fs_.FreeBytes(directory_));
  const uint64_t missing = key_.size_bytes - received_.offset;
  if (free_bytes < free_bytes_min || free_bytes - free_bytes_min < missing) {
    return ResourceExhausted("the snapshot needs " + std::to_string(missing) +
                             " more bytes beside the reserve of " + std::to_string(free_bytes_min) +
                             ", and " + std::to_string(free_bytes) + " are free");
  }
  return OkStatus();
}

Result<IncomingSnapshot::Prefix> IncomingSnapshot::VerifiedPrefix(
    const std::function<bool()>& proceed) {
  const Result<std::string> bytes =
      ReadWholeFile(fs_, directory_ + "/" + name_ + ".progress", kProgressBytes);
  if (!bytes.ok() || bytes->size() != kProgressBytes) return Prefix{};
  ByteReader reader(*bytes);
  Prefix recorded;
  recorded.offset = reader.U64();
  recorded.crc = reader.U32();
  if (reader.U32() != Crc32c(bytes->substr(0, kProgressBytes - sizeof(uint32_t)))) return Prefix{};
  const Result<uint64_t> size = file_->Size();
  if (!size.ok() || recorded.offset > *size || recorded.offset > key_.size_bytes) return Prefix{};
  const Result<uint32_t> crc = ReadOn(*file_, Prefix{}, recorded.offset, proceed);
  if (crc.status().code() == StatusCode::kCancelled) return crc.status();
  if (!crc.ok() || *crc != recorded.crc) return Prefix{};
  return recorded;
}

Result<uint32_t> IncomingSnapshot::ReadOn(const File& file, Prefix from, uint64_t end,
                                          const std::function<bool()>& proceed) const {
  while (from.offset < end) {
    if (!proceed()) return Cancelled("the transfer was ended");
    const auto want = static_cast<size_t>(std::min<uint64_t>(kReadBackBytes, end - from.offset));
    ASSIGN_OR_RETURN(const std::string block, file.ReadAt(from.offset, want));
    if (block.size() != want) return DataLoss(name_ + " is shorter than what was written");
    from.crc = Crc32c(block, from.crc);
    from.offset += want;
  }
  return from.crc;
}

Status IncomingSnapshot::Append(uint64_t offset, std::string_view data, uint32_t crc) {
  if (offset != received_.offset || data.empty() || data.size() > key_.size_bytes - offset) {
    return InvalidArgument("a chunk of " + std::to_string(data.size()) + " bytes at " +
                           std::to_string(offset) + " where " + std::to_string(received_.offset) +
                           " of " + std::to_string(key_.size_bytes) + " are received");
  }
  if (Crc32c(data) != crc) {
    return DataLoss("the chunk at " + std::to_string(offset) + " was damaged on the way");
  }
  if (Status written = file_->WriteAt(offset, data); !written.ok()) {
    // A part file that filled the disk would keep the disk full until the next transfer.
    if (written.code() == StatusCode::kResourceExhausted) (void)Discard();
    return written;
  }
  received_ = {offset + data.size(), JoinCrc32c(received_.crc, crc, data.size())};
  if (received_.offset - started_ >= kStartSyncBytes) {
    file_->StartSync(started_, received_.offset - started_);
    started_ = received_.offset;
  }
  const uint64_t record_every =
      std::clamp(key_.size_bytes / 16, kRecordEveryBytesMin, kRecordEveryBytesMax);
  return received_.offset - begun_ >= record_every ? BeginRecord() : OkStatus();
}

// At most one record is being made while the bytes of the next one are received. So what waits to
// be written to the disk has a bound.
Status IncomingSnapshot::BeginRecord() {
  RETURN_IF_ERROR(AwaitRecord());
  begun_ = received_.offset;
  const auto policy =
      recording_ == Recording::kBesides ? std::launch::async : std::launch::deferred;
  record_ = std::async(policy, [this, end = received_] {
    return Record(recorder_ != nullptr ? *recorder_ : *file_, end);
  });
  return recording_ == Recording::kBesides ? OkStatus() : AwaitRecord();
}

Status IncomingSnapshot::AwaitRecord() {
  if (!record_.valid()) return OkStatus();
  Status recorded = record_.get();
  // After a failed sync the content of the disk is unknown, so nothing of the part is kept.
  if (!recorded.ok()) (void)Discard();
  return recorded;
}

// The record vouches for the bytes, so the bytes are synced first.
Status IncomingSnapshot::Record(File& file, Prefix end) {
  RETURN_IF_ERROR(file.Sync());
  ASSIGN_OR_RETURN(const uint32_t crc, ReadOn(file, recorded_, end.offset, [] { return true; }));
  if (crc != end.crc) {
    return DataLoss("the bytes before " + std::to_string(end.offset) + " of " + name_ +
                    " are not those that were written");
  }
  RETURN_IF_ERROR(WriteFileAtomically(fs_, directory_ + "/" + name_ + ".progress",
                                      EncodeProgress(end.offset, end.crc)));
  recorded_ = end;
  return OkStatus();
}

Status IncomingSnapshot::Suspend() {
  if (file_ == nullptr) return OkStatus();
  RETURN_IF_ERROR(AwaitRecord());
  if (received_.offset == recorded_.offset) return OkStatus();
  RETURN_IF_ERROR(BeginRecord());
  return AwaitRecord();
}

Result<std::string> IncomingSnapshot::Complete(uint32_t crc_of_whole,
                                               const std::function<bool()>& proceed) {
  CHECK(file_ != nullptr && whole())
      << received_.offset << " of " << key_.size_bytes << " bytes received";
  RETURN_IF_ERROR(AwaitRecord());
  if (Status synced = file_->Sync(); !synced.ok()) {
    (void)Discard();
    return synced;
  }
  ASSIGN_OR_RETURN(const uint32_t crc, ReadOn(*file_, recorded_, key_.size_bytes, proceed));
  if (crc != crc_of_whole) {
    RETURN_IF_ERROR(Discard());
    return DataLoss("the received snapshot has CRC32C " + std::to_string(crc) + ", its sender " +
                    "promised " + std::to_string(crc_of_whole));
  }
  const std::string path =
      directory_ + "/" + std::string(kReceivedPrefix) + KeyName(key_) + ".snapshot";
  file_.reset();
  recorder_.reset();
  // The part is renamed before its record is removed. A crash in between leaves a record without a
  // part, which is worthless; it never leaves a whole part without its record.
  RETURN_IF_ERROR(fs_.Rename(directory_ + "/" + name_, path));
  RETURN_IF_ERROR(fs_.Remove(directory_ + "/" + name_ + ".progress"));
  // Without this sync a power cut may undo the rename after others were told of the new name.
  RETURN_IF_ERROR(fs_.SyncDirectory(directory_));
  return path;
}

Status IncomingSnapshot::Discard() {
  if (record_.valid()) (void)record_.get();
  file_.reset();
  recorder_.reset();
  RETURN_IF_ERROR(fs_.Remove(directory_ + "/" + name_ + ".progress"));
  return fs_.Remove(directory_ + "/" + name_);
}

}  // namespace cairn::transport
