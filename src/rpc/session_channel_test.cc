#include "rpc/session_channel.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>

namespace cairn::rpc {
namespace {

// Takes connections, and never says anything.
class SilentServer {
 public:
  SilentServer() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(fd_, any, size), 0);
    EXPECT_EQ(::listen(fd_, 8), 0);
    EXPECT_EQ(::getsockname(fd_, any, &size), 0);
    endpoint_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~SilentServer() { ::close(fd_); }
  SilentServer(const SilentServer&) = delete;
  SilentServer& operator=(const SilentServer&) = delete;
  const std::string& endpoint() const { return endpoint_; }

 private:
  const int fd_;
  std::string endpoint_;
};

TEST(SessionChannel, RequestsWhoseTimeIsOverDoNotStayInTheQueue) {
  SilentServer server;
  TimerQueue timers(&SystemClock());
  SessionChannel::Options options;
  options.endpoint = server.endpoint();
  options.inflight_max = 100;
  const auto channel = SessionChannel::Open(options, &timers, &SystemClock());
  for (int round = 0; round < 3; ++round) {
    std::promise<void> all;
    int left = 100;  // the timers have one thread
    for (int i = 0; i < 100; ++i) {
      v1::SessionRequest request;
      request.mutable_execute()->add_statements()->set_sql("INSERT");
      const SteadyTime by = SystemClock().SteadyNow() + std::chrono::milliseconds(1);
      channel->Send(std::move(request), by, [&](const Status& status, v1::SessionResponse*) {
        EXPECT_EQ(status.code(), StatusCode::kDeadlineExceeded) << status;
        EXPECT_EQ(status.outcome(), Outcome::kNotApplied);
        if (--left == 0) all.set_value();
      });
    }
    all.get_future().wait();
    EXPECT_EQ(channel->queued(), 0U);
  }
  channel->Close();
  channel->AwaitEnd();
}

}  // namespace
}  // namespace cairn::rpc
