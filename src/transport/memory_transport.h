// MemoryTransport: a network in one process, for tests and the simulator.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "transport/transport.h"

namespace cairn::transport {

// Joins the transports made by it. Thread-safe. Delivery is on a thread of its own, in order per
// link.
class MemoryNetwork {
 public:
  virtual ~MemoryNetwork() = default;
  // `snapshot_directory`: where received snapshots are put. The handler must outlive the transport.
  virtual std::unique_ptr<Transport> Attach(const std::string& address, Handler* handler,
                                            const std::string& snapshot_directory) = 0;
  // Cuts (or heals) the direction from one address to another.
  virtual void SetCut(const std::string& from, const std::string& to, bool cut) = 0;
};

std::unique_ptr<MemoryNetwork> NewMemoryNetwork();

}  // namespace cairn::transport
