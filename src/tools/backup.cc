#include "tools/backup.h"

#include <atomic>
#include <csignal>
#include <iomanip>
#include <sstream>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/ids.h"
#include "cairn/client.h"
#include "tools/cluster_view.h"

namespace cairn::tools {
namespace {

constexpr SteadyTime kShowEvery = std::chrono::milliseconds(250);

std::string MiB(uint64_t bytes) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(1) << static_cast<double>(bytes) / (1 << 20) << " MiB";
  return out.str();
}

// One line that is written again and again.
class ProgressLine {
 public:
  explicit ProgressLine(std::ostream* terminal) : terminal_(terminal) {}
  void Show(const BackupProgress& progress) {
    const SteadyTime now = SystemClock().SteadyNow();
    if (terminal_ == nullptr || progress.bytes_total == 0 || now < next_) return;
    next_ = now + kShowEvery;
    *terminal_ << "\r\033[K" << MiB(progress.bytes) << " of " << MiB(progress.bytes_total) << ", "
               << progress.bytes * 100 / progress.bytes_total << " %" << std::flush;
    shown_ = true;
  }
  void Clear() {
    if (std::exchange(shown_, false)) *terminal_ << "\r\033[K" << std::flush;
  }

 private:
  std::ostream* const terminal_;
  SteadyTime next_{0};
  bool shown_ = false;
};

}  // namespace

int RunBackup(const BackupCommand& command, StopSignals* signals, std::ostream* out,
              std::ostream* err, std::ostream* terminal) {
  // A file that may not grow (ulimit -f) is an error like a full disk, and not the end.
  std::signal(SIGXFSZ, SIG_IGN);
  std::atomic<int> stopped_by = 0;
  std::thread stopper([&] {
    if (const std::optional<int> signal = signals->Wait()) stopped_by = *signal;
  });
  ProgressLine line(terminal);
  BackupOptions options = command.backup;
  options.proceed = [&](const BackupProgress& progress) {
    line.Show(progress);
    return stopped_by == 0;
  };
  ClientOptions connection;
  connection.endpoints = command.addresses;
  Result<std::unique_ptr<Client>> client = Client::Connect(connection);
  const Result<BackupResult> done =
      client.ok() ? (*client)->Backup(options) : Result<BackupResult>(client.status());
  line.Clear();
  signals->Cancel();
  stopper.join();
  if (!done.ok()) {
    *err << "error: " << ErrorInWords(done.status()) << std::endl;
    return stopped_by != 0 ? 128 + stopped_by : 1;
  }
  *out << options.path << ": " << done->bytes << " bytes, index " << done->index << ", cluster "
       << ClusterIdText(done->cluster_id) << ", sha256 " << done->sha256 << std::endl;
  return 0;
}

}  // namespace cairn::tools
