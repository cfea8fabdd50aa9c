// Router: brings every write to the leader, whichever node took it.
//
// rpc::Retrier names a write that came without an id, sends it again under the same id, and decides
// what its answer is. The Router decides where each try goes: to this node's own replica if it
// leads, else to the leader, else it waits for one. A request that another node passed on goes no
// further: it is proposed here, or refused.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "node/replica.h"
#include "rpc/retrier.h"
#include "rpc/session_channel.h"
#include "rpc/timer_queue.h"
#include "state_machine/command.h"

namespace cairn::server {

// Thread-safe.
class Router final : private rpc::Retrier::Owner {
 public:
  struct Options {
    uint64_t node_id = 0;
    std::string address;  // of this node: never forwarded to
    std::chrono::milliseconds leader_wait{3000};
    size_t writes_max = 65536;            // not yet answered
    size_t write_bytes_max = 256u << 20;  // statements of those
  };

  // `replica`, `timers` and `clock` must outlive the router's last callback (see Close).
  Router(node::Replica* replica, rpc::TimerQueue* timers, Clock* clock, Options options);
  ~Router() override;
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // `done` is called exactly once, as Replica::Propose says, but after all that could be tried. An
  // empty `command.id` gets one of this node's own. `forwarded`: from another node.
  void Write(state_machine::Command command, SteadyTime deadline, bool forwarded,
             node::CommandDone done);

  // To be called when there is news of who leads; returns at once. Writes that wait to be tried
  // again are tried then. The stream to a former leader is ended, so that what was sent to it is
  // sent again to its successor.
  void OnLeaderChanged();

  // Refuses new writes (UNAVAILABLE, not applied) and tries nothing again.
  void Stop();
  // Ends the stream to the leader and waits for it. After Stop, the replica's Shutdown and this,
  // only timers can still call back.
  void Close();

 private:
  struct Call : rpc::Retrier::Call {
    state_machine::Command command;
    node::CommandDone done;
    SteadyTime leader_by{0};                             // no leader by then: UNAVAILABLE
    bool named = false;                                  // by the client
    std::optional<state_machine::CommandResult> result;  // replicated; of the last try
  };
  using CallPtr = std::shared_ptr<Call>;

  void Send(const rpc::Retrier::CallPtr& call) override;
  void Answer(const rpc::Retrier::CallPtr& call, Status status) override;
  rpc::Retrier::CallPtr NewOpening() override;

  void Forward(const CallPtr& call, const std::string& address);
  void AwaitLeader(const CallPtr& call);
  void Settle(const CallPtr& call, Result<state_machine::CommandResult> result);
  void LeaveFormerLeader();
  Status WithLeader(Status status) const;
  std::shared_ptr<rpc::SessionChannel> ChannelTo(const std::string& address);

  node::Replica* const replica_;
  rpc::TimerQueue* const timers_;
  Clock* const clock_;
  const Options options_;
  rpc::Retrier retrier_;

  std::mutex mutex_;
  bool stopping_ = false;
  std::shared_ptr<rpc::SessionChannel> channel_;                // to the leader
  std::vector<std::shared_ptr<rpc::SessionChannel>> channels_;  // that may still call back
};

}  // namespace cairn::server
