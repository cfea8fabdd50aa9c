// Listener: takes connections, and gives them to gRPC as long as the node can spare a descriptor.
//
// gRPC's own listener stops for good at the first connection for which the process has no
// descriptor (gRPC 1.51). And connections that took the last descriptor would take those away that
// the node needs for its files: the next segment of the log, SQLite's files, and the connections to
// peers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "server/hello_gate.h"

namespace cairn::server {

// Raises the number of descriptors that this process may open to what the operating system allows
// it. Shells and service managers often start programs with 1,024.
void RaiseDescriptorLimit();

// The descriptors of connections stay below this number. The rest is for files and peers.
int ConnectionDescriptorsMax();

// Thread-safe.
class Listener {
 public:
  // Gets the descriptor of a connection, and closes it some time.
  using Take = std::function<void(int)>;

  // Listens on every address of `host`. Connections wait until Start. A descriptor of a connection
  // is below `descriptors_max`; other connections are closed at once.
  static Result<std::unique_ptr<Listener>> Listen(const std::string& host, uint16_t port,
                                                  int descriptors_max, Clock* clock);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // kTlsHello: a connection is given on once its client has begun to speak TLS (hello_gate.h).
  enum class First : uint8_t { kAnything, kTlsHello };
  void Start(Take take, First first = First::kAnything);
  // Takes no connection after it returns. May be called twice.
  void Stop();

  uint64_t refused() const { return refused_; }

 private:
  Listener(std::vector<int> sockets, int wake, int descriptors_max, Clock* clock)
      : sockets_(std::move(sockets)),
        wake_(wake),
        descriptors_max_(descriptors_max),
        clock_(clock) {}

  void Run();
  bool TakeAll(int socket);
  void Give(int connection);
  void Refuse(int connection);

  std::vector<int> sockets_;
  const int wake_;  // readable from Stop on
  const int descriptors_max_;
  Clock* const clock_;
  Take take_;
  std::unique_ptr<HelloGate> gate_;  // null: connections are given on at once
  std::thread thread_;
  std::atomic<uint64_t> refused_{0};
  SteadyTime next_warning_{0};
};

}  // namespace cairn::server
