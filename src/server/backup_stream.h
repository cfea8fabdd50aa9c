// BackupStream: one Backup call.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>

#include "base/clock.h"
#include "base/memory_budget.h"
#include "base/mutex.h"
#include "base/status.h"
#include "cairn/v1/database.pb.h"
#include "server/open_calls.h"

namespace cairn::server {

// Turns gRPC's callbacks into calls that wait, for the one thread that makes the backup. The stream
// keeps itself alive until gRPC is done with it.
class BackupStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                           public std::enable_shared_from_this<BackupStream> {
 public:
  BackupStream(grpc::CallbackServerContext* context, OpenCalls* open_calls, MemoryShare* results)
      : context_(context),
        open_(open_calls, context, "/cairn.v1.Database/Backup"),
        memory_(results) {}

  // Call once, before gRPC is given this.
  void Start() { self_ = shared_from_this(); }
  // Takes the memory of the messages under way.
  Status Reserve(size_t bytes);

  // Waits until the message before is sent, for `stall_max` at most, and begins to send this one.
  // Not OK: the client has gone, takes nothing, or the backup is stopped.
  Status Write(const v1::BackupResponse& response, SteadyTime stall_max);
  // Waits until all messages are sent. Fails as Write does.
  Status AwaitWritten(SteadyTime stall_max);
  // Waits, unless the client goes or the backup is stopped meanwhile.
  void Pause(SteadyTime time);
  // OK as long as the client is there and Stop was not called.
  Status standing() const;
  // Ends Write and Pause soon.
  void Stop(Status why);
  // Call once. No other call may follow. Cancels the call if a client does not take the last
  // message.
  void End(Status status);

  void OnWriteDone(bool ok) override;
  void OnCancel() override { Stop(Cancelled("the client has gone")); }
  void OnDone() override {
    open_.Leave();
    self_.reset();
  }

 private:
  grpc::CallbackServerContext* const context_;
  OpenCall open_;
  MemoryCharge memory_;
  std::shared_ptr<BackupStream> self_;
  grpc::ByteBuffer outgoing_;
  mutable Mutex mutex_;
  CondVar changed_;
  Status stopped_ CAIRN_GUARDED_BY(mutex_);
  bool writing_ CAIRN_GUARDED_BY(mutex_) = false;
};

}  // namespace cairn::server
