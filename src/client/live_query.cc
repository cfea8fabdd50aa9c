#include "client/live_query.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "client/passing_errors.h"
#include "client/watch_call.h"

namespace cairn::client {
namespace {

constexpr SteadyTime kBackoff = std::chrono::milliseconds(50);
constexpr int kBackoffDoublingsMax = 5;
// After a run of the query that has failed: it may be too much for the nodes.
constexpr SteadyTime kQueryPause = std::chrono::seconds(1);

// The query may succeed later: no node could be reached, or the node that was asked has too much to do.
bool MayPass(const Status& status) {
  if (status.reason() == Reason::kResultTooLarge) return false;
  return IsPassing(status.code()) || status.code() == StatusCode::kResourceExhausted ||
         status.code() == StatusCode::kAborted;
}

using Call = WatchCall<v1::WatchQueryResponse>;

// A node tells when the rows may have changed, and the query is then run anew, like any other query.
class LiveQueryImpl final : public LiveQuery {
 public:
  LiveQueryImpl(Client* client, std::vector<std::string> endpoints, security::TlsPtr tls,
                SteadyTime retry_for, Statement statement, LiveQueryOptions options)
      : client_(client),
        endpoints_(std::move(endpoints)),
        tls_(std::move(tls)),
        retry_for_(retry_for),
        statement_(std::move(statement)),
        options_(options),
        request_(std::make_shared<v1::WatchQueryRequest>()) {
    request_->set_sql(statement_.sql);
    request_->set_interval_ms(static_cast<uint32_t>(options_.interval.count()));
  }
  ~LiveQueryImpl() override { LiveQueryImpl::Cancel(); }

  Result<QueryResult> Next(std::chrono::milliseconds timeout) override {
    const SteadyTime by = SystemClock().SteadyNow() + timeout;
    while (final_.ok() && !due_) RETURN_IF_ERROR(AwaitChange(by));
    if (!final_.ok()) return final_;
    RETURN_IF_ERROR(Pause(std::min(by, query_not_before_)));
    if (SystemClock().SteadyNow() < query_not_before_) return NothingYet();
    QueryOptions options = options_.query;
    // What a node has told is committed, so a linearizable read sees it by itself.
    if (options.level == QueryOptions::Level::kStale) {
      options.index_min = std::max(options.index_min, index_);
    }
    Result<QueryResult> result = client_->Query(statement_, options);
    due_ = !result.ok();
    if (result.ok()) return result;
    query_not_before_ =
        SystemClock().SteadyNow() + std::max<SteadyTime>(kQueryPause, options_.interval);
    if (!MayPass(result.status())) return final_ = result.status();
    if (result.status().code() != StatusCode::kDeadlineExceeded) return result.status();
    // Not the same as that nothing has changed.
    return Unavailable("the query gave no result in time: " +
                       std::string(result.status().message()));
  }

  bool ended() const override { return !final_.ok(); }

  void Cancel() override {
    std::shared_ptr<Call> call;
    {
      MutexLock lock(mutex_);
      cancelled_ = true;
      call = call_;
      changed_.NotifyAll();
    }
    if (call != nullptr) call->Cancel();
  }

 private:
  static Status WasCancelled() { return Cancelled("the watch was cancelled"); }
  static Status NothingYet() { return DeadlineExceeded("nothing has come yet"); }

  // Sets due_ if the rows may have changed. DEADLINE_EXCEEDED if nothing has come by then.
  Status AwaitChange(SteadyTime by) {
    ASSIGN_OR_RETURN(const std::shared_ptr<Call> call, Connected(by));
    v1::WatchEnd end;
    const Result<v1::WatchQueryResponse> response = call->Next(by, &end);
    if (response.ok()) {
      tries_ = 0;
      begun_ = true;
      due_ = true;
      index_ = response->index();
      return OkStatus();
    }
    const bool timed_out = response.status().code() == StatusCode::kDeadlineExceeded;
    if (timed_out && SystemClock().SteadyNow() >= by) return response.status();
    return Fail(response.status());
  }

  Result<std::shared_ptr<Call>> Connected(SteadyTime by) {
    RETURN_IF_ERROR(Pause(std::min(by, not_before_)));
    MutexLock lock(mutex_);
    if (cancelled_) return final_ = WasCancelled();
    if (call_ != nullptr) return call_;
    if (SystemClock().SteadyNow() < not_before_) {
      return DeadlineExceeded("no node can be reached yet");
    }
    call_ = Call::Start(endpoints_[at_], tls_,
                        [request = request_](auto* stub, auto* context, auto* reactor) {
                          stub->async()->WatchQuery(context, request.get(), reactor);
                        });
    return call_;
  }

  Status Pause(SteadyTime until) {
    MutexLock lock(mutex_);
    const auto over = [this]() CAIRN_REQUIRES(mutex_) { return cancelled_; };
    const SteadyTime now = SystemClock().SteadyNow();
    if (until > now) changed_.WaitFor(lock, until - now, over);
    if (!cancelled_) return OkStatus();
    return final_ = WasCancelled();
  }

  // The next node has its turn. Whatever has changed meanwhile, its first response covers.
  Status Fail(const Status& status) {
    const SteadyTime now = SystemClock().SteadyNow();
    MutexLock lock(mutex_);
    call_.reset();
    if (cancelled_) return final_ = WasCancelled();
    if (tries_++ == 0) failing_since_ = now;
    const bool no_room = status.code() == StatusCode::kResourceExhausted && begun_;
    // While nodes are upgraded one by one, some do not know the call.
    const bool is_old = status.code() == StatusCode::kUnimplemented;
    const bool given_up = !begun_ && now - failing_since_ >= retry_for_;
    if ((!IsPassing(status.code()) && !no_room && !is_old) || given_up) return final_ = status;
    at_ = (at_ + 1) % endpoints_.size();
    const int passes = tries_ / static_cast<int>(endpoints_.size());
    not_before_ = now;
    if (passes > 0) not_before_ += kBackoff * (1 << std::min(passes, kBackoffDoublingsMax));
    return OkStatus();
  }

  Client* const client_;
  const std::vector<std::string> endpoints_;
  const security::TlsPtr tls_;
  const SteadyTime retry_for_;
  const Statement statement_;
  const LiveQueryOptions options_;
  const std::shared_ptr<v1::WatchQueryRequest> request_;

  // Of the thread that calls Next.
  SteadyTime query_not_before_{0};  // after a run that has failed
  bool due_ = false;                // the rows may have changed since the last result
  uint64_t index_ = 0;              // a read at this index sees the change
  Status final_;
  bool begun_ = false;
  size_t at_ = 0;  // the endpoint
  int tries_ = 0;  // since a response has come
  SteadyTime failing_since_{0};
  SteadyTime not_before_{0};

  Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<Call> call_ CAIRN_GUARDED_BY(mutex_);
  bool cancelled_ CAIRN_GUARDED_BY(mutex_) = false;
};

}  // namespace

Result<std::unique_ptr<LiveQuery>> NewLiveQuery(Client* client, std::vector<std::string> endpoints,
                                                security::TlsPtr tls,
                                                std::chrono::milliseconds retry_for,
                                                Statement statement, LiveQueryOptions options) {
  RETURN_IF_ERROR(rpc::CheckUtf8(statement));
  if (options.interval.count() < 0 || options.interval > std::chrono::hours(1)) {
    return InvalidArgument("the interval of a watched query is at most an hour");
  }
  return std::unique_ptr<LiveQuery>(std::make_unique<LiveQueryImpl>(
      client, std::move(endpoints), std::move(tls), retry_for, std::move(statement), options));
}

}  // namespace cairn::client
