#include "server/live_query_stream.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "server/api.h"
#include "server/limits.h"
#include "server/open_calls.h"
#include "server/raw_call.h"
#include "server/watch_hub.h"

namespace cairn::server {
namespace {

using state_machine::ChangePosition;

// About the memory that a call takes beside its text, in this program and in gRPC.
constexpr size_t kLiveQueryBytes = 16 << 10;
// The node keeps the text for as long as the call is open.
constexpr size_t kSqlBytesMax = 16 << 10;
constexpr std::chrono::milliseconds kBeginTimeout(10'000);
constexpr uint32_t kIntervalMs = 1000;
constexpr uint32_t kIntervalMsMin = 50;
constexpr uint32_t kIntervalMsMax = 60 * 60 * 1000;

// The node could not look. That says nothing about the query.
bool IsPassing(StatusCode code) {
  return code == StatusCode::kUnavailable || code == StatusCode::kResourceExhausted ||
         code == StatusCode::kDeadlineExceeded || code == StatusCode::kAborted;
}

// The hub signals that something was committed. The stream then compares the versions of what the
// query reads, and tells the client if one has changed. One of the three is under way at a time, so
// a client that takes nothing costs nothing.
class LiveQueryStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                              public WatchSink,
                              public std::enable_shared_from_this<LiveQueryStream> {
 public:
  LiveQueryStream(grpc::CallbackServerContext* context, const ServiceHost& host)
      : context_(context),
        open_(host.open_calls, context, "/cairn.v1.Database/WatchQuery"),
        host_(host),
        stream_(host.sessions) {}

  void Start(const grpc::ByteBuffer& bytes) {
    self_ = shared_from_this();
    if (Status bad = Open(bytes); !bad.ok()) End(bad, std::nullopt, std::nullopt);
  }

  // ---- WatchSink

  std::optional<SteadyTime> signal_every() const override { return interval_; }

  bool Send(std::string /*empty*/, std::function<void()> taken) override {
    {
      MutexLock lock(mutex_);
      if (end_) return false;
      taken_ = std::move(taken);
    }
    Look(watch_, node::ReadLevel::kStale);
    return true;
  }

  void End(const Status& status, std::optional<ChangePosition> /*position*/,
           std::optional<ChangePosition> /*oldest*/) override {
    *gone_ = true;
    std::function<void()> taken;
    {
      MutexLock lock(mutex_);
      end_ = status;
      taken.swap(taken_);    // it holds the watch, and the watch holds this
      if (writing_) return;  // OnWriteDone finishes
    }
    Finish(ToGrpc(status, context_));
  }

  // ---- gRPC

  void OnWriteDone(bool ok) override {
    std::optional<Status> end;
    outgoing_.Clear();
    {
      MutexLock lock(mutex_);
      writing_ = false;
      end = end_;
    }
    if (end) return Finish(ToGrpc(*end, context_));
    if (ok) Await();  // otherwise OnCancel comes
  }
  void OnCancel() override {
    *gone_ = true;
    if (watch_ != nullptr) host_.watches->End(watch_, Cancelled("the client has gone"));
  }
  void OnDone() override {
    open_.Leave();
    watch_.reset();
    self_.reset();
  }

 private:
  Status Open(const grpc::ByteBuffer& bytes) {
    v1::WatchQueryRequest request;
    MemoryCharge parsed;
    RETURN_IF_ERROR(ParseMessage(bytes, host_.requests, &request, &parsed));
    ASSIGN_OR_RETURN(call_, ContextOf(*context_, host_));
    call_.gone = gone_;
    if (request.sql().size() > kSqlBytesMax) {
      return InvalidArgument("the text of a watched query may have " +
                             std::to_string(kSqlBytesMax) + " bytes: make a view of it");
    }
    const uint32_t interval_ms = request.interval_ms() == 0 ? kIntervalMs : request.interval_ms();
    if (interval_ms < kIntervalMsMin || interval_ms > kIntervalMsMax) {
      return InvalidArgument("the interval is " + std::to_string(kIntervalMsMin) + " to " +
                             std::to_string(kIntervalMsMax) + " ms");
    }
    interval_ = std::chrono::milliseconds(interval_ms);
    sql_ = std::move(*request.mutable_sql());
    timeout_ms_ = request.timeout_ms();
    if (!stream_.TryResize(kLiveQueryBytes + sql_.size())) {
      return ResourceExhausted("too many streams are open on this node");
    }
    std::chrono::milliseconds timeout = kBeginTimeout;
    if (timeout_ms_ != 0) timeout = std::chrono::milliseconds(std::min(timeout_ms_, kTimeoutMsMax));
    const SteadyTime begin_by =
        std::min<SteadyTime>(host_.clock->SteadyNow() + timeout, call_.deadline);
    // The first look is of a linearizable read, so that a node that lags does not call a table
    // unknown.
    ASSIGN_OR_RETURN(watch_, host_.watches->Open(shared_from_this(), call_.principal, {}, begin_by,
                                                 [this](const WatchHub::WatchPtr& watch) {
                                                   Look(watch, node::ReadLevel::kLinearizable);
                                                 }));
    return OkStatus();
  }

  // `watch`: the first look may begin before Open has returned watch_.
  void Look(const WatchHub::WatchPtr& watch, node::ReadLevel level) {
    SourcesRequest request;
    request.sql = sql_;
    if (told_) request.known = told_->sources;
    request.read.level = level;
    request.timeout_ms = timeout_ms_;
    host_.api->GetSources(std::move(request), call_,
                          [self = shared_from_this(), watch](const Result<SourcesAnswer>& found) {
                            self->OnLook(watch, found);
                          });
  }

  void OnLook(const WatchHub::WatchPtr& watch, const Result<SourcesAnswer>& found) {
    if (!found.ok()) {
      if (!told_ || !IsPassing(found.status().code())) {
        return host_.watches->End(watch, found.status());
      }
      told_->index = host_.replica->state().applied_index();
      return Tell();
    }
    call_.deadline = SteadyTime::max();  // gRPC ends the call
    const bool same = told_ && told_->versions == found->versions &&
                      told_->sources.schema_version == found->sources.schema_version;
    told_ = *found;
    same ? Await() : Tell();
  }

  void Tell() {
    v1::WatchQueryResponse response;
    response.set_index(told_->index.value());
    SerializeMessage(response, &outgoing_);
    {
      MutexLock lock(mutex_);
      if (end_) return;
      writing_ = true;
    }
    StartWrite(&outgoing_);
  }

  void Await() {
    std::function<void()> taken;
    {
      MutexLock lock(mutex_);
      if (end_) return;
      taken.swap(taken_);
    }
    if (taken) return taken();
    host_.watches->Begin(watch_, state_machine::EndOf(told_->index), /*or_oldest=*/false);
  }

  grpc::CallbackServerContext* const context_;
  OpenCall open_;
  const ServiceHost host_;
  MemoryCharge stream_;
  std::shared_ptr<LiveQueryStream> self_;
  const std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
  CallContext call_;
  std::string sql_;
  SteadyTime interval_{0};
  uint32_t timeout_ms_ = 0;
  WatchHub::WatchPtr watch_;
  // Of the last look, of which there is one at a time.
  std::optional<SourcesAnswer> told_;
  grpc::ByteBuffer outgoing_;

  Mutex mutex_;
  bool writing_ CAIRN_GUARDED_BY(mutex_) = false;
  std::function<void()> taken_ CAIRN_GUARDED_BY(mutex_);  // of the hub's signal
  std::optional<Status> end_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* ServeWatchQuery(grpc::CallbackServerContext* context,
                                                            const grpc::ByteBuffer& request,
                                                            const ServiceHost& host) {
  auto stream = std::make_shared<LiveQueryStream>(context, host);
  stream->Start(request);
  return stream.get();
}

}  // namespace cairn::server
