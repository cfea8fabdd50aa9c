// What the clients of a cluster meet after it was restored.
#include "server/restore.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "cairn/v1/database.grpc.pb.h"
#include "rpc/cluster_client.h"
#include "rpc/endpoint.h"
#include "rpc/proto_convert.h"
#include "server/cluster_test_util.h"

namespace cairn::server {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class RestoreTest : public ::testing::Test {
 protected:
  RestoreTest() : stub_(v1::Database::NewStub(rpc::NewChannel(cluster_.address(0), nullptr))) {
    EXPECT_EQ(cluster_.AwaitLeader(), 0);
  }

  Result<v1::ExecuteResponse> Execute(const std::string& sql, const std::string& session,
                                      uint64_t sequence) {
    v1::ExecuteRequest request;
    request.add_statements()->set_sql(sql);
    request.mutable_request_id()->set_session(session);
    request.mutable_request_id()->set_sequence(sequence);
    request.mutable_request_id()->set_bare(sequence == 0);
    grpc::ClientContext context;
    v1::ExecuteResponse response;
    const grpc::Status status = stub_->Execute(&context, request, &response);
    if (status.ok()) return response;
    return rpc::FromGrpc(status, context.GetServerTrailingMetadata(), Outcome::kUnknown);
  }
  void Must(const std::string& sql, const std::string& session, uint64_t sequence) {
    const auto done = Execute(sql, session, sequence);
    ASSERT_TRUE(done.ok()) << done.status();
  }
  int64_t Version(const std::string& table) {
    v1::GetVersionRequest request;
    request.set_table(table);
    grpc::ClientContext context;
    v1::GetVersionResponse response;
    EXPECT_TRUE(stub_->GetVersion(&context, request, &response).ok());
    return response.version();
  }
  std::string backup() const { return cluster_.directory() + "/backup.db"; }
  RestoreOptions Options(size_t node) const {
    RestoreOptions options;
    options.backup = backup();
    options.db_path = cluster_.options(node).db_path;
    options.node_id = node + 1;
    return options;
  }
  void Backup() {
    const auto made = cluster_.Connect(cluster_.addresses())->Backup({.path = backup()});
    ASSERT_TRUE(made.ok()) << made.status();
  }
  // In the place of the node.
  void Restore() {
    cluster_.StopNode(0);
    fs::remove_all(cluster_.options(0).db_path + ".cairn");
    for (const char* suffix : {"", "-wal", "-shm"}) {
      fs::remove(cluster_.options(0).db_path + suffix);
    }
    const auto restored = server::Restore(Options(0));
    ASSERT_TRUE(restored.ok()) << restored.status();
    EXPECT_EQ(restored->restores, 1u);
    cluster_.StartNode(0);
    stub_ = v1::Database::NewStub(rpc::NewChannel(cluster_.address(0), nullptr));
    ASSERT_EQ(cluster_.AwaitLeader(), 0);
  }

