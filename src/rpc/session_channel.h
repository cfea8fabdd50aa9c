// SessionChannel: one Session stream to one node, shared by many callers.
//
// Requests that arrive during a write travel together in the next message, in order: the busier the
// stream, the fewer the messages. The channel sends nothing before the node's first message has
// arrived. So a request that was still waiting when the connection failed was surely not applied.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "cairn/v1/database.grpc.pb.h"
#include "rpc/timer_queue.h"
#include "security/tls.h"

namespace cairn::rpc {

// Thread-safe. Always owned by a shared_ptr. The channel keeps itself alive until the stream has
// ended.
class SessionChannel final
    : public std::enable_shared_from_this<SessionChannel>,
      private grpc::ClientBidiReactor<v1::SessionRequests, v1::SessionResponses> {
 public:
  // Called once. If `status` is OK, `response` is the answer, which may carry an error of the node;
  // it may be moved from during the call. Otherwise there is no answer:
  // - UNAVAILABLE or DEADLINE_EXCEEDED: not applied if the request was never sent, else unknown;
  // - UNAUTHENTICATED or PERMISSION_DENIED: the same, of a node that does not let this process in;
  // - INVALID_ARGUMENT or RESOURCE_EXHAUSTED: the channel did not take the request.
  // Runs on a thread of gRPC or of the timers, or on the caller's of Send or Close. Must not block.
  using Done = std::function<void(const Status& status, v1::SessionResponse* response)>;

  struct Options {
    std::string endpoint;
    security::TlsPtr tls;  // null: none
    std::map<std::string, std::string> metadata;
    size_t inflight_max = 4096;             // unanswered requests
    size_t inflight_bytes_max = 64u << 20;  // and their size; past either: RESOURCE_EXHAUSTED
    // Called with the leader whenever the node reports it. The address is empty if the node knows
    // none.
    std::function<void(const LeaderHint&)> on_leader;
    // Called once when the stream has ended, after all answers. Send refuses everything afterwards.
    std::function<void(const Status&)> on_broken;
  };

  // `timers` and `clock` must outlive the channel's last callback (on_broken).
  static std::shared_ptr<SessionChannel> Open(Options options, TimerQueue* timers, Clock* clock);
  ~SessionChannel() override = default;

  // Sets the request's id. The deadline bounds the wait for the answer.
  void Send(v1::SessionRequest request, SteadyTime deadline, Done done);

  // Ends the stream. Unanswered requests fail. `on_broken` follows.
  void Close();
  // Takes no new requests, and ends the stream once all requests are answered.
  void Retire();

  const std::string& endpoint() const { return options_.endpoint; }
  bool broken() const;
  // True if the node has answered at least once.
  bool ready() const;
  // Requests that wait to be sent.
  size_t queued() const;
  // True if no more callback will come.
  bool ended() const;
  // Waits until on_broken has returned and no more callback will come. Not from a callback.
  void AwaitEnd();

 private:
  struct Pending {
    SteadyTime deadline;
    size_t bytes = 0;
    bool sent = false;
    Done done;
  };

  // Outlives the channel. The end is reported when the channel no longer holds any object of gRPC.
  // A thread that waits for the end may be the last user of gRPC in this process. The library ends
  // its threads with its last user, and aborts if that user is one of those threads.
  struct End {
    Mutex mutex;
    CondVar told;
    bool reached CAIRN_GUARDED_BY(mutex) = false;
  };

  SessionChannel(Options options, TimerQueue* timers, Clock* clock);
  void Start();

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  // Why a request of `bytes` must not be queued; OK if it may.
  Status Refusal(size_t bytes) const CAIRN_REQUIRES(mutex_);
  // Moves queued requests into the message to be written. False if there is nothing to write, or a
  // write is in progress.
  bool PrepareWrite() CAIRN_REQUIRES(mutex_);
  bool MayEnd() const CAIRN_REQUIRES(mutex_);
  // Starts the prepared write, or gives up the hold, outside the lock.
  void Flush();
  void EndIfIdle();
  void Answer(v1::SessionResponse* response);
  void ExpireLate();
  void FailAll(const Status& why);

  const Options options_;
  TimerQueue* const timers_;
  Clock* const clock_;
  std::unique_ptr<v1::Database::Stub> stub_;
  grpc::ClientContext context_;
  v1::SessionResponses incoming_;
  v1::SessionRequests outgoing_;
  std::shared_ptr<SessionChannel> self_;  // until OnDone

  const std::shared_ptr<End> end_ = std::make_shared<End>();
  mutable Mutex mutex_;
  std::map<uint64_t, Pending> pending_ CAIRN_GUARDED_BY(mutex_);
  std::deque<v1::SessionRequest> queue_ CAIRN_GUARDED_BY(mutex_);
  size_t pending_bytes_ CAIRN_GUARDED_BY(mutex_) = 0;
  uint64_t next_id_ CAIRN_GUARDED_BY(mutex_) = 1;
  bool ready_ CAIRN_GUARDED_BY(mutex_) = false;
  bool writing_ CAIRN_GUARDED_BY(mutex_) = false;
  // True while answers are handed out. Requests that the callbacks send then travel together.
  bool corked_ CAIRN_GUARDED_BY(mutex_) = false;
  bool retired_ CAIRN_GUARDED_BY(mutex_) = false;   // no new requests
  bool broken_ CAIRN_GUARDED_BY(mutex_) = false;    // reading has ended
  bool released_ CAIRN_GUARDED_BY(mutex_) = false;  // the hold is given back
  bool sweeping_ CAIRN_GUARDED_BY(mutex_) = false;  // a timer for deadlines is set
};

}  // namespace cairn::rpc
