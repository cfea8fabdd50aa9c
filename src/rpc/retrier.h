// Retrier: brings each request to its only answer, by as many tries as that takes.
//
// Whoever sends a write first (a client, or the node that took a write without an id) names it out
// of a session of its own and sends it again, under the same name, while there is time and no
// certain outcome. The replicated session table makes that safe.
//
// The rules, each with the schedule that it prevents:
//
// - The answer is never better than what is known. One try fails as "unknown", the next one is
//   refused as "not applied": the first may still take effect, so the answer is "unknown".
// - A write whose session the cluster has forgotten gets a new name only if no try of it can take
//   effect. Otherwise the try under the old name and the one under the new name could both do so.
// - A session is opened before a write is named out of it. Otherwise the write with sequence 3
//   could arrive first, and be refused for a session that nobody knows yet.
// - A request that waited for its session was not sent, whatever became of the opening.
// - An opening has a short time of its own, and each request waits for it by its own deadline. A
//   leader that is cut off may hold an opening until the cut heals. With the deadline of the request
//   that came first, which may be a day away, it would hold up all requests that come later.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "rpc/request_session.h"
#include "rpc/timers.h"

namespace cairn::rpc {

// Before the nth try again (n from 1): grows from 1 to 50 ms.
SteadyTime RetryBackoff(int n);

// How long one opening of a session may take.
inline constexpr SteadyTime kOpeningTimeout = std::chrono::seconds(3);

// Thread-safe. The owner outlives it; `timers` and `clock` outlive the last task given to the
// timers.
class Retrier {
 public:
  // One request, from Start to its answer. An owner derives from it what it sends. One thread at a
  // time has a call: the owner from Send until it says what the try came to, the retrier otherwise.
  struct Call {
    // Set by the owner before Start.
    bool write = false;
    SteadyTime deadline{0};
    SteadyTime session_by{0};  // past it, an opening that failed (in time) is not tried again
    size_t bytes = 0;          // counted against Options::bytes_max
    // The name of a write: the owner's, or, where it leaves the session empty, the retrier's.
    std::string session;
    uint64_t sequence = 0;
    uint64_t acknowledged_below = 0;

   private:
    friend class Retrier;
    bool own_name_ = false;       // named by the retrier
    bool opens_session_ = false;  // made by the retrier itself
    bool maybe_applied_ = false;  // a try may have taken effect, or may do so yet
    int tries_ = 0;               // since the last good news
    int renames_ = 0;
    Status last_;  // what the last try came to
  };
  using CallPtr = std::shared_ptr<Call>;

  class Owner {
   public:
    virtual ~Owner() = default;
    // Makes one try under the call's name, then calls exactly one of Settle, TryLater, TryNow and
    // Finish for it, from any thread, perhaps before it returns.
    virtual void Send(const CallPtr& call) = 0;
    // The only answer. `status` is that of the last try, with the outcome that is true of all
    // tries; the outcome of a read is kNone.
    virtual void Answer(const CallPtr& call, Status status) = 0;
    // A call whose Send opens a session.
    virtual CallPtr NewOpening() = 0;
  };

  struct Options {
    size_t calls_max = 4096;      // not yet answered; past either bound a call is refused
    size_t bytes_max = SIZE_MAX;  // a single call may be larger
    Status stopped;               // the answer after Stop
    std::function<std::string()> new_session_name = NewSessionName;
  };

  Retrier(Owner* owner, Timers* timers, Clock* clock, Options options);
  Retrier(const Retrier&) = delete;
  Retrier& operator=(const Retrier&) = delete;

  void Start(const CallPtr& call);

  // The try is over. `status` is what it came to: OK, or an error with the outcome of this try
  // alone (for a write, kNone is taken for kUnknown).
  void Settle(const CallPtr& call, Status status);
  // Nothing was sent. Tries again after a pause, or at once.
  void TryLater(const CallPtr& call);
  void TryNow(const CallPtr& call);
  // Nothing was sent by this try, and there is no other.
  void Finish(const CallPtr& call, Status status);

  // There is good news, such as a new leader: what waits to be tried again is tried now.
  void TryDelayed();

  // Refuses new calls and tries nothing again. Calls under way still need their Settle.
  void Stop();

 private:
  // What the lock decides of a call that is to be sent.
  enum class Next { kSend, kWaits, kOpens, kStopped };
  // `*wait` is the number of the wait if the call waits.
  Next NameLocked(const CallPtr& call, uint64_t* wait) CAIRN_REQUIRES(mutex_);
  void OpenSession();
  void OnSessionOpened(const Call& opening, const Status& status);
  void ExpireWait(uint64_t wait, SteadyTime deadline);
  void OnExpired(const CallPtr& call, Status status);
  // Gives an answer with the true outcome.
  void End(const CallPtr& call, Status status);
  Status TrueStatus(const Call& call, Status status) const;
  Status TimeIsOver(const Call& call) const;

  Owner* const owner_;
  Timers* const timers_;
  Clock* const clock_;
  const Options options_;

  Mutex mutex_;
  RequestSession session_ CAIRN_GUARDED_BY(mutex_);
  // For the session to be open, by the number of the wait.
  std::map<uint64_t, CallPtr> waiting_ CAIRN_GUARDED_BY(mutex_);
  uint64_t last_wait_ CAIRN_GUARDED_BY(mutex_) = 0;
  // To be tried again, by the number of the delay.
  std::map<uint64_t, CallPtr> delayed_ CAIRN_GUARDED_BY(mutex_);
  uint64_t last_delay_ CAIRN_GUARDED_BY(mutex_) = 0;
  size_t calls_ CAIRN_GUARDED_BY(mutex_) = 0;
  size_t bytes_ CAIRN_GUARDED_BY(mutex_) = 0;
  bool stopped_ CAIRN_GUARDED_BY(mutex_) = false;
};

}  // namespace cairn::rpc
