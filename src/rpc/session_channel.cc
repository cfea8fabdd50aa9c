#include "rpc/session_channel.h"

#include <algorithm>
#include <utility>

#include "rpc/endpoint.h"
#include "rpc/proto_convert.h"
#include "rpc/request_size.h"
#include "security/connection_error.h"

namespace cairn::rpc {
namespace {

// A message takes requests until it has this size (one larger request goes alone). So no message
// comes near the bound of a node.
constexpr size_t kMessageBytes = 1 << 20;
// More than the bytes that are added to a request here, and around it in its message.
constexpr size_t kFramingBytes = 64;
// The precision of deadlines.
constexpr SteadyTime kSweep = std::chrono::milliseconds(20);

Status NotSent(std::string why) { return Unavailable(std::move(why)).With(Outcome::kNotApplied); }

}  // namespace

std::shared_ptr<SessionChannel> SessionChannel::Open(Options options, TimerQueue* timers,
                                                     Clock* clock) {
  std::shared_ptr<SessionChannel> channel(new SessionChannel(std::move(options), timers, clock));
  channel->self_ = channel;
  channel->Start();
  return channel;
}

SessionChannel::SessionChannel(Options options, TimerQueue* timers, Clock* clock)
    : options_(std::move(options)), timers_(timers), clock_(clock) {}

void SessionChannel::Start() {
  stub_ = v1::Database::NewStub(NewChannel(options_.endpoint, options_.tls));
  for (const auto& [key, value] : options_.metadata) context_.AddMetadata(key, value);
  stub_->async()->Session(&context_, this);
  // Any thread may start a write. The hold keeps the stream from ending between the decision to
  // write and the write.
  AddHold();
  StartRead(&incoming_);
  StartCall();
}

bool SessionChannel::broken() const {
  MutexLock lock(mutex_);
  return broken_ || retired_;
}

bool SessionChannel::ready() const {
  MutexLock lock(mutex_);
  return ready_;
}

size_t SessionChannel::queued() const {
  MutexLock lock(mutex_);
  return queue_.size();
}

bool SessionChannel::ended() const {
  MutexLock lock(end_->mutex);
  return end_->reached;
}

void SessionChannel::AwaitEnd() {
  MutexLock lock(end_->mutex);
  while (!end_->reached) end_->told.Wait(lock);
}

void SessionChannel::Send(v1::SessionRequest request, SteadyTime deadline, Done done) {
  const size_t bytes = request.ByteSizeLong();
  bool sweep = false;
  {
    MutexLock lock(mutex_);
    if (const Status refused = Refusal(bytes); !refused.ok()) {
      lock.Unlock();
      done(refused, nullptr);
      return;
    }
    const uint64_t id = next_id_++;
    request.set_id(id);
    pending_.emplace_hint(pending_.end(), id,
                          Pending{deadline, bytes, /*sent=*/false, std::move(done)});
    pending_bytes_ += bytes;
    queue_.push_back(std::move(request));
    sweep = !std::exchange(sweeping_, true);
  }
  if (sweep) {
    timers_->RunAfter(kSweep, [self = shared_from_this()] { self->ExpireLate(); });
  }
  Flush();
}

Status SessionChannel::Refusal(size_t bytes) const {
  // Past the bound the node ends the stream, and with it the requests of others.
  if (Status large = CheckRequestSize(bytes + kFramingBytes); !large.ok()) {
    return std::move(large).With(Outcome::kNotApplied);
  }
  if (broken_ || retired_) return NotSent("the stream to " + options_.endpoint + " has ended");
  if (pending_.size() >= options_.inflight_max ||
      (!pending_.empty() && pending_bytes_ + bytes > options_.inflight_bytes_max)) {
    return ResourceExhausted("too many requests in flight to " + options_.endpoint)
        .With(Outcome::kNotApplied);
  }
  return OkStatus();
}

bool SessionChannel::PrepareWrite() {
  if (writing_ || corked_ || broken_ || !ready_) return false;
  outgoing_.Clear();
  size_t bytes = 0;
  while (!queue_.empty()) {
    const auto pending = pending_.find(queue_.front().id());
    if (pending != pending_.end()) {  // otherwise its deadline passed while it waited
      if (bytes != 0 && bytes + pending->second.bytes > kMessageBytes) break;
      bytes += pending->second.bytes;
      pending->second.sent = true;
      outgoing_.add_requests()->Swap(&queue_.front());
    }
    queue_.pop_front();
  }
  if (outgoing_.requests_size() == 0) return false;
  writing_ = true;
  return true;
}

void SessionChannel::Flush() {
  bool write = false;
  {
    MutexLock lock(mutex_);
    write = PrepareWrite();
  }
  if (write) StartWrite(&outgoing_);
}

void SessionChannel::OnWriteDone(bool ok) {
  bool write = false;
  {
    MutexLock lock(mutex_);
    writing_ = false;
    // A failed write means that the stream is over. OnReadDone reports that, and no other write
    // starts.
    if (ok) write = PrepareWrite();
  }
  if (write) {
    StartWrite(&outgoing_);
  } else {
    EndIfIdle();
  }
}

void SessionChannel::OnReadDone(bool ok) {
  if (!ok) {
    {
      MutexLock lock(mutex_);
      broken_ = true;
    }
    EndIfIdle();
    return;
  }
  {
    MutexLock lock(mutex_);
    ready_ = true;
    corked_ = true;
  }
  if (incoming_.has_leader() && options_.on_leader) {
    options_.on_leader({incoming_.leader().node_id(), incoming_.leader().address()});
  }
  for (v1::SessionResponse& response : *incoming_.mutable_responses()) Answer(&response);
  incoming_.Clear();
  {
    MutexLock lock(mutex_);
    corked_ = false;
  }
  Flush();
  EndIfIdle();
  StartRead(&incoming_);
}

void SessionChannel::Answer(v1::SessionResponse* response) {
  Done done;
  {
    MutexLock lock(mutex_);
    const auto found = pending_.find(response->id());
    if (found == pending_.end()) return;  // its deadline has passed, and its caller knows
    pending_bytes_ -= found->second.bytes;
    done = std::move(found->second.done);
    pending_.erase(found);
  }
  done(OkStatus(), response);
}

void SessionChannel::Close() { context_.TryCancel(); }

void SessionChannel::Retire() {
  {
    MutexLock lock(mutex_);
    retired_ = true;
  }
  EndIfIdle();
}

// The stream may end when reading has ended, or when it is retired and has nothing left to answer.
bool SessionChannel::MayEnd() const {
  return !released_ && !writing_ && (broken_ || (retired_ && pending_.empty()));
}

void SessionChannel::EndIfIdle() {
  bool cancel = false;
  {
    MutexLock lock(mutex_);
    if (!MayEnd()) return;
    released_ = true;
    cancel = !broken_;
    broken_ = true;
  }
  if (cancel) context_.TryCancel();
  RemoveHold();
}

void SessionChannel::OnDone(const grpc::Status& status) {
  const std::string why = status.ok() ? "the node ended the stream"
                                      : security::ConnectionErrorInWords(status.error_message());
  // A node that does not let the caller in says so, and would say it again.
  const bool refused = status.error_code() == grpc::StatusCode::UNAUTHENTICATED ||
                       status.error_code() == grpc::StatusCode::PERMISSION_DENIED;
  const StatusCode code =
      refused ? static_cast<StatusCode>(status.error_code()) : StatusCode::kUnavailable;
  const Status broken(code, "connection to " + options_.endpoint + ": " + why);
  FailAll(broken);
  if (options_.on_broken) options_.on_broken(broken);
  const std::shared_ptr<End> end = end_;
  std::exchange(self_, nullptr).reset();  // may destroy this object
  MutexLock lock(end->mutex);
  end->reached = true;
  end->told.NotifyAll();
}

void SessionChannel::FailAll(const Status& why) {
  std::map<uint64_t, Pending> failed;
  {
    MutexLock lock(mutex_);
    broken_ = true;
    failed.swap(pending_);
    queue_.clear();
    pending_bytes_ = 0;
  }
  for (auto& [id, pending] : failed) {
    pending.done(Status(why).With(pending.sent ? Outcome::kUnknown : Outcome::kNotApplied),
                 nullptr);
  }
}

void SessionChannel::ExpireLate() {
  std::vector<Pending> late;
  bool again = false;
  {
    MutexLock lock(mutex_);
    const SteadyTime now = clock_->SteadyNow();
    for (auto it = pending_.begin(); it != pending_.end();) {
      if (it->second.deadline > now) {
        ++it;
        continue;
      }
      pending_bytes_ -= it->second.bytes;
      late.push_back(std::move(it->second));
      it = pending_.erase(it);
    }
    // A request that is no longer counted must not stay in the queue. Until the stream is ready
    // nothing leaves the queue, and requests with short deadlines would fill it without a bound.
    if (!late.empty()) {
      std::erase_if(queue_, [this](const v1::SessionRequest& request) CAIRN_REQUIRES(mutex_) {
        return !pending_.contains(request.id());
      });
    }
    again = !pending_.empty() && !broken_;
    sweeping_ = again;
  }
  for (Pending& pending : late) {
    const std::string why = pending.sent ? "no answer from " + options_.endpoint + " in time"
                                         : options_.endpoint + " was not reached in time";
    pending.done(
        DeadlineExceeded(why).With(pending.sent ? Outcome::kUnknown : Outcome::kNotApplied),
        nullptr);
  }
  if (again) timers_->RunAfter(kSweep, [self = shared_from_this()] { self->ExpireLate(); });
}

}  // namespace cairn::rpc
