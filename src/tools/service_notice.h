// ServiceNotice: tells the manager of services (systemd, or another one that speaks sd_notify) how
// the server is. Each notice is one datagram to the socket that NOTIFY_SOCKET names.
//
//   READY=1       the node listens, and takes part in its cluster as soon as there is one
//   STATUS=...    its role, or why clients should go elsewhere, whenever that changes
//   WATCHDOG=1    again and again, while the core thread turns. A core thread that is stuck ends the
//                 notices, and the manager restarts the process after WatchdogSec.
//   STOPPING=1    the clean stop has begun
//
// Without NOTIFY_SOCKET nothing is done.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"
#include "server/server.h"

namespace cairn::tools {

struct ServiceManager {
  std::string socket;  // a path, or an abstract name that begins with '@'; empty: none
  std::chrono::microseconds watchdog{
      0};  // without a notice for so long it ends the process; 0: never
};

// How often the watchdog is told: three times before its patience ends.
std::chrono::milliseconds NoticeInterval(const ServiceManager& manager);

// Whether the watchdog is to be told of a core thread that turned so long ago.
bool IsTurning(const ServiceManager& manager, SteadyTime turned_ago);

// Begin and End are called on one thread at a time.
class ServiceNotice {
 public:
  // Takes the variables out of the environment, so that no child takes the notices for its own.
  // Call it before any other thread exists.
  static ServiceManager FromEnvironment();

  explicit ServiceNotice(ServiceManager manager);
  ~ServiceNotice();
  ServiceNotice(const ServiceNotice&) = delete;
  ServiceNotice& operator=(const ServiceNotice&) = delete;

  // Says READY, and then what `health` gives, from a thread of its own. Call once.
  void Begin(std::function<server::ServerHealth()> health);
  // Says STOPPING and ends the thread. `health` is not called any more when it returns. May be
  // called twice, and without Begin.
  void End();

 private:
  void Run(const std::function<server::ServerHealth()>& health);
  void Send(const std::string& lines);

  const ServiceManager manager_;
  int socket_ = -1;  // -1: there is no manager
  Mutex mutex_;
  CondVar changed_;
  bool ended_ CAIRN_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace cairn::tools
