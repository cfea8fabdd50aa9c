#include "tools/service_notice.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/log.h"

namespace cairn::tools {
namespace {

constexpr std::chrono::milliseconds kLookInterval(1000);
constexpr size_t kStatusBytesMax = 1024;

std::string TakeVariable(const char* name) {
  const char* const value = std::getenv(name);
  std::string text = value == nullptr ? "" : value;
  ::unsetenv(name);
  return text;
}

// 0 for a text that is no number.
uint64_t NumberOf(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

}  // namespace

std::chrono::milliseconds NoticeInterval(const ServiceManager& manager) {
  const auto third = std::chrono::duration_cast<std::chrono::milliseconds>(manager.watchdog) / 3;
  if (manager.watchdog.count() == 0) return kLookInterval;
  return std::clamp(third, std::chrono::milliseconds(10), kLookInterval);
}

bool IsTurning(const ServiceManager& manager, SteadyTime turned_ago) {
  // The last notice was sent at most so long after the last turn, so a third of the patience is left
  // to notice that the process is stuck in any other way.
  return turned_ago < std::max<SteadyTime>(manager.watchdog / 3, kLookInterval);
}

ServiceManager ServiceNotice::FromEnvironment() {
  ServiceManager manager;
  manager.socket = TakeVariable("NOTIFY_SOCKET");
  const uint64_t watchdog_us = NumberOf(TakeVariable("WATCHDOG_USEC"));
  const std::string process = TakeVariable("WATCHDOG_PID");
  // The variables may be those of a parent that started this process.
  if (process.empty() || NumberOf(process) == static_cast<uint64_t>(::getpid())) {
    manager.watchdog = std::chrono::microseconds(watchdog_us);
  }
  return manager;
}

ServiceNotice::ServiceNotice(ServiceManager manager) : manager_(std::move(manager)) {
  if (manager_.socket.empty()) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& name = manager_.socket;
  if ((name[0] != '/' && name[0] != '@') || name.size() >= sizeof(address.sun_path)) {
    LOG_WARN("NOTIFY_SOCKET is '{}', which is neither a path nor an abstract name", name);
    return;
  }
  std::memcpy(address.sun_path, name.data(), name.size());
  if (name[0] == '@') address.sun_path[0] = '\0';
  socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  if (socket_ >= 0 && ::connect(socket_, reinterpret_cast<sockaddr*>(&address), length) == 0) {
    return;
  }
  LOG_WARN("the manager of services is not told anything: {}: {}", name, std::strerror(errno));
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

ServiceNotice::~ServiceNotice() {
  End();
  if (socket_ >= 0) ::close(socket_);
}

void ServiceNotice::Begin(std::function<server::ServerHealth()> health) {
  if (socket_ < 0) return;
  Send("READY=1\nSTATUS=" + health().words.substr(0, kStatusBytesMax));
  thread_ = std::thread([this, health = std::move(health)] { Run(health); });
}

void ServiceNotice::End() {
  {
    MutexLock lock(mutex_);
    if (std::exchange(ended_, true)) return;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
  Send("STOPPING=1\nSTATUS=stopping");
}

void ServiceNotice::Run(const std::function<server::ServerHealth()>& health) {
  const std::chrono::milliseconds interval = NoticeInterval(manager_);
  std::string told;
  MutexLock lock(mutex_);
  while (!ended_) {
    lock.Unlock();
    const server::ServerHealth now = health();
    std::string lines;
    if (manager_.watchdog.count() > 0 && IsTurning(manager_, now.turned_ago)) {
      lines = "WATCHDOG=1\n";
    }
    if (now.words != told) lines += "STATUS=" + now.words.substr(0, kStatusBytesMax) + "\n";
    told = now.words;
    if (!lines.empty()) Send(lines);
    lock.Lock();
    changed_.WaitFor(lock, interval, [this]() CAIRN_REQUIRES(mutex_) { return ended_; });
  }
}

void ServiceNotice::Send(const std::string& lines) {
  if (socket_ < 0) return;
  // A manager that does not read must not hold up the server: the notice is lost instead.
  ::send(socket_, lines.data(), lines.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace cairn::tools
