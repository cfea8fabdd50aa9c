// The sending end of snapshot streams.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "transport/peer_protocol.h"
#include "transport/transport_context.h"

namespace cairn::transport {

// Sends snapshots, each on a separate thread and a separate connection. Thread-safe.
class SnapshotSender {
 public:
  SnapshotSender(std::shared_ptr<TransportContext> context, size_t chunk_bytes);
  ~SnapshotSender();

  // Calls `done` once, on another thread. `done` gets UNAVAILABLE at once if a transfer to `to` is
  // in progress or too many transfers are. The transfer uses the present identity, and `peer` has one
  // address.
  void Send(GroupId group, const Identity& self, MemberId to, Peer peer,
            std::shared_ptr<SnapshotSource> source, std::function<void(Status)> done);
  // Cancels all transfers and waits for them. Call Stop after context->live was closed.
  void Stop();

 private:
  struct Transfer;

  Status Run(Transfer* transfer);
  Status Stream(Transfer* transfer,
                grpc::ClientReaderWriter<pb::SnapshotRequest, pb::SnapshotResponse>* stream);
  void Watch(const std::shared_ptr<Transfer>& transfer);
  // Joins the threads that have finished.
  void Reap();

  const std::shared_ptr<TransportContext> context_;
  const size_t chunk_bytes_;
  Mutex mutex_;
  std::map<MemberId, std::shared_ptr<Transfer>> running_ CAIRN_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Transfer>> ended_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::transport
