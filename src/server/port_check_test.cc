#include "server/port_check.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace cairn::server {
namespace {

// 0, or the error.
int Connect(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int rc = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = rc == 0 ? 0 : errno;
  ::close(fd);
  return error;
}

TEST(PortCheck, HoldsThePortAndRefusesConnectionsUntilItIsGone) {
  auto check = PortCheck::Bind("127.0.0.1", 0);
  ASSERT_TRUE(check.ok()) << check.status();
  const uint16_t port = (*check)->port();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Connect(port), ECONNREFUSED);
  const auto second = PortCheck::Bind("127.0.0.1", port);
  EXPECT_EQ(second.status().code(), StatusCode::kFailedPrecondition);
  check->reset();
  const auto third = PortCheck::Bind("127.0.0.1", port);
  EXPECT_TRUE(third.ok()) << third.status();
}

}  // namespace
}  // namespace cairn::server
