#include "log_store/segment_preparer.h"

#include <algorithm>

namespace cairn::log_store {
namespace {

constexpr char kNextName[] = "next.tmp";
constexpr char kLargeName[] = "large.tmp";
// The file is synced in pieces of this many bytes, so that the disk is never busy for long while
// the log waits for its own sync.
constexpr uint64_t kPieceBytes = 1 << 20;

Status FillWithZeros(File& file, uint64_t bytes) {
  RETURN_IF_ERROR(file.Truncate(0));
  const std::string zeros(std::min(bytes, kPieceBytes), '\0');
  for (uint64_t at = 0; at < bytes; at += zeros.size()) {
    const uint64_t size = std::min<uint64_t>(zeros.size(), bytes - at);
    RETURN_IF_ERROR(file.WriteAt(at, std::string_view(zeros).substr(0, size)));
    RETURN_IF_ERROR(file.Sync());
  }
  return OkStatus();
}

}  // namespace

bool SegmentPreparer::IsTemporary(const std::string& name) {
  return name == kNextName || name == kLargeName;
}

void SegmentPreparer::Wait() {
  if (running_.valid()) running_.get();
}

void SegmentPreparer::Start(uint64_t bytes) {
  Wait();
  if (ready_.has_value() && ready_->ok()) return;
  if (in_background_) {
    running_ = std::async(std::launch::async, [this, bytes] { ready_ = Make(kNextName, bytes); });
  } else {
    ready_ = Make(kNextName, bytes);
  }
}

Result<SegmentPreparer::Prepared> SegmentPreparer::Take(uint64_t bytes) {
  Wait();
  if (ready_.has_value() && ready_->ok() && ready_->value().bytes < bytes) {
    return Make(kLargeName, bytes);
  }
  if (ready_.has_value() && ready_->ok()) {
    Prepared prepared = std::move(ready_->value());
    ready_.reset();
    return prepared;
  }
  // Only a full disk and a lack of descriptors are worth a second try. After any other failed write
  // or sync nobody knows what the disk will do next.
  if (ready_.has_value() && ready_->status().code() != StatusCode::kResourceExhausted) {
    return ready_->status();
  }
  ready_.reset();
  return Make(kNextName, bytes);
}

Result<SegmentPreparer::Prepared> SegmentPreparer::Make(const std::string& name, uint64_t bytes) {
  const std::string path = directory_ + "/" + name;
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs_.Open(path, /*create=*/true));
  if (Status filled = FillWithZeros(*file, bytes); !filled.ok()) {
    file.reset();
    // A half-filled file would only occupy the space that is missing.
    RETURN_IF_ERROR(fs_.Remove(path));
    return filled;
  }
  return Prepared{.file = std::move(file), .path = path, .bytes = bytes};
}

}  // namespace cairn::log_store
