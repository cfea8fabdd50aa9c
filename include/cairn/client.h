// Client: the C++ client of a Cairn cluster.
//
//   auto client = cairn::Client::Connect({.endpoints = {"127.0.0.1:50051", "127.0.0.1:50052"}});
//   auto done = (*client)->Execute({{.sql = "INSERT INTO t VALUES (?1)", .positional =
//   {int64_t{7}}}});
//
// It speaks the Session stream: many requests share a message and a round trip. It finds the
// leader, follows it when it changes, and sends again what failed, under the same request id, so
// that every write takes effect at most once and the answer is one of: applied, not applied,
// unknown.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cairn/status.h"
#include "cairn/value.h"

namespace cairn {

struct ClientOptions {
  std::vector<std::string> endpoints{};  // host:port of any nodes
  // Bound on each call, retries included, unless the call says otherwise.
  std::chrono::milliseconds timeout{10'000};
  // Requests sent and not yet answered; past it calls fail with RESOURCE_EXHAUSTED, not applied.
  size_t inflight_max = 4096;
  // Execute asks for the larger budget of work that the cluster grants one request at a time; to
  // others it says RESOURCE_EXHAUSTED, not applied.
  bool maintenance = false;
  // Stay with the first endpoint that answers, whoever leads (to measure or test one node).
  bool pin_endpoint = false;
};

struct ExecuteResult {
  std::vector<StatementResult> results{};  // one a statement
  uint64_t index = 0;                      // pass it as index_min to read your write on any node
  bool result_gone = false;  // applied by an earlier try whose result is no longer held
};

struct QueryOptions {
  enum class Level : uint8_t { kLinearizable, kStale } level = Level::kLinearizable;
  uint64_t index_min = 0;
  std::optional<std::chrono::milliseconds> staleness_max{};  // kStale only
  // Of the result, in memory and as encoded; past it RESOURCE_EXHAUSTED. A result that is too large
  // for one message (4 MB) is read again as a stream, so it may be of a later moment than others
  // that were asked for at the same time.
  size_t result_bytes_max = 64 << 20;
};
struct QueryResult {
  std::vector<Column> columns{};
  std::vector<Row> rows{};
  uint64_t index = 0;  // applied index that was read
};

enum class TransactionState : uint8_t { kUnknown, kPrepared, kCommitted, kRolledBack, kExpired };

// Thread-safe. The destructor fails what is in flight (unknown) and waits for its callbacks.
class Client {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  // INVALID_ARGUMENT on a malformed endpoint. Does not wait for a connection.
  static Result<std::unique_ptr<Client>> Connect(ClientOptions options);
  virtual ~Client() = default;

  // All statements take effect, or none. `done` runs on a thread of the client; it must not block.
  virtual void ExecuteAsync(std::vector<Statement> statements, Done<ExecuteResult> done) = 0;
  virtual void QueryAsync(Statement statement, QueryOptions options, Done<QueryResult> done) = 0;

  // The same, waiting.
  Result<ExecuteResult> Execute(std::vector<Statement> statements);
  Result<QueryResult> Query(Statement statement, QueryOptions options = {});

  // Two-phase commit; every step may be repeated.
  virtual Status Prepare(const std::string& tx_id, Statement statement,
                         std::chrono::milliseconds expires_after) = 0;
  virtual Result<ExecuteResult> Commit(const std::string& tx_id) = 0;
  virtual Status Rollback(const std::string& tx_id) = 0;
};

}  // namespace cairn
