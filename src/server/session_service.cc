#include "server/session_service.h"

#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "base/defer_scope.h"
#include "rpc/proto_convert.h"
#include "server/convert.h"
#include "server/limits.h"
#include "server/raw_call.h"

namespace cairn::server {
namespace {

// What the incoming message may keep of its memory between two uses.
constexpr size_t kIncomingKeepBytes = 1 << 20;

// Kept alive by itself until OnDone, and by the requests that are under way.
class SessionStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                            public Flushable,
                            public std::enable_shared_from_this<SessionStream> {
 public:
  SessionStream(grpc::CallbackServerContext* context, Api* api, node::Replica* replica,
                Clock* clock, Flusher* flusher)
      : context_(context), api_(api), replica_(replica), clock_(clock), flusher_(flusher) {}

  void Start() {
    self_ = shared_from_this();
    Result<CallContext> call = ContextOf(*context_, *clock_);
    const Status bad = call.ok() ? CheckForwarder(*call, *replica_) : call.status();
    if (!bad.ok()) {
      finish_ = bad;
      read_over_ = true;
      FinishIfOver();
      return;
    }
    call_ = *std::move(call);
    call_.deadline = SteadyTime::max();  // that of the stream is not that of its requests
    call_.request_id.reset();            // each request names itself
    call_.gone = gone_;
    hello_due_ = true;
    StartRead(&incoming_);
    Flush();
  }

  void Flush() override {
    bool write = false;
    LeaderHint leader = KnownLeader();
    {
      std::lock_guard lock(mutex_);
      flush_queued_ = false;
      write = PrepareWrite(std::move(leader));
    }
    Write(write);
    FinishIfOver();
  }

  void OnReadDone(bool ok) override {
    Status bad;
    if (ok) bad = TakeRequests();
    bool read = false;
    {
      std::lock_guard lock(mutex_);
      if (!ok || !bad.ok() || cancelled_) {
        read_over_ = true;
        if (!bad.ok()) finish_ = bad;
      } else if (unsent_bytes_ > kSessionUnsentBytesMax) {
        read_paused_ = true;  // until the client has taken its answers
      } else {
        read = true;
      }
    }
    if (read) {
      StartRead(&incoming_);
    } else {
      FinishIfOver();
    }
  }

  void OnWriteDone(bool ok) override {
    bool write = false;
    bool read = false;
    LeaderHint leader = KnownLeader();
    {
      std::lock_guard lock(mutex_);
      writing_ = false;
      if (!ok) {
        Abandon();
      } else {
        write = PrepareWrite(std::move(leader));
        read = read_paused_ && unsent_bytes_ <= kSessionUnsentBytesMax;
        if (read) read_paused_ = false;
      }
    }
    Write(write);
    if (read) StartRead(&incoming_);
    FinishIfOver();
  }

  void OnCancel() override {
    {
      std::lock_guard lock(mutex_);
      Abandon();
    }
    FinishIfOver();
  }

  void OnDone() override { self_.reset(); }

 private:
  // Parses the message just read and starts its requests.
  Status TakeRequests() {
    RETURN_IF_ERROR(ParseMessage(incoming_, &requests_));
    for (v1::SessionRequest& request : *requests_.mutable_requests()) Take(&request);
    if (incoming_.Length() > kIncomingKeepBytes) {
      requests_ = v1::SessionRequests();
    } else {
      requests_.Clear();
    }
    return OkStatus();
  }

  LeaderHint KnownLeader() const { return replica_->leader_hint().value_or(LeaderHint()); }

  void Take(v1::SessionRequest* request) {
    const size_t inflight_max = call_.forwarded ? kForwardedInflightMax : kSessionInflightMax;
    bool full = false;
    {
      std::lock_guard lock(mutex_);
      full = inflight_ >= inflight_max;
      ++inflight_;
    }
    if (full) {
      v1::SessionResponse refusal;
      refusal.set_id(request->id());
      rpc::ToProto(ResourceExhausted("too many requests in flight on this stream")
                       .With(Outcome::kNotApplied),
                   refusal.mutable_error());
      Respond(std::move(refusal));
      return;
    }
    api_->Handle(request, WithOrigin(call_, *request), [self = shared_from_this()](v1::SessionResponse response) {
      self->Respond(std::move(response));
    });
  }

  void Respond(v1::SessionResponse response) {
    size_t bytes = response.ByteSizeLong();
    {
      std::lock_guard lock(mutex_);
      --inflight_;
      if (response.has_query() && unsent_bytes_ + bytes > kSessionUnsentReadsMax) {
        rpc::ToProto(ResourceExhausted("too many results wait for the client to take them; ask "
                                       "for less at a time")
                         .With(Outcome::kNotApplied),
                     response.mutable_error());
        bytes = response.ByteSizeLong();
      }
      if (!cancelled_) {
        unsent_bytes_ += bytes;
        queue_.emplace_back(std::move(response), bytes);
      }
      if (writing_ || std::exchange(flush_queued_, true)) return;
    }
    DeferScope::Defer([self = shared_from_this()] { self->flusher_->Push(self); });
  }

  // Needs the lock. Moves answers into the message to be written; false if there is none, or a
  // write is under way.
  bool PrepareWrite(LeaderHint leader) {
    if (writing_ || cancelled_ || finished_) return false;
    v1::SessionResponses message;
    size_t bytes = 0;
    while (!queue_.empty()) {
      auto& [response, size] = queue_.front();
      if (bytes != 0 && bytes + size > kSessionMessageBytes) break;
      bytes += size;
      message.add_responses()->Swap(&response);
      queue_.pop_front();
    }
    unsent_bytes_ -= bytes;
    if (std::exchange(hello_due_, false) || (bytes != 0 && leader != told_leader_)) {
      message.mutable_leader()->set_node_id(leader.node_id);
      message.mutable_leader()->set_address(leader.address);
      told_leader_ = std::move(leader);
    } else if (bytes == 0) {
      return false;
    }
    writing_ = true;
    next_message_.Swap(&message);
    return true;
  }

  // Serializes outside the lock; only the thread that prepared gets here.
  void Write(bool prepared) {
    if (!prepared) return;
    outgoing_.Clear();
    SerializeMessage(next_message_, &outgoing_);
    next_message_.Clear();
    StartWrite(&outgoing_);
  }

  // Needs the lock. Nobody will read the answers.
  void Abandon() {
    cancelled_ = true;
    *gone_ = true;
    queue_.clear();
    unsent_bytes_ = 0;
    // A read under way ends by itself and tells so; a paused one is over now.
    if (std::exchange(read_paused_, false)) read_over_ = true;
  }

  void FinishIfOver() {
    Status status;
    {
      std::lock_guard lock(mutex_);
      const bool answered = inflight_ == 0 && queue_.empty() && !hello_due_;
      if (finished_ || writing_ || !read_over_) return;
      if (!cancelled_ && finish_.ok() && !answered) return;
      finished_ = true;
      status = cancelled_ ? Cancelled("the client has gone") : finish_;
    }
    Finish(ToGrpc(status, context_));
  }

  grpc::CallbackServerContext* const context_;
  Api* const api_;
  node::Replica* const replica_;
  Clock* const clock_;
  Flusher* const flusher_;
  CallContext call_;
  std::shared_ptr<SessionStream> self_;

  grpc::ByteBuffer incoming_;
  v1::SessionRequests requests_;
  grpc::ByteBuffer outgoing_;
  v1::SessionResponses next_message_;

  std::mutex mutex_;
  std::deque<std::pair<v1::SessionResponse, size_t>> queue_;
  size_t unsent_bytes_ = 0;
  size_t inflight_ = 0;
  LeaderHint told_leader_;
  Status finish_;  // what the stream ends with
  bool hello_due_ = false;
  bool writing_ = false;
  bool flush_queued_ = false;
  bool read_paused_ = false;
  bool read_over_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
  const std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

Flusher::Flusher() : box_(1) {
  thread_ = std::thread([this] {
    std::vector<std::shared_ptr<Flushable>> streams;
    while (box_.PopAll(&streams)) {
      for (const auto& stream : streams) stream->Flush();
      streams.clear();
    }
  });
}

Flusher::~Flusher() {
  box_.Close();
  thread_.join();
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ServeSession(
    grpc::CallbackServerContext* context, Api* api, node::Replica* replica, Clock* clock,
    Flusher* flusher) {
  auto stream = std::make_shared<SessionStream>(context, api, replica, clock, flusher);
  stream->Start();
  return stream.get();
}

}  // namespace cairn::server
