// Api: what a client may ask of this node, in the types of the state machine.
//
// Clients come in by several doors: gRPC calls, Sessions, the contract of the package
// `transaction`, and callers in this process. Every door turns requests into these types, and
// answers into its own. So all doors are equal, and the Api knows none of them.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "node/replica.h"
#include "server/access_control.h"
#include "server/long_reads.h"
#include "server/query_task.h"
#include "server/read_pool.h"
#include "server/refusals.h"
#include "server/request_counts.h"
#include "server/router.h"
#include "state_machine/access.h"
#include "state_machine/command.h"

namespace cairn::server {

// What a call brings in addition to its request.
struct CallContext {
  bool forwarded = false;                              // another node passed the call on
  bool relayed = false;                                // that node does not reach the leader
  uint64_t forwarder_cluster_id = 0;                   // the cluster that the forwarding node names
  SteadyTime deadline = SteadyTime::max();             // of the call
  std::optional<state_machine::RequestId> request_id;  // from the metadata
  uint64_t connection = 0;                             // the same for all calls of a connection
  std::string principal;                               // who asks; see server/principal.h
  std::string address;                                 // from where; empty: not known
  uint64_t named_by = 0;                               // see state_machine::Command
  // Set once nobody will take the answer, so that a query may end, and a write that is not in the
  // log yet is given up. Null: not known before the end.
  std::shared_ptr<const std::atomic<bool>> gone;
};

struct VersionRequest {
  std::string table;  // "": the whole database
  node::ReadOptions read;
  uint32_t timeout_ms = 0;
};
struct VersionAnswer {
  int64_t version = 0;
  LogIndex index;  // of the state that was read
};

struct TransactionRequest {
  std::string tx_id;
  node::ReadOptions read;
  uint32_t timeout_ms = 0;
};
struct TransactionAnswer {
  state_machine::TxInfo info;
  LogIndex index;
};

struct RetainedRequest {
  node::ReadOptions read;
  uint32_t timeout_ms = 0;
};
struct RetainedAnswer {
  std::vector<state_machine::RetainedSetting> settings;
  LogIndex index;
};

struct AccessRequest {
  node::ReadOptions read;
  uint32_t timeout_ms = 0;
};
struct AccessAnswer {
  std::vector<state_machine::Grant> grants;  // that the caller may see
  state_machine::TokenRules tokens;          // empty unless the caller may grant
  std::string principal;                     // the caller
  state_machine::Privileges privileges = 0;  // that the caller has everywhere
  bool enforced = false;
  LogIndex index;
};

struct AuditRequest {
  state_machine::AuditQuery query;
  node::ReadOptions read;
  uint32_t timeout_ms = 0;
};
struct AuditAnswer {
  state_machine::AuditPage page;
  LogIndex index;
};

struct SourcesRequest {
  std::string sql;  // a query
  // What it read when it was compiled last. It is compiled anew if the schema has changed since.
  std::optional<state_machine::QuerySources> known;
  node::ReadOptions read;
  uint32_t timeout_ms = 0;
};
struct SourcesAnswer {
  state_machine::QuerySources sources;
  std::vector<int64_t> versions;  // of its tables
  LogIndex index;                 // of the state that was read
};

// Thread-safe. `done` is called exactly once, on any thread, perhaps before the call returns.
// `done` must not block.
class Api {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  struct Options {
    std::chrono::milliseconds request_timeout{10'000};  // of requests that name none
    SteadyTime query_age_max = std::chrono::seconds(60);
    MemoryShare* queries = nullptr;         // the memory of running queries; null: not counted
    RequestCounts* counts = nullptr;        // of the requests; null: they are not counted
    const AccessControl* access = nullptr;  // null: everybody may do everything
    // The time by which tokens are judged, in seconds since 1970; empty: the clock's.
    std::function<int64_t()> now_s = {};
    Refusals* refusals = nullptr;  // who was refused; null: not counted
  };

  Api(node::Replica* replica, Router* router, ReadPool* reads, LongReads* long_reads, Clock* clock,
      Options options);

  // If `command` is an error (the request makes no command), the answer is that error. An error
  // that is the replicated result comes as the status of the answer.
  void Write(Result<state_machine::Command> command, uint32_t timeout_ms,
             const CallContext& context, node::CommandDone done);
  void GetVersion(VersionRequest request, const CallContext& context, Done<VersionAnswer> done);
  void GetTransaction(TransactionRequest request, const CallContext& context,
                      Done<TransactionAnswer> done);
  void ListRetained(const RetainedRequest& request, const CallContext& context,
                    Done<RetainedAnswer> done);
  // Who may do what, as far as the caller may know.
  void ListAccess(const AccessRequest& request, const CallContext& context,
                  Done<AccessAnswer> done);
  void ListAudit(const AuditRequest& request, const CallContext& context, Done<AuditAnswer> done);
  // What a query reads, and the versions of that.
  void GetSources(SourcesRequest request, const CallContext& context, Done<SourcesAnswer> done);
  void Query(QueryRequest request, const CallContext& context,
             std::shared_ptr<QueryConsumer> consumer);
  // The next page of retained changes, of what this node has applied. The watch that asks is one of
  // `principal`.
  void ReadRetained(state_machine::RetainedQuery query, const std::string& principal,
                    Done<state_machine::RetainedPage> done);

 private:
  // `done`, counted.
  template <class T>
  Done<T> Counted(Method method, Done<T> done) const {
    if (options_.counts == nullptr) return done;
    return options_.counts->Count(method, clock_, std::move(done));
  }
  // Counts a refusal by privileges. Gives the status back.
  Status Told(const CallContext& context, Status status) const;
  // Whether the caller has these privileges.
  Status Check(const CallContext& context, const state_machine::Needs& needs) const;
  // Whether the caller may run a query on a view, or go on with it (QueryTask::Limits); empty: any
  // query.
  std::function<Status(state_machine::ReadView*, const std::string& sql)> MayRun(
      const CallContext& context) const;
  SteadyTime DeadlineOf(uint32_t timeout_ms, const CallContext& context) const;
  ReadTask TaskOf(const node::ReadOptions& read, uint32_t timeout_ms, size_t bytes,
                  const CallContext& context) const;

  node::Replica* const replica_;
  Router* const router_;
  ReadPool* const reads_;
  LongReads* const long_reads_;
  Clock* const clock_;
  const Options options_;
};

}  // namespace cairn::server
