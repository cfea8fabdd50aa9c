#include "http/door.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace cairn::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A door that listens on loopback, and takes each connection when a test makes it.
class TestDoor {
 public:
  explicit TestDoor(const DoorLimits& limits = {}, Handler handler = &Answer)
      : door_(std::move(handler), limits) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 100), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    address_ = address;
    door_.Start();
  }
  ~TestDoor() { ::close(listener_); }

  static Response Answer(const Request& request) {
    if (request.path == "/large") return TextResponse(200, std::string(10 << 20, 'x'));
    if (request.path == "/long") return TextResponse(200, std::string(3 << 20, 'x'));
    return TextResponse(200, request.method + " " + request.path + " " + request.body);
  }

  // `from`: the last byte of a loopback address.
  int Connect(int from = 1) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + static_cast<uint32_t>(from));
    EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&own), sizeof own), 0);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address_), sizeof address_), 0);
    door_.Take(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    return fd;
  }

  Door& door() { return door_; }
  // Waits until all connections that were made are gone.
  void AwaitGone(uint64_t made) {
    const DoorCounts& counts = door_.counts();
    while (counts.connections_taken.value() < made || counts.connections.value() != 0) {
      ::poll(nullptr, 0, 5);
    }
  }

 private:
  int listener_ = -1;
  sockaddr_in address_{};
  Door door_;
};

void Send(int fd, const std::string& bytes) {
  ASSERT_EQ(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(bytes.size()));
}

