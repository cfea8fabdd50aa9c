#include "server/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "base/mailbox.h"
#include "server/port_check.h"

namespace cairn::server {
namespace {

class ListenerTest : public ::testing::Test {
 protected:
  ~ListenerTest() override {
    for (const int fd : clients_) ::close(fd);
  }

  void Listen(int descriptors_max) {
    {
      const auto check = PortCheck::Bind("127.0.0.1", 0);
      ASSERT_TRUE(check.ok()) << check.status();
      port_ = (*check)->port();
    }
    auto listener = Listener::Listen("127.0.0.1", port_, descriptors_max, &SystemClock());
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }

  // Under a number above those of the listener's connections.
  int Connect() {
    const int low = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int fd = ::fcntl(low, F_DUPFD_CLOEXEC, 500);
    ::close(low);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    clients_.push_back(fd);
    return fd;
  }

  int Take() {
    std::vector<int> taken;
    EXPECT_TRUE(taken_.PopAll(&taken, std::chrono::seconds(30)));
    EXPECT_EQ(taken.size(), 1u);
    return taken.empty() ? -1 : taken.front();
  }

  uint16_t port_ = 0;
  Mailbox<int> taken_;
  std::unique_ptr<Listener> listener_;
  std::vector<int> clients_;
};

int LowestFree() {
  const int fd = ::dup(STDERR_FILENO);
  ::close(fd);
  return fd;
}

TEST_F(ListenerTest, ConnectionsLeaveDescriptorsToTheNode) {
  Listen(LowestFree() + 4);  // the listener itself takes two
  listener_->Start([this](int fd) { taken_.Push(fd); });
  Connect();
  const int first = Take();
  Connect();
  const int second = Take();
  char byte = 0;
  // There is no answer but the end of the connection.
  EXPECT_LE(::recv(Connect(), &byte, 1, 0), 0);
  EXPECT_EQ(listener_->refused(), 1u);
  // A connection that ends makes room for another one.
  ::close(first);
  Connect();
  const int third = Take();
  EXPECT_EQ(third, first);
  listener_->Stop();
  ::close(second);
  ::close(third);
}

TEST_F(ListenerTest, ConnectionsWaitUntilTheStart) {
  Listen(1000);
  Connect();
  listener_->Start([this](int fd) { taken_.Push(fd); });
  const int taken = Take();
  EXPECT_GE(taken, 0);
  ::close(taken);
}

TEST(ListenerAddress, AnAddressOfAnotherMachineIsRefused) {
  const auto listener = Listener::Listen("192.0.2.1", 1, 100, &SystemClock());
  EXPECT_EQ(listener.status().code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace cairn::server
