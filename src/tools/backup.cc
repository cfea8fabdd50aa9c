#include "tools/backup.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <ctime>
#include <optional>
#include <utility>

#include "base/checksum_file.h"
#include "base/clock.h"
#include "base/file_system.h"
#include "base/ids.h"
#include "base/locked_file.h"
#include "cairn/client.h"
#include "tools/cluster_view.h"
#include "tools/process_tls.h"
#include "tools/progress_line.h"

namespace cairn::tools {
namespace {

// After a backup that failed.
constexpr std::chrono::seconds kTryAgainAfter(60);

// Makes one backup, and prints what came of it. `stopped_by` is set if a signal ended it.
bool MakeOne(const BackupCommand& command, const std::string& path, StopSignals* signals,
             std::optional<int>* stopped_by, const BackupStreams& to) {
  ProgressLine line(to.terminal);
  BackupOptions options = command.backup;
  options.path = path;
  options.proceed = [&](const BackupProgress& progress) {
    line.Show(progress.bytes, progress.bytes_total);
    if (!*stopped_by) *stopped_by = signals->Wait(std::chrono::milliseconds(0));
    return !*stopped_by;
  };
  options.told = [&](const std::string& what) {
    line.Clear();
    *to.err << path << ": " << what << std::endl;
  };
  ClientOptions connection;
  connection.tls_directory = ProcessTlsDirectory();
  connection.endpoints = command.addresses;
  const Result<std::unique_ptr<Client>> client = Client::Connect(connection);
  const Result<BackupResult> done =
      client.ok() ? (*client)->Backup(options) : Result<BackupResult>(client.status());
  line.Clear();
  if (!done.ok()) {
    *to.err << "error: " << ErrorInWords(done.status()) << std::endl;
    return false;
  }
  *to.out << path << ": " << done->bytes << " bytes, index " << done->index << ", cluster "
          << ClusterIdText(done->cluster_id) << ", sha256 " << done->sha256 << std::endl;
  return true;
}

// "cairn-20261130T090000Z.db".
constexpr std::string_view kNamePattern = "cairn-00000000T000000Z.db";
constexpr std::string_view kUnfinished = ".partial";

std::string NameOfNow() {
  const auto now = static_cast<std::time_t>(SystemClock().WallNowMs() / 1000);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char name[64];
  name[std::strftime(name, sizeof name, "cairn-%Y%m%dT%H%M%SZ.db", &utc)] = '\0';
  return name;
}

bool IsNameOfBackup(std::string_view name) {
  return std::equal(name.begin(), name.end(), kNamePattern.begin(), kNamePattern.end(),
                    [](char found, char pattern) {
                      return pattern == '0' ? found >= '0' && found <= '9' : found == pattern;
                    });
}

// In order of their times.
Result<std::vector<std::string>> BackupsIn(const std::string& directory) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, PosixFileSystem().List(directory));
  std::erase_if(names, [](const std::string& name) { return !IsNameOfBackup(name); });
  return names;
}

// What backups left that were killed: later ones have other names, and do not take it over.
Status RemoveUnfinished(const std::string& directory) {
  FileSystem& fs = PosixFileSystem();
  ASSIGN_OR_RETURN(const std::vector<std::string> names, fs.List(directory));
  for (const std::string& name : names) {
    if (!name.ends_with(kUnfinished)) continue;
    if (!IsNameOfBackup(std::string_view(name).substr(0, kNamePattern.size()))) continue;
    const std::string path = directory + "/" + name;
    // One that is being made holds the lock.
    const Result<std::unique_ptr<LockedFile>> lock = LockedFile::Acquire(path);
    if (lock.ok()) RETURN_IF_ERROR(fs.Remove(path));
  }
  return OkStatus();
}

// Only after a backup that is whole: a backup that fails night after night removes none.
Status RemoveOld(const std::string& directory, size_t keep) {
  if (keep == 0) return OkStatus();
  FileSystem& fs = PosixFileSystem();
  ASSIGN_OR_RETURN(const std::vector<std::string> names, BackupsIn(directory));
  for (size_t i = 0; i + keep < names.size(); ++i) {
    const std::string path = directory + "/" + names[i];
    RETURN_IF_ERROR(fs.Remove(path));
    RETURN_IF_ERROR(fs.Remove(ChecksumPath(path)));
  }
  return RemoveUnfinished(directory);
}

bool MakeInDirectory(const BackupCommand& command, StopSignals* signals,
                     std::optional<int>* stopped_by, const BackupStreams& to) {
  const std::string& directory = command.backup.path;
  if (!MakeOne(command, directory + "/" + NameOfNow(), signals, stopped_by, to)) return false;
  if (Status removed = RemoveOld(directory, command.keep); !removed.ok()) {
    *to.err << "error: an old backup stays: " << removed.message() << std::endl;
  }
  return true;
}

// How long ago the latest backup in the directory was made. Nothing if there is none, or if it is of
// a time that is still to come.
std::optional<std::chrono::seconds> AgeOfLatest(const std::string& directory) {
  const Result<std::vector<std::string>> names = BackupsIn(directory);
  if (!names.ok() || names->empty()) return std::nullopt;
  std::tm utc{};
  if (strptime(names->back().c_str(), "cairn-%Y%m%dT%H%M%SZ.db", &utc) == nullptr) {
    return std::nullopt;
  }
  const int64_t age = SystemClock().WallNowMs() / 1000 - timegm(&utc);
  return age < 0 ? std::nullopt : std::optional(std::chrono::seconds(age));
}

}  // namespace

Result<std::chrono::seconds> ParseEvery(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  int64_t seconds = 0;
  if (unit == "s") seconds = 1;
  if (unit == "m") seconds = 60;
  if (unit == "h") seconds = 3600;
  if (unit == "d") seconds = 86'400;
  if (error != std::errc() || seconds == 0 || number < 1 || number > 100'000) {
    return InvalidArgument("--every is a number with s, m, h or d, such as 24h");
  }
  return std::chrono::seconds(number * seconds);
}

int RunBackup(const BackupCommand& command, StopSignals* signals, const BackupStreams& to) {
  // A file that may not grow (ulimit -f) is an error like a full disk, and not the end.
  std::signal(SIGXFSZ, SIG_IGN);
  std::optional<int> stopped_by;
  if (command.every.count() == 0) {
    const bool made = command.in_directory
                          ? MakeInDirectory(command, signals, &stopped_by, to)
                          : MakeOne(command, command.backup.path, signals, &stopped_by, to);
    return made ? 0 : stopped_by ? 128 + *stopped_by : 1;
  }
  // A service that is restarted again and again must not fill the directory with one night's backups.
  const auto age = AgeOfLatest(command.backup.path);
  if (age && *age < command.every) {
    *to.out << "the latest backup is of " << age->count() << " s ago; the next one is made in "
            << (command.every - *age).count() << " s" << std::endl;
    if (signals->Wait(command.every - *age)) return 0;
  }
  for (;;) {
    const SteadyTime begun = SystemClock().SteadyNow();
    const bool made = MakeInDirectory(command, signals, &stopped_by, to);
    if (stopped_by) return 0;
    const auto pause = made ? command.every : std::min(command.every, kTryAgainAfter);
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(begun + pause - SystemClock().SteadyNow());
    if (signals->Wait(std::max(left, std::chrono::milliseconds(0)))) return 0;
  }
}

}  // namespace cairn::tools
