#include "rpc/retrier.h"

#include <algorithm>
#include <utility>

namespace cairn::rpc {

SteadyTime RetryBackoff(int n) {
  return std::chrono::milliseconds(std::min(50, 1 << std::min(n - 1, 6)));
}

Retrier::Retrier(Owner* owner, Timers* timers, Clock* clock, Options options)
    : owner_(owner),
      timers_(timers),
      clock_(clock),
      options_(std::move(options)),
      session_(options_.new_session_name) {}

void Retrier::Start(const CallPtr& call) {
  Status refused;
  {
    MutexLock lock(mutex_);
    if (stopped_) {
      refused = options_.stopped;
    } else if (calls_ >= options_.calls_max ||
               (calls_ != 0 && bytes_ + call->bytes > options_.bytes_max)) {
      refused = ResourceExhausted("too many requests are in flight here; try again later");
    } else {
      ++calls_;
      bytes_ += call->bytes;
    }
  }
  call->own_name_ = call->write && call->session.empty();
  if (refused.ok()) {
    TryNow(call);
  } else {
    owner_->Answer(call, TrueStatus(*call, std::move(refused).With(Outcome::kNotApplied)));
  }
}

// ---- Names --------------------------------------------------------------------------------------

Retrier::Next Retrier::NameLocked(const CallPtr& call, uint64_t* wait) {
  if (stopped_) return Next::kStopped;
  if (!call->own_name_ || call->opens_session_) return Next::kSend;
  if (call->sequence == 0) {
    if (session_.state() != RequestSession::State::kOpen) {
      *wait = ++last_wait_;
      waiting_.emplace(*wait, call);
      const bool opens = session_.state() == RequestSession::State::kNew;
      session_.set_state(RequestSession::State::kOpening);
      return opens ? Next::kOpens : Next::kWaits;
    }
    call->session = session_.name();
    call->sequence = session_.Begin();
  }
  if (call->session == session_.name()) call->acknowledged_below = session_.acknowledged_below();
  return Next::kSend;
}

void Retrier::OpenSession() {
  const CallPtr call = owner_->NewOpening();
  call->write = true;
  call->own_name_ = true;
  call->opens_session_ = true;
  call->sequence = 1;
  call->deadline = clock_->SteadyNow() + kOpeningTimeout;
  {
    MutexLock lock(mutex_);
    call->session = session_.name();
    ++calls_;
    bytes_ += call->bytes;
  }
  TryNow(call);
}

void Retrier::OnSessionOpened(const Call& opening, const Status& status) {
  std::map<uint64_t, CallPtr> waiting;
  {
    MutexLock lock(mutex_);
    if (session_.name() == opening.session) {
      session_.set_state(status.ok() ? RequestSession::State::kOpen : RequestSession::State::kNew);
    }
    waiting.swap(waiting_);
  }
  const bool transient =
      status.code() == StatusCode::kUnavailable || status.code() == StatusCode::kDeadlineExceeded;
  const SteadyTime now = clock_->SteadyNow();
  // The node that took the opening has not answered in time; its apply may be busy. The same
  // opening is sent again.
  const bool late = now >= opening.deadline && status.code() == StatusCode::kDeadlineExceeded;
  for (const auto& [wait, call] : waiting) {
    const bool patient = now < (late ? call->deadline : std::min(call->deadline, call->session_by));
    if (status.ok() || (transient && patient)) {
      TryNow(call);
    } else {
      End(call, Status(status)
                    .Prefixed("the request waited for its session to be opened")
                    .With(Outcome::kNotApplied));
    }
  }
}

// Ends the call at its deadline if it still waits then. The timers are short: timers until the
// deadline would pile up for calls that waited only a moment, for as long as clients are willing to
// wait. Stopped timers run their tasks early.
void Retrier::ExpireWait(uint64_t wait, SteadyTime deadline) {
  const SteadyTime at = std::min(deadline, clock_->SteadyNow() + kOpeningTimeout);
  timers_->RunAt(at, [this, wait, at, deadline] {
    const SteadyTime now = clock_->SteadyNow();
    CallPtr late;
    {
      MutexLock lock(mutex_);
      const auto found = waiting_.find(wait);
      if (found == waiting_.end()) return;
      if (now >= deadline || now < at) {
        late = std::move(found->second);
        waiting_.erase(found);
      }
    }
    if (late == nullptr) return ExpireWait(wait, deadline);
    End(late,
        now >= deadline ? TimeIsOver(*late) : Status(options_.stopped).With(Outcome::kNotApplied));
  });
}

void Retrier::OnExpired(const CallPtr& call, Status status) {
  {
    MutexLock lock(mutex_);
    // The first call of the session that learns this renews the session; the others follow.
    if (call->own_name_ && call->session == session_.name()) session_.Renew();
  }
  if (call->maybe_applied_) {
    // UNAVAILABLE, because a client that reads only codes must not take this for a refusal.
    End(call, Unavailable("the session expired before the outcome was known: " + status.message())
                  .With(Reason::kSessionExpired));
  } else if (!call->own_name_ || call->opens_session_) {
    End(call, std::move(status));
  } else {
    call->sequence = 0;
    // A cluster that forgets sessions as fast as they are opened must not be asked in a loop.
    if (call->renames_++ == 0) {
      TryNow(call);
    } else {
      // The id is this client's own, and no try of it can have been applied.
      call->last_ = std::move(status).With(Outcome::kNotApplied);
      TryLater(call);
    }
  }
}

// ---- Tries --------------------------------------------------------------------------------------

void Retrier::TryNow(const CallPtr& call) {
  if (clock_->SteadyNow() >= call->deadline) return End(call, TimeIsOver(*call));
  const SteadyTime deadline = call->deadline;
  Next next = Next::kSend;
  uint64_t wait = 0;
  {
    MutexLock lock(mutex_);
    next = NameLocked(call, &wait);
  }
  switch (next) {
    case Next::kSend: return owner_->Send(call);
    case Next::kWaits: return ExpireWait(wait, deadline);
    case Next::kOpens: ExpireWait(wait, deadline); return OpenSession();
    case Next::kStopped: return End(call, Status(options_.stopped).With(Outcome::kNotApplied));
  }
}

void Retrier::Settle(const CallPtr& call, Status status) {
  if (status.ok() || status.outcome() == Outcome::kApplied) return End(call, std::move(status));
  if (call->write && status.reason() == Reason::kSessionExpired) {
    // It is certain that this try does not run. "Unknown" is about the earlier tries.
    return OnExpired(call, std::move(status));
  }
  if (call->write && status.outcome() != Outcome::kNotApplied) call->maybe_applied_ = true;
  if (status.code() != StatusCode::kUnavailable) return End(call, std::move(status));
  call->last_ = std::move(status);
  TryLater(call);
}

void Retrier::TryLater(const CallPtr& call) {
  const SteadyTime backoff = RetryBackoff(++call->tries_);
  if (clock_->SteadyNow() + backoff >= call->deadline) return End(call, TimeIsOver(*call));
  uint64_t delay = 0;
  {
    MutexLock lock(mutex_);
    delay = ++last_delay_;
    delayed_.emplace(delay, call);
  }
  timers_->RunAt(clock_->SteadyNow() + backoff, [this, delay] {
    CallPtr due;
    {
      MutexLock lock(mutex_);
      const auto found = delayed_.find(delay);
      if (found == delayed_.end()) return;  // good news came first
      due = std::move(found->second);
      delayed_.erase(found);
    }
    TryNow(due);
  });
}

void Retrier::TryDelayed() {
  std::map<uint64_t, CallPtr> delayed;
  {
    MutexLock lock(mutex_);
    delayed.swap(delayed_);
  }
  for (const auto& [delay, call] : delayed) {
    call->tries_ = 0;
    TryNow(call);
  }
}

// ---- The end ------------------------------------------------------------------------------------

void Retrier::Finish(const CallPtr& call, Status status) {
  End(call, std::move(status).With(Outcome::kNotApplied));
}

void Retrier::End(const CallPtr& call, Status status) {
  {
    MutexLock lock(mutex_);
    --calls_;
    bytes_ -= call->bytes;
    if (call->own_name_) session_.Finished(call->session, call->sequence);
  }
  status = TrueStatus(*call, std::move(status));
  if (call->opens_session_) {
    OnSessionOpened(*call, status);
  } else {
    owner_->Answer(call, std::move(status));
  }
}

Status Retrier::TrueStatus(const Call& call, Status status) const {
  if (status.ok()) return status;
  if (!call.write) return std::move(status).With(Outcome::kNone);
  // Only a replicated result is certain once a try may have taken effect.
  if (!call.maybe_applied_ || status.outcome() == Outcome::kApplied) return status;
  return std::move(status).With(Outcome::kUnknown);
}

Status Retrier::TimeIsOver(const Call& call) const {
  // The reason of the last failed try tells more than that the time is over.
  if (!call.last_.ok()) return call.last_;
  return DeadlineExceeded("the request's time was over before it was sent")
      .With(Outcome::kNotApplied);
}

void Retrier::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
}

}  // namespace cairn::rpc
