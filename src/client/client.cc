#include "cairn/client.h"

#include <algorithm>
#include <future>
#include <map>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "client/backup.h"
#include "client/call_table.h"
#include "client/live_query.h"
#include "client/prepared_counts.h"
#include "client/streamed_query.h"
#include "client/watcher.h"
#include "rpc/endpoint.h"
#include "rpc/proto_convert.h"

namespace cairn {
namespace client {
namespace {

// The result in an ExecuteResponse, or in the FinishResponse of a Commit. Both have the same
// fields.
template <class Response>
ExecuteResult ToExecuteResult(Response* response) {
  ExecuteResult out;
  out.index = response->index();
  out.result_gone = response->result_gone();
  for (v1::StatementResult& result : *response->mutable_results()) {
    out.results.push_back(rpc::FromProto(&result));
  }
  return out;
}

QueryResult ToResult(v1::QueryResult* response) {
  QueryResult out;
  out.index = response->index();
  for (v1::Column& column : *response->mutable_columns())
    out.columns.push_back(rpc::FromProto(&column));
  out.rows.reserve(static_cast<size_t>(response->rows_size()));
  for (v1::Row& row : *response->mutable_rows()) out.rows.push_back(rpc::FromProto(&row));
  return out;
}

void ToProto(const QueryOptions& options, v1::ReadOptions* out) {
  if (options.level == QueryOptions::Level::kStale) out->set_level(v1::READ_LEVEL_STALE);
  out->set_index_min(options.index_min);
  if (options.staleness_max) {
    out->set_staleness_max_ms(static_cast<uint32_t>(options.staleness_max->count()));
  }
}

// How many times a query leaves a node that fails in the middle of a stream for another node.
constexpr int kStreamTries = 3;

class ClientImpl final : public Client {
 public:
  ClientImpl(ClientOptions options, security::TlsPtr tls)
      : options_(options), tls_(std::move(tls)), calls_(std::move(options), tls_) {}
  ~ClientImpl() override {
    std::map<uint64_t, std::shared_ptr<StreamedQuery>> streams;
    {
      MutexLock lock(mutex_);
      closing_ = true;
      streams = streams_;
    }
    for (const auto& [id, stream] : streams) stream->Cancel();
    MutexLock lock(mutex_);
    while (!streams_.empty()) ended_.Wait(lock);
  }

  void ExecuteAsync(std::vector<Statement> statements, Done<ExecuteResult> done) override {
    ExecuteAsync(std::move(statements), ForeignKeys::kEnforced, std::move(done));
  }

  void ExecuteAsync(std::vector<Statement> statements, ForeignKeys foreign_keys,
                    Done<ExecuteResult> done) override {
    for (const Statement& statement : statements) {
      if (Status bad = rpc::CheckUtf8(statement); !bad.ok()) {
        done(std::move(bad).With(Outcome::kNotApplied));
        return;
      }
    }
    v1::SessionRequest request;
    rpc::ToProto(std::move(statements), foreign_keys, request.mutable_execute());
    StartExecute(std::move(request), std::move(done));
  }

  void ExecuteBatchAsync(std::vector<BatchStatement> batch, Done<ExecuteResult> done) override {
    v1::SessionRequest request;
    const bool expects = std::any_of(batch.begin(), batch.end(), [](const BatchStatement& each) {
      return each.expect.kind != RowExpectation::Kind::kAny;
    });
    for (BatchStatement& each : batch) {
      if (Status bad = rpc::CheckUtf8(each.statement); !bad.ok()) {
        done(std::move(bad).With(Outcome::kNotApplied));
        return;
      }
      // Every version knows the statements of a batch that expects nothing.
      if (expects) {
        rpc::ToProto(std::move(each), request.mutable_execute()->add_batch());
      } else {
        rpc::ToProto(std::move(each.statement), request.mutable_execute()->add_statements());
      }
    }
    StartExecute(std::move(request), std::move(done));
  }

  void QueryAsync(Statement statement, QueryOptions options, Done<QueryResult> done) override {
    if (Status bad = rpc::CheckUtf8(statement); !bad.ok()) {
      done(bad);
      return;
    }
    auto read = std::make_shared<Read>();
    rpc::ToProto(std::move(statement), read->request.mutable_query()->mutable_statement());
    ToProto(options, read->request.mutable_query()->mutable_read());
    read->bytes_max = options.result_bytes_max;
    read->deadline = SystemClock().SteadyNow() + options_.timeout;
    read->done = std::move(done);
    Start(read);
  }

