// The receiving end of a snapshot stream.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/mutex.h"
#include "transport/incoming_snapshot.h"
#include "transport/peer_protocol.h"
#include "transport/transport_context.h"

namespace cairn::transport {

class SnapshotReceiver;

// One snapshot stream. gRPC's thread reads and checks the first request. After that the receiver's
// thread drives the stream with blocking reads and writes, and only that thread finishes it.
class SnapshotCall final
    : public grpc::ServerBidiReactor<pb::SnapshotRequest, pb::SnapshotResponse>,
      public ServedCall {
 public:
  SnapshotCall(TransportContext* context, SnapshotReceiver* receiver,
               grpc::CallbackServerContext* server_context);

  void Start();
  void Abort() override;
  void Recheck() override;

  // Called by the receiver's thread. Returns false if the stream is broken, aborted, or silent for
  // too long.
  bool Read(pb::SnapshotRequest* request);
  // True if the sender has left, or this node aborted the call.
  bool over();
  // Does not wait until the answer is sent, except for the last one.
  bool Write(uint64_t offset, bool complete);
  // Waits until the last answer is sent.
  bool AwaitWrite();

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override;

 private:
  enum class Progress : uint8_t { kIdle, kPending, kOk, kFailed };

  // Checks the first request and hands the call to the receiver, or returns why not.
  Status Admit();
  // False if the call is aborted.
  bool BeginRead();
  bool Await(Progress* progress);

  TransportContext* const context_;
  SnapshotReceiver* const receiver_;
  grpc::CallbackServerContext* const server_context_;
  std::shared_ptr<const grpc::AuthContext> caller_certificate_;  // with TLS
  pb::SnapshotRequest request_;
  pb::SnapshotResponse response_;
  bool admitted_ = false;  // gRPC's reactions read and write it; once it is set, nobody else does

  Mutex mutex_;
  CondVar changed_;
  Progress read_ CAIRN_GUARDED_BY(mutex_) = Progress::kIdle;
  Progress write_ CAIRN_GUARDED_BY(mutex_) = Progress::kIdle;
  bool aborted_ CAIRN_GUARDED_BY(mutex_) = false;
  bool done_ CAIRN_GUARDED_BY(mutex_) = false;
};

// Receives one snapshot at a time, on a separate thread. Thread-safe, except Join.
class SnapshotReceiver {
 public:
  SnapshotReceiver(TransportContext* context, FileSystem* fs, std::string directory,
                   uint64_t free_bytes_min);
  ~SnapshotReceiver();

  // Takes over the call; the receiver's thread calls Finish. Returns UNAVAILABLE while another
  // transfer runs. A second offer of the same member shows that its first transfer is dead. Begin
  // aborts that transfer, so that the next attempt can proceed.
  Status Begin(SnapshotCall* call, MemberId from, uint64_t cluster_id, SnapshotHeader header);
  // Call Join after all calls are aborted and done.
  void Join();

 private:
  Status Receive(SnapshotCall* call, MemberId from, uint64_t cluster_id,
                 const SnapshotHeader& header);
  Result<uint32_t> ReceiveChunks(SnapshotCall* call, IncomingSnapshot* incoming);

  TransportContext* const context_;
  FileSystem& fs_;
  const std::string directory_;
  const uint64_t free_bytes_min_;

  Mutex mutex_;
  SnapshotCall* running_ CAIRN_GUARDED_BY(mutex_) = nullptr;
  MemberId running_from_ CAIRN_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace cairn::transport
