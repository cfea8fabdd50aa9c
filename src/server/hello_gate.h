// HelloGate: holds connections until their clients have begun to speak TLS.
//
// A handshake costs gRPC memory from its first moment. A stranger who connects and says nothing, or
// half of a ClientHello, shall cost a descriptor alone, and only for a while.
#pragma once

#include <poll.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace cairn::server {

// One owner, one thread. Does not wait: the owner polls.
class HelloGate {
 public:
  // Gets the descriptor of a connection whose ClientHello has come whole.
  using Take = std::function<void(int)>;

  // The bounds of the connections that wait: when one more comes, the oldest one of the host that has
  // the most is closed, and any is closed after this time. Who has something to say says it within a round trip.
  static constexpr size_t kWaitingMax = 256;
  static constexpr SteadyTime kPatience = std::chrono::seconds(5);

  HelloGate(Clock* clock, Take take) : clock_(clock), take_(std::move(take)) {}
  ~HelloGate();
  HelloGate(const HelloGate&) = delete;
  HelloGate& operator=(const HelloGate&) = delete;

  // The gate owns the descriptor, which does not block.
  void Add(int fd);
  // Adds what to poll for, in the order in which Serve expects it.
  void AppendTo(std::vector<pollfd>* polls) const;
  // How long to poll at most; -1: without an end.
  int TimeoutMs() const;
  // `polled` begins with what AppendTo added last; no Add came in between.
  void Serve(const pollfd* polled);

 private:
  enum class Verdict { kWait, kTake, kClose };
  struct Waiting {
    int fd;
    std::string host;  // the client's address, without the port
    SteadyTime until;
  };
  static Verdict Look(int fd);
  void DropOne();

  Clock* const clock_;
  const Take take_;
  std::deque<Waiting> waiting_;  // oldest first
};

}  // namespace cairn::server
