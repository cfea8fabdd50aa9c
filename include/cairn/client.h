// Client: the C++ client of a Cairn cluster.
//
//   auto client = cairn::Client::Connect({.endpoints = {"127.0.0.1:50051", "127.0.0.1:50052"}});
//   auto done = (*client)->Execute(
//       {{.sql = "INSERT INTO t VALUES (?1)", .positional = {int64_t{7}}}});
//
// The client speaks the Session stream: many requests share a message and a round trip. It finds
// the leader, follows a change of leader, and sends failed requests again under the same request
// id. So every write takes effect at most once, and its answer is one of: applied, not applied,
// unknown.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cairn/backup.h"
#include "cairn/status.h"
#include "cairn/value.h"
#include "cairn/watch.h"

namespace cairn {

struct ClientOptions {
  std::vector<std::string> endpoints{};  // host:port of any nodes
  // The time limit of each call, retries included, unless the call names another one.
  std::chrono::milliseconds timeout{10'000};
  // Requests that have no answer yet. Past this number calls fail with RESOURCE_EXHAUSTED, not
  // applied.
  size_t inflight_max = 4096;
  // Execute asks for the larger budget of work. The cluster grants this budget to one request at a
  // time, and answers others with RESOURCE_EXHAUSTED, not applied.
  bool maintenance = false;
  // Use the first endpoint that answers even if another node leads (to measure or test one node).
  bool pin_endpoint = false;
  // A directory with ca.crt, and tls.crt and tls.key of this client, as `cairn cert issue` makes it:
  // the client speaks TLS, and to the nodes of that site alone. Files that change count for new
  // connections. Empty: no TLS.
  std::string tls_directory{};
  // A file with a token, as `cairn token issue --out` makes it: it says who the client is, in the place
  // of tls.crt and tls.key. It is read again when it changes. Needs tls_directory. Empty: no token.
  std::string token_file{};
};

struct ExecuteResult {
  std::vector<StatementResult> results{};  // one for each statement
  uint64_t index = 0;                      // pass it as index_min to read your write on any node
  bool result_gone = false;                // an earlier try was applied, and its result is gone
};

struct QueryOptions {
  enum class Level : uint8_t { kLinearizable, kStale } level = Level::kLinearizable;
  uint64_t index_min = 0;
  std::optional<std::chrono::milliseconds> staleness_max{};  // kStale only
  // The bound on the result, both in memory and as encoded. Past it the answer is
  // RESOURCE_EXHAUSTED. If a result is too large for one message (4 MB), the client reads it again
  // as a stream. Such a result may be of a later moment than other results that were asked for at
  // the same time.
  size_t result_bytes_max = 64 << 20;
};
struct QueryResult {
  std::vector<Column> columns{};
  std::vector<Row> rows{};
  uint64_t index = 0;  // the applied index of the state that was read
};

struct LiveQueryOptions {
  std::chrono::milliseconds interval{1000};  // 50 ms to 1 h: results are at least so far apart
  QueryOptions query{};                      // of each result
};

// The result of a query, again and again as the data change.
//
//   auto live = (*client)->WatchQuery({.sql = "SELECT count(*) FROM alarms"}, {});
//   while (!(*live)->ended()) {
//     auto result = (*live)->Next(std::chrono::seconds(1));
//     if (result.ok()) Show(*result);
//   }
//
// Wait for results by one thread at a time. Cancel is thread-safe. The client must outlive it.
class LiveQuery {
 public:
  virtual ~LiveQuery() = default;
  // The first result comes at once, and each later one after a write to a table that the query
  // reads. It may be equal to the one before. A query of virtual tables (time series, full text,
  // nearest vectors) is run after every write. DEADLINE_EXCEEDED if there is no new result within the
  // timeout. A query that is under way is waited for, as long as the client's timeout. Any other error
  // says why the query has no result. It is run again by a later Next, not before a second has passed,
  // unless the watch has ended.
  virtual Result<QueryResult> Next(std::chrono::milliseconds timeout) = 0;
  // The last Next has ended the watch: the text is no query, or Cancel was called.
  virtual bool ended() const = 0;
  // Ends the watch: Next gives CANCELLED, after a query that is under way.
  virtual void Cancel() = 0;
};

enum class TransactionState : uint8_t { kUnknown, kPrepared, kCommitted, kRolledBack, kExpired };

// Thread-safe. The destructor fails the calls in flight (unknown) and waits for their callbacks.
class Client {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  // INVALID_ARGUMENT for a malformed endpoint, FAILED_PRECONDITION for a TLS directory that is of no
  // use. Connect does not wait for a connection.
  static Result<std::unique_ptr<Client>> Connect(ClientOptions options);
  virtual ~Client() = default;

  // All statements take effect, or none. `done` runs on a thread of the client and must not block.
  virtual void ExecuteAsync(std::vector<Statement> statements, Done<ExecuteResult> done) = 0;
  // The same, where a statement may say how many rows it expects to change or return.
  virtual void ExecuteBatchAsync(std::vector<BatchStatement> batch, Done<ExecuteResult> done) = 0;
  // The same with another treatment of foreign keys (value.h), for a migration that rebuilds tables
  // and for loads. All nodes must run a version that knows it: FAILED_PRECONDITION otherwise.
  virtual void ExecuteAsync(std::vector<Statement> statements, ForeignKeys foreign_keys,
                            Done<ExecuteResult> done) = 0;
  virtual void QueryAsync(Statement statement, QueryOptions options, Done<QueryResult> done) = 0;

  // These wait for the answer.
  Result<ExecuteResult> Execute(std::vector<Statement> statements,
                                ForeignKeys foreign_keys = ForeignKeys::kEnforced);
  Result<ExecuteResult> ExecuteBatch(std::vector<BatchStatement> batch);
  Result<QueryResult> Query(Statement statement, QueryOptions options = {});

  // Two-phase commit. Every step may be repeated. One Client prepares the statements of a
  // transaction, one after the other. The Client numbers the statements, so no statement is staged
  // twice. The numbers also detect a transaction that expired and was begun anew by a late
  // statement: its Commit fails with FAILED_PRECONDITION, and the caller rolls back. If the outcome
  // of a Prepare is unknown, repeat the Prepare or roll back.
  virtual Status Prepare(const std::string& tx_id, Statement statement,
                         std::chrono::milliseconds expires_after) = 0;
  virtual Result<ExecuteResult> Commit(const std::string& tx_id) = 0;
  virtual Status Rollback(const std::string& tx_id) = 0;

  // Watches the changes of the database. Returns at once: the watch begins with the first Next.
  // INVALID_ARGUMENT for filters that no node accepts.
  virtual Result<std::unique_ptr<Watcher>> Watch(WatchOptions options) = 0;

  // Gives the result of a query whenever it may have changed. Returns at once: the watch begins with
  // the first Next. It goes on by itself at another node if its node is lost.
  virtual Result<std::unique_ptr<LiveQuery>> WatchQuery(Statement statement,
                                                        LiveQueryOptions options) = 0;

  // Copies the whole database into a file (cairn/backup.h). The first endpoint is asked first, which
  // may be any node. If the connection breaks, the backup begins anew at the next one. Returns when
  // the file is stored; no timeout bounds that. RESOURCE_EXHAUSTED if the disk has no room here, or
  // at the node, or if all nodes are making other backups. After an error nothing is left behind,
  // and an older file of the name is as it was.
  virtual Result<BackupResult> Backup(const BackupOptions& options) = 0;
};

}  // namespace cairn
