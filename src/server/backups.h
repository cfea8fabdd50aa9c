// Backups: sends the whole database of this node to a client, as the bytes of a SQLite file.
//
// One backup at a time. A client that asks meanwhile gets RESOURCE_EXHAUSTED at once, because a
// backup costs the disk a read of the whole database, and perhaps a copy of it.
//
// The bytes come from the machinery that copies the database for peers
// (state_machine/sqlite/snapshot_file.h): a client that keeps pace with a disk is sent the pinned
// state, for a slower one the state is copied beside the database. The copy is removed when the
// backup ends in any way. If the client is lost, and has said that it may come back, the copy stays for
// some seconds, unless another client wants a backup meanwhile.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>
#include <optional>
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
    // How long a client that was cut off may come back.
    SteadyTime resume_within = std::chrono::seconds(15);
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
  // One call of a client.
  struct Turn {
    std::shared_ptr<BackupStream> stream;
    v1::BackupRequest request;
    SteadyTime deadline{0};
  };
  class PinnedCopy;

  Status Begin(Turn turn);
  void Run(Turn turn);
  Status Make(const Turn& turn, PinnedCopy* copy);
  Status GoOn(const Turn& turn, PinnedCopy* copy);
  // Waits for the client that was cut off. None: it does not come, or another one does.
  std::optional<Turn> AwaitReturn(const PinnedCopy& copy);
  Result<LogIndex> AwaitBarrier(const BackupStream& stream, const node::ReadOptions& read,
                                SteadyTime deadline);
  Status Send(const Turn& turn, PinnedCopy* copy, uint64_t offset);

  node::Replica* const replica_;
  Clock* const clock_;
  const Options options_;
  std::atomic<bool> stopping_{false};
  Mutex mutex_;
  CondVar changed_;
  // The call that is served, or begins; null: none is.
  std::shared_ptr<BackupStream> current_ CAIRN_GUARDED_BY(mutex_);
  uint64_t copy_ CAIRN_GUARDED_BY(mutex_) = 0;  // that a client may come back to; 0: none
  std::optional<Turn> returned_ CAIRN_GUARDED_BY(mutex_);  // of that client
  std::thread thread_ CAIRN_GUARDED_BY(mutex_);  // of the current backup, or of the last one
};

}  // namespace cairn::server
