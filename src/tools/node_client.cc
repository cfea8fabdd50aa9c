#include "tools/node_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <charconv>

namespace cairn::tools {
namespace {

// A result row may hold a value of 16 MiB, and a message several rows.
constexpr int kMessageBytesMax = 64 << 20;
// Where the node keeps the bound itself, its answer (with the outcome) is worth waiting for.
constexpr std::chrono::milliseconds kGrace{500};

Outcome FromProto(v1::Outcome outcome) {
  switch (outcome) {
    case v1::OUTCOME_APPLIED: return Outcome::kApplied;
    case v1::OUTCOME_NOT_APPLIED: return Outcome::kNotApplied;
    case v1::OUTCOME_UNKNOWN: return Outcome::kUnknown;
    default: return Outcome::kNone;
  }
}

Value FromProto(const v1::Value& value) {
  switch (value.kind_case()) {
    case v1::Value::kInteger: return value.integer();
    case v1::Value::kReal: return value.real();
    case v1::Value::kText: return value.text();
    case v1::Value::kBlob: return Blob{value.blob()};
    default: return std::monostate{};
  }
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  // A node that was just restarted must be found again within a fraction of the bounds of the
  // tools.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  // Each NodeClient has a connection of its own: a broken one must not be another's trouble.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // Nodes are named by address; a proxy of the environment is never meant.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

class Sequence {
 public:
  explicit Sequence(ResultSink* sink) : sink_(sink) {}

  Status Take(const v1::QueryResponse& response) {
    if (!began_) {
      began_ = true;
      RETURN_IF_ERROR(sink_->OnColumns(FromProtoColumns(response)));
    }
    for (const v1::Row& wire : response.rows()) {
      row_.clear();
      for (const v1::Value& value : wire.values()) row_.push_back(FromProto(value));
      RETURN_IF_ERROR(sink_->OnRow(row_));
    }
    return OkStatus();
  }

 private:
  static std::vector<Column> FromProtoColumns(const v1::QueryResponse& response) {
    std::vector<Column> columns;
    for (const v1::Column& column : response.columns()) {
      columns.push_back({column.name(), column.decl_type()});
    }
    return columns;
  }

  ResultSink* const sink_;
  bool began_ = false;
  Row row_;
};

}  // namespace

Result<std::string> ParseAddress(std::string_view text) {
  const std::string_view given = text;
  if (text.starts_with("http://")) text.remove_prefix(7);
  if (text.ends_with('/')) text.remove_suffix(1);
  const size_t colon = text.rfind(':');
  uint16_t port = 0;
  if (colon != std::string_view::npos && colon > 0) {
    const std::string_view digits = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size()) port = 0;
  }
  if (port == 0 || text.find('/') != std::string_view::npos) {
    return InvalidArgument("'" + std::string(given) + "' is not an address of the form host:port");
  }
  return std::string(text);
}

// One call's context, known to Cancel for as long as it lives; and the reading of its errors.
class NodeClient::Call {
 public:
  Call(NodeClient* client, Timeout timeout) : client_(client) {
    context_.set_deadline(std::chrono::system_clock::now() + timeout);
    std::lock_guard lock(client_->mutex_);
    client_->in_flight_.push_back(&context_);
  }
  ~Call() {
    std::lock_guard lock(client_->mutex_);
    std::erase(client_->in_flight_, &context_);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  grpc::ClientContext* context() { return &context_; }

  Status Finish(const grpc::Status& from) const {
    if (from.ok()) return OkStatus();
    Status status(static_cast<StatusCode>(from.error_code()), from.error_message());
    const auto& trailers = context_.GetServerTrailingMetadata();
    const auto found = trailers.find("cairn-error-bin");
    v1::ErrorDetail detail;
    if (found == trailers.end() ||
        !detail.ParseFromArray(found->second.data(), static_cast<int>(found->second.size()))) {
      return status;
    }
    status = std::move(status).With(FromProto(detail.outcome()));
    if (detail.leader_node_id() != 0) {
      status = std::move(status).With(LeaderHint{detail.leader_node_id(), detail.leader_address()});
    }
    return status;
  }

 private:
  NodeClient* const client_;
  grpc::ClientContext context_;
};

NodeClient::NodeClient(std::string address)
    : address_(std::move(address)),
      channel_(MakeChannel(address_)),
      transaction_(transaction::DatabaseService::NewStub(channel_)),
      database_(v1::Database::NewStub(channel_)),
      cluster_(v1::Cluster::NewStub(channel_)) {}

Result<int64_t> NodeClient::Execute(const std::string& sql, const std::string& request_id,
                                    Timeout timeout) {
  Call call(this, timeout);
  if (!request_id.empty()) call.context()->AddMetadata("cairn-request-id", request_id);
  transaction::ExecuteRequest request;
  request.set_sql(sql);
  transaction::ExecuteResponse response;
  RETURN_IF_ERROR(call.Finish(transaction_->Execute(call.context(), request, &response)));
  return response.rows_affected();
}

Status NodeClient::Prepare(const std::string& tx_id, const std::string& sql,
                           const std::vector<std::string>& args, Timeout timeout) {
  Call call(this, timeout);
  transaction::PrepareRequest request;
  request.set_tx_id(tx_id);
  request.set_sql(sql);
  for (const std::string& arg : args) request.add_args(arg);
  transaction::PrepareResponse response;
  return call.Finish(transaction_->Prepare(call.context(), request, &response));
}

Status NodeClient::Commit(const std::string& tx_id, Timeout timeout) {
  Call call(this, timeout);
  transaction::CommitRequest request;
  request.set_tx_id(tx_id);
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
  RETURN_IF_ERROR(call.Finish(transaction_->GetVersion(call.context(), request, &response)));
  return response.version();
}

Status NodeClient::CheckHealth(Timeout timeout) {
  Call call(this, timeout);
  transaction::Empty request;
  transaction::Empty response;
  return call.Finish(transaction_->CheckHealth(call.context(), request, &response));
}

Result<v1::ExecuteResponse> NodeClient::ExecuteV1(const std::string& sql, Timeout timeout) {
  Call call(this, timeout + kGrace);
  v1::ExecuteRequest request;
  request.add_statements()->set_sql(sql);
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  v1::ExecuteResponse response;
  RETURN_IF_ERROR(call.Finish(database_->Execute(call.context(), request, &response)));
  return response;
}

Status NodeClient::Query(const std::string& sql, const v1::ReadOptions& read, Timeout timeout,
                         ResultSink* sink) {
  Call call(this, timeout + kGrace);
  v1::QueryRequest request;
  request.mutable_statement()->set_sql(sql);
  *request.mutable_read() = read;
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  auto reader = database_->Query(call.context(), request);
  Sequence sequence(sink);
  v1::QueryResponse response;
  while (reader->Read(&response)) {
    Status status = sequence.Take(response);
    if (status.ok()) continue;
    // The stream must be ended and read to its end before it may be destroyed.
    call.context()->TryCancel();
    while (reader->Read(&response)) {
    }
    reader->Finish();
    return status;
  }
  return call.Finish(reader->Finish());
}

Result<LocalVersion> NodeClient::VersionV1(const std::string& table, v1::VersionLevel level,
                                           uint64_t index_min, Timeout timeout) {
  Call call(this, timeout + kGrace);
  v1::GetVersionRequest request;
  request.set_table(table);
  request.set_level(level);
  request.set_index_min(index_min);
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  v1::GetVersionResponse response;
  RETURN_IF_ERROR(call.Finish(database_->GetVersion(call.context(), request, &response)));
  return LocalVersion{response.version(), response.index()};
}

Result<v1::GetTransactionResponse> NodeClient::LocalTransaction(const std::string& tx_id,
                                                                Timeout timeout) {
  Call call(this, timeout + kGrace);
  v1::GetTransactionRequest request;
  request.set_tx_id(tx_id);
  request.set_level(v1::VERSION_LEVEL_LOCAL);
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  v1::GetTransactionResponse response;
  RETURN_IF_ERROR(call.Finish(database_->GetTransaction(call.context(), request, &response)));
  return response;
}

Result<v1::StatusResponse> NodeClient::ClusterStatus(Timeout timeout) {
  Call call(this, timeout);
  v1::StatusResponse response;
  RETURN_IF_ERROR(call.Finish(cluster_->Status(call.context(), v1::StatusRequest(), &response)));
  return response;
}

Status NodeClient::ChangeMembership(const v1::ChangeMembershipRequest& request,
                                    const std::function<void(const std::string&)>& progress) {
  // The node keeps the bound of the request; the call's own only guards against a dead node.
  Call call(this, Timeout(request.timeout_ms()) + kGrace);
  auto reader = cluster_->ChangeMembership(call.context(), request);
  v1::ChangeMembershipResponse response;
  bool done = false;
  while (reader->Read(&response)) {
    if (!response.progress().empty()) progress(response.progress());
    done = done || response.done();
  }
  RETURN_IF_ERROR(call.Finish(reader->Finish()));
  if (!done) {
    return Unavailable("the node ended the stream before the change was done")
        .With(Outcome::kUnknown);
  }
  return OkStatus();
}

Status NodeClient::TransferLeadership(uint64_t node_id, Timeout timeout) {
  Call call(this, timeout + kGrace);
  v1::TransferLeadershipRequest request;
  request.set_node_id(node_id);
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  v1::TransferLeadershipResponse response;
  return call.Finish(cluster_->TransferLeadership(call.context(), request, &response));
}

void NodeClient::Cancel() {
  std::lock_guard lock(mutex_);
  for (grpc::ClientContext* context : in_flight_) context->TryCancel();
}

}  // namespace cairn::tools
