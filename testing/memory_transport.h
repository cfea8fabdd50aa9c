// MemoryTransport: a network in one process, for tests.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "transport/transport.h"

namespace cairn::transport {

// Joins the transports made by it. Thread-safe. Messages, probes and joins are delivered on a
// thread of its own, in order per link; snapshots are copied, one at a time, on another. The same
// callers are refused as over gRPC. Snapshots go by file, resume, and are verified like real ones.
//
// What is sent over a cut link is lost; the sender's handler is told once (OnUnreachable) until
// something gets through again.
class MemoryNetwork {
 public:
  virtual ~MemoryNetwork() = default;
  // `snapshot_directory`: where received snapshots are put. The handler must outlive the transport,
  // whose destructor waits for the callbacks that are running and lets no more begin; so it must
  // not be called from one. An address can be attached again once its transport is gone.
  virtual std::unique_ptr<Transport> Attach(const std::string& address, Handler* handler,
                                            const std::string& snapshot_directory) = 0;
  // Cuts (or heals) the direction from one address to another.
  virtual void SetCut(const std::string& from, const std::string& to, bool cut) = 0;
};

// The transports may outlive the network object.
std::unique_ptr<MemoryNetwork> NewMemoryNetwork();

}  // namespace cairn::transport