// What comes until `end` has come, or until the connection is closed.
std::string Receive(int fd, const std::string& end = "\n") {
  std::string all;
  for (;;) {
    pollfd poll{fd, POLLIN, 0};
    if (::poll(&poll, 1, 20'000) != 1) return all + "(nothing came)";
    char piece[65536];
    const ssize_t n = ::recv(fd, piece, sizeof piece, 0);
    if (n <= 0) return all + "(closed)";
    all.append(piece, static_cast<size_t>(n));
    const size_t head = all.find("\r\n\r\n");
    if (head != std::string::npos && all.find(end, head + 4) != std::string::npos) return all;
  }
}

std::string Get(const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n"; }

TEST(HttpDoor, AnswersRequestsOneAfterTheOtherOnOneConnection) {
  TestDoor test;
  const int fd = test.Connect();
  Send(fd, Get("/a"));
  EXPECT_NE(Receive(fd).find("HTTP/1.1 200 OK\r\n"), std::string::npos);
  Send(fd, Get("/b") + Get("/c") + Get("/d"));
  const std::string three = Receive(fd, "GET /d \n");
  EXPECT_LT(three.find("GET /b"), three.find("GET /c"));
  EXPECT_LT(three.find("GET /c"), three.find("GET /d"));
  EXPECT_EQ(test.door().counts().requests.value(), 4u);
  EXPECT_EQ(test.door().counts().connections.value(), 1u);
  ::close(fd);
}

TEST(HttpDoor, AHeadIsAnsweredWithoutItsBody) {
  TestDoor test;
  const int fd = test.Connect();
  Send(fd, "HEAD /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const std::string answer = Receive(fd, "never");
  EXPECT_NE(answer.find("Content-Length: 9\r\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("\r\n\r\n(closed)"), std::string::npos) << answer;
  ::close(fd);
}

TEST(HttpDoor, ARefusalIsReadAlthoughTheClientStillSends) {
  TestDoor test;
  const int fd = test.Connect();
  Send(fd, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" +
               std::string(100'000, 'x'));
  EXPECT_NE(Receive(fd).find("HTTP/1.1 413 "), std::string::npos);
  EXPECT_EQ(test.door().counts().requests_refused.value(), 1u);
  ::close(fd);
}

TEST(HttpDoor, GarbageIsRefusedAndTheConnectionClosed) {
  TestDoor test;
  const int fd = test.Connect();
  Send(fd, "\x16\x03\x01 hello\r\n\r\n");
  const std::string answer = Receive(fd, "never");
  EXPECT_NE(answer.find("HTTP/1.1 400 "), std::string::npos) << answer;
  EXPECT_NE(answer.find("(closed)"), std::string::npos) << answer;
  ::close(fd);
}

TEST(HttpDoor, TooLargeAResponseIsAnErrorInstead) {
  TestDoor test;
  const int fd = test.Connect();
  Send(fd, Get("/large"));
  EXPECT_NE(Receive(fd).find("HTTP/1.1 500 "), std::string::npos);
  ::close(fd);
}

TEST(HttpDoor, AClientThatSendsAByteNowAndThenIsCutOffInTime) {
  DoorLimits limits;
  limits.request_time_max = milliseconds(300);
  TestDoor test(limits);
  const int fd = test.Connect();
  Send(fd, "GET /");
  std::string got;
  for (int i = 0; i < 400 && got.empty(); ++i) {
    if (::send(fd, "x", 1, MSG_NOSIGNAL) < 0) got = "(closed)";
    pollfd poll{fd, POLLIN, 0};
    if (::poll(&poll, 1, 20) == 1) got = Receive(fd, "never");
  }
  EXPECT_NE(got.find("(closed)"), std::string::npos) << got;
  test.AwaitGone(1);
  EXPECT_EQ(test.door().counts().connections_late.value(), 1u);
  ::close(fd);
}

TEST(HttpDoor, AClientThatTakesNoResponseIsCutOffInTime) {
  DoorLimits limits;
  limits.response_time_max = milliseconds(300);
  TestDoor test(limits);
  const int fd = test.Connect();
  std::string many;
  for (int i = 0; i < 8; ++i) many += Get("/long");
  Send(fd, many);
  test.AwaitGone(1);
  EXPECT_EQ(test.door().counts().connections_late.value(), 1u);
  EXPECT_GE(test.door().counts().requests.value(), 1u);
  ::close(fd);
}

TEST(HttpDoor, ANewcomerTakesThePlaceOfTheConnectionThatHasWaitedLongest) {
  DoorLimits limits;
  limits.connections_per_host_max = 2;
  TestDoor test(limits);
  const int first = test.Connect();
  Send(first, "GET /slo");
  const int second = test.Connect();
  Send(second, Get("/second"));
  EXPECT_NE(Receive(second).find("/second"), std::string::npos);
  const int third = test.Connect();
  Send(third, Get("/third"));
  EXPECT_NE(Receive(third).find("/third"), std::string::npos);
  EXPECT_EQ(Receive(first, "never"), "(closed)");
  EXPECT_EQ(test.door().counts().connections_evicted.value(), 1u);
  // Those of another host do not count.
  const int other = test.Connect(/*from=*/2);
  Send(other, Get("/other"));
  EXPECT_NE(Receive(other).find("/other"), std::string::npos);
  EXPECT_EQ(test.door().counts().connections.value(), 3u);
  for (const int fd : {first, second, third, other}) ::close(fd);
}

TEST(HttpDoor, AThousandConnectionsThatStandIdleKeepNobodyOut) {
  TestDoor test;
  std::vector<int> idle;
  for (int i = 0; i < 1000; ++i) {
    idle.push_back(test.Connect(1 + i % 20));
    if (i % 3 == 1) Send(idle.back(), "GET /");
    if (i % 3 == 2) Send(idle.back(), Get("/"));
    if (idle.size() > 200) {
      ::close(idle.front());
      idle.erase(idle.begin());
    }
    if (i % 100 != 99) continue;
    const int fd = test.Connect();
    Send(fd, Get("/served"));
    EXPECT_NE(Receive(fd).find("/served"), std::string::npos) << i;
    ::close(fd);
  }
  EXPECT_LE(test.door().counts().connections.value(), 64u);
  for (const int fd : idle) ::close(fd);
}

TEST(HttpDoor, StopsWhileClientsAreConnected) {
  TestDoor test;
  const int idle = test.Connect();
  const int begun = test.Connect();
  Send(begun, "GET /");
  test.door().Stop();
  EXPECT_EQ(Receive(idle, "never"), "(closed)");
  EXPECT_EQ(Receive(begun, "never"), "(closed)");
  EXPECT_EQ(test.door().counts().connections.value(), 0u);
  ::close(idle);
  ::close(begun);
}

}  // namespace
}  // namespace cairn::http
