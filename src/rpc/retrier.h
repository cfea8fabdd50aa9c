// Retrier: sends each request until it has its only answer.
//
// The first sender of a write (a client, or the node that took a write without an id) names the
// write in a session of its own. It sends the write again, under the same name, while there is time
// and no certain outcome. The replicated sessions make that safe.
//
// The rules, each with the schedule that it prevents:
//
// - The answer is never better than what is known. One try ends as "unknown", and the next one is
//   refused as "not applied". The first try may still take effect, so the answer is "unknown".
// - A write whose session the cluster has forgotten gets a new name only if no try of the write can
//   take effect. Otherwise the tries under the old and the new name could both take effect.
// - A session is opened before a write is named in it. Otherwise the write with sequence 3 could
//   arrive first, and be refused because nobody knows the session yet.
// - A request that waited for its session was not sent, whatever the result of the opening.
// - An opening has a short time limit of its own, and each request waits for it by the request's
//   own deadline. A leader that is cut off may delay an opening until the cut heals. With the
//   deadline of the first request, which may be a day away, the opening would delay all later
//   requests.
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

// The pause before the nth retry (n from 1). It grows from 1 to 50 ms.
SteadyTime RetryBackoff(int n);

// The time limit of one opening of a session.
inline constexpr SteadyTime kOpeningTimeout = std::chrono::seconds(3);

// Thread-safe. The owner must outlive the retrier. `timers` and `clock` must outlive the last task
// that the retrier gives to the timers.
class Retrier {
 public:
  // One request, from Start to its answer. An owner derives from Call and adds the data to send.
  // One thread at a time has a call: the owner from Send until it reports the result of the try,
  // the retrier otherwise.
  struct Call {
    // Set by the owner before Start.
    bool write = false;
    SteadyTime deadline{0};
    SteadyTime session_by{0};  // past it, a failed opening is not retried
    size_t bytes = 0;          // counted against Options::bytes_max
    // The name of a write. If the owner leaves the session empty, the retrier names the write.
    std::string session;
    uint64_t sequence = 0;
    uint64_t acknowledged_below = 0;

   private:
    friend class Retrier;
    bool own_name_ = false;       // the retrier named the write
    bool opens_session_ = false;  // the retrier itself made the call
    bool maybe_applied_ = false;  // a try may have taken effect, or may still do so
    int tries_ = 0;               // since the last good news
    int renames_ = 0;
    Status last_;  // the result of the last try
  };
  using CallPtr = std::shared_ptr<Call>;

  class Owner {
   public:
    virtual ~Owner() = default;
    // Makes one try under the call's name. The owner then calls exactly one of Settle, TryLater,
    // TryNow and Finish for the try, from any thread, perhaps before Send returns.
    virtual void Send(const CallPtr& call) = 0;
    // Gives the only answer. `status` is that of the last try, with the outcome that is true of all
    // tries. The outcome of a read is kNone.
    virtual void Answer(const CallPtr& call, Status status) = 0;
    // Returns a call whose Send opens a session.
    virtual CallPtr NewOpening() = 0;
  };

  struct Options {
    size_t calls_max = 4096;      // unanswered calls; past either bound a call is refused
    size_t bytes_max = SIZE_MAX;  // a single call may be larger
    Status stopped;               // the answer after Stop
    std::function<std::string()> new_session_name = NewSessionName;
  };

  Retrier(Owner* owner, Timers* timers, Clock* clock, Options options);
  Retrier(const Retrier&) = delete;
  Retrier& operator=(const Retrier&) = delete;

  void Start(const CallPtr& call);

  // Ends a try. `status` is its result: OK, or an error with the outcome of this try alone (for a
  // write, kNone counts as kUnknown).
  void Settle(const CallPtr& call, Status status);
  // Ends a try that sent nothing. The retrier tries again after a pause, or at once.
  void TryLater(const CallPtr& call);
  void TryNow(const CallPtr& call);
  // Ends a call after a try that sent nothing. The call is not retried.
  void Finish(const CallPtr& call, Status status);

  // Called on good news, such as a new leader: tries all delayed calls now.
  void TryDelayed();

  // Refuses new calls and retries nothing. Calls in progress still need their Settle.
  void Stop();

 private:
  // What to do with a call that is to be sent. Decided under the lock.
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
  // Calls that wait until the session is open, by the number of the wait.
  std::map<uint64_t, CallPtr> waiting_ CAIRN_GUARDED_BY(mutex_);
  uint64_t last_wait_ CAIRN_GUARDED_BY(mutex_) = 0;
  // Calls that will be retried, by the number of the delay.
  std::map<uint64_t, CallPtr> delayed_ CAIRN_GUARDED_BY(mutex_);
  uint64_t last_delay_ CAIRN_GUARDED_BY(mutex_) = 0;
  size_t calls_ CAIRN_GUARDED_BY(mutex_) = 0;
  size_t bytes_ CAIRN_GUARDED_BY(mutex_) = 0;
  bool stopped_ CAIRN_GUARDED_BY(mutex_) = false;
};

}  // namespace cairn::rpc
