#include "tools/fake_cluster_test_util.h"

#include <regex>

#include "rpc/proto_convert.h"

namespace cairn::tools {
namespace {

grpc::Status NoLeader() { return {grpc::StatusCode::UNAVAILABLE, "no leader"}; }

// The table a statement writes: enough for the statements that the tests and the scenarios make.
std::string TableOf(const std::string& sql) {
  static const std::regex kPattern(R"((INTO|UPDATE|FROM)\s+([a-z_]+))");
  std::smatch match;
  return std::regex_search(sql, match, kPattern) ? match[2].str() : "";
}

// Runs a write and counts it. The caller holds the mutex.
grpc::Status RunWrite(FakeDatabase* database, const std::string& sql, int64_t* rows) {
  char* message = nullptr;
  if (sqlite3_exec(database->sqlite, sql.c_str(), nullptr, nullptr, &message) != SQLITE_OK) {
    const std::string why = message;
    sqlite3_free(message);
    const bool is_there = sqlite3_errcode(database->sqlite) == SQLITE_CONSTRAINT;
    return {is_there ? grpc::StatusCode::ALREADY_EXISTS : grpc::StatusCode::FAILED_PRECONDITION,
            why};
  }
  *rows = sqlite3_changes(database->sqlite);
  ++database->index;
  database->versions[""] += database->growth;
  const std::string table = TableOf(sql);
  if (!table.empty()) database->versions[table] += database->growth;
  return grpc::Status::OK;
}

template <class Request>
std::string Bound(const Request& request) {
  std::string sql = request.sql();
  for (int i = 0; i < request.args_size(); ++i) {
    const std::string name = "?" + std::to_string(i + 1);
    sql.replace(sql.find(name), name.size(), "'" + request.args(i) + "'");
  }
  return sql;
}

std::string RequestIdOf(const grpc::ServerContext& context) {
  const auto found = context.client_metadata().find(rpc::kRequestIdMetadata);
  if (found == context.client_metadata().end()) return "";
  return {found->second.data(), found->second.size()};
}

}  // namespace

class FakeNode::Database final : public v1::Database::Service {
 public:
  explicit Database(FakeNode* node) : node_(*node) {}

  grpc::Status Execute(grpc::ServerContext* context, const v1::ExecuteRequest* request,
                       v1::ExecuteResponse* response) override {
    if (!node_.has_leader) return NoLeader();
    std::lock_guard lock(node_.database_->mutex);
    sqlite3* sqlite = node_.database_->sqlite;
    sqlite3_exec(sqlite, "BEGIN", nullptr, nullptr, nullptr);
    for (int i = 0; i < request->statements_size(); ++i) {
      int64_t rows = 0;
      grpc::Status status = RunWrite(node_.database_.get(), request->statements(i).sql(), &rows);
      response->add_results()->set_rows_affected(rows);
      if (status.ok()) continue;
      sqlite3_exec(sqlite, "ROLLBACK", nullptr, nullptr, nullptr);
      v1::ErrorDetail detail;
      detail.set_statement(static_cast<uint32_t>(i + 1));
      context->AddTrailingMetadata(rpc::kErrorMetadata, detail.SerializeAsString());
      return status;
    }
    sqlite3_exec(sqlite, "COMMIT", nullptr, nullptr, nullptr);
    return grpc::Status::OK;
  }

