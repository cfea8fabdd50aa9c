#include "server/port_check.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cairn::server {
namespace {

Result<uint16_t> PortOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return ErrnoStatus("getsockname", errno);
  }
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

}  // namespace

Result<std::unique_ptr<PortCheck>> PortCheck::Bind(const std::string& host, uint16_t port) {
  const std::string where = host + ":" + std::to_string(port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int rc = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (rc != 0) return FailedPrecondition("cannot listen on " + where + ": " + ::gai_strerror(rc));
  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int error = fd < 0 ? errno : 0;
  // A former server's closed connections must not block the port; a living server must.
  const int yes = 1;
  if (error == 0 && (::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
                     ::bind(fd, found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd, 1) != 0)) {
    error = errno;
  }
  ::freeaddrinfo(found);
  if (error != 0) {
    if (fd >= 0) ::close(fd);
    return FailedPrecondition("cannot listen on " + where + ": " + std::strerror(error));
  }
  Result<uint16_t> bound = PortOf(fd);
  std::unique_ptr<PortCheck> check(new PortCheck(fd, bound.ok() ? *bound : port));
  if (!bound.ok()) return bound.status();
  return check;
}

PortCheck::~PortCheck() { ::close(fd_); }

}  // namespace cairn::server
