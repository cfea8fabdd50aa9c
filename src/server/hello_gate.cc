#include "server/hello_gate.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace cairn::server {
namespace {

// RFC 8446: a record begins with its type, a version, and the length of the rest.
constexpr size_t kRecordHeaderBytes = 5;
constexpr unsigned char kHandshake = 22;
constexpr size_t kRecordBytesMax = 16 << 10;

// A connection is readable once so many bytes have come, or it has ended.
void AwaitBytes(int fd, size_t bytes) {
  const int low = static_cast<int>(bytes);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low);
}

std::string HostOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  if (address.ss_family == AF_INET6) {
    // The network of 64 bits: a host may use any address in it.
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    const auto* const bytes = reinterpret_cast<const char*>(v6.sin6_addr.s6_addr);
    return IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) ? std::string(bytes + 12, 4) : std::string(bytes, 8);
  }
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
  return {reinterpret_cast<const char*>(&v4.sin_addr), sizeof v4.sin_addr};
}

std::string Frame(char type, std::string_view payload) {
  std::string frame(9, '\0');
  frame[1] = static_cast<char>(payload.size() >> 8);
  frame[2] = static_cast<char>(payload.size());
  frame[3] = type;
  frame += payload;
  return frame;
}

// A client of gRPC without TLS begins with HTTP/2, and gets a GOAWAY (RFC 9113) with the reason. No
// SETTINGS come before it: gRPC would take the connection for a good one, and try again for ever.
void AnswerPlainText(int fd) {
  constexpr std::string_view kText = "this port speaks TLS";
  const std::string last_stream_and_code({0, 0, 0, 0, 0, 0, 0, 12});  // INADEQUATE_SECURITY
  const std::string answer = Frame(7, last_stream_and_code + std::string(kText));
  char heard[4096];
  // With bytes unread the system would end the connection without the answer.
  while (::recv(fd, heard, sizeof heard, MSG_DONTWAIT) > 0) {
  }
  if (::send(fd, answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    ::shutdown(fd, SHUT_WR);
  }
}

}  // namespace

HelloGate::~HelloGate() {
  for (const Waiting& one : waiting_) ::close(one.fd);
}

void HelloGate::Add(int fd) {
  if (waiting_.size() >= kWaitingMax) DropOne();
  AwaitBytes(fd, kRecordHeaderBytes);
  waiting_.push_back({fd, HostOf(fd), clock_->SteadyNow() + kPatience});
}

// One host that makes many connections drives out its own.
void HelloGate::DropOne() {
  std::map<std::string, size_t> counts;
  for (const Waiting& one : waiting_) ++counts[one.host];
  const auto most =
      std::max_element(counts.begin(), counts.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto oldest = std::find_if(waiting_.begin(), waiting_.end(),
                                   [&](const Waiting& one) { return one.host == most->first; });
  ::close(oldest->fd);
  waiting_.erase(oldest);
}

void HelloGate::AppendTo(std::vector<pollfd>* polls) const {
  for (const Waiting& one : waiting_) polls->push_back({one.fd, POLLIN, 0});
}

int HelloGate::TimeoutMs() const {
  if (waiting_.empty()) return -1;
  const SteadyTime left = waiting_.front().until - clock_->SteadyNow();
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<int64_t>(ms, 0, 10'000));
}

void HelloGate::Serve(const pollfd* polled) {
  const SteadyTime now = clock_->SteadyNow();
  std::deque<Waiting> still;
  for (const Waiting& one : std::exchange(waiting_, {})) {
    const pollfd& state = *polled++;
    Verdict verdict = now >= one.until ? Verdict::kClose : Verdict::kWait;
    if (state.revents != 0) verdict = Look(one.fd);
    if (verdict == Verdict::kWait && now >= one.until) verdict = Verdict::kClose;
    if (verdict == Verdict::kWait) {
      still.push_back(one);
    } else if (verdict == Verdict::kTake) {
      AwaitBytes(one.fd, 1);
      take_(one.fd);
    } else {
      ::close(one.fd);
    }
  }
  waiting_ = std::move(still);
}

HelloGate::Verdict HelloGate::Look(int fd) {
  unsigned char bytes[kRecordHeaderBytes + kRecordBytesMax];
  const ssize_t count = ::recv(fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return Verdict::kWait;
  if (count < static_cast<ssize_t>(kRecordHeaderBytes)) return Verdict::kClose;  // it has ended
  if (bytes[0] != kHandshake) {
    const std::string_view said(reinterpret_cast<const char*>(bytes), static_cast<size_t>(count));
    if (said.starts_with("PRI *")) AnswerPlainText(fd);
    return Verdict::kClose;
  }
  const size_t whole = kRecordHeaderBytes + (size_t{bytes[3]} << 8 | bytes[4]);
  if (whole > sizeof bytes) return Verdict::kClose;
  if (static_cast<size_t>(count) >= whole) return Verdict::kTake;
  AwaitBytes(fd, whole);
  return Verdict::kWait;
}

}  // namespace cairn::server
