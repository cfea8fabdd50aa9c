// CallTable: the calls of one client, each from its start to its only answer.
//
// The Retrier decides when a call is sent, under which name, and what its answer is. CallTable
// decides where a call goes: to the leader while CallTable knows one, otherwise to the endpoints in
// turn.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "cairn/client.h"
#include "cairn/v1/database.pb.h"
#include "rpc/retrier.h"
#include "rpc/session_channel.h"
#include "rpc/timer_queue.h"

namespace cairn::client {

// Thread-safe. The destructor fails the calls in flight and waits for the callbacks.
class CallTable final : private rpc::Retrier::Owner {
 public:
  using Done = rpc::SessionChannel::Done;

  CallTable(ClientOptions options, security::TlsPtr tls);
  ~CallTable() override;
  CallTable(const CallTable&) = delete;
  CallTable& operator=(const CallTable&) = delete;

  void Start(v1::SessionRequest request, Done done);
  // The endpoint to which calls go now.
  std::string Endpoint();

 private:
  struct Call : rpc::Retrier::Call {
    v1::SessionRequest request;
    Done done;
    v1::SessionResponse* response = nullptr;  // while the answer is being handed over
  };
  using CallPtr = rpc::Retrier::CallPtr;

  void Send(const CallPtr& call) override;
  void Answer(const CallPtr& call, Status status) override;
  CallPtr NewOpening() override;
  void Settle(const CallPtr& call, Status status, v1::SessionResponse* response);

  std::shared_ptr<rpc::SessionChannel> PickChannel();
  void OnLeader(const LeaderHint& leader);

  const ClientOptions options_;
  const security::TlsPtr tls_;
  Clock* const clock_;
  rpc::TimerQueue timers_;
  rpc::Retrier retrier_;

  Mutex mutex_;
  bool closing_ CAIRN_GUARDED_BY(mutex_) = false;
  // The stream to which calls go now, and every stream that may still call back.
  std::shared_ptr<rpc::SessionChannel> channel_ CAIRN_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<rpc::SessionChannel>> channels_ CAIRN_GUARDED_BY(mutex_);
  size_t next_endpoint_ CAIRN_GUARDED_BY(mutex_) = 0;
  std::string leader_ CAIRN_GUARDED_BY(mutex_);  // "": not known
  std::string avoid_ CAIRN_GUARDED_BY(mutex_);   // a leader's address that could not be reached
  SteadyTime avoid_until_ CAIRN_GUARDED_BY(mutex_){0};
  SteadyTime last_switch_ CAIRN_GUARDED_BY(mutex_){0};
};

}  // namespace cairn::client
