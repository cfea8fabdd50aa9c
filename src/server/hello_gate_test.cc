#include "server/hello_gate.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>

namespace cairn::server {
namespace {

// Two ends of a connection of TCP.
struct Pair {
  int client = -1;
  int server = -1;
};

class HelloGateTest : public testing::Test {
 protected:
  HelloGateTest() : gate_(&clock_, [this](int fd) { taken_.push_back(fd); }) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 16), 0);
  }
  ~HelloGateTest() override {
    ::close(listener_);
    for (const int fd : clients_) ::close(fd);
    for (const int fd : taken_) ::close(fd);
  }

  Pair Connect(const std::string& from = "127.0.0.1") {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    Pair pair;
    pair.client = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in own{};
    own.sin_family = AF_INET;
    EXPECT_EQ(::inet_pton(AF_INET, from.c_str(), &own.sin_addr), 1);
    EXPECT_EQ(::bind(pair.client, reinterpret_cast<sockaddr*>(&own), sizeof own), 0);
    EXPECT_EQ(::connect(pair.client, reinterpret_cast<sockaddr*>(&address), size), 0);
    pair.server = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    EXPECT_GE(pair.server, 0);
    clients_.push_back(pair.client);
    gate_.Add(pair.server);
    return pair;
  }
  void Say(const Pair& pair, const std::string& bytes) {
    EXPECT_EQ(::send(pair.client, bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }
  // Serves what is ready within a short time. Returns how many connections were.
  int Serve(int wait_ms = 2000) {
    std::vector<pollfd> polls;
    gate_.AppendTo(&polls);
    const int ready = ::poll(polls.data(), polls.size(), wait_ms);
    gate_.Serve(polls.data());
    return ready;
  }
  // What the client hears until the server ends the connection.
  std::string Heard(const Pair& pair) {
    std::string all;
    char bytes[1024];
    for (ssize_t n = 0; (n = ::recv(pair.client, bytes, sizeof bytes, 0)) > 0;) {
      all.append(bytes, static_cast<size_t>(n));
    }
    return all;
  }
  static std::string Hello(size_t body) {
    std::string hello("\x16\x03\x01", 3);
    hello += static_cast<char>(body >> 8);
    hello += static_cast<char>(body);
    return hello + std::string(body, 'h');
  }

  ManualClock clock_;
  std::vector<int> taken_;
  std::vector<int> clients_;
  int listener_ = -1;
  HelloGate gate_;
};

TEST_F(HelloGateTest, AWholeHelloIsTakenAndStillThere) {
  const Pair pair = Connect();
  Say(pair, Hello(512));
  EXPECT_EQ(Serve(), 1);
  ASSERT_EQ(taken_, std::vector<int>{pair.server});
  char bytes[600];
  EXPECT_EQ(::recv(pair.server, bytes, sizeof bytes, 0), 517);
  EXPECT_EQ(gate_.TimeoutMs(), -1);
}

TEST_F(HelloGateTest, HalfAHelloWaitsWithoutBeingPolledAgain) {
  const Pair pair = Connect();
  const std::string hello = Hello(512);
  Say(pair, hello.substr(0, 3));
  EXPECT_EQ(Serve(50), 0) << "not a whole header";
  Say(pair, hello.substr(3, 97));
  EXPECT_EQ(Serve(), 1);
  EXPECT_EQ(Serve(50), 0) << "a busy loop";
  EXPECT_TRUE(taken_.empty());
  Say(pair, hello.substr(100));
  EXPECT_EQ(Serve(), 1);
  EXPECT_EQ(taken_.size(), 1u);
}

TEST_F(HelloGateTest, WhoSaysNothingIsDroppedAfterAWhile) {
  const Pair pair = Connect();
  clock_.Advance(HelloGate::kPatience / 2);
  const Pair later = Connect();
  EXPECT_GT(gate_.TimeoutMs(), 0);
  clock_.Advance(HelloGate::kPatience / 2);
  EXPECT_EQ(gate_.TimeoutMs(), 0);
  Serve(0);
  EXPECT_EQ(Heard(pair), "");
  EXPECT_GT(gate_.TimeoutMs(), 0) << "the later one waits";
  Say(later, Hello(10));
  Serve();
  EXPECT_EQ(taken_.size(), 1u);
}

TEST_F(HelloGateTest, AHostWithManyConnectionsDrivesOutItsOwn) {
  const Pair other = Connect("127.0.0.9");
  for (size_t i = 0; i < 2 * HelloGate::kWaitingMax; ++i) Connect();
  Say(other, Hello(100));
  Serve();
  EXPECT_EQ(taken_, std::vector<int>{other.server});
}

TEST_F(HelloGateTest, OneMoreThanTheBoundDropsTheOldest) {
  const Pair oldest = Connect();
  for (size_t i = 0; i < HelloGate::kWaitingMax; ++i) Connect();
  EXPECT_EQ(Heard(oldest), "");
  std::vector<pollfd> polls;
  gate_.AppendTo(&polls);
  EXPECT_EQ(polls.size(), HelloGate::kWaitingMax);
}

TEST_F(HelloGateTest, AClientWithoutTlsIsToldInHttp2) {
  const Pair pair = Connect();
  Say(pair, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  Serve();
  const std::string heard = Heard(pair);
  EXPECT_NE(heard.find("this port speaks TLS"), std::string::npos);
  EXPECT_TRUE(taken_.empty());
}

TEST_F(HelloGateTest, OthersAreClosed) {
  for (const std::string& said :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(64, '\0'), Hello(0xffff)}) {
    const Pair pair = Connect();
    Say(pair, said);
    Serve();
    char byte = 0;
    EXPECT_LE(::recv(pair.client, &byte, 1, 0), 0);  // a reset, if bytes were unread
  }
  const Pair gone = Connect();
  ::shutdown(gone.client, SHUT_WR);
  Serve();
  EXPECT_EQ(Heard(gone), "");
  EXPECT_TRUE(taken_.empty());
}

}  // namespace
}  // namespace cairn::server
