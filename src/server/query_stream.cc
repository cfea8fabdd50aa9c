#include "server/query_stream.h"

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "rpc/proto_convert.h"
#include "server/convert.h"
#include "server/limits.h"
#include "server/raw_call.h"

namespace cairn::server {
namespace {

class QueryStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                          public state_machine::RowSink,
                          public std::enable_shared_from_this<QueryStream> {
 public:
  QueryStream(grpc::CallbackServerContext* context, Clock* clock, SteadyTime age_max)
      : context_(context), clock_(clock), age_max_(age_max) {}

  void Start(const grpc::ByteBuffer& bytes, const Api& api, ReadPool* reads) {
    self_ = shared_from_this();
    v1::QueryRequest request;
    Status bad = ParseMessage(bytes, &request);
    Result<CallContext> call = ContextOf(*context_, *clock_);
    if (bad.ok()) bad = call.status();
    if (!bad.ok()) {
      End(bad);
      return;
    }
    statement_ = rpc::FromProto(request.mutable_statement());
    deadline_ = api.DeadlineOf(request.timeout_ms(), *call);
    ReadTask task;
    task.bytes = bytes.Length();
    task.options = FromProto(request.read());
    task.deadline = deadline_;
    task.run = [self = shared_from_this()](Result<state_machine::ReadView*> view) {
      self->Run(std::move(view));
    };
    reads->Submit(std::move(task));
  }

  Status OnColumns(const std::vector<Column>& columns) override {
    for (const Column& column : columns) rpc::ToProto(Column(column), chunk_.add_columns());
    return OkStatus();
  }

  Status OnRow(Row row) override {
    v1::Row* added = chunk_.add_rows();
    rpc::ToProto(std::move(row), added);
    const size_t bytes = added->ByteSizeLong() + 4;
    // SQLite's rows go up to 16 MiB, messages of a default client to 4.
    if (bytes > kResultBytesMax) {
      return ResourceExhausted("a row is larger than " + std::to_string(kResultBytesMax) +
                               " bytes: select parts of it");
    }
    chunk_bytes_ += bytes;
    if (chunk_bytes_ < kQueryChunkBytes && chunk_.rows_size() < kQueryChunkRows) return OkStatus();
    return SendChunk();
  }

  void OnWriteDone(bool ok) override {
    std::optional<Status> end;
    {
      std::lock_guard lock(mutex_);
      writing_ = false;
      if (!ok) cancelled_ = true;
      end = std::move(end_);
      changed_.notify_all();
    }
    if (end) Finish(ToGrpc(*end, context_));
  }

  void OnCancel() override {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }

  void OnDone() override { self_.reset(); }

 private:
  void Run(Result<state_machine::ReadView*> view) {
    if (!view.ok()) return End(view.status());
    started_ = clock_->SteadyNow();
    chunk_.set_index((*view)->applied().value());
    state_machine::QueryLimits limits;
    limits.age_max = age_max_;
    limits.cancelled = [this] { return !StillWanted().ok(); };
    Status status = (*view)->Query(statement_, limits, this);
    if (status.ok()) status = AwaitTurn();
    if (status.ok()) return EndWithChunk();
    if (status.code() == StatusCode::kCancelled) {
      if (Status why = StillWanted(); !why.ok()) status = why;
    }
    End(status);
  }

  // Why the query should end now; OK if it should not.
  Status StillWanted() {
    {
      std::lock_guard lock(mutex_);
      if (cancelled_) return Cancelled("the client has gone");
    }
    const SteadyTime now = clock_->SteadyNow();
    if (now >= deadline_) return DeadlineExceeded("the query took longer than its time");
    if (now >= started_ + age_max_) {
      return Aborted("the query took longer than " +
                     std::to_string(std::chrono::ceil<std::chrono::seconds>(age_max_).count()) +
                     " seconds");
    }
    return OkStatus();
  }

  // Waits until the client has taken the chunk before. On the thread that runs the query: a slow
  // client slows its own query, and its chunks do not pile up.
  Status AwaitTurn() {
    bool late = false;
    {
      std::unique_lock lock(mutex_);
      const SteadyTime by = std::min(deadline_, started_ + age_max_);
      changed_.wait_for(lock, by - clock_->SteadyNow(), [this] { return !writing_ || cancelled_; });
      late = writing_ && !cancelled_;
    }
    RETURN_IF_ERROR(StillWanted());
    // The wait and the check above read the clock one after the other, and the message under way
    // must not be touched, whatever the clock says.
    if (late) return DeadlineExceeded("the client took too long to read");
    return OkStatus();
  }

  Status SendChunk() {
    RETURN_IF_ERROR(AwaitTurn());
    SerializeMessage(chunk_, &outgoing_);
    chunk_.Clear();
    chunk_bytes_ = 0;
    {
      std::lock_guard lock(mutex_);
      writing_ = true;
    }
    StartWrite(&outgoing_);
    return OkStatus();
  }

  // With the rest; the columns alone if there are no rows. Most queries have one chunk: one message
  // with its status costs half of a message and then a status.
  void EndWithChunk() {
    SerializeMessage(chunk_, &outgoing_);
    StartWriteAndFinish(&outgoing_, grpc::WriteOptions(), grpc::Status::OK);
  }

  // At once, or when the client has taken the last chunk: this thread need not wait for that.
  void End(const Status& status) {
    {
      std::lock_guard lock(mutex_);
      if (writing_) {
        end_ = status;
        return;
      }
    }
    Finish(ToGrpc(status, context_));
  }

  grpc::CallbackServerContext* const context_;
  Clock* const clock_;
  const SteadyTime age_max_;
  std::shared_ptr<QueryStream> self_;
  Statement statement_;
  SteadyTime deadline_{0};
  SteadyTime started_{0};
  v1::QueryResponse chunk_;
  size_t chunk_bytes_ = 0;
  grpc::ByteBuffer outgoing_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool writing_ = false;
  bool cancelled_ = false;
  std::optional<Status> end_;  // once the write under way is done
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* ServeQuery(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer& request, Api* api,
                                                       ReadPool* reads, Clock* clock,
                                                       SteadyTime age_max) {
  auto stream = std::make_shared<QueryStream>(context, clock, age_max);
  stream->Start(request, *api, reads);
  return stream.get();
}

}  // namespace cairn::server
