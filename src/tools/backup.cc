#include "tools/backup.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/ids.h"
#include "cairn/client.h"
#include "tools/cluster_view.h"
#include "tools/operations_client.h"
#include "tools/process_tls.h"
#include "tools/progress_line.h"
#include "tools/read_back.h"

namespace cairn::tools {
namespace {

// After a backup that failed.
constexpr std::chrono::seconds kTryAgainAfter(60);
constexpr std::chrono::milliseconds kNoteTimeout(3000);

// What the backups of one command share.
struct Run {
  StopSignals* signals = nullptr;
  const BackupStreams& to;
  std::optional<int> stopped_by;         // a signal
  std::unique_ptr<BackupTarget> target;  // null: one backup into a file

  bool GoesOn() {
    if (!stopped_by) stopped_by = signals->Wait(std::chrono::milliseconds(0));
    return !stopped_by;
  }
};

// Makes one backup. `name` is for people.
Result<BackupResult> MakeOne(const BackupCommand& command, const std::string& path,
                             const std::string& name, Run* run) {
  const BackupStreams& to = run->to;
  ProgressLine line(to.terminal);
  BackupOptions options = command.backup;
  options.path = path;
  options.proceed = [&](const BackupProgress& progress) {
    line.Show(progress.bytes, progress.bytes_total);
    return run->GoesOn();
  };
  options.told = [&](const std::string& what) {
    line.Clear();
    *to.err << name << ": " << what << std::endl;
  };
  ClientOptions connection;
  connection.endpoints = command.addresses;
  connection.tls_directory = ProcessTlsDirectory();
  const Result<std::unique_ptr<Client>> client = Client::Connect(connection);
  Result<BackupResult> done =
      client.ok() ? (*client)->Backup(options) : Result<BackupResult>(client.status());
  line.Clear();
  return done;
}

// DATA_LOSS unless what was read back is what the node sent.
Status CheckReadBack(const BackupResult& made, const Result<std::string>& read) {
  RETURN_IF_ERROR(read.status());
  if (*read == made.sha256) return OkStatus();
  return DataLoss("what was read back has the SHA-256 " + *read + ", and what the node sent has " +
                  made.sha256 + ": the disk or the storage does not keep what it is given");
}

// A node tells it as an event and a metric. The nodes may be down: that is told already.
void TellNodes(const BackupCommand& command, const Status& status, const std::string& name) {
  for (const std::string& address : command.addresses) {
    const std::string failure = status.ok() ? "" : ErrorInWords(status);
    if (OperationsClient(address).NoteBackup(failure, name, kNoteTimeout).ok()) return;
  }
}

// Prints what came of a backup. Returns whether it is good.
bool Tell(const BackupCommand& command, const Result<BackupResult>& made, const Status& status,
          const std::string& name, Run* run) {
  const BackupStreams& to = run->to;
  if (status.ok()) {
    *to.out << name << ": " << made->bytes << " bytes, index " << made->index << ", cluster "
            << ClusterIdText(made->cluster_id) << ", sha256 " << made->sha256
            << ", read back and compared" << std::endl;
  } else {
    *to.err << "error: " << ErrorInWords(status) << std::endl;
  }
  // Whoever has stopped it knows.
  if (!run->stopped_by) TellNodes(command, status, name);
  return status.ok();
}

// Makes a backup into the file that the command names.
bool MakeFile(const BackupCommand& command, Run* run) {
  const std::string& path = command.backup.path;
  const Result<BackupResult> made = MakeOne(command, path, path, run);
  Status status = made.status();
  if (status.ok()) {
    status = CheckReadBack(*made, Sha256OfStored(path, [run] { return run->GoesOn(); }));
    if (!status.ok()) status = std::move(status).Prefixed(path + " is not good");
  }
  return Tell(command, made, status, path, run);
}

// Only after a backup that is whole: a backup that fails night after night
// removes none.
Status RemoveOld(BackupTarget* target, size_t keep) {
  if (keep == 0) return OkStatus();
  ASSIGN_OR_RETURN(const std::vector<std::string> names, target->List());
  for (size_t i = 0; i + keep < names.size(); ++i) RETURN_IF_ERROR(target->Remove(names[i]));
  return target->RemoveUnfinished();
}

// Keeps a backup that was made, and reads it back. One that is not good does not stay, so that no
// earlier one goes for it.
Status KeepNamed(const BackupResult& made, const std::string& name, Run* run) {
  BackupTarget& target = *run->target;
  if (Status kept = target.Keep(name); !kept.ok()) {
    return std::move(kept).Prefixed(target.NameFor(name) + " is not there");
  }
  Status good = CheckReadBack(made, target.ReadBack(name, [run] { return run->GoesOn(); }));
  if (good.ok()) return OkStatus();
  if (const Status removed = target.Remove(name); !removed.ok()) {
    *run->to.err << "error: " << target.NameFor(name)
                 << " is not good, and stays: " << removed.message() << std::endl;
  }
  return std::move(good).Prefixed(target.NameFor(name) + " is not good");
}

// Makes a backup that is named by its time.
bool MakeNamed(const BackupCommand& command, Run* run) {
  BackupTarget& target = *run->target;
  const std::string name = NameOfBackupNow();
  const Result<BackupResult> made =
      MakeOne(command, target.FileOf(name), target.NameFor(name), run);
  Status status = made.status();
  if (status.ok()) status = KeepNamed(*made, name, run);
  if (!Tell(command, made, status, target.NameFor(name), run)) return false;
  if (Status removed = RemoveOld(&target, command.keep); !removed.ok()) {
    *run->to.err << "error: an old backup stays: " << removed.message() << std::endl;
  }
  return true;
}

// How long ago the latest backup of the target was made. Nothing if there is
// none, or if it is of a time that is still to come.
std::optional<std::chrono::seconds> AgeOfLatest(BackupTarget* target) {
  const Result<std::vector<std::string>> names = target->List();
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
  // A file that may not grow (ulimit -f) is an error like a full disk, and not
  // the end.
  std::signal(SIGXFSZ, SIG_IGN);
  Run run{.signals = signals, .to = to, .stopped_by = {}, .target = nullptr};
  if (command.s3.has_value()) {
    Result<std::unique_ptr<BackupTarget>> target =
        NewS3Target(*command.s3, [&run] { return run.GoesOn(); });
    if (!target.ok()) {
      *to.err << "error: " << target.status().message() << std::endl;
      return 1;
    }
    run.target = *std::move(target);
  } else if (command.in_directory) {
    run.target = NewDirectoryTarget(command.backup.path);
  }
  if (command.every.count() == 0) {
    const bool made = run.target == nullptr ? MakeFile(command, &run) : MakeNamed(command, &run);
    return made ? 0 : run.stopped_by ? 128 + *run.stopped_by : 1;
  }
  // A service that is restarted again and again must not fill the target with
  // one night's backups.
  const auto age = AgeOfLatest(run.target.get());
  if (age && *age < command.every) {
    *to.out << "the latest backup is of " << age->count() << " s ago; the next one is made in "
            << (command.every - *age).count() << " s" << std::endl;
    if (signals->Wait(command.every - *age)) return 0;
  }
  for (;;) {
    const SteadyTime begun = SystemClock().SteadyNow();
    const bool made = MakeNamed(command, &run);
    if (run.stopped_by) return 0;
    const auto pause = made ? command.every : std::min(command.every, kTryAgainAfter);
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(begun + pause - SystemClock().SteadyNow());
    if (signals->Wait(std::max(left, std::chrono::milliseconds(0)))) return 0;
  }
}

}  // namespace cairn::tools
