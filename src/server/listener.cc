#include "server/listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/host_port.h"
#include "base/log.h"

namespace cairn::server {
namespace {

// Kept free of connections: SQLite opens up to two descriptors for each of its connections, of
// which there are about twenty.
constexpr int kReservedDescriptors = 128;
// Idle connections cost memory too, about 20 KiB each.
constexpr int kConnectionsMax = 4096;
// A connection is dead if what was sent on it is not acknowledged for this long.
constexpr unsigned kUnacknowledgedMaxMs = 5000;
constexpr int kFullPauseMs = 100;
constexpr SteadyTime kWarnEvery = std::chrono::seconds(10);

// Returns -1 and sets `*error`.
int OpenSocket(const addrinfo& address, int* error) {
  const int fd =
      ::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol);
  if (fd < 0) {
    *error = errno;
    return -1;
  }
  const auto set = [fd](int level, int name, unsigned value) {
    return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
  };
  // The connections inherit the options. The addresses that stand for all addresses take IPv4 and
  // IPv6; of other hosts each address has its own socket.
  const bool v6 = address.ai_family == AF_INET6;
  if (v6) set(IPPROTO_IPV6, IPV6_V6ONLY, 0);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, kUnacknowledgedMaxMs);
  if (set(SOL_SOCKET, SO_REUSEADDR, 1) && set(IPPROTO_TCP, TCP_NODELAY, 1) &&
      ::bind(fd, address.ai_addr, address.ai_addrlen) == 0 && ::listen(fd, SOMAXCONN) == 0) {
    return fd;
  }
  *error = errno;
  ::close(fd);
  return -1;
}

// Returns 0, or an error of getaddrinfo; `*error` is the reason if `*sockets` is empty.
int OpenSockets(const std::string& host, uint16_t port, std::vector<int>* sockets, int* error) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int rc = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (rc != 0) return rc;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    const int fd = OpenSocket(*at, error);
    if (fd >= 0) sockets->push_back(fd);
  }
  ::freeaddrinfo(found);
  return 0;
}

}  // namespace

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    LOG_WARN("cannot raise the limit of open files: {}", std::strerror(errno));
  }
}

int ConnectionDescriptorsMax() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return kConnectionsMax;
  const int descriptors =
      static_cast<int>(std::min<rlim_t>(limit.rlim_cur, kConnectionsMax + kReservedDescriptors));
  return descriptors - std::min(kReservedDescriptors, descriptors / 4);
}

Result<std::unique_ptr<Listener>> Listener::Listen(const std::string& host, uint16_t port,
                                                   int descriptors_max, Clock* clock) {
  std::vector<int> sockets;
  int error = 0;
  int rc = 0;
  // One socket for both families. A machine may be without IPv6.
  if (IsWildcardHost(host)) rc = OpenSockets("::", port, &sockets, &error);
  if (sockets.empty()) rc = OpenSockets(WithoutBrackets(host), port, &sockets, &error);
  const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (!sockets.empty() && wake >= 0) {
    return std::unique_ptr<Listener>(
        new Listener(std::move(sockets), wake, descriptors_max, clock));
  }
  if (!sockets.empty()) error = errno;
  for (const int fd : sockets) ::close(fd);
  if (wake >= 0) ::close(wake);
  return FailedPrecondition("cannot listen on " + JoinHostPort(host, port) + ": " +
                            (rc != 0 ? ::gai_strerror(rc) : std::strerror(error)));
}

Listener::~Listener() {
  Stop();
  for (const int fd : sockets_) ::close(fd);
  ::close(wake_);
}

void Listener::Start(Take take, First first) {
  take_ = std::move(take);
  if (first == First::kTlsHello) gate_ = std::make_unique<HelloGate>(clock_, take_);
  thread_ = std::thread([this] { Run(); });
}

void Listener::Stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  // The counter of an eventfd takes this write in any case.
  if (::write(wake_, &one, sizeof one) < 0) LOG_WARN("cannot wake the listener");
  thread_.join();
  gate_.reset();
  // Peers and clients learn at once that nobody takes their connections.
  for (const int fd : std::exchange(sockets_, {})) ::close(fd);
}

void Listener::Run() {
  std::vector<pollfd> polls;
  bool full = false;
  for (;;) {
    polls.assign(1, {wake_, POLLIN, 0});
    // With no descriptor at all, connections cannot even be refused. They wait in the system.
    for (size_t i = 0; i < sockets_.size() && !full; ++i) polls.push_back({sockets_[i], POLLIN, 0});
    const size_t known = polls.size();
    int timeout_ms = full ? kFullPauseMs : -1;
    if (gate_ != nullptr) {
      gate_->AppendTo(&polls);
      const int gate_ms = gate_->TimeoutMs();
      if (gate_ms >= 0) timeout_ms = full ? std::min(gate_ms, kFullPauseMs) : gate_ms;
    }
    ::poll(polls.data(), polls.size(), timeout_ms);
    if (polls[0].revents != 0) return;
    if (gate_ != nullptr) gate_->Serve(polls.data() + known);
    full = false;
    for (const int fd : sockets_) full = !TakeAll(fd) || full;
  }
}

// False: the process has no descriptor.
bool Listener::TakeAll(int socket) {
  for (;;) {
    const int fd = ::accept4(socket, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= descriptors_max_) {
      // The system gives out the lowest number that is free, so all numbers below are in use.
      Refuse(fd);
    } else if (fd >= 0) {
      Give(fd);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return true;
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return false;
    }
    // Any other error is that of one connection, which has ended before it was taken.
  }
}

void Listener::Give(int connection) {
  if (gate_ != nullptr) {
    gate_->Add(connection);
  } else {
    take_(connection);
  }
}

void Listener::Refuse(int connection) {
  const uint64_t refused = ++refused_;
  ::close(connection);
  const SteadyTime now = clock_->SteadyNow();
  if (now < next_warning_) return;
  next_warning_ = now + kWarnEvery;
  LOG_WARN("too many connections: new ones are refused descriptors_max={} refused={}",
           descriptors_max_, refused);
}

}  // namespace cairn::server
