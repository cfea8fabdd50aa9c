// PortCheck: finds out whether the node can listen on an address, before anything else is done.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace cairn::server {

// Holds the port so that nobody else takes it, until it is destroyed right before gRPC binds.
// Connections are refused until then.
class PortCheck {
 public:
  // Port 0 picks a free port. FAILED_PRECONDITION if the port is taken, or the host is not one of
  // this machine.
  static Result<std::unique_ptr<PortCheck>> Bind(const std::string& host, uint16_t port);
  ~PortCheck();
  PortCheck(const PortCheck&) = delete;
  PortCheck& operator=(const PortCheck&) = delete;

  uint16_t port() const { return port_; }

 private:
  PortCheck(int fd, uint16_t port) : fd_(fd), port_(port) {}
  const int fd_;
  const uint16_t port_;
};

}  // namespace cairn::server
