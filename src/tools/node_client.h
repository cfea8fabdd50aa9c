// NodeClient: calls to one node. Each call waits for its answer and is bounded in time. A call is
// not tried again, and does not follow the leader.
//
// It is for programs that must know which node said what: the scenario driver, the shell, the
// operator's commands. An application uses cairn::Client instead.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "cairn/v1/cluster.pb.h"
#include "cairn/v1/database.grpc.pb.h"
#include "cairn/value.h"
#include "rpc/cluster_client.h"
#include "transaction.grpc.pb.h"

namespace cairn::tools {

// "127.0.0.1:50051" from "127.0.0.1:50051", "http://127.0.0.1:50051" or the latter with a slash.
Result<std::string> ParseAddress(std::string_view text);
// One or more, with commas between them.
Result<std::vector<std::string>> ParseAddresses(const std::string& text);

// The longest timeout, for which a node keeps a request.
inline constexpr std::chrono::hours kAsLongAsItTakes{24};

// Takes what a query delivers, in order: the columns once, then the rows. A status that is not OK
// ends the query with that status.
class ResultSink {
 public:
  virtual ~ResultSink() = default;
  virtual Status OnColumns(const std::vector<Column>& columns) = 0;
  virtual Status OnRow(const Row& row) = 0;
};

struct LocalVersion {
  int64_t version = 0;
  uint64_t index = 0;  // applied index that it was read at
};

// Thread-safe. Does not connect before the first call.
class NodeClient {
 public:
  using Timeout = std::chrono::milliseconds;

  explicit NodeClient(std::string address);

  const std::string& address() const { return address_; }

  // The contract of the package `transaction`. `request_id` travels in the metadata, so that the
  // call may be sent again, through this node or another. If it is empty, the node makes one.
  Result<int64_t> Execute(const std::string& sql, const std::string& request_id, Timeout timeout);
  // Rows by statement.
  Result<std::vector<int64_t>> ExecuteBatch(const transaction::ExecuteBatchRequest& request,
                                            const std::string& request_id, Timeout timeout);
  // `number`: of the statement in its transaction, from 1. `statements`: how many it has.
  Status Prepare(const std::string& tx_id, uint64_t number, const std::string& sql,
                 const std::vector<std::string>& args, const std::string& request_id,
                 Timeout timeout);
  Status Commit(const std::string& tx_id, uint64_t statements, Timeout timeout);
  Status Rollback(const std::string& tx_id, Timeout timeout);
  Result<int64_t> Version(const std::string& table, Timeout timeout);
  Status CheckHealth(Timeout timeout);

  // The calls of cairn.v1. A write or change of membership that never left this process is not
  // applied. The outcome of one that was sent and has no answer is unknown.
  Result<v1::ExecuteResponse> ExecuteV1(const std::string& sql, Timeout timeout,
                                        bool maintenance = false);
  // All statements take effect, or none. An error names the statement that failed, from 1.
  Result<v1::ExecuteResponse> ExecuteAll(std::vector<Statement> statements, Timeout timeout,
                                         bool maintenance = false,
                                         ForeignKeys foreign_keys = ForeignKeys::kEnforced);
  // Retains the changes of a table, or no longer if `retain_ms` is 0.
  Status RetainChanges(const std::string& table, uint64_t retain_ms, uint64_t bytes_max,
                       Timeout timeout);
  // One step of a restore into this cluster. Any step may be repeated. A finish has one row in its
  // response: the restore count, and the index of the restore.
  Result<v1::ExecuteResponse> Restore(const v1::RestoreStep& step, Timeout timeout);
  Result<v1::ListRetainedResponse> ListRetained(Timeout timeout);
  // Grants, or takes back, what the change says.
  Status ChangeAccess(const v1::AccessChange& change, Timeout timeout);
  Result<v1::ListAccessResponse> ListAccess(Timeout timeout);
  // A page of the audit: rows behind this number.
  Result<v1::ListAuditResponse> ListAudit(v1::ListAuditRequest::Chain chain, uint64_t after,
                                          Timeout timeout);
  Status Query(Statement statement, const v1::ReadOptions& read, Timeout timeout, ResultSink* sink);
  Result<LocalVersion> VersionV1(const std::string& table, v1::VersionLevel level,
                                 uint64_t index_min, Timeout timeout);
  Result<v1::GetTransactionResponse> LocalTransaction(const std::string& tx_id, uint64_t index_min,
                                                      Timeout timeout);
  Result<v1::StatusResponse> ClusterStatus(Timeout timeout);
  Status ChangeMembership(const v1::ChangeMembershipRequest& request,
                          const std::function<void(const std::string&)>& progress);
  // Returns the node id of the new leader.
  Result<uint64_t> TransferLeadership(uint64_t node_id, Timeout timeout);
  Result<uint64_t> RaiseLevel(Timeout timeout);

  // Ends the calls in flight with CANCELLED and the true outcome. False if there are none. May be
  // called from any thread.
  bool Cancel();

 private:
  class Call;

  // Waits for a connection: a call that fails before there is one was surely not sent.
  Status Connect(const Call& call);
  // In words, after the channel has failed to connect.
  std::string WhyNot();

  const std::string address_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<transaction::DatabaseService::Stub> transaction_;
  const std::unique_ptr<v1::Database::Stub> database_;
  rpc::ClusterClient cluster_;
  Mutex mutex_;
  std::vector<Call*> in_flight_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::tools
