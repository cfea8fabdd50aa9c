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

// Sends snapshots, each on a thread and a connection of its own. Thread-safe.
class SnapshotSender {
 public:
  SnapshotSender(std::shared_ptr<TransportContext> context, size_t chunk_bytes);
  ~SnapshotSender();

  // `done` is called once, on another thread: UNAVAILABLE at once if a transfer to `to` is under
  // way or too many are. The address and identity are those of now.
  void Send(GroupId group, const Identity& self, MemberId to, const std::string& address,
            std::shared_ptr<SnapshotSource> source, std::function<void(Status)> done);
  // Cancels all and waits. After context->live was closed.
  void Stop();

 private:
  struct Transfer;

  Status Run(Transfer* transfer);
  Status Stream(Transfer* transfer,
                grpc::ClientReaderWriter<pb::SnapshotRequest, pb::SnapshotResponse>* stream);
  void Watch(const std::shared_ptr<Transfer>& transfer);
  // Joins the threads that have nothing left to do.
  void Reap();

  const std::shared_ptr<TransportContext> context_;
  const size_t chunk_bytes_;
  Mutex mutex_;
  std::map<MemberId, std::shared_ptr<Transfer>> running_ CAIRN_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Transfer>> ended_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::transport
