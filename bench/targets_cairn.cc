// Cairn over its Session stream (with its own client) and over unary calls (with plain generated
// stubs).
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdio>

#include "base/clock.h"
#include "cairn/client.h"
#include "cairn/v1/database.grpc.pb.h"
#include "load.h"
#include "security/tls.h"

namespace cairn::bench {
namespace {

constexpr int kKeys = 10'000;
constexpr char kWriteSql[] =
    "INSERT INTO bench(k, v) VALUES (?1, ?2) ON CONFLICT(k) DO UPDATE SET v = ?2";
constexpr char kReadSql[] = "SELECT v FROM bench WHERE k = ?1";
const std::string kValue(64, 'v');

int64_t KeyOf(int client, uint64_t sequence) {
  return static_cast<int64_t>((static_cast<uint64_t>(client) * 7919 + sequence * 104729) % kKeys);
}

std::string InsertSql(int rows) {
  std::string sql = "INSERT INTO bulk(a, b) VALUES ";
  for (int i = 0; i < rows; ++i) {
    sql += (i == 0 ? "" : ",");
    sql += "(" + std::to_string(i) + ",'some text of a row')";
  }
  return sql;
}

// Both ways use the same tables. The ordinary client makes them.
bool MakeTables(const LoadOptions& options) {
  auto client = Client::Connect({.endpoints = options.endpoints,
                                 .timeout = std::chrono::seconds(30),
                                 .tls_directory = options.tls_directory});
  if (!client.ok()) return false;
  std::vector<Statement> statements = {
      {.sql = "CREATE TABLE IF NOT EXISTS bench(k INTEGER PRIMARY KEY, v TEXT)"},
      {.sql = "CREATE TABLE IF NOT EXISTS bulk(id INTEGER PRIMARY KEY, a INTEGER, b TEXT)"}};
  auto made = (*client)->Execute(std::move(statements));
  if (!made.ok()) {
    std::fprintf(stderr, "set-up failed: %s\n", made.status().ToString().c_str());
    return false;
  }
  std::string fill = "INSERT OR IGNORE INTO bench(k, v) VALUES ";
  for (int k = 0; k < kKeys; ++k) {
    fill += (k == 0 ? "(" : ",(") + std::to_string(k) + ",'" + kValue + "')";
  }
  return (*client)->Execute({{.sql = fill}}).ok();
}

// cairn-client: the client as it is shipped; it finds the leader and stays with it. cairn-session:
// one session to each endpoint, which stays there; clients are spread over the sessions.
class SessionTarget final : public Target {
 public:
  explicit SessionTarget(const LoadOptions& options)
      : options_(options), insert_sql_(InsertSql(options.rows)), value_(options.value_bytes, 'v') {}

  bool SetUp() override {
    if (!MakeTables(options_)) return false;
    if (options_.target == "cairn-client") {
      auto client = Client::Connect(
          {.endpoints = options_.endpoints, .tls_directory = options_.tls_directory});
      if (!client.ok()) return false;
      clients_.push_back(std::move(client).value());
      return true;
    }
    for (const std::string& endpoint : options_.endpoints) {
      auto client = Client::Connect(
          {.endpoints = {endpoint}, .pin_endpoint = true, .tls_directory = options_.tls_directory});
      if (!client.ok()) return false;
      clients_.push_back(std::move(client).value());
    }
    return true;
  }

  void Start(int client, uint64_t sequence, std::function<void(bool)> done) override {
    Client& connection = *clients_[static_cast<size_t>(client) % clients_.size()];
    const int64_t key = KeyOf(client, sequence);
    const auto executed = [this, done](const Result<ExecuteResult>& r) {
      Report(r.status(), done);
    };
    const auto queried = [this, done](const Result<QueryResult>& r) {
      const bool right = r.ok() && r->rows.size() == 1;
      if (!right) Report(r.ok() ? Status(StatusCode::kInternal, "wrong rows") : r.status(), done);
      if (right) done(true);
    };
    switch (options_.op) {
      case Op::kWrite:
        connection.ExecuteAsync({{.sql = kWriteSql, .positional = {key, value_}}}, executed);
        return;
      case Op::kInsertRows: connection.ExecuteAsync({{.sql = insert_sql_}}, executed); return;
      case Op::kReadLinearizable:
        connection.QueryAsync({.sql = kReadSql, .positional = {key}}, {}, queried);
        return;
      case Op::kReadStale:
        connection.QueryAsync({.sql = kReadSql, .positional = {key}},
                              {.level = QueryOptions::Level::kStale}, queried);
        return;
      default: return done(false);  // of another target
    }
  }