  grpc::Status Query(grpc::ServerContext*, const v1::QueryRequest* request,
                     grpc::ServerWriter<v1::QueryResponse>* writer) override {
    std::lock_guard lock(node_.database_->mutex);
    sqlite3_stmt* statement = nullptr;
    sqlite3* sqlite = node_.database_->sqlite;
    if (sqlite3_prepare_v2(sqlite, request->statement().sql().c_str(), -1, &statement, nullptr) !=
        SQLITE_OK) {
      return {grpc::StatusCode::INVALID_ARGUMENT, sqlite3_errmsg(sqlite)};
    }
    // A message for the columns, and one for each row.
    v1::QueryResponse response;
    for (int i = 0; i < sqlite3_column_count(statement); ++i) {
      response.add_columns()->set_name(sqlite3_column_name(statement, i));
    }
    writer->Write(response);
    while (sqlite3_step(statement) == SQLITE_ROW) {
      response.Clear();
      v1::Row* row = response.add_rows();
      for (int i = 0; i < sqlite3_column_count(statement); ++i) {
        row->add_values()->set_text(
            reinterpret_cast<const char*>(sqlite3_column_text(statement, i)));
      }
      writer->Write(response);
    }
    sqlite3_finalize(statement);
    return grpc::Status::OK;
  }

  grpc::Status GetVersion(grpc::ServerContext*, const v1::GetVersionRequest* request,
                          v1::GetVersionResponse* response) override {
    const bool local = request->level() == v1::VERSION_LEVEL_LOCAL;
    if (!local && !node_.has_leader) return NoLeader();
    std::lock_guard lock(node_.database_->mutex);
    response->set_version(node_.database_->versions[request->table()] +
                          (local ? node_.version_skew.load() : 0));
    response->set_index(node_.database_->index);
    return grpc::Status::OK;
  }

  grpc::Status GetTransaction(grpc::ServerContext*, const v1::GetTransactionRequest* request,
                              v1::GetTransactionResponse* response) override {
    if (!node_.holds_transactions) return grpc::Status::OK;
    std::lock_guard lock(node_.database_->mutex);
    const auto found = node_.database_->transactions.find(request->tx_id());
    if (found != node_.database_->transactions.end()) response->set_state(found->second.state);
    return grpc::Status::OK;
  }

 private:
  FakeNode& node_;
};

class FakeNode::Cluster final : public v1::Cluster::Service {
 public:
  explicit Cluster(FakeNode* node) : node_(*node) {}

  grpc::Status Status(grpc::ServerContext*, const v1::StatusRequest*,
                      v1::StatusResponse* response) override {
    response->set_node_id(1);
    response->set_stage("started");
    response->set_role(v1::ROLE_LEADER);
    response->set_address(node_.address_);
    v1::Member* self = response->add_members();
    self->set_node_id(1);
    self->set_address(node_.address_);
    self->set_voter(true);
    v1::Member* dead = response->add_members();
    dead->set_node_id(2);
    dead->set_address("127.0.0.1:1");
    return grpc::Status::OK;
  }

 private:
  FakeNode& node_;
};

FakeNode::FakeNode(std::shared_ptr<FakeDatabase> database)
    : database_(std::move(database)),
      database_service_(std::make_unique<Database>(this)),
      cluster_service_(std::make_unique<Cluster>(this)) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(this);
  builder.RegisterService(database_service_.get());
  builder.RegisterService(cluster_service_.get());
  server_ = builder.BuildAndStart();
  address_ = "127.0.0.1:" + std::to_string(port);
}

FakeNode::~FakeNode() { server_->Shutdown(); }

grpc::Status FakeNode::Execute(grpc::ServerContext* context,
                               const transaction::ExecuteRequest* request,
                               transaction::ExecuteResponse* response) {
  if (!has_leader) return NoLeader();
  std::lock_guard lock(database_->mutex);
  const std::string id = RequestIdOf(*context);
  int64_t rows = 0;
  if (const auto known = database_->requests.find(id); known != database_->requests.end()) {
    rows = known->second;
  } else {
    grpc::Status status = RunWrite(database_.get(), request->sql(), &rows);
    if (!status.ok()) return status;
    if (!id.empty()) database_->requests[id] = rows;
  }
  if (lose_next_answer.exchange(false)) return {grpc::StatusCode::UNAVAILABLE, "connection lost"};
  response->set_rows_affected(rows);
  return grpc::Status::OK;
}

