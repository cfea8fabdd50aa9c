// Router: brings every write to the leader, whichever node took it.
//
// rpc::Retrier names a write that came without an id, sends the write again under the same id, and
// decides what the answer is. The Router decides where each try goes: to this node's own replica if
// this node leads, otherwise to the leader. If no leader is known for a while, or the leader is not
// reached, a try goes to another member, which passes the write on once. A write that was passed on
// goes no further: it is proposed or refused.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/measures.h"
#include "base/mutex.h"
#include "base/status.h"
#include "node/replica.h"
#include "rpc/retrier.h"
#include "rpc/timers.h"
#include "server/write_link.h"
#include "state_machine/command.h"

namespace cairn::server {

// Thread-safe.
class Router final : private rpc::Retrier::Owner {
 public:
  struct Options {
    uint64_t node_id = 0;
    std::string address;  // of this node; nothing is forwarded to it
    std::chrono::milliseconds leader_wait{3000};
    // When no leader was known or reached for this long, another member is asked to relay.
    std::chrono::milliseconds relay_after{500};
    size_t writes_max = 65536;            // writes that are not answered yet
    size_t write_bytes_max = 256u << 20;  // the bytes of their statements
  };

  // `replica`, `timers` and `clock` must outlive the router's last callback (see Close).
  Router(node::Replica* replica, rpc::Timers* timers, Clock* clock, OpenWriteLink open,
         Options options);
  ~Router() override;
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // `done` is called exactly once, as Replica::Propose says, but only after all tries. A command
  // with an empty `id` gets an id of this node's own. A write whose caller has gone (see
  // Replica::Propose) is not tried again. What is under way to another node goes on.
  void Write(state_machine::Command command, SteadyTime deadline, Origin origin,
             node::CommandDone done, node::CallerGone gone);

  // Call when there is news of who leads; returns at once. Writes that wait to be tried again are
  // tried then. The stream to a former leader is ended, so that what was sent to it is sent again
  // to its successor.
  void OnLeaderChanged();

  // Tries that were sent to the leader, and to members that were asked to relay.
  uint64_t forwarded() const { return forwarded_.value(); }
  uint64_t relayed() const { return relayed_.value(); }

  // Refuses new writes (UNAVAILABLE, not applied), and tries nothing again.
  void Stop();
  // Ends the stream to the leader and waits for its end. After Stop, the replica's Shutdown and
  // Close, only timers can still call back.
  void Close();

 private:
  struct Call : rpc::Retrier::Call {
    state_machine::Command command;
    node::CommandDone done;
    node::CallerGone gone;
    SteadyTime leader_by{0};                             // without a leader by then, UNAVAILABLE
    std::optional<SteadyTime> unreached_since;           // the known leader, since then
    bool named = false;                                  // the client named the write
    std::optional<state_machine::CommandResult> result;  // the replicated result of the last try
  };
  using CallPtr = std::shared_ptr<Call>;

  void Send(const rpc::Retrier::CallPtr& call) override;
  void Answer(const rpc::Retrier::CallPtr& call, Status status) override;
  rpc::Retrier::CallPtr NewOpening() override;

  using LinkPtr = std::shared_ptr<WriteLink>;

  void Forward(const CallPtr& call, const std::string& address);
  void AwaitLeader(const CallPtr& call);
  void Relay(const CallPtr& call);
  void PassOn(const state_machine::Command& command, SteadyTime deadline, node::CommandDone done);
  // Closes the link, unless its node has answered by then.
  void CloseUnlessReady(const LinkPtr& link, SteadyTime after);
  void Settle(const CallPtr& call, Result<state_machine::CommandResult> result);
  void LeaveFormerLeader();
  void LeaveLostLeader();
  Status WithLeader(Status status) const;
  // The address of the leader, if another node leads.
  std::optional<std::string> LeaderElsewhere() const;
  // The member whose turn it is to relay. If there is a choice, not the last known leader.
  std::optional<std::string> MemberToRelay(size_t* turn);
  // `origin` is what the other node is to take the writes of this link for. Null after Stop.
  LinkPtr LinkTo(const std::string& address, Origin origin);

  node::Replica* const replica_;
  rpc::Timers* const timers_;
  Clock* const clock_;
  const OpenWriteLink open_;
  const Options options_;
  rpc::Retrier retrier_;
  Counter forwarded_;
  Counter relayed_;

  Mutex mutex_;
  bool stopping_ CAIRN_GUARDED_BY(mutex_) = false;
  LinkPtr to_leader_ CAIRN_GUARDED_BY(mutex_);
  LinkPtr to_relay_ CAIRN_GUARDED_BY(mutex_);            // a member that relays
  std::vector<LinkPtr> links_ CAIRN_GUARDED_BY(mutex_);  // links that may still call back
  std::string last_leader_ CAIRN_GUARDED_BY(mutex_);
  // Rises when the member whose turn it was could not relay.
  size_t relay_turn_ CAIRN_GUARDED_BY(mutex_) = 0;
};

}  // namespace cairn::server
