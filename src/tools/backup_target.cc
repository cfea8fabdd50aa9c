#include "tools/backup_target.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "base/checksum_file.h"
#include "base/clock.h"
#include "base/file_system.h"
#include "base/locked_file.h"
#include "tools/read_back.h"

namespace cairn::tools {
namespace {

constexpr std::string_view kNamePattern = "cairn-00000000T000000Z.db";
constexpr std::string_view kUnfinished = ".partial";

class DirectoryTarget final : public BackupTarget {
 public:
  explicit DirectoryTarget(std::string directory) : directory_(std::move(directory)) {}

  Result<std::vector<std::string>> List() override {
    ASSIGN_OR_RETURN(std::vector<std::string> names, fs_.List(directory_));
    std::erase_if(names, [](const std::string& name) { return !IsNameOfBackup(name); });
    return names;
  }
  std::string FileOf(const std::string& name) const override { return directory_ + "/" + name; }
  Status Keep(const std::string& /*name*/) override { return OkStatus(); }
  Result<std::string> ReadBack(const std::string& name,
                               const std::function<bool()>& goes_on) override {
    return Sha256OfStored(FileOf(name), goes_on);
  }
  Status Remove(const std::string& name) override {
    RETURN_IF_ERROR(fs_.Remove(FileOf(name)));
    return fs_.Remove(ChecksumPath(FileOf(name)));
  }
  // Later backups have other names, and do not take it over.
  Status RemoveUnfinished() override {
    ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_.List(directory_));
    for (const std::string& name : names) {
      if (!name.ends_with(kUnfinished)) continue;
      if (!IsNameOfBackup(std::string_view(name).substr(0, kNamePattern.size()))) continue;
      // One that is being made holds the lock.
      const Result<std::unique_ptr<LockedFile>> lock = LockedFile::Acquire(FileOf(name));
      if (lock.ok()) RETURN_IF_ERROR(fs_.Remove(FileOf(name)));
    }
    return OkStatus();
  }
  std::string NameFor(const std::string& name) const override { return FileOf(name); }

 private:
  FileSystem& fs_ = PosixFileSystem();
  const std::string directory_;
};

}  // namespace

std::string NameOfBackupNow() {
  const auto now = static_cast<std::time_t>(SystemClock().WallNowMs() / 1000);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 64> name{};
  const size_t size = std::strftime(name.data(), name.size(), "cairn-%Y%m%dT%H%M%SZ.db", &utc);
  return {name.data(), size};
}

bool IsNameOfBackup(std::string_view name) {
  return std::equal(name.begin(), name.end(), kNamePattern.begin(), kNamePattern.end(),
                    [](char found, char pattern) {
                      return pattern == '0' ? found >= '0' && found <= '9' : found == pattern;
                    });
}

std::unique_ptr<BackupTarget> NewDirectoryTarget(std::string directory) {
  return std::make_unique<DirectoryTarget>(std::move(directory));
}

}  // namespace cairn::tools