grpc::Status FakeNode::ExecuteBatch(grpc::ServerContext* context,
                                    const transaction::ExecuteBatchRequest* request,
                                    transaction::ExecuteBatchResponse* response) {
  if (!has_leader) return NoLeader();
  std::lock_guard lock(database_->mutex);
  const std::string id = RequestIdOf(*context);
  if (const auto known = database_->batches.find(id); known != database_->batches.end()) {
    *response = known->second;
    return grpc::Status::OK;
  }
  const std::map<std::string, int64_t> versions = database_->versions;
  sqlite3_exec(database_->sqlite, "BEGIN", nullptr, nullptr, nullptr);
  for (int i = 0; i < request->statements_size(); ++i) {
    const transaction::BatchStatement& each = request->statements(i);
    int64_t rows = 0;
    grpc::Status status = RunWrite(database_.get(), Bound(each), &rows);
    const RowExpectation expect = *rpc::ExpectationOf(each);
    const auto wanted = static_cast<int64_t>(expect.rows);
    const bool missed =
        expect.kind == RowExpectation::Kind::kExactly ? rows != wanted : rows < wanted;
    if (status.ok() && missed) status = {grpc::StatusCode::ABORTED, "missed"};
    response->add_results()->set_rows_affected(rows);
    if (status.ok()) continue;
    sqlite3_exec(database_->sqlite, keeps_failed_batches ? "COMMIT" : "ROLLBACK", nullptr, nullptr,
                 nullptr);
    if (!keeps_failed_batches) database_->versions = versions;
    v1::ErrorDetail detail;
    detail.set_statement(static_cast<uint32_t>(i + 1));
    context->AddTrailingMetadata(rpc::kErrorMetadata, detail.SerializeAsString());
    return status;
  }
  sqlite3_exec(database_->sqlite, "COMMIT", nullptr, nullptr, nullptr);
  if (!id.empty()) database_->batches[id] = *response;
  if (lose_next_answer.exchange(false)) return {grpc::StatusCode::UNAVAILABLE, "connection lost"};
  return grpc::Status::OK;
}

grpc::Status FakeNode::Prepare(grpc::ServerContext*, const transaction::PrepareRequest* request,
                               transaction::PrepareResponse*) {
  if (!has_leader) return NoLeader();
  std::lock_guard lock(database_->mutex);
  database_->transactions[request->tx_id()].statements.push_back(Bound(*request));
  ++database_->index;
  return grpc::Status::OK;
}

grpc::Status FakeNode::Commit(grpc::ServerContext*, const transaction::CommitRequest* request,
                              transaction::CommitResponse*) {
  if (!has_leader) return NoLeader();
  std::lock_guard lock(database_->mutex);
  FakeDatabase::Transaction& transaction = database_->transactions[request->tx_id()];
  if (transaction.state == v1::TRANSACTION_STATE_COMMITTED) return grpc::Status::OK;
  for (const std::string& sql : transaction.statements) {
    int64_t rows = 0;
    grpc::Status status = RunWrite(database_.get(), sql, &rows);
    if (!status.ok()) return status;
  }
  transaction.state = v1::TRANSACTION_STATE_COMMITTED;
  return grpc::Status::OK;
}

grpc::Status FakeNode::Rollback(grpc::ServerContext*, const transaction::RollbackRequest* request,
                                transaction::RollbackResponse*) {
  if (!has_leader) return NoLeader();
  std::lock_guard lock(database_->mutex);
  database_->transactions[request->tx_id()].state = v1::TRANSACTION_STATE_ROLLED_BACK;
  return grpc::Status::OK;
}

grpc::Status FakeNode::GetVersion(grpc::ServerContext*,
                                  const transaction::GetVersionRequest* request,
                                  transaction::GetVersionResponse* response) {
  std::lock_guard lock(database_->mutex);
  response->set_version(has_leader ? database_->versions[request->table()] : 0);
  return grpc::Status::OK;
}

}  // namespace cairn::tools
