// Router: brings every write to the leader, whichever node took it.
//
// The first node that takes a write names it (unless the client did) and sends it again, under the
// same id, as long as there is time and no certain outcome: the replicated session table makes that
// safe. A request that another node passed on goes no further: it is proposed here, or refused.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "client/request_session.h"
#include "client/session_channel.h"
#include "client/timer_queue.h"
#include "node/replica.h"
#include "state_machine/command.h"

namespace cairn::server {

// Thread-safe.
class Router {
 public:
  struct Options {
    std::string address;  // of this node: never forwarded to
    std::chrono::milliseconds leader_wait{3000};
    size_t writes_max = 65536;            // not yet answered
    size_t write_bytes_max = 256u << 20;  // statements of those
  };

  // `replica`, `timers` and `clock` must outlive the router's last callback (see Close).
  Router(node::Replica* replica, client::TimerQueue* timers, Clock* clock, Options options);
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // `done` is called exactly once, as Replica::Propose says, but after all that could be tried. An
  // empty `command.id` gets one of this node's own. `forwarded`: from another node.
  void Write(state_machine::Command command, SteadyTime deadline, bool forwarded,
             node::CommandDone done);

  // To be called when there is news of who leads; returns at once. What waits to be tried again is
  // tried then, and a leader that is none any more is left, so that what was sent to it is sent
  // again to its successor.
  void OnLeaderChanged();

  // Refuses new writes (UNAVAILABLE, not applied) and tries nothing again.
  void Stop();
  // Ends the stream to the leader and waits for it. After Stop, the replica's Shutdown and this,
  // only timers can still call back.
  void Close();

 private:
  struct Call {
    state_machine::Command command;
    SteadyTime deadline{0};
    SteadyTime leader_by{0};  // no leader by then: UNAVAILABLE
    node::CommandDone done;
    size_t bytes = 0;
    bool own_id = false;
    bool maybe_applied = false;  // an earlier try may take effect yet
    int tries = 0;
  };
  using CallPtr = std::shared_ptr<Call>;

  // The names of the calls that came without one.
  void NameAndTry(const CallPtr& call);
  void OpenSession(SteadyTime deadline);
  void OnSessionOpened(const std::string& session, const Status& status);
  bool Rename(const CallPtr& call);

  void Try(const CallPtr& call);
  void Forward(const CallPtr& call, const std::string& address);
  void AwaitLeader(const CallPtr& call);
  void Settle(const CallPtr& call, Result<state_machine::CommandResult> result);
  void TryLater(const CallPtr& call);
  void LeaveFormerLeader();
  void Finish(const CallPtr& call, Result<state_machine::CommandResult> result);
  Status WithLeader(Status status) const;
  std::shared_ptr<client::SessionChannel> ChannelTo(const std::string& address);

  node::Replica* const replica_;
  client::TimerQueue* const timers_;
  Clock* const clock_;
  const Options options_;

  std::mutex mutex_;
  client::RequestSession session_;
  std::vector<CallPtr> waiting_;         // for the session to be open
  std::map<uint64_t, CallPtr> delayed_;  // to be tried again, by the number of the delay
  uint64_t last_delay_ = 0;
  size_t writes_ = 0;
  size_t write_bytes_ = 0;
  bool stopping_ = false;
  std::shared_ptr<client::SessionChannel> channel_;                // to the leader
  std::vector<std::shared_ptr<client::SessionChannel>> channels_;  // that may still call back
};

}  // namespace cairn::server
