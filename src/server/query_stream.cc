#include "server/query_stream.h"

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "rpc/proto_convert.h"
#include "server/convert.h"
#include "server/limits.h"
#include "server/open_calls.h"
#include "server/raw_call.h"

namespace cairn::server {
namespace {

// Rows gather in a chunk while the last chunk is on its way to the client. When both are full the
// query pauses. So a slow client slows its own query, and its chunks do not pile up.
class QueryStream final : public grpc::ServerWriteReactor<grpc::ByteBuffer>, public QueryConsumer {
 public:
  QueryStream(grpc::CallbackServerContext* context, const ServiceHost& host)
      : context_(context),
        open_(host.open_calls, context, "/cairn.v1.Database/Query"),
        result_(host.results) {}

  void Start(const std::shared_ptr<QueryStream>& self, const grpc::ByteBuffer& bytes,
             const ServiceHost& host) {
    self_ = self;
    v1::QueryRequest request;
    Status bad = ParseMessage(bytes, host.requests, &request, &request_);
    Result<CallContext> call = ContextOf(*context_, host);
    if (bad.ok()) bad = call.status();
    if (!bad.ok()) return End(bad);
    call->gone = gone_;
    QueryRequest query;
    query.statement = rpc::FromProto(request.mutable_statement());
    query.read = FromProto(request.read());
    query.timeout_ms = request.timeout_ms();
    query.bytes = bytes.Length();
    host.api->Query(std::move(query), *call, self);
  }

  // ---- QueryConsumer

  void Begin(LogIndex applied, bool provisional) override {
    provisional_ = provisional;
    DropChunk();
    chunk_.set_index(applied.value());
  }

  Status OnColumns(const std::vector<Column>& columns) override {
    for (const Column& column : columns) rpc::ToProto(Column(column), chunk_.add_columns());
    return OkStatus();
  }

  Status OnRow(Row row) override {
    if (out_of_memory_) return TooManyResults();
    v1::Row* added = chunk_.add_rows();
    rpc::ToProto(std::move(row), added);
    const size_t bytes = added->ByteSizeLong() + 4;
    // A row of many MB is charged before it waits to be sent.
    if (bytes > kResultBytesMax && !result_.TryResize(result_.bytes() + bytes)) {
      chunk_ = v1::QueryResponse();
      return TooManyResults();
    }
    chunk_bytes_ += bytes;
    return OkStatus();
  }

  bool Full() override {
    if (chunk_bytes_ < kQueryChunkBytes && chunk_.rows_size() < kQueryChunkRows) return false;
    // The query begins anew, and may wait long for that. What it made is void.
    if (provisional_) DropChunk();
    return provisional_ || !SendChunk();
  }

  void AwaitRoom(std::function<void()> resume) override {
    {
      MutexLock lock(mutex_);
      if (writing_) {
        resume_ = std::move(resume);
        return;
      }
    }
    resume();
  }

  // Ends at once, or when the client has taken the chunk that is on its way.
  void End(const Status& status) override {
    {
      MutexLock lock(mutex_);
      if (writing_) {
        end_ = status;
        HoldRest(status);
        return;
      }
    }
    FinishWith(status);
  }

  // ---- gRPC

  void OnWriteDone(bool ok) override {
    std::optional<Status> end;
    std::function<void()> resume;
    {
      MutexLock lock(mutex_);
      writing_ = false;
      if (!ok) *gone_ = true;
      end = std::move(end_);
      resume.swap(resume_);
    }
    if (end) {
      FinishWith(*end);
    } else if (resume) {
      resume();
    }
  }

  void OnCancel() override { *gone_ = true; }
  void OnDone() override {
    open_.Leave();
    self_.reset();
  }

 private:
  // False if the last chunk is still on its way.
  bool SendChunk() {
    {
      MutexLock lock(mutex_);
      if (writing_) return false;
    }
    SerializeMessage(chunk_, &outgoing_);
    DropChunk();
    if (!result_.TryResize(outgoing_.Length())) {
      out_of_memory_ = true;  // the next row, or the end, reports it
      outgoing_.Clear();
      return true;
    }
    {
      MutexLock lock(mutex_);
      writing_ = true;
    }
    StartWrite(&outgoing_);
    return true;
  }

  void DropChunk() {
    if (chunk_bytes_ > 2 * kQueryChunkBytes) {
      chunk_ = v1::QueryResponse();  // Clear keeps the memory
    } else {
      chunk_.Clear();
    }
    chunk_bytes_ = 0;
  }

  // The query is over, and its last chunk waits for the client, perhaps for long.
  void HoldRest(const Status& status) CAIRN_REQUIRES(mutex_) {
    const bool fits = result_.TryResize(result_.bytes() + chunk_.SpaceUsedLong());
    if (!fits) out_of_memory_ = true;
    if (!fits || !status.ok()) chunk_ = v1::QueryResponse();
  }

  static Status TooManyResults() {
    return ResourceExhausted("too many results wait for their clients to take them");
  }

  // After OK this sends the rest, or only the columns if there are no rows. Most queries have one
  // chunk: one message with its status costs half as much as a message and then a status.
  void FinishWith(const Status& status) {
    if (!status.ok()) return Finish(ToGrpc(status, context_));
    if (out_of_memory_) return Finish(ToGrpc(TooManyResults(), context_));
    SerializeMessage(chunk_, &outgoing_);
    chunk_ = v1::QueryResponse();
    if (outgoing_.Length() > kSmallAnswerBytes && !result_.TryResize(outgoing_.Length())) {
      outgoing_.Clear();
      return Finish(ToGrpc(TooManyResults(), context_));
    }
    StartWriteAndFinish(&outgoing_, grpc::WriteOptions(), grpc::Status::OK);
  }

  grpc::CallbackServerContext* const context_;
  OpenCall open_;
  MemoryCharge request_;
  MemoryCharge result_;  // of the message on its way, and of the one that waits
  std::shared_ptr<QueryStream> self_;
  const std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
  bool provisional_ = false;
  bool out_of_memory_ = false;  // a chunk was left out
  v1::QueryResponse chunk_;
  size_t chunk_bytes_ = 0;
  grpc::ByteBuffer outgoing_;

  Mutex mutex_;
  bool writing_ CAIRN_GUARDED_BY(mutex_) = false;
  std::function<void()> resume_ CAIRN_GUARDED_BY(mutex_);  // called once the present write is done
  std::optional<Status> end_ CAIRN_GUARDED_BY(mutex_);     // told once the present write is done
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* ServeQuery(grpc::CallbackServerContext* context,
                                                       const grpc::ByteBuffer& request,
                                                       const ServiceHost& host) {
  auto stream = std::make_shared<QueryStream>(context, host);
  stream->Start(stream, request, host);
  return stream.get();
}

}  // namespace cairn::server