  Status Prepare(const std::string& tx_id, Statement statement,
                 std::chrono::milliseconds expires_after) override {
    if (Status bad = rpc::CheckUtf8(statement); !bad.ok()) return bad;
    if (!rpc::IsUtf8(tx_id)) return InvalidArgument("the transaction id is not valid UTF-8");
    v1::SessionRequest request;
    request.mutable_prepare()->set_tx_id(tx_id);
    rpc::ToProto(std::move(statement), request.mutable_prepare()->mutable_statement());
    request.mutable_prepare()->set_tx_timeout_ms(static_cast<uint64_t>(expires_after.count()));
    const uint64_t number = prepared_.NextOf(tx_id);
    request.mutable_prepare()->set_statement_number(number);
    Status status = Wait(std::move(request)).status;
    if (status.ok()) prepared_.Note(tx_id, number);
    return status;
  }

  Result<ExecuteResult> Commit(const std::string& tx_id) override {
    if (!rpc::IsUtf8(tx_id)) return InvalidArgument("the transaction id is not valid UTF-8");
    v1::SessionRequest request;
    request.mutable_commit()->set_tx_id(tx_id);
    request.mutable_commit()->set_statement_count(prepared_.CountOf(tx_id));
    Answer answer = Wait(std::move(request));
    if (!answer.status.ok()) return answer.status;
    prepared_.Forget(tx_id);
    return ToExecuteResult(answer.response.mutable_finish());
  }

  Status Rollback(const std::string& tx_id) override {
    if (!rpc::IsUtf8(tx_id)) return InvalidArgument("the transaction id is not valid UTF-8");
    v1::SessionRequest request;
    request.mutable_rollback()->set_tx_id(tx_id);
    Status status = Wait(std::move(request)).status;
    if (status.ok()) prepared_.Forget(tx_id);
    return status;
  }

  Result<std::unique_ptr<Watcher>> Watch(WatchOptions options) override {
    return NewWatcher(options_.endpoints, tls_, options_.timeout, options);
  }

  Result<std::unique_ptr<LiveQuery>> WatchQuery(Statement statement,
                                                LiveQueryOptions options) override {
    return NewLiveQuery(this, options_.endpoints, tls_, options_.timeout, std::move(statement),
                        options);
  }

  Result<BackupResult> Backup(const BackupOptions& options) override {
    return MakeBackup(options_.endpoints, tls_, options_.timeout, options);
  }

 private:
  struct Answer {
    Status status;
    v1::SessionResponse response;
  };

  struct Read {
    v1::SessionRequest request;
    size_t bytes_max = 0;
    SteadyTime deadline{0};
    Done<QueryResult> done;
    int streams = 0;  // streams that were tried
  };
  using ReadPtr = std::shared_ptr<Read>;

  void StartExecute(v1::SessionRequest request, Done<ExecuteResult> done) {
    request.mutable_execute()->set_maintenance(options_.maintenance);
    calls_.Start(std::move(request),
                 [done = std::move(done)](const Status& status, v1::SessionResponse* response) {
                   if (!status.ok()) return done(status);
                   done(ToExecuteResult(response->mutable_execute()));
                 });
  }

  void Start(const ReadPtr& read) {
    v1::SessionRequest request = read->request;
    calls_.Start(std::move(request),
                 [this, read](const Status& status, v1::SessionResponse* response) {
                   if (status.reason() == Reason::kResultTooLarge) return Stream(read, status);
                   if (!status.ok()) return read->done(status);
                   if (response->query().ByteSizeLong() > read->bytes_max) {
                     return read->done(ResourceExhausted("the result is larger than " +
                                                         std::to_string(read->bytes_max) +
                                                         " bytes, its result_bytes_max"));
                   }
                   read->done(ToResult(response->mutable_query()));
                 });
  }

