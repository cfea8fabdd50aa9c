#include "server/server.h"

#include <google/protobuf/descriptor.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <future>
#include <set>

#include "cairn/v1/database.grpc.pb.h"
#include "rpc/proto_convert.h"
#include "server/cluster_test_util.h"
#include "transaction.grpc.pb.h"

namespace cairn::server {
namespace {

using std::chrono::milliseconds;

Statement Sql(std::string sql, std::vector<Value> positional = {}) {
  return {std::move(sql), std::move(positional), {}};
}

int64_t CountRows(Client* client, const std::string& where = "1") {
  const Result<QueryResult> result = client->Query(Sql("SELECT count(*) FROM t WHERE " + where));
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? std::get<int64_t>(result->rows[0][0]) : -1;
}

// ---- Starting

TEST(ServerStart, BadInputIsRefusedAndNothingOnDiskIsTouched) {
  std::string pattern = std::filesystem::temp_directory_path().string() + "/cairn_start_XXXXXX";
  const std::string directory = ::mkdtemp(pattern.data());
  const auto holder = PortCheck::Bind("127.0.0.1", 0);
  std::ofstream(directory + "/text.db") << "this is a text, and not a database";

  ServerOptions good;
  good.port = 0;
  good.insecure = true;
  good.db_path = directory + "/a.db";
  struct {
    const char* what;
    StatusCode code;
    ServerOptions options;
  } table[] = {
      {"unknown engine", StatusCode::kInvalidArgument, good},
      {"busy port", StatusCode::kFailedPrecondition, good},
      {"own peer entry with another port", StatusCode::kInvalidArgument, good},
      {"not among the peers", StatusCode::kInvalidArgument, good},
      {"malformed peer", StatusCode::kInvalidArgument, good},
      {"no such directory", StatusCode::kNotFound, good},
      {"not a SQLite file", StatusCode::kFailedPrecondition, good},
      {"foreign host", StatusCode::kFailedPrecondition, good},
      {"node id 0", StatusCode::kInvalidArgument, good},
      {"wildcard host that tells nobody an address", StatusCode::kInvalidArgument, good},
      {"wildcard peer", StatusCode::kInvalidArgument, good},
      {"wildcard to advertise", StatusCode::kInvalidArgument, good},
      {"own peer entry that is not what is advertised", StatusCode::kInvalidArgument, good},
  };
  table[0].options.engine = "rocksdb";
  table[1].options.port = (*holder)->port();
  table[2].options.port = 50051;
  table[2].options.peers = {{1, "127.0.0.1:50052"}};
  table[3].options.port = 50051;
  table[3].options.peers = {{2, "127.0.0.1:50051"}};
  table[4].options.peers = {{1, "nonsense"}};
  table[5].options.db_path = directory + "/missing/a.db";
  table[6].options.db_path = directory + "/text.db";
  table[7].options.host = "192.0.2.1";
  table[8].options.node_id = 0;
  table[9].options.host = "::";
  table[10].options.port = 50051;
  table[10].options.peers = {{1, "127.0.0.1:50051"}, {2, "0.0.0.0:50051"}};
  table[11].options.advertise = "[::]:50051";
  table[12].options.advertise = "192.0.2.1:50051";
  table[12].options.peers = {{1, "127.0.0.1:50051"}};
  for (const auto& row : table) {
    const auto server = Server::Start(row.options);
    ASSERT_FALSE(server.ok()) << row.what;
    EXPECT_EQ(server.status().code(), row.code) << row.what << ": " << server.status();
  }
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.insert(entry.path().filename().string());
  }
  EXPECT_EQ(names, std::set<std::string>{"text.db"});
  std::filesystem::remove_all(directory);
}

TEST(ServerStart, ASecondServerOnTheSameDataIsRefusedAndTheFirstGoesOn) {
  TestCluster cluster(1);
  ServerOptions second = cluster.options(0);
  second.port = 0;
  const auto server = Server::Start(second);
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(server.status().code(), StatusCode::kFailedPrecondition) << server.status();
  auto client = cluster.Connect(cluster.addresses());
  EXPECT_TRUE(client->Execute({Sql("CREATE TABLE t (a)")}).ok());
}

TEST(ServerStart, DataOfAnotherNodeIdIsRefusedAndStaysUsable) {
  TestCluster cluster(1);
  cluster.AwaitLeader();
  cluster.StopNode(0);
  ServerOptions other = cluster.options(0);
  other.node_id = 2;
  other.port = 0;
  EXPECT_EQ(Server::Start(other).status().code(), StatusCode::kFailedPrecondition);
  cluster.StartNode(0);
  auto client = cluster.Connect(cluster.addresses());
  EXPECT_TRUE(client->Execute({Sql("CREATE TABLE t (a)")}).ok());
}

// ---- One node

TEST(ServerSingle, WritesReadsAndKeepsThemOverARestart) {
  TestCluster cluster(1);
  auto client = cluster.Connect(cluster.addresses());
  ASSERT_TRUE(client->Execute({Sql("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")}).ok());
  const auto inserted =
      client->Execute({Sql("INSERT INTO t VALUES (?1, ?2)", {1, std::string("x")}),
                       Sql("INSERT INTO t VALUES (2, NULL)")});
  ASSERT_TRUE(inserted.ok()) << inserted.status();
  EXPECT_EQ(inserted->results.size(), 2U);
  EXPECT_EQ(inserted->results[0].rows_affected, 1);
  const auto twice = client->Execute({Sql("INSERT INTO t VALUES (1, 'again')")});
  EXPECT_EQ(twice.status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(twice.status().outcome(), Outcome::kApplied);
  cluster.StopNode(0);
  cluster.StartNode(0);
  EXPECT_EQ(CountRows(client.get()), 2);
  const auto rows = client->Query(Sql("SELECT a, b FROM t ORDER BY a"));
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->rows[0], (Row{int64_t{1}, std::string("x")}));
  EXPECT_EQ(rows->rows[1], (Row{int64_t{2}, std::monostate()}));
}

// A connection that was refused for a while must be tried again within a second.
TEST(ServerSingle, AClientAndAToolWorkWithinASecondOfTheServersRestart) {
  TestCluster cluster(1);
  ClientOptions options;
  options.endpoints = cluster.addresses();
  options.timeout = milliseconds(200) * kSlowness;
  const auto client = *Client::Connect(options);
  rpc::ClusterClient tool(cluster.address(0), nullptr);
  ASSERT_TRUE(tool.Status(milliseconds(5000)).ok());
  cluster.StopNode(0);
  const SteadyTime until = SystemClock().SteadyNow() + milliseconds(4000);
  while (SystemClock().SteadyNow() < until) {
    EXPECT_FALSE(client->Query(Sql("SELECT 1")).ok());
    EXPECT_FALSE(tool.Status(milliseconds(200) * kSlowness).ok());
  }
  cluster.StartNode(0);
  const SteadyTime started = SystemClock().SteadyNow();
  while (!tool.Status(milliseconds(200) * kSlowness).ok()) {
  }
  EXPECT_LT(SystemClock().SteadyNow() - started, milliseconds(1000) * kSlowness);
  while (!client->Query(Sql("SELECT 1")).ok()) {
  }
  EXPECT_LT(SystemClock().SteadyNow() - started, milliseconds(1500) * kSlowness);
}

TEST(ServerSingle, RefusesWhatIsNotOneWritingStatement) {
  TestCluster cluster(1);
  auto client = cluster.Connect(cluster.addresses());
  ASSERT_TRUE(client->Execute({Sql("CREATE TABLE t (a)")}).ok());
  using std::string_literals::operator""s;
  const std::string with_nul = "INSERT INTO t VALUES (1)\0; DROP TABLE t"s;
  const struct {
    const char* what;
    Statement statement;
  } table[] = {
      {"a read", Sql("SELECT 1")},
      {"two statements", Sql("INSERT INTO t VALUES (1); DELETE FROM t")},
      {"no statement", Sql("  -- nothing")},
      {"a syntax error", Sql("INSERTT INTO t")},
      {"too few parameters", Sql("INSERT INTO t VALUES (?1)")},
      {"too many parameters", Sql("INSERT INTO t VALUES (?1)", {1, 2})},
      {"a NUL in the text", Sql(with_nul)},
      {"a transaction statement", Sql("BEGIN")},
  };
  for (const auto& row : table) {
    const auto result = client->Execute({row.statement});
    ASSERT_FALSE(result.ok()) << row.what;
    EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument)
        << row.what << ": " << result.status();
  }
  EXPECT_EQ(client->Query(Sql("DELETE FROM t")).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(client->Execute({Sql("ATTACH 'x' AS y")}).status().code(),
            StatusCode::kPermissionDenied);
  const std::string nul_text("a\0b", 3);
  ASSERT_TRUE(client->Execute({Sql("INSERT INTO t VALUES (?1)", {nul_text})}).ok());
  const auto read = client->Query(Sql("SELECT a FROM t"));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->rows[0][0], Value(nul_text));
}

