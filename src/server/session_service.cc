#include "server/session_service.h"

#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/defer_scope.h"
#include "base/mutex.h"
#include "rpc/proto_convert.h"
#include "rpc/request_size.h"
#include "server/convert.h"
#include "server/limits.h"
#include "server/open_calls.h"
#include "server/raw_call.h"
#include "server/session_request.h"
#include "server/wire_encoding.h"

namespace cairn::server {
namespace {

// About the memory that an open stream takes, in this program and in gRPC.
constexpr size_t kStreamBytes = 16 << 10;
// The largest parsed request whose memory is kept for the next one.
constexpr size_t kRequestKeepBytes = 16 << 10;
// How many refusals may wait for the client to take them. A client that lets more gather is no
// honest client.
constexpr size_t kRefusalsMax = 8192;
// The memory of each refusal. Its request was not taken, so it has no charge.
constexpr size_t kRefusalBytes = 512;
// The memory of a request that is under way, and of a small answer or an error until it has gone.
constexpr size_t kInFlightBytes = 512;
// The text of an error when there is room for no more.
constexpr size_t kShortErrorBytes = 256;

// A response on its way out, with the charges of the response and of its request.
struct Outgoing {
  grpc::Slice field;  // of a SessionResponses
  MemoryCharge request;
  MemoryCharge result;

