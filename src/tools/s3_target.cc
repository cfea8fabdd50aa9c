#include <algorithm>
#include <fstream>
#include <set>
#include <utility>

#include "base/checksum_file.h"
#include "base/file_system.h"
#include "tools/backup_target.h"

namespace cairn::tools {
namespace {

constexpr uint64_t kPartsMax = 10'000;  // S3 takes no more
constexpr size_t kChecksumBytesMax = 64 << 10;

// The checksum is sent last: a backup without it is not whole.
class S3Target final : public BackupTarget {
 public:
  S3Target(S3TargetOptions options, std::unique_ptr<S3Client> client)
      : options_(std::move(options)),
        client_(std::move(client)),
        spool_(NewDirectoryTarget(options_.spool)) {}

  Result<std::vector<std::string>> List() override {
    ASSIGN_OR_RETURN(const std::vector<std::string> keys, client_->List(options_.prefix));
    const std::set<std::string> all(keys.begin(), keys.end());
    std::vector<std::string> names;
    for (const std::string& key : keys) {
      std::string name = key.substr(std::min(key.size(), options_.prefix.size()));
      if (IsNameOfBackup(name) && all.contains(ChecksumPath(key))) names.push_back(std::move(name));
    }
    return names;
  }

  std::string FileOf(const std::string& name) const override { return spool_->FileOf(name); }

  Status Keep(const std::string& name) override {
    Status kept = Send(name);
    const Status removed = spool_->Remove(name);
    return kept.ok() ? removed : kept;
  }

  // The client asks for itself whether it goes on.
  Result<std::string> ReadBack(const std::string& name,
                               const std::function<bool()>& /*goes_on*/) override {
    return client_->Sha256Of(KeyOf(name));
  }

  // The checksum first: what is left of a removal that failed is no backup.
  Status Remove(const std::string& name) override {
    RETURN_IF_ERROR(client_->Remove(KeyOf(ChecksumPath(name))));
    return client_->Remove(KeyOf(name));
  }

  Status RemoveUnfinished() override { return spool_->RemoveUnfinished(); }

  std::string NameFor(const std::string& name) const override {
    return "s3://" + options_.place.bucket + "/" + KeyOf(name);
  }

 private:
  std::string KeyOf(const std::string& name) const { return options_.prefix + name; }

  Status Send(const std::string& name) {
    const std::string path = FileOf(name);
    std::ifstream checksum(ChecksumPath(path), std::ios::binary);
    std::string text(kChecksumBytesMax, '\0');
    checksum.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(checksum.gcount()));
    if (text.empty()) return Internal("cannot read " + ChecksumPath(path));
    RETURN_IF_ERROR(SendParts(path, KeyOf(name)));
    const Status sent = client_->Put(KeyOf(ChecksumPath(name)), text);
    if (!sent.ok()) (void)client_->Discard(KeyOf(name));
    return sent;
  }

  Status SendParts(const std::string& path, const std::string& key) {
    ASSIGN_OR_RETURN(const std::string upload, client_->BeginUpload(key));
    Status sent = SendParts(path, key, upload);
    // What was sent costs until it is given up.
    if (!sent.ok()) (void)client_->AbortUpload(key, upload);
    return sent;
  }

  Status SendParts(const std::string& path, const std::string& key, const std::string& upload) {
    ASSIGN_OR_RETURN(const uint64_t size, PosixFileSystem().SizeOf(path));
    const uint64_t part_bytes = std::max<uint64_t>(options_.part_bytes, size / kPartsMax + 1);
    std::ifstream in(path, std::ios::binary);
    std::vector<std::string> tags;
    std::string part;
    for (uint64_t at = 0; at < size; at += part.size()) {
      part.resize(std::min(part_bytes, size - at));
      in.read(part.data(), static_cast<std::streamsize>(part.size()));
      if (!in) return Internal("cannot read " + path);
      const int number = static_cast<int>(tags.size()) + 1;
      ASSIGN_OR_RETURN(std::string tag, client_->PutPart(key, upload, number, part));
      tags.push_back(std::move(tag));
    }
    return client_->CompleteUpload(key, upload, tags);
  }

  const S3TargetOptions options_;
  const std::unique_ptr<S3Client> client_;
  const std::unique_ptr<BackupTarget> spool_;
};

}  // namespace

Result<std::unique_ptr<BackupTarget>> NewS3Target(S3TargetOptions options, GoesOn goes_on) {
  ASSIGN_OR_RETURN(std::unique_ptr<S3Client> client,
                   S3Client::Create(options.place, std::move(goes_on)));
  return std::unique_ptr<BackupTarget>(
      std::make_unique<S3Target>(std::move(options), std::move(client)));
}

}  // namespace cairn::tools
