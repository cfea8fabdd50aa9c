#include "tools/serve.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "base/host_port.h"
#include "base/log.h"
#include "base/mutex.h"
#include "server/listener.h"
#include "tools/json_log.h"
#include "tools/service_notice.h"
#include "tools/stop_signals.h"

namespace cairn::tools {
namespace {

// timeout(1) and service managers signal the process and its group: two signals, one request.
constexpr std::chrono::seconds kSameRequest(1);
// How long a clean stop may take. A supervisor of containers kills after 10 s.
constexpr std::chrono::seconds kStopMax(8);

// Ends the process unless the guard is destroyed in time. A thread that waits for a hung disk
// cannot be called back, and the person who stops a node needs an answer.
class StopDeadline {
 public:
  StopDeadline() {
    thread_ = std::thread([this] {
      MutexLock lock(mutex_);
      const auto stopped = [this]() CAIRN_REQUIRES(mutex_) { return stopped_; };
      if (stopped_cv_.WaitFor(lock, kStopMax, stopped)) return;
      LOG_ERROR(
          "the clean stop has not ended within {} s (does the disk still answer?); the process "
          "ends "
          "without it. Nothing acknowledged is lost: the next start replays the log",
          kStopMax.count());
      FlushLog();  // standard error may hang, too
      _exit(1);
    });
  }
  ~StopDeadline() {
    {
      MutexLock lock(mutex_);
      stopped_ = true;
      stopped_cv_.NotifyAll();
    }
    thread_.join();
  }
  StopDeadline(const StopDeadline&) = delete;
  StopDeadline& operator=(const StopDeadline&) = delete;

 private:
  Mutex mutex_;
  CondVar stopped_cv_;
  bool stopped_ CAIRN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

void SayHowSafe(const server::ServerOptions& options) {
  if (options.http_port != 0 && !IsLoopbackHost(options.http_host)) {
    LOG_WARN(
        "the HTTP door has no TLS: everyone who reaches {} can read the metrics and the status",
        options.http_host);
  }
  if (!options.tls_directory.empty()) return;
  if (IsLoopbackHost(options.host)) {
    LOG_INFO("without TLS: every process of this machine can read and change the data");
  } else if (options.insecure) {  // otherwise the server does not start, and says why
    LOG_WARN("without TLS (--insecure): everyone who reaches {} can read and change the data",
             options.host);
  }
}

}  // namespace

int Serve(const ServeOptions& options) {
  StopSignals signals;
  // A peer or client that goes away must not end the process.
  ::signal(SIGPIPE, SIG_IGN);
  const std::string name = "node " + std::to_string(options.server.node_id);
  if (!(options.log_json ? InitJsonLog : InitLog)(name, options.log_level)) {
    std::fprintf(stderr, "error: unknown log level '%s'\n", options.log_level.c_str());
    return 1;
  }
  ServiceNotice service(ServiceNotice::FromEnvironment());
  server::RaiseDescriptorLimit();
  SayHowSafe(options.server);
  Result<std::unique_ptr<server::Server>> started = server::Server::Start(options.server);
  if (!started.ok()) {
    FlushLog();
    std::fprintf(stderr, "error: %s\n", started.status().message().c_str());
    return 1;
  }
  server::Server& server = **started;
  service.Begin([&server] { return server.health(); });
  std::printf("cairn: %s serving on %s\n", name.c_str(),
              JoinHostPort(options.server.host, server.port()).c_str());
  std::fflush(stdout);

  std::thread stopper([&] {
    if (!signals.Wait()) return;
    const StopDeadline deadline;  // first: a log that hangs must not hold up the stop
    LOG_INFO("stopping; a second signal ends the process at once");
    service.End();
    const auto first = std::chrono::steady_clock::now();
    std::thread impatient([&] {
      while (signals.Wait()) {
        if (std::chrono::steady_clock::now() - first >= kSameRequest) _exit(1);
      }
    });
    server.Shutdown();
    signals.Cancel();
    impatient.join();
  });
  const Status ended = server.Wait();
  signals.Cancel();
  stopper.join();
  service.End();
  if (!ended.ok()) {
    FlushLog();
    std::fprintf(stderr, "error: %s\n", ended.ToString().c_str());
    return 1;
  }
  std::printf("cairn: %s stopped\n", name.c_str());
  if (!FlushLog()) {
    // exit() would wait for the stream of standard error, which the thread of the log holds.
    std::fflush(stdout);
    _exit(0);
  }
  return 0;
}

}  // namespace cairn::tools
