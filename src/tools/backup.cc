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
  connection.token_file = ProcessTokenFile();
  const Result<std::unique_ptr<Client>> client = Client::Connect(connection);
  Result<BackupResult> done =
      client.ok() ? (*client)->Backup(options) : Result<BackupResult>(client.status());
  line.Clear();
  return done;
}

// What came of a backup that was made.
struct Outcome {
  Status failure;     // it is not there, or not good: none was made
  Status unverified;  // it is there, and could not be read back
  bool compared = false;
};

// Only a sum that differs says that a backup is not good. One that cannot be read now, by a link, a
// key that may only write or a signal, stays: it may be the only one.
Outcome Compare(const BackupResult& made, const Result<std::string>& read,
                const std::string& name) {
  Outcome outcome;
  if (!read.ok()) {
    outcome.unverified = Status(read.status()).Prefixed(name + " is stored, and was not read back");
  } else if (*read != made.sha256) {
    outcome.failure = DataLoss(name + " is not good: what was read back has the SHA-256 " + *read +
                               ", and what the node sent has " + made.sha256 +
                               ": the disk or the storage does not keep what it is given");
  } else {
    outcome.compared = true;
  }
  return outcome;
}

// A node tells it as an event and a metric. The nodes may be down: that is told already.
void TellNodes(const BackupCommand& command, const Status& status, const std::string& name) {
  const std::string failure = status.ok() ? "" : ErrorInWords(status);
  for (const std::string& address : command.addresses) {
    if (OperationsClient(address).NoteBackup(failure, name, kNoteTimeout).ok()) return;
  }
}

// Prints what came of a backup. Returns whether it is there, and not known to be bad.
bool Tell(const BackupCommand& command, const Result<BackupResult>& made, const Outcome& outcome,
          const std::string& name, Run* run) {
  const BackupStreams& to = run->to;
  if (outcome.failure.ok()) {
    *to.out << name << ": " << made->bytes << " bytes, index " << made->index << ", cluster "
            << ClusterIdText(made->cluster_id) << ", sha256 " << made->sha256
            << (outcome.compared ? ", read back and compared" : ", not read back") << std::endl;
    if (!outcome.unverified.ok()) {
      *to.err << "warning: " << ErrorInWords(outcome.unverified) << std::endl;
    }
  } else {
    *to.err << "error: " << ErrorInWords(outcome.failure) << std::endl;
  }
  const Status& told = outcome.failure.ok() ? outcome.unverified : outcome.failure;
  // Whoever has stopped it knows, and what nobody has compared is not told to be good.
  if (!run->stopped_by && (outcome.compared || !told.ok())) TellNodes(command, told, name);
  return outcome.failure.ok();
}

// Makes a backup into the file that the command names.
bool MakeFile(const BackupCommand& command, Run* run) {
  const std::string& path = command.backup.path;
  const Result<BackupResult> made = MakeOne(command, path, path, run);
  Outcome outcome{made.status(), {}, false};
  if (made.ok() && command.read_back) {
    outcome = Compare(*made, Sha256OfStored(path, [run] { return run->GoesOn(); }), path);
  }
  return Tell(command, made, outcome, path, run);
}

// Keeps a backup that was made, and reads it back. One that is not good does not stay, so that no
// earlier one goes for it.
Outcome KeepNamed(const BackupCommand& command, const BackupResult& made, const std::string& name,
                  Run* run) {
  BackupTarget& target = *run->target;
  const std::string place = target.NameFor(name);
  if (Status kept = target.Keep(name); !kept.ok()) {
    return {std::move(kept).Prefixed(place + " is not there"), {}, false};
  }
  if (!command.read_back) return {};
  Outcome outcome = Compare(made, target.ReadBack(name, [run] { return run->GoesOn(); }), place);
  if (outcome.failure.ok()) return outcome;
  if (const Status removed = target.Remove(name); !removed.ok()) {
    *run->to.err << "error: " << place << " is not good, and stays: " << removed.message()
                 << std::endl;
  }
  return outcome;
}

// Only after a backup that is whole: a backup that fails night after night
// removes none.
Status RemoveOld(BackupTarget* target, size_t keep) {
  if (keep == 0) return OkStatus();
  ASSIGN_OR_RETURN(const std::vector<std::string> names, target->List());
  for (size_t i = 0; i + keep < names.size(); ++i) RETURN_IF_ERROR(target->Remove(names[i]));
  return target->RemoveUnfinished();
}

// Makes a backup that is named by its time.
bool MakeNamed(const BackupCommand& command, Run* run) {
  BackupTarget& target = *run->target;
  const std::string name = NameOfBackupNow();
  const Result<BackupResult> made =
      MakeOne(command, target.FileOf(name), target.NameFor(name), run);
  Outcome outcome{made.status(), {}, false};
  if (made.ok()) outcome = KeepNamed(command, *made, name, run);
  if (!Tell(command, made, outcome, target.NameFor(name), run)) return false;
  // No earlier one goes for one that could not be compared.
  if (!outcome.unverified.ok()) return true;
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
