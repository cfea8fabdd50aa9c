// RequestSession: creates the request ids of one session, and knows which requests are still open.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

namespace cairn::rpc {

// 128 random bits in hexadecimal.
std::string NewSessionName();

// The first sender of a write (a client, or the node that took a request without an id) names the
// write in a session of its own. The cluster must know the session, by its sequence 1, before other
// sequences may arrive in any order. Not thread-safe: the owner has a lock.
class RequestSession {
 public:
  enum class State : uint8_t { kNew, kOpening, kOpen };

  // `new_name` returns a name for each session.
  explicit RequestSession(std::function<std::string()> new_name = NewSessionName);

  const std::string& name() const { return name_; }
  State state() const { return state_; }
  void set_state(State state) { state_ = state; }

  // Returns the next sequence, which is open until Finished.
  uint64_t Begin();
  // Called when the request has its answer and will not be sent again. Requests of an earlier
  // session are ignored.
  void Finished(const std::string& session, uint64_t sequence);
  // No result below this sequence is needed any more.
  uint64_t acknowledged_below() const { return open_.empty() ? next_ : *open_.begin(); }

  // Replaces a session that the cluster has forgotten by a new one with a new name.
  void Renew();

 private:
  const std::function<std::string()> new_name_;
  std::string name_;
  State state_ = State::kNew;
  uint64_t next_ = 2;  // 1 opens the session
  std::set<uint64_t> open_;
};

}  // namespace cairn::rpc
