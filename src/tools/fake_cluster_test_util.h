// FakeCluster: gRPC servers in this process that answer as nodes of one cluster would, from one
// database in memory, and that can be told to misbehave.
#pragma once

#include <grpcpp/grpcpp.h>
#include <sqlite3.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cairn/v1/cluster.grpc.pb.h"
#include "cairn/v1/database.grpc.pb.h"
#include "transaction.grpc.pb.h"

namespace cairn::tools {

// What the nodes share. Thread-safe.
struct FakeDatabase {
  FakeDatabase() { sqlite3_open(":memory:", &sqlite); }
  ~FakeDatabase() { sqlite3_close(sqlite); }
  FakeDatabase(const FakeDatabase&) = delete;
  FakeDatabase& operator=(const FakeDatabase&) = delete;

  struct Transaction {
    v1::TransactionState state = v1::TRANSACTION_STATE_PREPARED;
    std::vector<std::string> statements;  // with their arguments bound
  };

  std::mutex mutex;
  sqlite3* sqlite = nullptr;
  uint64_t index = 1;
  std::map<std::string, int64_t> versions;  // "": the whole database
  std::map<std::string, Transaction> transactions;
  std::map<std::string, int64_t> requests;                           // rows by request id
  std::map<std::string, transaction::ExecuteBatchResponse> batches;  // likewise
  int64_t growth = 1;  // of the versions, by one statement
};

// One node. The knobs may be turned at any time.
class FakeNode final : public transaction::DatabaseService::Service {
 public:
  explicit FakeNode(std::shared_ptr<FakeDatabase> database);
  ~FakeNode() override;

  const std::string& address() const { return address_; }

  std::atomic<bool> has_leader = true;
  std::atomic<bool> holds_transactions = true;     // not: it has not heard of any
  std::atomic<int64_t> version_skew = 0;           // of its local versions
  std::atomic<bool> keeps_failed_batches = false;  // what the statements before the failed one did
  // Applies the next write, but answers UNAVAILABLE.
  std::atomic<bool> lose_next_answer = false;

 private:
  class Database;
  class Cluster;

  grpc::Status Execute(grpc::ServerContext* context, const transaction::ExecuteRequest* request,
                       transaction::ExecuteResponse* response) override;
  grpc::Status ExecuteBatch(grpc::ServerContext* context,
                            const transaction::ExecuteBatchRequest* request,
                            transaction::ExecuteBatchResponse* response) override;
  grpc::Status Prepare(grpc::ServerContext* context, const transaction::PrepareRequest* request,
                       transaction::PrepareResponse* response) override;
  grpc::Status Commit(grpc::ServerContext* context, const transaction::CommitRequest* request,
                      transaction::CommitResponse* response) override;
  grpc::Status Rollback(grpc::ServerContext* context, const transaction::RollbackRequest* request,
                        transaction::RollbackResponse* response) override;
  grpc::Status GetVersion(grpc::ServerContext* context,
                          const transaction::GetVersionRequest* request,
                          transaction::GetVersionResponse* response) override;

  const std::shared_ptr<FakeDatabase> database_;
  std::unique_ptr<Database> database_service_;
  std::unique_ptr<Cluster> cluster_service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace cairn::tools
