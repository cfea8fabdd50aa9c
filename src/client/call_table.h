// CallTable: the calls of one client, from their start to their only answer.
//
// It names writes out of the client's session, sends each to the node it thinks best, and sends
// again, under the same id, what failed but may yet succeed before its deadline.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "cairn/client.h"
#include "cairn/v1/database.pb.h"
#include "client/request_session.h"
#include "client/session_channel.h"
#include "client/timer_queue.h"

namespace cairn::client {

// True if the cluster has forgotten the session that the request was named in, and so refused it.
bool IsSessionExpired(const Status& status);
// True if a read was refused because its result does not fit one message.
bool IsResultTooLarge(const Status& status);
// Before the nth try again (n from 1): grows from 1 to 50 ms.
SteadyTime RetryBackoff(int n);

// Thread-safe. The destructor fails what is in flight and waits for the callbacks.
class CallTable {
 public:
  using Done = SessionChannel::Done;

  explicit CallTable(ClientOptions options);
  ~CallTable();
  CallTable(const CallTable&) = delete;
  CallTable& operator=(const CallTable&) = delete;

  void Start(v1::SessionRequest request, Done done);
  // Where calls go now.
  std::string Endpoint();

 private:
  struct Call {
    v1::SessionRequest request;
    SteadyTime deadline;
    Done done;
    bool write = false;
    bool maybe_applied = false;  // an earlier try may take effect yet
    int tries = 0;
    std::string session;
    uint64_t sequence = 0;  // 0: not named yet
  };
  using CallPtr = std::shared_ptr<Call>;

  // Names a write (opening the session first where that must be), then tries it.
  void NameAndTry(const CallPtr& call);
  void OpenSession(SteadyTime deadline);
  void OnSessionOpened(const std::string& session, const Status& status);
  void Try(const CallPtr& call);
  void Settle(const CallPtr& call, const Status& status, v1::SessionResponse* response);
  // The session is gone. True if the call may be sent under a new name.
  bool Rename(const CallPtr& call);
  void Finish(const CallPtr& call, Status status, v1::SessionResponse* response);

  std::shared_ptr<SessionChannel> PickChannel();
  void OnLeader(const LeaderHint& leader);

  const ClientOptions options_;
  Clock* const clock_;
  TimerQueue timers_;

  std::mutex mutex_;
  RequestSession session_;
  std::vector<CallPtr> waiting_;  // for the session to be open
  size_t inflight_ = 0;
  bool closing_ = false;
  // Where calls go now, and every stream that may still call back.
  std::shared_ptr<SessionChannel> channel_;
  std::vector<std::shared_ptr<SessionChannel>> channels_;
  size_t next_endpoint_ = 0;
  std::string leader_;  // "": not known
  std::string avoid_;   // a leader's address that could not be reached
  SteadyTime avoid_until_{0};
  SteadyTime last_switch_{0};
};

}  // namespace cairn::client