 private:
  // Prints the first few errors, then stays quiet.
  void Report(const Status& status, const std::function<void(bool)>& done) {
    if (!status.ok() && told_.fetch_add(1) < 3) {
      std::fprintf(stderr, "cairn-session: %s\n", status.ToString().c_str());
    }
    done(status.ok());
  }

  const LoadOptions& options_;
  const std::string insert_sql_;
  const std::string value_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::atomic<int> told_{0};
};

class UnaryTarget final : public Target {
 public:
  explicit UnaryTarget(const LoadOptions& options)
      : options_(options), insert_sql_(InsertSql(options.rows)), value_(options.value_bytes, 'v') {}

  bool SetUp() override {
    if (!MakeTables(options_)) return false;
    if (!options_.tls_directory.empty()) {
      auto tls = security::Tls::ForClient(options_.tls_directory, &SystemClock());
      if (!tls.ok()) return false;
      tls_ = *std::move(tls);
    }
    for (const std::string& endpoint : options_.endpoints) {
      stubs_.push_back(v1::Database::NewStub(grpc::CreateChannel(
          endpoint, tls_ == nullptr ? grpc::InsecureChannelCredentials() : tls_->ForChannel())));
    }
    return true;
  }

  void Start(int client, uint64_t sequence, std::function<void(bool)> done) override {
    v1::Database::Stub& stub = *stubs_[static_cast<size_t>(client) % stubs_.size()];
    const int64_t key = KeyOf(client, sequence);
    if (options_.op == Op::kWrite || options_.op == Op::kInsertRows) {
      auto call = std::make_shared<ExecuteCall>();
      v1::Statement* statement = call->request.add_statements();
      if (options_.op == Op::kWrite) {
        statement->set_sql(kWriteSql);
        statement->add_positional()->set_integer(key);
        statement->add_positional()->set_text(value_);
      } else {
        statement->set_sql(insert_sql_);
      }
      stub.async()->Execute(&call->context, &call->request, &call->response,
                            [call, done](const grpc::Status& s) { done(s.ok()); });
      return;
    }
    auto* reader = new QueryCall(std::move(done));
    v1::Statement* statement = reader->request.mutable_statement();
    statement->set_sql(kReadSql);
    statement->add_positional()->set_integer(key);
    if (options_.op == Op::kReadStale) {
      reader->request.mutable_read()->set_level(v1::READ_LEVEL_STALE);
    }
    stub.async()->Query(&reader->context, &reader->request, reader);
    reader->StartRead(&reader->response);
    reader->StartCall();
  }

 private:
  struct ExecuteCall {
    grpc::ClientContext context;
    v1::ExecuteRequest request;
    v1::ExecuteResponse response;
  };
  // Deletes itself in OnDone.
  struct QueryCall final : grpc::ClientReadReactor<v1::QueryResponse> {
    explicit QueryCall(std::function<void(bool)> d) : done(std::move(d)) {}
    void OnReadDone(bool ok) override {
      if (!ok) return;
      rows += response.rows_size();
      StartRead(&response);
    }
    void OnDone(const grpc::Status& s) override {
      auto d = std::move(done);
      const bool right = s.ok() && rows == 1;
      delete this;
      d(right);
    }
    grpc::ClientContext context;
    v1::QueryRequest request;
    v1::QueryResponse response;
    std::function<void(bool)> done;
    int rows = 0;
  };

  const LoadOptions& options_;
  const std::string insert_sql_;
  const std::string value_;
  security::TlsPtr tls_;  // null: none
  std::vector<std::unique_ptr<v1::Database::Stub>> stubs_;
};

}  // namespace

std::unique_ptr<Target> MakeCairnSessionTarget(const LoadOptions& options) {
  return std::make_unique<SessionTarget>(options);
}
std::unique_ptr<Target> MakeCairnUnaryTarget(const LoadOptions& options) {
  return std::make_unique<UnaryTarget>(options);
}

}  // namespace cairn::bench
