// Door: serves HTTP/1.1 on connections that others have accepted.
//
// One thread serves all connections, and calls the handler. What strangers may take is bounded:
// connections, in all and for each host; the bytes and the time of a request; the time in which a
// response is to be taken. A connection answers one request at a time. What a client sends meanwhile
// stays in its socket.
//
// Past a bound on connections the newcomer takes the place of the connection that has waited longest
// for a request: a client that asks at once is served, however many connections stand idle or send
// a byte now and then. If all are busy with responses, the newcomer is refused (503).
//
// There is no TLS yet. It belongs between the socket and Connection (door.cc): a handshake before
// the first read, under the deadline of the first request.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/measures.h"
#include "base/result.h"
#include "http/message.h"
#include "http/request_reader.h"

namespace cairn::http {

struct DoorLimits {
  size_t connections_max = 64;
  size_t connections_per_host_max = 16;
  RequestLimits request;
  SteadyTime request_time_max = std::chrono::seconds(10);  // from its first byte to its last one
  SteadyTime idle_time_max = std::chrono::seconds(60);     // before the next request
  SteadyTime response_time_max = std::chrono::seconds(20);
  size_t response_bytes_max = 4 << 20;  // of a body; a larger one becomes a 500
};

// Thread-safe.
struct DoorCounts {
  Counter connections;          // that are open
  Counter connections_taken;    // that were ever open
  Counter connections_refused;  // because all others were busy
  Counter connections_evicted;  // that gave way to newcomers
  Counter connections_late;     // whose time was over
  Counter requests;             // that were answered by the handler
  Counter requests_refused;     // that were no requests, or too large
};

class Door {
 public:
  Door(Handler handler, const DoorLimits& limits);
  ~Door();
  Door(const Door&) = delete;
  Door& operator=(const Door&) = delete;

  void Start();
  // Takes over the descriptor of a connection. Thread-safe. Waits while the thread of the door has
  // not looked at the last ones, which takes moments; after Stop the connection is closed.
  void Take(int fd);
  // Closes all connections, and ends the thread. May be called twice.
  void Stop();

  const DoorCounts& counts() const;

 private:
  class Connection;
  class Impl;

  const std::unique_ptr<Impl> impl_;
};

}  // namespace cairn::http
