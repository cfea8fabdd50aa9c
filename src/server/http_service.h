// HttpService: the HTTP door of a server, on a port of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "http/door.h"
#include "server/listener.h"
#include "server/port_check.h"

namespace cairn::server {

// Thread-safe but for Listen.
class HttpService {
 public:
  // Holds the port, so that a start that cannot have it fails before anything on disk is touched.
  static Result<std::unique_ptr<HttpService>> Hold(const std::string& host, uint16_t port);

  // Answers from now on. Connections share the descriptors of all connections of the process.
  Status Listen(http::Handler handler, Clock* clock);
  // May be called twice, and without Listen.
  void Stop();

  uint16_t port() const { return port_; }
  // Before Listen: nothing is counted.
  const http::DoorCounts& counts() const;

 private:
  HttpService(std::string host, std::unique_ptr<PortCheck> held)
      : host_(std::move(host)), held_(std::move(held)), port_(held_->port()) {}

  const std::string host_;
  std::unique_ptr<PortCheck> held_;  // until Listen
  const uint16_t port_;
  std::unique_ptr<http::Door> door_;
  std::unique_ptr<Listener> listener_;  // gives to the door, so it ends first
};

}  // namespace cairn::server
