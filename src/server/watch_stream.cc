#include "server/watch_stream.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "rpc/proto_convert.h"
#include "server/api.h"
#include "server/limits.h"
#include "server/open_calls.h"
#include "server/raw_call.h"
#include "server/watch_conditions.h"
#include "server/watch_event.h"
#include "server/watch_hub.h"
#include "server/watch_snapshot.h"

namespace cairn::server {
namespace {

using state_machine::ChangePosition;

// About the memory that a watch takes, in this program and in gRPC.
constexpr size_t kWatchBytes = 16 << 10;
// Until the first response, if the request does not say.
constexpr std::chrono::milliseconds kBeginTimeout(10'000);

class WatchStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                          public WatchSink,
                          public std::enable_shared_from_this<WatchStream> {
 public:
  WatchStream(grpc::CallbackServerContext* context, const ServiceHost& host)
      : context_(context),
        open_(host.open_calls, context, "/cairn.v1.Database/Watch"),
        host_(host),
        stream_(host.sessions),
        message_(host.results) {}

  void Start(const grpc::ByteBuffer& bytes) {
    self_ = shared_from_this();
    Status bad = Open(bytes);
    // The stream keeps the filters, and they are small. The share is for requests that run.
    request_.TryResize(0);
    if (!bad.ok()) End(bad, std::nullopt, std::nullopt);
  }

  // ---- WatchSink

  bool Send(std::string message, std::function<void()> taken) override {
    if (!message_.TryResize(message.size())) return false;
    {
      MutexLock lock(mutex_);
      if (end_) return false;
      writing_ = true;
      taken_ = std::move(taken);
    }
    grpc::Slice slice(message);
    outgoing_ = grpc::ByteBuffer(&slice, 1);
    StartWrite(&outgoing_);
    return true;
  }

  void End(const Status& status, std::optional<ChangePosition> position,
           std::optional<ChangePosition> oldest) override {
    v1::ErrorDetail detail;
    rpc::ToProto(status, &detail);
    if (position) ToProto(*position, detail.mutable_watch()->mutable_position());
    if (oldest && (position || status.reason() == Reason::kPositionNotHeld)) {
      ToProto(*oldest, detail.mutable_watch()->mutable_oldest());
    }
    context_->AddTrailingMetadata(rpc::kErrorMetadata, detail.SerializeAsString());
    *gone_ = true;
    {
      MutexLock lock(mutex_);
      end_ = status;
      if (writing_) return;  // OnWriteDone finishes
    }
    FinishWith(status);
  }

  // ---- gRPC

  void OnWriteDone(bool ok) override {
    std::optional<Status> end;
    std::function<void()> taken;
    outgoing_.Clear();
    message_.TryResize(0);
    {
      MutexLock lock(mutex_);
      writing_ = false;
      taken.swap(taken_);
      end = end_;
    }
    if (!ok) *gone_ = true;
    if (end) FinishWith(*end);
    taken();
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
    v1::WatchRequest request;
    RETURN_IF_ERROR(ParseMessage(bytes, host_.requests, &request, &request_));
    ASSIGN_OR_RETURN(call_, ContextOf(*context_, host_));
    // Once more, because the message may have come long after the call began.
    if (host_.access != nullptr) {
      RETURN_IF_ERROR(host_.access->CheckCall(call_.principal, "/cairn.v1.Database/Watch"));
    }
    call_.gone = gone_;
    ASSIGN_OR_RETURN(filters_, FiltersOf(request));
    start_ = request.start_case();
    if (start_ == v1::WatchRequest::kSnapshot && !request.snapshot()) {
      start_ = v1::WatchRequest::START_NOT_SET;
    }
    after_ = FromProto(request.after());
    timeout_ms_ = request.timeout_ms();
    if (!stream_.TryResize(kWatchBytes)) {
      return ResourceExhausted("too many streams are open on this node");
    }
    std::chrono::milliseconds timeout = kBeginTimeout;
    if (timeout_ms_ != 0) timeout = std::chrono::milliseconds(std::min(timeout_ms_, kTimeoutMsMax));
    const SteadyTime begin_by =
        std::min<SteadyTime>(host_.clock->SteadyNow() + timeout, call_.deadline);
    ASSIGN_OR_RETURN(watch_,
                     host_.watches->Open(shared_from_this(), call_.principal, filters_, begin_by,
                                         [this](const auto& watch) { OnReady(watch); }));
    return OkStatus();
  }

  // Changes are being recorded. Nothing that happens from now on is missed.
  void OnReady(const WatchHub::WatchPtr& watch) {
    std::optional<QueryRequest> question = ColumnsQuestion(filters_);
    if (!question) return Locate(watch);
    question->timeout_ms = timeout_ms_;
    // A watch that resumes needs no leader.
    if (start_ == v1::WatchRequest::kAfter) question->read.level = node::ReadLevel::kStale;
    auto check = NewConditionCheck(filters_, [self = shared_from_this(), watch](const Status& bad) {
      if (bad.ok()) return self->Locate(watch);
      self->host_.watches->End(watch, bad);
    });
    host_.api->Query(*std::move(question), call_, std::move(check));
  }

  void Locate(const WatchHub::WatchPtr& watch) {
    WatchHub* const hub = host_.watches;
    if (start_ == v1::WatchRequest::kAfter) return hub->Begin(watch, after_, /*or_oldest=*/false);
    if (start_ == v1::WatchRequest::kSnapshot) {
      hub->HoldForSnapshot(watch);
      QueryRequest question = SnapshotQuestion();
      question.timeout_ms = kTimeoutMsMax;  // the age of its view bounds it
      host_.api->Query(std::move(question), call_,
                       NewWatchSnapshot(hub, watch, shared_from_this(), filters_));
      return;
    }
    // The index of a linearizable read: what was acknowledged before the call is not told, and what
    // begins after the first response is.
    host_.api->GetVersion({"", {}, timeout_ms_}, call_, [=](const Result<VersionAnswer>& version) {
      if (!version.ok()) return hub->End(watch, version.status());
      hub->Begin(watch, state_machine::EndOf(version->index), /*or_oldest=*/true);
    });
  }

  void FinishWith(const Status& status) {
    Finish({static_cast<grpc::StatusCode>(status.code()),
            rpc::CutText(rpc::Utf8OrQuestionMarks(status.message()), rpc::kErrorTextBytesMax)});
  }

  grpc::CallbackServerContext* const context_;
  OpenCall open_;
  const ServiceHost host_;
  MemoryCharge request_;
  MemoryCharge stream_;
  MemoryCharge message_;  // that is under way
  std::shared_ptr<WatchStream> self_;
  const std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
  CallContext call_;
  std::vector<WatchFilter> filters_;
  v1::WatchRequest::StartCase start_ = v1::WatchRequest::START_NOT_SET;
  ChangePosition after_;
  uint32_t timeout_ms_ = 0;
  WatchHub::WatchPtr watch_;
  grpc::ByteBuffer outgoing_;

  Mutex mutex_;
  bool writing_ CAIRN_GUARDED_BY(mutex_) = false;
  std::function<void()> taken_ CAIRN_GUARDED_BY(mutex_);
  std::optional<Status> end_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* ServeWatch(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer& request,
                                                       const ServiceHost& host) {
  auto stream = std::make_shared<WatchStream>(context, host);
  stream->Start(request);
  return stream.get();
}

}  // namespace cairn::server
