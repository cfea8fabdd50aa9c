#include "server/port_check.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/host_port.h"

namespace cairn::server {
namespace {

uint16_t PortOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

// Returns 0, or the error.
int BindTo(int fd, const addrinfo& address) {
  // The closed connections of a former server must not block the port. A living server must.
  const int yes = 1;
  const bool bound = ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
                     ::bind(fd, address.ai_addr, address.ai_addrlen) == 0;
  return bound ? 0 : errno;
}

// Listens, to find out whether anybody else does. Then lets nobody in, and keeps the port.
//
// To go on listening until the data are open would be bad for peers. Connections that nobody
// accepts fill the queue, and a peer that comes after them waits a second until its host asks
// again.
int Hold(int fd) {
  const int no = 0;
  const bool held = ::listen(fd, 1) == 0 &&
                    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &no, sizeof no) == 0 &&
                    ::shutdown(fd, SHUT_RD) == 0;
  return held ? 0 : errno;
}

}  // namespace

Result<std::unique_ptr<PortCheck>> PortCheck::Bind(const std::string& host, uint16_t port) {
  const std::string where = JoinHostPort(host, port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int rc =
      ::getaddrinfo(WithoutBrackets(host).c_str(), std::to_string(port).c_str(), &hints, &found);
  if (rc != 0) return FailedPrecondition("cannot listen on " + where + ": " + ::gai_strerror(rc));
  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int error = fd < 0 ? errno : BindTo(fd, *found);
  ::freeaddrinfo(found);
  // When listening ends, the system takes back a port that it chose itself. So the port is asked
  // for by its number.
  const uint16_t chosen = error == 0 && port == 0 ? PortOf(fd) : 0;
  if (error == 0 && port != 0) error = Hold(fd);
  if (error == 0 && chosen == 0) return std::unique_ptr<PortCheck>(new PortCheck(fd, port));
  if (fd >= 0) ::close(fd);
  if (chosen != 0) return Bind(host, chosen);
  return FailedPrecondition("cannot listen on " + where + ": " + std::strerror(error));
}

PortCheck::~PortCheck() { ::close(fd_); }

}  // namespace cairn::server
