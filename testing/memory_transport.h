// MemoryTransport: a network in one process, for tests.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "transport/transport.h"

namespace cairn::transport {

// Connects the transports that it makes. Thread-safe. One thread delivers messages, probes and
// joins, in order for each link; another copies snapshots, one at a time. The network refuses the
// same callers as gRPC does. Snapshots are files, resume, and are verified like real ones.
//
// A message over a cut link is lost. The sender's handler is told once (OnUnreachable) until
// something gets through again.
class MemoryNetwork {
 public:
  virtual ~MemoryNetwork() = default;
  // Received snapshots are stored in `snapshot_directory`. The handler must outlive the transport.
  // The destructor of the transport waits for running callbacks and admits no more; so do not call
  // it from a callback. An address can be attached again once its transport is gone.
  virtual std::unique_ptr<Transport> Attach(const std::string& address, Handler* handler,
                                            const std::string& snapshot_directory) = 0;
  // Cuts (or heals) the direction from one address to another.
  virtual void SetCut(const std::string& from, const std::string& to, bool cut) = 0;
};

// The transports may outlive the network object.
std::unique_ptr<MemoryNetwork> NewMemoryNetwork();

}  // namespace cairn::transport