  // Whether the request was not taken, so that nothing is charged for it.
  bool is_refusal() const { return request.bytes() == 0; }
};

grpc::Slice Encode(const SessionAnswer& answer) {
  const uint32_t number = v1::SessionResponses::kResponsesFieldNumber;
  if (!answer.query) return EncodeField(number, answer.response);
  return EncodeField(number, answer.response, v1::SessionResponse::kQueryFieldNumber,
                     *answer.query);
}

grpc::Slice Encode(const LeaderHint& leader) {
  v1::Leader message;
  message.set_node_id(leader.node_id);
  message.set_address(leader.address);
  return EncodeField(v1::SessionResponses::kLeaderFieldNumber, message);
}

// The stream keeps itself alive until OnDone, and the requests under way keep it alive.
class SessionStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                            public Flushable,
                            public std::enable_shared_from_this<SessionStream> {
 public:
  SessionStream(grpc::CallbackServerContext* context, const ServiceHost& host, Flusher* flusher)
      : context_(context),
        open_(host.open_calls, context, kSessionMethod),
        host_(host),
        flusher_(flusher),
        stream_(host.sessions) {}

  void Start() {
    self_ = shared_from_this();
    Result<CallContext> call = ContextOf(*context_, host_);
    Status bad = call.ok() ? CheckForwarder(*call, *host_.replica) : call.status();
    if (bad.ok() && !stream_.TryResize(kStreamBytes)) {
      bad = ResourceExhausted("too many streams are open on this node").With(Outcome::kNotApplied);
    }
    if (!bad.ok()) {
      {
        MutexLock lock(mutex_);
        finish_ = bad;
        read_over_ = true;
      }
      FinishIfOver();
      return;
    }
    call_ = *std::move(call);
    call_.deadline = SteadyTime::max();  // the stream's deadline is not that of its requests
    call_.request_id.reset();            // each request names itself
    call_.gone = gone_;
    {
      MutexLock lock(mutex_);
      hello_due_ = true;
    }
    StartRead(&incoming_);
    Flush();
  }

  void Flush() override {
    bool write = false;
    LeaderHint leader = KnownLeader();
    {
      MutexLock lock(mutex_);
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
      MutexLock lock(mutex_);
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
    bool gone = false;
    LeaderHint leader = KnownLeader();
    outgoing_.Clear();  // an idle stream keeps no answer
    {
      MutexLock lock(mutex_);
      writing_ = false;
      sending_requests_ = MemoryCharge();
      sending_results_ = MemoryCharge();
      refusals_ -= std::exchange(refusals_sending_, 0);
      stream_.TryResize(kStreamBytes + refusals_ * kRefusalBytes);
      if (!ok) {
        Abandon();
        gone = true;
      } else {
        write = PrepareWrite(std::move(leader));
        read = read_paused_ && unsent_bytes_ <= kSessionUnsentBytesMax;
        if (read) read_paused_ = false;
      }
    }
    Write(write);
    if (read) StartRead(&incoming_);
    if (gone) host_.replica->OnCallersGone();
    FinishIfOver();
  }

  void OnCancel() override {
    {
      MutexLock lock(mutex_);
      Abandon();
    }
    host_.replica->OnCallersGone();
    FinishIfOver();
  }

  void OnDone() override {
    open_.Leave();
    self_.reset();
  }

 private:
  // Starts the requests of the message that was just read, one by one, so that no more is decoded
  // than the budget has room for.
  Status TakeRequests() {
    RETURN_IF_ERROR(rpc::CheckRequestSize(incoming_.Length()));
    const FlatBytes flat(incoming_);
    incoming_.Clear();
    static const uint32_t kRequests = v1::SessionRequests::kRequestsFieldNumber;
    return ForEachPiece(flat.view(), kRequests,
                        [this](std::string_view request) { return Take(request); });
  }

  LeaderHint KnownLeader() const { return host_.replica->leader_hint().value_or(LeaderHint()); }

  Status Take(std::string_view bytes) {
    const size_t inflight_max = call_.forwarded ? kForwardedInflightMax : kSessionInflightMax;
    bool full = false;
    {
      MutexLock lock(mutex_);
      full = inflight_ >= inflight_max;
    }
    if (full) return Refuse(bytes, ResourceExhausted("too many requests in flight on this stream"));
    ASSIGN_OR_RETURN(const size_t cost, CostOf<v1::SessionRequest>(bytes));
    Result<MemoryCharge> charge = MemoryCharge::Take(host_.requests, cost + kInFlightBytes);
    if (!charge.ok()) return Refuse(bytes, charge.status());
    RETURN_IF_ERROR(ParseFlat(bytes, &request_));
    {
      MutexLock lock(mutex_);
      ++inflight_;
    }
    // The callback must be copyable.
    auto held = std::make_shared<MemoryCharge>(*std::move(charge));
    const std::optional<CallContext> origin = WithOrigin(call_, request_);
    HandleSessionRequest(host_, &request_, bytes.size(), origin ? *origin : std::as_const(call_),
                         [self = shared_from_this(), held](SessionAnswer&& answer) {
                           self->Respond(&answer, std::move(*held));
                         });
    if (cost > kRequestKeepBytes) request_ = v1::SessionRequest();
    return OkStatus();
  }

  // Not OK: the stream must end.
  Status Refuse(std::string_view request, Status why) {
    {
      MutexLock lock(mutex_);
      if (refusals_ >= kRefusalsMax ||
          !stream_.TryResize(kStreamBytes + (refusals_ + 1) * kRefusalBytes)) {
        return ResourceExhausted("the client does not take its answers");
      }
    }
    SessionAnswer refusal;
    refusal.response.set_id(NumberOf(request, v1::SessionRequest::kIdFieldNumber));
    rpc::ToProto(std::move(why).With(Outcome::kNotApplied), refusal.response.mutable_error());
    Queue({Encode(refusal), MemoryCharge(), MemoryCharge()});
    return OkStatus();
  }

  // The charge of the request pays for a small answer.
  void Respond(SessionAnswer* answer, MemoryCharge request) {
    grpc::Slice field = Encode(*answer);
    MemoryCharge result = std::move(answer->charge);
    if (field.size() <= kSmallAnswerBytes) {
      result = MemoryCharge();
    } else if (!HoldResult(field.size(), &result)) {
      LeaveOutResult(answer);
      field = Encode(*answer);
      result = MemoryCharge();
    }
    Queue({std::move(field), std::move(request), std::move(result)});
  }

  bool HoldResult(size_t bytes, MemoryCharge* charge) {
    if (charge->bytes() == 0) *charge = MemoryCharge(host_.results);
    if (!charge->TryResize(bytes)) return false;
    MutexLock lock(mutex_);
    return unsent_bytes_ + bytes <= kSessionUnsentResultsMax;
  }

  void Queue(Outgoing outgoing) {
    {
      MutexLock lock(mutex_);
      if (cancelled_) {
        if (!outgoing.is_refusal()) --inflight_;
      } else {
        unsent_bytes_ += outgoing.field.size();
        if (outgoing.is_refusal()) ++refusals_;
        queue_.push_back(std::move(outgoing));
      }
      if (writing_ || std::exchange(flush_queued_, true)) return;
    }
    DeferScope::Defer([self = shared_from_this()] { self->flusher_->Push(self); });
  }

  // The result of a write is remembered for a while, if it is not large. An error stays what it is,
  // and only its text is shortened: "applied" would say more than is known.
  static void LeaveOutResult(SessionAnswer* answer) {
    v1::SessionResponse& response = answer->response;
    if (response.has_error()) {
      std::string* const text = response.mutable_error()->mutable_message();
      *text = rpc::CutText(std::move(*text), kShortErrorBytes);
      return;
    }
    const bool read = answer->query.has_value();
    answer->query.reset();
    const Status why = ResourceExhausted(
        read ? "too many results wait for their clients to take them; ask for less at a time"
             : "applied, but too many results wait for their clients to take them");
    rpc::ToProto(read ? Status(why).With(Outcome::kNotApplied)
                      : Status(why).With(Outcome::kApplied).With(Reason::kResultTooLarge),
                 response.mutable_error());
  }

  // Takes the fields of the message to be written. False if there are none, or a write is under
  // way.
  bool PrepareWrite(LeaderHint leader) CAIRN_REQUIRES(mutex_) {
    if (writing_ || cancelled_ || finished_) return false;
    size_t bytes = 0;
    while (!queue_.empty()) {
      Outgoing& next = queue_.front();
      if (bytes != 0 && bytes + next.field.size() > kSessionMessageBytes) break;
      bytes += next.field.size();
      fields_.push_back(std::move(next.field));
      if (next.is_refusal()) {
        ++refusals_sending_;
      } else {
        --inflight_;
      }
      sending_requests_.Add(std::move(next.request));
      sending_results_.Add(std::move(next.result));
      queue_.pop_front();
    }
    unsent_bytes_ -= bytes;
    if (std::exchange(hello_due_, false) || (bytes != 0 && leader != told_leader_)) {
      fields_.push_back(Encode(leader));
      told_leader_ = std::move(leader);
    } else if (bytes == 0) {
      return false;
    }
    writing_ = true;
    return true;
  }

  // Joins the fields outside the lock. Only the thread that prepared the message gets here.
  void Write(bool prepared) {
    if (!prepared) return;
    outgoing_ = JoinFields(fields_);
    fields_.clear();
    StartWrite(&outgoing_);
  }

  // Nobody will read the answers.
  void Abandon() CAIRN_REQUIRES(mutex_) {
    cancelled_ = true;
    *gone_ = true;
    for (const Outgoing& unsent : queue_) --(unsent.is_refusal() ? refusals_ : inflight_);
    queue_.clear();
    unsent_bytes_ = 0;
    // A read under way ends by itself and reports its end. A paused read is over now.
    if (std::exchange(read_paused_, false)) read_over_ = true;
  }

  void FinishIfOver() {
    Status status;
    bool unanswered = false;
    {
      MutexLock lock(mutex_);
      unanswered = inflight_ != 0;
      const bool answered = inflight_ == 0 && queue_.empty() && !hello_due_;
      if (finished_ || writing_ || !read_over_) return;
      if (!cancelled_ && finish_.ok() && !answered) return;
      finished_ = true;
      *gone_ = true;
      status = cancelled_ ? Cancelled("the client has gone") : finish_;
    }
    if (unanswered) host_.replica->OnCallersGone();
    Finish(ToGrpc(status, context_));
  }

  grpc::CallbackServerContext* const context_;
  OpenCall open_;
  const ServiceHost host_;
  Flusher* const flusher_;
  MemoryCharge stream_;
  CallContext call_;
  std::shared_ptr<SessionStream> self_;

  grpc::ByteBuffer incoming_;
  v1::SessionRequest request_;
  grpc::ByteBuffer outgoing_;
  std::vector<grpc::Slice> fields_;  // of the message to be written

  Mutex mutex_;
  std::deque<Outgoing> queue_ CAIRN_GUARDED_BY(mutex_);
  // Of the message being written. The charges of the requests pay for its small answers.
  MemoryCharge sending_requests_ CAIRN_GUARDED_BY(mutex_);
  MemoryCharge sending_results_ CAIRN_GUARDED_BY(mutex_);
  size_t refusals_ CAIRN_GUARDED_BY(mutex_) = 0;  // in the queue, and in the message being written
  size_t refusals_sending_ CAIRN_GUARDED_BY(mutex_) = 0;  // in the message being written
  size_t unsent_bytes_ CAIRN_GUARDED_BY(mutex_) = 0;
  size_t inflight_ CAIRN_GUARDED_BY(mutex_) = 0;
  LeaderHint told_leader_ CAIRN_GUARDED_BY(mutex_);
  Status finish_ CAIRN_GUARDED_BY(mutex_);  // the status with which the stream ends
  bool hello_due_ CAIRN_GUARDED_BY(mutex_) = false;
  bool writing_ CAIRN_GUARDED_BY(mutex_) = false;
  bool flush_queued_ CAIRN_GUARDED_BY(mutex_) = false;
  bool read_paused_ = false;
  bool read_over_ = false;
  bool cancelled_ CAIRN_GUARDED_BY(mutex_) = false;
  bool finished_ = false;
  const std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace

Flusher::Flusher() {
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
    grpc::CallbackServerContext* context, const ServiceHost& host, Flusher* flusher) {
  auto stream = std::make_shared<SessionStream>(context, host, flusher);
  stream->Start();
  return stream.get();
}

}  // namespace cairn::server