  void Stream(const ReadPtr& read, const Status& too_large) {
    const SteadyTime left = read->deadline - SystemClock().SteadyNow();
    v1::QueryRequest request;
    *request.mutable_statement() = read->request.query().statement();
    *request.mutable_read() = read->request.query().read();
    std::shared_ptr<StreamedQuery> stream;
    {
      MutexLock lock(mutex_);
      if (!closing_ && left > SteadyTime(0) && read->streams++ < kStreamTries) {
        const uint64_t id = ++last_stream_;
        stream = std::make_shared<StreamedQuery>(
            calls_.Endpoint(), tls_, std::move(request), read->bytes_max,
            [this, id, read](Result<QueryResult> r) { OnStreamed(id, read, std::move(r)); });
        streams_.emplace(id, stream);
      }
    }
    if (stream == nullptr) return read->done(too_large);
    StreamedQuery::Start(std::move(stream), left);
  }

  void OnStreamed(uint64_t id, const ReadPtr& read, Result<QueryResult> result) {
    bool again = false;
    {
      MutexLock lock(mutex_);
      again = !closing_ && result.status().code() == StatusCode::kUnavailable &&
              read->streams < kStreamTries;
    }
    // Asks through the session first, because the session finds a node that answers.
    if (again) {
      Start(read);
    } else {
      read->done(std::move(result));
    }
    MutexLock lock(mutex_);
    streams_.erase(id);
    if (streams_.empty()) ended_.NotifyAll();
  }

  Answer Wait(v1::SessionRequest request) {
    std::promise<Answer> promise;
    calls_.Start(std::move(request),
                 [&promise](const Status& status, v1::SessionResponse* response) {
                   Answer answer{status, {}};
                   if (response != nullptr) answer.response.Swap(response);
                   promise.set_value(std::move(answer));
                 });
    return promise.get_future().get();
  }

  const ClientOptions options_;
  const security::TlsPtr tls_;
  PreparedCounts prepared_;
  Mutex mutex_;
  CondVar ended_;
  // Streams in progress.
  std::map<uint64_t, std::shared_ptr<StreamedQuery>> streams_ CAIRN_GUARDED_BY(mutex_);
  uint64_t last_stream_ CAIRN_GUARDED_BY(mutex_) = 0;
  bool closing_ CAIRN_GUARDED_BY(mutex_) = false;
  CallTable calls_;  // destroyed first: its last callbacks use the rest
};

}  // namespace
}  // namespace client

Result<std::unique_ptr<Client>> Client::Connect(ClientOptions options) {
  if (options.endpoints.empty()) return InvalidArgument("no endpoints");
  for (const std::string& endpoint : options.endpoints) {
    RETURN_IF_ERROR(rpc::CheckEndpoint(endpoint));
  }
  if (options.timeout.count() <= 0) return InvalidArgument("the timeout must be above zero");
  if (options.inflight_max == 0) return InvalidArgument("inflight_max must be above zero");
  security::TlsPtr tls;
  if (!options.tls_directory.empty()) {
    ASSIGN_OR_RETURN(
        tls, security::Tls::ForClient(options.tls_directory, &SystemClock(), options.token_file));
  } else if (!options.token_file.empty()) {
    return InvalidArgument("a token is sent over TLS alone: tls_directory is empty");
  }
  return std::unique_ptr<Client>(
      std::make_unique<client::ClientImpl>(std::move(options), std::move(tls)));
}

Result<ExecuteResult> Client::Execute(std::vector<Statement> statements, ForeignKeys foreign_keys) {
  std::promise<Result<ExecuteResult>> promise;
  ExecuteAsync(std::move(statements), foreign_keys,
               [&promise](Result<ExecuteResult> result) { promise.set_value(std::move(result)); });
  return promise.get_future().get();
}

Result<ExecuteResult> Client::ExecuteBatch(std::vector<BatchStatement> batch) {
  std::promise<Result<ExecuteResult>> promise;
  ExecuteBatchAsync(std::move(batch),
                    [&](Result<ExecuteResult> result) { promise.set_value(std::move(result)); });
  return promise.get_future().get();
}

Result<QueryResult> Client::Query(Statement statement, QueryOptions options) {
  std::promise<Result<QueryResult>> promise;
  QueryAsync(std::move(statement), options,
             [&promise](Result<QueryResult> result) { promise.set_value(std::move(result)); });
  return promise.get_future().get();
}

}  // namespace cairn
