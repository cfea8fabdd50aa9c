#include "node/fence_file.h"

#include <algorithm>
#include <memory>

namespace cairn::node {
namespace {

constexpr size_t kReasonBytesMax = 4096;

std::string PathIn(const std::string& data_directory) { return data_directory + "/fenced"; }

}  // namespace

Status RememberFence(FileSystem& fs, const std::string& data_directory, const std::string& why) {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                   fs.Open(PathIn(data_directory), /*create=*/true));
  RETURN_IF_ERROR(file->WriteAt(0, why + "\n"));
  RETURN_IF_ERROR(file->Sync());
  return fs.SyncDirectory(data_directory);
}

Status ForgetFence(FileSystem& fs, const std::string& data_directory) {
  ASSIGN_OR_RETURN(const bool fenced, fs.Exists(PathIn(data_directory)));
  if (!fenced) return OkStatus();
  RETURN_IF_ERROR(fs.Remove(PathIn(data_directory)));
  return fs.SyncDirectory(data_directory);
}

Result<std::string> ReadFence(FileSystem& fs, const std::string& data_directory) {
  ASSIGN_OR_RETURN(const bool fenced, fs.Exists(PathIn(data_directory)));
  if (!fenced) return std::string();
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                   fs.Open(PathIn(data_directory), /*create=*/false));
  ASSIGN_OR_RETURN(std::string why, file->ReadAt(0, kReasonBytesMax));
  why.resize(std::min(why.size(), why.find('\n')));
  // A crash may have come before the reason was written.
  if (why.empty()) why = "its database does not hold what it should";
  return why;
}

}  // namespace cairn::node
