#include "tools/service_notice.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

namespace cairn::tools {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// What a manager of services has: an abstract socket that takes datagrams.
class Manager {
 public:
  Manager() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)), 0);
    socklen_t length = sizeof(address);
    EXPECT_EQ(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &length), 0);
    name_ = "@" + std::string(address.sun_path + 1, length - offsetof(sockaddr_un, sun_path) - 1);
  }
  ~Manager() { ::close(socket_); }

  const std::string& name() const { return name_; }
  std::string Next() {
    pollfd readable{socket_, POLLIN, 0};
    if (::poll(&readable, 1, 30'000) != 1) return "nothing came";
    char bytes[4096];
    const ssize_t size = ::recv(socket_, bytes, sizeof(bytes), 0);
    return std::string(bytes, size < 0 ? 0 : static_cast<size_t>(size));
  }

 private:
  int socket_;
  std::string name_;
};

TEST(ServiceNotice, TellsReadinessChangesAndTheStop) {
  Manager manager;
  std::atomic<bool> leads{false};
  ServiceNotice notice({manager.name(), microseconds(0)});
  notice.Begin([&] { return server::ServerHealth{seconds(0), leads ? "leader" : "follower"}; });
  EXPECT_EQ(manager.Next(), "READY=1\nSTATUS=follower");
  EXPECT_EQ(manager.Next(), "STATUS=follower\n");
  leads = true;
  EXPECT_EQ(manager.Next(), "STATUS=leader\n");
  notice.End();
  EXPECT_EQ(manager.Next(), "STOPPING=1\nSTATUS=stopping");
}

TEST(ServiceNotice, TellsTheWatchdogOnlyWhileTheCoreThreadTurns) {
  Manager manager;
  std::atomic<bool> stuck{false};
  ServiceNotice notice({manager.name(), milliseconds(90)});
  notice.Begin([&] {
    return server::ServerHealth{stuck ? SteadyTime(seconds(5)) : SteadyTime(0), stuck ? "b" : "a"};
  });
  EXPECT_EQ(manager.Next(), "READY=1\nSTATUS=a");
  EXPECT_EQ(manager.Next(), "WATCHDOG=1\nSTATUS=a\n");
  EXPECT_EQ(manager.Next(), "WATCHDOG=1\n");
  stuck = true;
  std::string next = manager.Next();
  while (next == "WATCHDOG=1\n") next = manager.Next();
  EXPECT_EQ(next, "STATUS=b\n");
  stuck = false;
  EXPECT_EQ(manager.Next(), "WATCHDOG=1\nSTATUS=a\n");
}

TEST(ServiceNotice, TheWatchdogIsToldThreeTimesBeforeItsPatienceEnds) {
  EXPECT_EQ(NoticeInterval({"@a", seconds(30)}), milliseconds(1000));
  EXPECT_EQ(NoticeInterval({"@a", milliseconds(900)}), milliseconds(300));
  EXPECT_EQ(NoticeInterval({"@a", microseconds(1)}), milliseconds(10));
  EXPECT_EQ(NoticeInterval({"@a", seconds(0)}), milliseconds(1000));
  EXPECT_TRUE(IsTurning({"@a", seconds(30)}, seconds(9)));
  EXPECT_FALSE(IsTurning({"@a", seconds(30)}, seconds(10)));
  EXPECT_TRUE(IsTurning({"@a", milliseconds(90)}, milliseconds(900)));
}

TEST(ServiceNotice, TheEnvironmentIsTakenOnceAndForThisProcessAlone) {
  ::setenv("NOTIFY_SOCKET", "/run/x", 1);
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  const ServiceManager manager = ServiceNotice::FromEnvironment();
  EXPECT_EQ(manager.socket, "/run/x");
  EXPECT_EQ(manager.watchdog, seconds(30));
  EXPECT_EQ(::getenv("NOTIFY_SOCKET"), nullptr);
  EXPECT_EQ(::getenv("WATCHDOG_USEC"), nullptr);
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  EXPECT_EQ(ServiceNotice::FromEnvironment().watchdog, seconds(0));
}

TEST(ServiceNotice, WithoutAManagerNothingIsDone) {
  ServiceNotice none({"", microseconds(0)});
  none.Begin([]() -> server::ServerHealth {
    ADD_FAILURE();
    return {};
  });
  none.End();
  ServiceNotice bad({"no/path", microseconds(0)});
  bad.End();
}

}  // namespace
}  // namespace cairn::tools
