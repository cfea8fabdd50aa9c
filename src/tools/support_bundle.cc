#include "tools/support_bundle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

#include "tools/cluster_view.h"
#include "tools/doctor.h"
#include "tools/operations_client.h"
#include "tools/tar_file.h"

namespace cairn::tools {
namespace {

constexpr size_t kFencedBytesMax = 64 << 10;
constexpr size_t kFilesMax = 10'000;
constexpr int kCompression = 9;

// A name of a file in the archive that a node chose: no path that leads elsewhere.
std::string SafeName(std::string name) {
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
    if (!plain) c = '_';
  }
  return name.substr(0, 40);
}

void AddNode(const ClusterLook::Node& node, std::chrono::milliseconds timeout, Bundle* bundle) {
  const std::string folder = "node" + std::to_string(node.node_id) + "/";
  const Result<v1::DiagnoseResponse> told = OperationsClient(node.address).Diagnose(timeout);
  if (!told.ok()) {
    (*bundle)[folder + "error.txt"] = node.address + ": " + ErrorInWords(told.status()) + "\n";
    return;
  }
  for (const v1::DiagnosticFile& file : told->files()) {
    (*bundle)[folder + SafeName(file.name())] = file.contents();
  }
}

// "123 2026-11-30 name", of a file.
std::string LineOf(const std::string& path) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) return "";
  return std::to_string(found.st_size) + " bytes, changed " + std::to_string(found.st_mtime) +
         " s, mode " + std::to_string(found.st_mode & 07777) + ", owner " +
         std::to_string(found.st_uid) + ": " + path + "\n";
}

}  // namespace

Result<Bundle> BundleOfCluster(const std::string& address, std::chrono::milliseconds timeout) {
  NodeClient node(address);
  ASSIGN_OR_RETURN(const ClusterLook look, LookAt(&node, timeout));
  Bundle bundle;
  std::ostringstream doctor;
  const Result<bool> healthy = RunDoctor(&node, timeout, &doctor);
  bundle["doctor.txt"] = healthy.ok() ? doctor.str() : ErrorInWords(healthy.status()) + "\n";
  for (const ClusterLook::Node& member : look.nodes) AddNode(member, timeout, &bundle);
  return bundle;
}

Result<Bundle> BundleOfDirectory(const std::string& directory) {
  std::string listed;
  size_t files = 0;
  std::error_code error;
  using Walk = std::filesystem::recursive_directory_iterator;
  for (Walk at(directory, error), end; !error && at != end && files < kFilesMax;
       at.increment(error)) {
    listed += LineOf(at->path().string());
    ++files;
  }
  if (error) return ErrnoStatus("read " + directory, error.value());
  // FILE.cairn belongs to FILE.
  std::string database = directory;
  while (database.ends_with('/')) database.pop_back();
  if (database.ends_with(".cairn")) {
    database.resize(database.size() - 6);
    for (const char* suffix : {"", "-wal", "-shm"}) listed += LineOf(database + suffix);
  }
  Bundle bundle;
  bundle["files.txt"] = listed;
  struct statvfs disk {};
  if (::statvfs(directory.c_str(), &disk) == 0) {
    const uint64_t block = disk.f_frsize;
    bundle["disk.txt"] = std::to_string(disk.f_bavail * block) + " bytes free of " +
                         std::to_string(disk.f_blocks * block) + "\n";
  }
  std::ifstream fenced(directory + "/fenced", std::ios::binary);
  if (fenced) {
    std::string why(kFencedBytesMax, '\0');
    fenced.read(why.data(), static_cast<std::streamsize>(why.size()));
    why.resize(static_cast<size_t>(fenced.gcount()));
    bundle["fenced.txt"] = why;
  }
  return bundle;
}

Status WriteBundle(const Bundle& bundle, const std::string& path, int64_t time_s) {
  TarFile tar;
  for (const auto& [name, contents] : bundle) tar.Add("cairn-support/" + name, contents, time_s);
  const std::string plain = tar.Finish();
  std::string packed(ZSTD_compressBound(plain.size()), '\0');
  const size_t size =
      ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), kCompression);
  if (ZSTD_isError(size) != 0) return Internal(std::string("zstd: ") + ZSTD_getErrorName(size));
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return ErrnoStatus("create " + path, errno);
  size_t written = 0;
  while (written < size) {
    const ssize_t n = ::write(file, packed.data() + written, size - written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const Status failed = ErrnoStatus("write " + path, errno);
      ::close(file);
      ::unlink(path.c_str());
      return failed;
    }
    written += static_cast<size_t>(n);
  }
  if (::close(file) != 0) return ErrnoStatus("close " + path, errno);
  return OkStatus();
}

}  // namespace cairn::tools