  // The node goes on.
  Status RestoreIntoRunning() {
    // The founder raises it by itself, a moment later.
    RETURN_IF_ERROR(rpc::ClusterClient(cluster_.address(0), nullptr)
                        .RaiseLevel(std::chrono::seconds(20))
                        .status());
    std::ifstream in(backup(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    Sha256 sum;
    sum.Add(bytes);
    v1::RestoreStep step;
    step.set_id("r");
    step.mutable_begin()->set_size_bytes(bytes.size());
    step.mutable_begin()->set_sha256(sum.Hex());
    RETURN_IF_ERROR(Take(step));
    for (size_t at = 0; at < bytes.size(); at += 100'000) {
      step.mutable_piece()->set_offset(at);
      step.mutable_piece()->set_data(bytes.substr(at, 100'000));
      RETURN_IF_ERROR(Take(step));
    }
    step.mutable_finish();
    return Take(step);
  }
  Status Take(const v1::RestoreStep& step) {
    v1::ExecuteRequest request;
    *request.mutable_restore() = step;
    grpc::ClientContext context;
    v1::ExecuteResponse response;
    const grpc::Status status = stub_->Execute(&context, request, &response);
    if (status.ok()) return OkStatus();
    return rpc::FromGrpc(status, context.GetServerTrailingMetadata(), Outcome::kUnknown);
  }

  TestCluster cluster_{1};
  std::unique_ptr<v1::Database::Stub> stub_;
};

// The client sent the request 3 after the backup, and has its answer. To run its request 4 now would
// hide from it that 3 is gone.
TEST_F(RestoreTest, RequestsOfSessionsFromBeforeAreRefused) {
  Must("CREATE TABLE t(id)", "s", 1);
  Must("INSERT INTO t VALUES(2)", "s", 2);
  Backup();
  Must("INSERT INTO t VALUES(3)", "s", 3);
  Must("INSERT INTO t VALUES(1)", "later", 1);
  Restore();
  for (const uint64_t sequence : {1, 2, 3, 4, 1000}) {
    const auto refused = Execute("INSERT INTO t VALUES(4)", "s", sequence);
    EXPECT_EQ(refused.status().code(), StatusCode::kFailedPrecondition) << refused.status();
    EXPECT_EQ(refused.status().outcome(), Outcome::kUnknown) << refused.status();
  }
  // The backup does not know the session.
  const auto unknown = Execute("INSERT INTO t VALUES(4)", "later", 2);
  EXPECT_EQ(unknown.status().reason(), Reason::kSessionExpired) << unknown.status();
  Must("INSERT INTO t VALUES(5)", "new", 1);
  Must("INSERT INTO t VALUES(6)", "new", 2);
}

// The client was given a refusal for every request of its session, and never began another one.
TEST_F(RestoreTest, AClientGoesOnByItselfWhenTheRunningClusterIsRestored) {
  const auto client = cluster_.Connect(cluster_.addresses());
  ASSERT_TRUE(client->Execute({{"CREATE TABLE t(id)", {}, {}}}).ok());
  Backup();
  ASSERT_TRUE(client->Execute({{"INSERT INTO t VALUES(1)", {}, {}}}).ok());
  const Status restored = RestoreIntoRunning();
  ASSERT_TRUE(restored.ok()) << restored;
  for (int i = 0; i < 3; ++i) {
    const auto done = client->Execute({{"INSERT INTO t VALUES(2)", {}, {}}});
    ASSERT_TRUE(done.ok()) << done.status();
  }
  const auto rows = client->Query({"SELECT count(*), min(id) FROM t", {}, {}});
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->rows, (std::vector<Row>{{Value(int64_t{3}), Value(int64_t{2})}}));
}

TEST_F(RestoreTest, ABareIdInTheBackupHasItsFirstAnswer) {
  Must("CREATE TABLE t(id INTEGER PRIMARY KEY)", "a", 0);
  Must("INSERT INTO t VALUES(1)", "b", 0);
  Backup();
  Must("INSERT INTO t VALUES(2)", "c", 0);
  Restore();
  Must("INSERT INTO t VALUES(1)", "b", 0);  // the row is there: it does not run again
  Must("INSERT INTO t VALUES(2)", "c", 0);  // the row was not there
}

TEST_F(RestoreTest, VersionsAreAboveAllThatTheOldClusterTold) {
  Must("CREATE TABLE t(id)", "s", 1);
  Must("CREATE TABLE later(id)", "s", 2);
  Must("DROP TABLE later", "s", 3);
  Backup();
  for (uint64_t i = 4; i < 10; ++i) Must("INSERT INTO t VALUES(1)", "s", i);
  Must("CREATE TABLE later(id)", "s", 10);
  const int64_t of_t = Version("t");
  const int64_t of_later = Version("later");
  const int64_t of_all = Version("");
  Restore();
  EXPECT_GT(Version("t"), of_t);
  EXPECT_GT(Version(""), of_all);
  Must("CREATE TABLE later(id)", "new", 1);
  EXPECT_GT(Version("later"), of_later);
}

TEST_F(RestoreTest, NothingIsReplacedAndNothingIsLeft) {
  Must("CREATE TABLE t(id)", "s", 1);
  Backup();
  const auto there = server::Restore(Options(0));
  EXPECT_EQ(there.status().code(), StatusCode::kAlreadyExists) << there.status();
  RestoreOptions options = Options(0);
  options.db_path = cluster_.directory() + "/new.db";
  options.level_max = 0;
  const auto newer = server::Restore(options);
  EXPECT_EQ(newer.status().code(), StatusCode::kFailedPrecondition) << newer.status();
  EXPECT_THAT(newer.status().message(), HasSubstr("start a later version"));
  for (const auto& each : fs::directory_iterator(cluster_.directory())) {
    EXPECT_FALSE(each.path().filename().string().starts_with("new.db")) << each.path();
  }
}

// A service that is started again and again starts a server while the restore runs.
TEST_F(RestoreTest, ANameThatIsTakenInTheMeantimeIsNotReplaced) {
  Must("CREATE TABLE t(id)", "s", 1);
  Backup();
  for (const char* suffix : {"", ".cairn", "-wal"}) {
    RestoreOptions options = Options(0);
    options.db_path = cluster_.directory() + "/taken.db";
    options.progress = [&](const std::string& what) {
      if (what == "making the new node") std::ofstream(options.db_path + suffix) << "of another";
    };
    const auto refused = server::Restore(options);
    EXPECT_EQ(refused.status().code(), StatusCode::kAlreadyExists) << refused.status();
    std::string kept;
    std::getline(std::ifstream(options.db_path + suffix), kept);
    EXPECT_EQ(kept, "of another") << suffix;
    fs::remove(options.db_path + suffix);
    for (const auto& each : fs::directory_iterator(cluster_.directory())) {
      EXPECT_FALSE(each.path().filename().string().starts_with("taken.db")) << each.path();
    }
  }
}

// SQLite would play it into the new database.
TEST_F(RestoreTest, AWalBesideTheNameIsRefused) {
  Must("CREATE TABLE t(id)", "s", 1);
  Backup();
  RestoreOptions options = Options(0);
  options.db_path = cluster_.directory() + "/new.db";
  for (const char* suffix : {"-wal", "-shm", "-journal"}) {
    std::ofstream(options.db_path + suffix) << "left";
    const auto refused = server::Restore(options);
    EXPECT_EQ(refused.status().code(), StatusCode::kAlreadyExists) << refused.status();
    EXPECT_TRUE(fs::remove(options.db_path + suffix));
  }
}

TEST_F(RestoreTest, TheJournalOfAKilledRestoreIsRemovedFirst) {
  Must("CREATE TABLE t(id)", "s", 1);
  Backup();
  RestoreOptions options = Options(0);
  options.db_path = cluster_.directory() + "/new.db";
  const std::string journal = options.db_path + ".restoring-journal";
  std::ofstream(journal) << "of another backup";
  bool seen = true;
  options.progress = [&](const std::string& what) {
    if (what == "reading the backup") seen = fs::exists(journal);
  };
  const auto restored = server::Restore(options);
  EXPECT_TRUE(restored.ok()) << restored.status();
  EXPECT_FALSE(seen);
}

TEST_F(RestoreTest, OneRestoreOfANameAtATime) {
  Must("CREATE TABLE t(id)", "s", 1);
  Backup();
  RestoreOptions options = Options(0);
  options.db_path = cluster_.directory() + "/new.db";
  Status second;
  RestoreOptions same = options;
  options.progress = [&](const std::string& what) {
    if (what == "checking all rows") second = server::Restore(same).status();
  };
  const auto restored = server::Restore(options);
  EXPECT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(second.code(), StatusCode::kFailedPrecondition) << second;
}

// Clients that read versions as 32 bits must see them rise, too.
TEST_F(RestoreTest, TheLower32BitsOfVersionsRise) {
  Must("CREATE TABLE t(id)", "s", 1);
  Backup();
  for (uint64_t i = 2; i < 5; ++i) Must("INSERT INTO t VALUES(1)", "s", i);
  const auto before = static_cast<int32_t>(Version("t"));
  Restore();
  EXPECT_GT(static_cast<int32_t>(Version("t")), before);
}

}  // namespace
}  // namespace cairn::server
