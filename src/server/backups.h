// Backups: sends the whole database of this node to a client, as the bytes of a SQLite file.
//
// One backup at a time. A client that asks meanwhile gets RESOURCE_EXHAUSTED at once, because a
// backup costs the disk a read of the whole database, and perhaps a copy of it.
//
// The bytes come from the machinery that copies the database for peers
// (state_machine/sqlite/snapshot_file.h): a client that keeps pace with a disk is sent the pinned
// state, for a slower one the state is copied beside the database. The copy is removed when the
// backup ends in any way.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"
#include "cairn/v1/database.pb.h"
#include "node/replica.h"
#include "server/module_host.h"

namespace cairn::server {

class BackupStream;

// Thread-safe.
class Backups {
 public:
  struct Options {
    std::chrono::milliseconds request_timeout{10'000};  // until the first response
    // A client that takes nothing for this long is cut off: it holds the copy, and the turn of
    // others.
    SteadyTime stall_max = std::chrono::seconds(60);
    size_t piece_bytes = 1 << 20;  // of one response
  };

  // `replica` outlives this.
  Backups(node::Replica* replica, Clock* clock, Options options);
  ~Backups();
  Backups(const Backups&) = delete;
  Backups& operator=(const Backups&) = delete;

  // Starts to serve the call; gRPC owns what is returned until the call ends.
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Serve(grpc::CallbackServerContext* context,
                                                    const grpc::ByteBuffer& request,
                                                    const ServiceHost& host);
  // Ends the backup that is being made, with UNAVAILABLE. Later ones are refused.
  void Stop();

 private:
  Status Begin(const std::shared_ptr<BackupStream>& stream, v1::BackupRequest request,
               SteadyTime deadline);
  void Run(BackupStream* stream, const v1::BackupRequest& request, SteadyTime deadline);
  Status Make(BackupStream* stream, const v1::BackupRequest& request, SteadyTime deadline);
  Result<LogIndex> AwaitBarrier(const BackupStream& stream, const node::ReadOptions& read,
                                SteadyTime deadline);
  Status Send(BackupStream* stream, state_machine::SnapshotReader* reader,
              uint64_t bytes_per_second_max);

  node::Replica* const replica_;
  Clock* const clock_;
  const Options options_;
  std::atomic<bool> stopping_{false};
  Mutex mutex_;
  std::shared_ptr<BackupStream> current_ CAIRN_GUARDED_BY(mutex_);  // null: none is being made
  std::thread thread_ CAIRN_GUARDED_BY(mutex_);  // of the current backup, or of the last one
};

}  // namespace cairn::server