// gRPC ends the stream of a request that is far too large, and with it the stream's other requests.
TEST(ServerSingle, OurClientRefusesWhatIsTooLargeAndItsOtherRequestsGoOn) {
  TestCluster cluster(1);
  auto client = cluster.Connect(cluster.addresses());
  ASSERT_TRUE(client->Execute({Sql("CREATE TABLE t (a)")}).ok());
  std::promise<Status> other;
  client->ExecuteAsync({Sql("INSERT INTO t VALUES (1)")},
                       [&](const auto& result) { other.set_value(result.status()); });
  // The last size is too large only together with the rest of the message.
  const size_t most = size_t{16} << 20;
  for (const size_t size : {2 * most, most, most - 100}) {
    const auto large =
        client->Execute({Sql("INSERT INTO t VALUES (?1)", {std::string(size, 'x')})});
    EXPECT_EQ(large.status().code(), StatusCode::kInvalidArgument) << large.status();
    EXPECT_EQ(large.status().outcome(), Outcome::kNotApplied) << size;
  }
  EXPECT_EQ(other.get_future().get(), OkStatus());
}

TEST(ServerSingle, HealthAndReflectionAreServed) {
  TestCluster cluster(1);
  cluster.AwaitLeader();
  auto channel = grpc::CreateChannel(cluster.address(0), grpc::InsecureChannelCredentials());
  // HealthCheckResponse{status: SERVING} is the two bytes 08 01.
  const auto health = [&] {
    grpc::ClientContext context;
    grpc::GenericStub stub(channel);
    grpc::ByteBuffer in;
    grpc::ByteBuffer out;
    grpc::Slice empty("", 0);
    in = grpc::ByteBuffer(&empty, 1);
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::StubOptions(), &in, &out,
                   [&](grpc::Status status) { done.set_value(std::move(status)); });
    if (!done.get_future().get().ok()) return std::string();
    std::vector<grpc::Slice> slices;
    std::string bytes;
    if (!out.Dump(&slices).ok()) return bytes;
    for (const auto& slice : slices) {
      bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    return bytes;
  };
  const SteadyTime by = SystemClock().SteadyNow() + std::chrono::seconds(10) * kSlowness;
  while (health() != std::string("\x08\x01", 2) && SystemClock().SteadyNow() < by) {
  }
  EXPECT_EQ(health(), std::string("\x08\x01", 2));

  // Asks for the list of services as a reflection client does.
  grpc::ClientContext context;
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  void* tag = nullptr;
  bool ok = false;
  call->StartCall(nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  const std::string list("\x3a\x01*", 3);  // ServerReflectionRequest{list_services: "*"}
  grpc::Slice slice(list);
  grpc::ByteBuffer request(&slice, 1);
  call->Write(request, nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  grpc::ByteBuffer response;
  call->Read(&response, nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(response.Dump(&slices).ok());
  std::string names;
  for (const auto& one : slices) {
    names.append(reinterpret_cast<const char*>(one.begin()), one.size());
  }
  for (const char* service :
       {"transaction.DatabaseService", "cairn.v1.Database", "cairn.v1.Cluster"}) {
    EXPECT_NE(names.find(service), std::string::npos) << service;
  }
  context.TryCancel();
}

TEST(ServerSingle, TheSeedsTwoPhaseCommitIsIdempotent) {
  TestCluster cluster(1);
  cluster.AwaitLeader();
  auto stub = transaction::DatabaseService::NewStub(
      grpc::CreateChannel(cluster.address(0), grpc::InsecureChannelCredentials()));
  const auto execute = [&](const std::string& sql) {
    grpc::ClientContext context;
    transaction::ExecuteRequest request;
    request.set_sql(sql);
    transaction::ExecuteResponse response;
    const grpc::Status status = stub->Execute(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.rows_affected();
  };
  const auto version = [&] {
    grpc::ClientContext context;
    transaction::GetVersionRequest request;
    request.set_table("t");
    transaction::GetVersionResponse response;
    EXPECT_TRUE(stub->GetVersion(&context, request, &response).ok());
    return response.version();
  };
  execute("CREATE TABLE t (a TEXT PRIMARY KEY)");
  EXPECT_EQ(execute("INSERT INTO t VALUES ('x'), ('y')"), 2);
  const int64_t before = version();
  transaction::PrepareRequest prepare;
  prepare.set_tx_id("tx");
  prepare.set_sql("INSERT INTO t VALUES (?1)");
  prepare.add_args("z");
  {
    grpc::ClientContext context;
    transaction::PrepareResponse response;
    const grpc::Status status = stub->Prepare(&context, prepare, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_EQ(version(), before);
  transaction::CommitRequest commit;
  commit.set_tx_id("tx");
  for (int i = 0; i < 2; ++i) {
    grpc::ClientContext context;
    transaction::CommitResponse response;
    EXPECT_TRUE(stub->Commit(&context, commit, &response).ok());
    EXPECT_EQ(version(), before + 1);
  }
  commit.set_tx_id("never seen");
  grpc::ClientContext context;
  transaction::CommitResponse response;
  EXPECT_EQ(stub->Commit(&context, commit, &response).error_code(), grpc::StatusCode::NOT_FOUND);
}

// ---- Three nodes

TEST(ServerCluster, AnyNodeTakesAnyRequestAndAReadSeesEveryAcknowledgedWrite) {
  TestCluster cluster(3);
  ASSERT_GE(cluster.AwaitLeader(), 0);
  std::vector<std::unique_ptr<Client>> nodes;
  nodes.reserve(cluster.addresses().size());
  for (const std::string& address : cluster.addresses()) {
    nodes.push_back(cluster.Connect({address}, /*pin=*/true));
  }
  ASSERT_TRUE(nodes[0]->Execute({Sql("CREATE TABLE t (a INTEGER PRIMARY KEY)")}).ok());
  for (int i = 0; i < 30; ++i) {
    const auto written =
        nodes[static_cast<size_t>(i) % 3]->Execute({Sql("INSERT INTO t VALUES (?1)", {i})});
    ASSERT_TRUE(written.ok()) << written.status();
    EXPECT_EQ(CountRows(nodes[static_cast<size_t>(i + 1) % 3].get()), i + 1);
    QueryOptions stale;
    stale.level = QueryOptions::Level::kStale;
    stale.index_min = written->index;
    const auto read =
        nodes[static_cast<size_t>(i + 2) % 3]->Query(Sql("SELECT count(*) FROM t"), stale);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->rows[0][0], Value(int64_t{i + 1}));
    EXPECT_GE(read->index, written->index);
  }
}

TEST(ServerCluster, ARetryUnderTheSameIdOnAnotherNodeTakesEffectOnce) {
  TestCluster cluster(3);
  ASSERT_GE(cluster.AwaitLeader(), 0);
  auto client = cluster.Connect(cluster.addresses());
  ASSERT_TRUE(client->Execute({Sql("CREATE TABLE t (a)")}).ok());
  uint64_t index = 0;
  for (int round = 0; round < 2; ++round) {
    for (const std::string& address : cluster.addresses()) {
      auto stub =
          v1::Database::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
      grpc::ClientContext context;
      v1::ExecuteRequest request;
      request.add_statements()->set_sql("INSERT INTO t VALUES (1)");
      request.mutable_request_id()->set_session("order 17");
      request.mutable_request_id()->set_sequence(1);
      v1::ExecuteResponse response;
      const grpc::Status status = stub->Execute(&context, request, &response);
      ASSERT_TRUE(status.ok()) << status.error_message();
      if (index == 0) index = response.index();
      EXPECT_EQ(response.index(), index) << "the first result";
    }
  }
  EXPECT_EQ(CountRows(client.get()), 1);
}

TEST(ServerCluster, ALeaderLostUnderLoadLosesNothingAcknowledgedAndDoublesNothing) {
  TestCluster cluster(3);
  const int leader = cluster.AwaitLeader();
  ASSERT_GE(leader, 0);
  auto client = cluster.Connect(cluster.addresses());
  ASSERT_TRUE(client->Execute({Sql("CREATE TABLE t (a)")}).ok());
  constexpr int kWrites = 2000;
  std::vector<std::atomic<int>> fate(kWrites);
  std::atomic<int> answered{0};
  std::promise<void> all;
  std::promise<void> some;
  for (int i = 0; i < kWrites; ++i) {
    client->ExecuteAsync({Sql("INSERT INTO t VALUES (?1)", {i})},
                         [&, i](const Result<ExecuteResult>& result) {
                           fate[static_cast<size_t>(i)] = result.ok() ? 1 : 2;
                           const int n = ++answered;
                           if (n == 50) some.set_value();
                           if (n == kWrites) all.set_value();
                         });
  }
  some.get_future().get();
  cluster.StopNode(static_cast<size_t>(leader));
  all.get_future().get();
  int acknowledged = 0;
  for (int i = 0; i < kWrites; ++i) {
    if (fate[static_cast<size_t>(i)] == 1) ++acknowledged;
  }
  EXPECT_EQ(acknowledged, kWrites) << "there was time enough to try again";
  EXPECT_EQ(CountRows(client.get()), kWrites);
  const auto distinct = client->Query(Sql("SELECT count(DISTINCT a) FROM t"));
  ASSERT_TRUE(distinct.ok());
  EXPECT_EQ(distinct->rows[0][0], Value(int64_t{kWrites}));
}

TEST(ServerCluster, WithoutAMajorityTheAnswersAreUnavailableAndTheSeedsVersionZero) {
  TestCluster cluster(3);
  ASSERT_GE(cluster.AwaitLeader(), 0);
  auto client = cluster.Connect(cluster.addresses());
  ASSERT_TRUE(client->Execute({Sql("CREATE TABLE t (a)")}).ok());
  cluster.StopNode(0);
  cluster.StopNode(1);
  const SteadyTime by = SystemClock().SteadyNow() + std::chrono::seconds(20) * kSlowness;
  rpc::ClusterClient node(cluster.address(2), nullptr);
  bool leaderless = false;
  while (!leaderless && SystemClock().SteadyNow() < by) {
    const auto status = node.Status(milliseconds(1000));
    leaderless = status.ok() && status->leader_node_id() == 0;
  }
  ASSERT_TRUE(leaderless);
  auto stub = transaction::DatabaseService::NewStub(
      grpc::CreateChannel(cluster.address(2), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  transaction::GetVersionResponse version;
  version.set_version(7);
  EXPECT_TRUE(stub->GetVersion(&context, {}, &version).ok());
  EXPECT_EQ(version.version(), 0);
  grpc::ClientContext execute_context;
  transaction::ExecuteRequest execute;
  execute.set_sql("INSERT INTO t VALUES (1)");
  transaction::ExecuteResponse executed;
  EXPECT_EQ(stub->Execute(&execute_context, execute, &executed).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  v1::GetVersionRequest local;
  local.set_level(v1::VERSION_LEVEL_LOCAL);
  const auto own = node.GetVersion(local, milliseconds(5000) * kSlowness);
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(own->version(), 1);
}

TEST(ServerCluster, LeadershipIsTransferredThroughAnyNode) {
  TestCluster cluster(3);
  const int leader = cluster.AwaitLeader();
  ASSERT_GE(leader, 0);
  const size_t follower = (static_cast<size_t>(leader) + 1) % 3;
  const auto moved = rpc::ClusterClient(cluster.address(follower), nullptr)
                         .TransferLeadership(follower + 1, milliseconds(10000) * kSlowness);
  ASSERT_TRUE(moved.ok()) << moved.status();
  EXPECT_EQ(*moved, follower + 1);
  EXPECT_EQ(cluster.AwaitLeader(), static_cast<int>(follower));
}

}  // namespace
}  // namespace cairn::server
