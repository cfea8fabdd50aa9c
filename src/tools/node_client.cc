#include "tools/node_client.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <sstream>

#include "rpc/deadline.h"
#include "rpc/endpoint.h"
#include "rpc/proto_convert.h"
#include "security/connection_error.h"
#include "tools/process_tls.h"

namespace cairn::tools {
namespace {

// If the node keeps the bound itself, its answer (with the outcome) is worth waiting for.
constexpr std::chrono::milliseconds kGrace{500};

// A read that fails leaves nothing undecided.
Status OfRead(Status status) { return std::move(status).With(Outcome::kNone); }

// Gives a stream of answers to a sink.
class Sequence {
 public:
  explicit Sequence(ResultSink* sink) : sink_(sink) {}

  Status Take(v1::QueryResponse* response) {
    if (!began_) {
      began_ = true;
      std::vector<Column> columns;
      for (v1::Column& column : *response->mutable_columns()) {
        columns.push_back(rpc::FromProto(&column));
      }
      RETURN_IF_ERROR(sink_->OnColumns(columns));
    }
    for (v1::Row& row : *response->mutable_rows()) {
      RETURN_IF_ERROR(sink_->OnRow(rpc::FromProto(&row)));
    }
    return OkStatus();
  }

 private:
  ResultSink* const sink_;
  bool began_ = false;
};

}  // namespace

Result<std::string> ParseAddress(std::string_view text) {
  if (text.starts_with("http://")) text.remove_prefix(7);
  if (text.ends_with('/')) text.remove_suffix(1);
  std::string address(text);
  RETURN_IF_ERROR(rpc::CheckEndpoint(address));
  return address;
}

Result<std::vector<std::string>> ParseAddresses(const std::string& text) {
  std::vector<std::string> addresses;
  std::istringstream list(text);
  for (std::string one; std::getline(list, one, ',');) {
    if (one.empty()) continue;
    ASSIGN_OR_RETURN(std::string address, ParseAddress(one));
    addresses.push_back(std::move(address));
  }
  if (addresses.empty()) return InvalidArgument("no address");
  return addresses;
}

// The context of one call, which Cancel knows for as long as it lives, and the reading of the
// call's errors.
class NodeClient::Call {
 public:
  Call(NodeClient* client, Timeout timeout)
      : client_(client), until_(SystemClock().SteadyNow() + timeout) {
    context_.set_deadline(rpc::DeadlineAfter(timeout));
    MutexLock lock(client_->mutex_);
    client_->in_flight_.push_back(this);
  }
  ~Call() {
    MutexLock lock(client_->mutex_);
    std::erase(client_->in_flight_, this);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  grpc::ClientContext* context() { return &context_; }
  void Name(const std::string& request_id) {
    if (!request_id.empty()) context_.AddMetadata(rpc::kRequestIdMetadata, request_id);
  }

  SteadyTime until() const { return until_; }
  bool cancelled() const { return cancelled_; }
  void Cancel() {
    cancelled_ = true;
    context_.TryCancel();
  }

  static Status Interrupted() {
    return Cancelled("interrupted after the request was sent").With(Outcome::kUnknown);
  }

  // The status with which the call ended. A failure that gRPC made itself leaves the outcome of a
  // write unknown.
  Status Finish(const grpc::Status& status) const {
    if (cancelled_ && status.error_code() == grpc::StatusCode::CANCELLED) return Interrupted();
    return rpc::FromGrpc(status, context_.GetServerTrailingMetadata(), Outcome::kUnknown);
  }

 private:
  NodeClient* const client_;
  const SteadyTime until_;
  grpc::ClientContext context_;
  std::atomic<bool> cancelled_ = false;
};

NodeClient::NodeClient(std::string address)
    : address_(std::move(address)),
      channel_(rpc::NewChannel(address_, ProcessTls())),
      transaction_(transaction::DatabaseService::NewStub(channel_)),
      database_(v1::Database::NewStub(channel_)),
      cluster_(address_, ProcessTls()) {}

Status NodeClient::Connect(const Call& call) {
  // How soon an interrupt is noticed while nothing has been sent.
  constexpr std::chrono::milliseconds kLook{20};
  for (auto state = channel_->GetState(true); state != GRPC_CHANNEL_READY;
       state = channel_->GetState(true)) {
    if (call.cancelled()) {
      return Cancelled("interrupted before the request was sent").With(Outcome::kNotApplied);
    }
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) {
      return Unavailable("cannot connect to " + address_ + ": " + WhyNot())
          .With(Outcome::kNotApplied);
    }
    if (SystemClock().SteadyNow() >= call.until()) {
      return DeadlineExceeded("no connection to " + address_ + " in time")
          .With(Outcome::kNotApplied);
    }
    channel_->WaitForStateChange(state, rpc::DeadlineAfter(kLook));
  }
  return OkStatus();
}

// The state of a channel does not say why there is no connection. A call that fails for that does.
std::string NodeClient::WhyNot() {
  grpc::ClientContext context;
  context.set_deadline(rpc::DeadlineAfter(std::chrono::milliseconds(200)));
  transaction::Empty request;
  transaction::Empty response;
  const grpc::Status status = transaction_->CheckHealth(&context, request, &response);
  const std::string words = security::ConnectionErrorInWords(status.error_message());
  return words == status.error_message() ? "is a node running there?" : words;
}

Result<int64_t> NodeClient::Execute(const std::string& sql, const std::string& request_id,
                                    Timeout timeout) {
  Call call(this, timeout);
  call.Name(request_id);
  transaction::ExecuteRequest request;
  request.set_sql(sql);
  transaction::ExecuteResponse response;
  RETURN_IF_ERROR(call.Finish(transaction_->Execute(call.context(), request, &response)));
  return response.rows_affected();
}

Result<std::vector<int64_t>> NodeClient::ExecuteBatch(
    const transaction::ExecuteBatchRequest& request, const std::string& request_id,
    Timeout timeout) {
  Call call(this, timeout);
  call.Name(request_id);
  transaction::ExecuteBatchResponse response;
  RETURN_IF_ERROR(call.Finish(transaction_->ExecuteBatch(call.context(), request, &response)));
  std::vector<int64_t> rows;
  for (const transaction::StatementResult& each : response.results()) {
    rows.push_back(each.rows_affected());
  }
  return rows;
}

Status NodeClient::Prepare(const std::string& tx_id, uint64_t number, const std::string& sql,
                           const std::vector<std::string>& args, const std::string& request_id,
                           Timeout timeout) {
  Call call(this, timeout);
  call.Name(request_id);
  transaction::PrepareRequest request;
  request.set_tx_id(tx_id);
  request.set_statement_number(number);
  request.set_sql(sql);
  for (const std::string& arg : args) request.add_args(arg);
  transaction::PrepareResponse response;
  return call.Finish(transaction_->Prepare(call.context(), request, &response));
}

Status NodeClient::Commit(const std::string& tx_id, uint64_t statements, Timeout timeout) {
  Call call(this, timeout);
  transaction::CommitRequest request;
  request.set_tx_id(tx_id);
  request.set_statement_count(statements);
  transaction::CommitResponse response;
  return call.Finish(transaction_->Commit(call.context(), request, &response));
}

Status NodeClient::Rollback(const std::string& tx_id, Timeout timeout) {
  Call call(this, timeout);
  transaction::RollbackRequest request;
  request.set_tx_id(tx_id);
  transaction::RollbackResponse response;
  return call.Finish(transaction_->Rollback(call.context(), request, &response));
}

Result<int64_t> NodeClient::Version(const std::string& table, Timeout timeout) {
  Call call(this, timeout);
  transaction::GetVersionRequest request;
  request.set_table(table);
  transaction::GetVersionResponse response;
  RETURN_IF_ERROR(
      OfRead(call.Finish(transaction_->GetVersion(call.context(), request, &response))));
  return response.version();
}

Status NodeClient::CheckHealth(Timeout timeout) {
  Call call(this, timeout);
  transaction::Empty request;
  transaction::Empty response;
  return OfRead(call.Finish(transaction_->CheckHealth(call.context(), request, &response)));
}

Result<v1::ExecuteResponse> NodeClient::ExecuteV1(const std::string& sql, Timeout timeout,
                                                  bool maintenance) {
  return ExecuteAll(std::vector<Statement>{{sql, {}, {}}}, timeout, maintenance);
}

Result<v1::ExecuteResponse> NodeClient::ExecuteAll(std::vector<Statement> statements,
                                                   Timeout timeout, bool maintenance,
                                                   ForeignKeys foreign_keys) {
  Call call(this, timeout + kGrace);
  RETURN_IF_ERROR(Connect(call));
  v1::ExecuteRequest request;
  rpc::ToProto(std::move(statements), foreign_keys, &request);
  request.set_maintenance(maintenance);
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  v1::ExecuteResponse response;
  RETURN_IF_ERROR(call.Finish(database_->Execute(call.context(), request, &response)));
  return response;
}

Status NodeClient::RetainChanges(const std::string& table, uint64_t retain_ms, uint64_t bytes_max,
                                 Timeout timeout) {
  Call call(this, timeout + kGrace);
  RETURN_IF_ERROR(Connect(call));
  v1::ExecuteRequest request;
  request.mutable_retain()->set_table(table);
  request.mutable_retain()->set_retain_ms(retain_ms);
  request.mutable_retain()->set_bytes_max(bytes_max);
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  v1::ExecuteResponse response;
  return call.Finish(database_->Execute(call.context(), request, &response));
}

Result<v1::ExecuteResponse> NodeClient::Restore(const v1::RestoreStep& step, Timeout timeout) {
  Call call(this, timeout + kGrace);
  RETURN_IF_ERROR(Connect(call));
  v1::ExecuteRequest request;
  *request.mutable_restore() = step;
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  v1::ExecuteResponse response;
  RETURN_IF_ERROR(call.Finish(database_->Execute(call.context(), request, &response)));
  return response;
}

Status NodeClient::ChangeAccess(const v1::AccessChange& change, Timeout timeout) {
  Call call(this, timeout + kGrace);
  RETURN_IF_ERROR(Connect(call));
  v1::ExecuteRequest request;
  *request.mutable_access() = change;
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  v1::ExecuteResponse response;
  return call.Finish(database_->Execute(call.context(), request, &response));
}

Result<v1::ListAccessResponse> NodeClient::ListAccess(Timeout timeout) {
  Call call(this, timeout + kGrace);
  if (Status down = Connect(call); !down.ok()) return OfRead(std::move(down));
  v1::ListAccessRequest request;
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  v1::ListAccessResponse response;
  RETURN_IF_ERROR(OfRead(call.Finish(database_->ListAccess(call.context(), request, &response))));
  return response;
}

Result<v1::ListAuditResponse> NodeClient::ListAudit(v1::ListAuditRequest::Chain chain,
                                                    uint64_t after, Timeout timeout) {
  Call call(this, timeout + kGrace);
  if (Status down = Connect(call); !down.ok()) return OfRead(std::move(down));
  v1::ListAuditRequest request;
  request.set_chain(chain);
  request.set_after(after);
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  v1::ListAuditResponse response;
  RETURN_IF_ERROR(OfRead(call.Finish(database_->ListAudit(call.context(), request, &response))));
  return response;
}

Result<v1::ListRetainedResponse> NodeClient::ListRetained(Timeout timeout) {
  auto response = cluster_.ListRetained(timeout);
  if (!response.ok()) return OfRead(response.status());
  return response;
}

Status NodeClient::Query(Statement statement, const v1::ReadOptions& read, Timeout timeout,
                         ResultSink* sink) {
  Call call(this, timeout + kGrace);
  if (Status status = Connect(call); !status.ok()) return OfRead(std::move(status));
  v1::QueryRequest request;
  rpc::ToProto(std::move(statement), request.mutable_statement());
  *request.mutable_read() = read;
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  auto reader = database_->Query(call.context(), request);
  Sequence sequence(sink);
  v1::QueryResponse response;
  while (reader->Read(&response)) {
    Status status = sequence.Take(&response);
    if (status.ok()) continue;
    // The stream must be ended and read to its end before it may be destroyed.
    call.context()->TryCancel();
    while (reader->Read(&response)) {
    }
    reader->Finish();
    return status;
  }
  const Status status = call.Finish(reader->Finish());
  if (call.cancelled() && status.code() == StatusCode::kCancelled) return Cancelled("interrupted");
  return OfRead(status);
}

Result<LocalVersion> NodeClient::VersionV1(const std::string& table, v1::VersionLevel level,
                                           uint64_t index_min, Timeout timeout) {
  v1::GetVersionRequest request;
  request.set_table(table);
  request.set_level(level);
  request.set_index_min(index_min);
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  const auto response = cluster_.GetVersion(request, timeout + kGrace);
  if (!response.ok()) return OfRead(response.status());
  return LocalVersion{response->version(), response->index()};
}

Result<v1::GetTransactionResponse> NodeClient::LocalTransaction(const std::string& tx_id,
                                                                uint64_t index_min,
                                                                Timeout timeout) {
  v1::GetTransactionRequest request;
  request.set_tx_id(tx_id);
  request.set_level(v1::VERSION_LEVEL_LOCAL);
  request.set_index_min(index_min);
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  auto response = cluster_.GetTransaction(request, timeout + kGrace);
  if (!response.ok()) return OfRead(response.status());
  return response;
}

// A node that is down or hangs is told in plain words, for tables and for people. gRPC's own words
// speak of "all addresses" and of the last error in a list.
Result<v1::StatusResponse> NodeClient::ClusterStatus(Timeout timeout) {
  Call call(this, timeout);
  if (Status down = Connect(call); !down.ok()) return OfRead(std::move(down));
  auto response = cluster_.Status(timeout);
  if (response.ok()) return response;
  if (response.status().code() == StatusCode::kDeadlineExceeded) {
    return DeadlineExceeded(address_ + " takes connections and does not answer");
  }
  return OfRead(response.status());
}

Status NodeClient::ChangeMembership(const v1::ChangeMembershipRequest& request,
                                    const std::function<void(const std::string&)>& progress) {
  Call call(this, Timeout(request.timeout_ms()) + kGrace);
  RETURN_IF_ERROR(Connect(call));
  Status status = cluster_.ChangeMembership(call.context(), request, progress);
  return call.cancelled() && status.code() == StatusCode::kCancelled ? call.Interrupted() : status;
}

Result<uint64_t> NodeClient::TransferLeadership(uint64_t node_id, Timeout timeout) {
  return cluster_.TransferLeadership(node_id, timeout + kGrace);
}

Result<uint64_t> NodeClient::RaiseLevel(Timeout timeout) {
  return cluster_.RaiseLevel(timeout + kGrace);
}

bool NodeClient::Cancel() {
  MutexLock lock(mutex_);
  for (Call* call : in_flight_) call->Cancel();
  return !in_flight_.empty();
}

}  // namespace cairn::tools
