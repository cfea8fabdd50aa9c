// Backups of whole servers, as the C++ client makes them.
#include "server/backups.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/checksum_file.h"
#include "base/crc32c.h"
#include "cairn/v1/database.grpc.pb.h"
#include "rpc/endpoint.h"
#include "server/cluster_test_util.h"

namespace cairn::server {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The first value of a query on a file.
std::string Ask(const std::string& path, const std::string& sql) {
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READONLY, nullptr), SQLITE_OK);
  std::string out;
  const auto take = [](void* to, int, char** values, char**) {
    *static_cast<std::string*>(to) = values[0] == nullptr ? "" : values[0];
    return 0;
  };
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), take, &out, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  sqlite3_close(db);
  return out;
}

class BackupTest : public ::testing::Test {
 protected:
  explicit BackupTest(size_t nodes = 1) : cluster_(nodes) {
    leader_ = static_cast<size_t>(cluster_.AwaitLeader());
    client_ = cluster_.Connect(cluster_.addresses());
    Write("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
  }
  void Write(const std::string& sql) {
    const auto done = client_->Execute({{.sql = sql}});
    ASSERT_TRUE(done.ok()) << done.status();
  }
  // About so many MiB.
  void Fill(int mib) {
    for (int i = 0; i < mib; ++i) Write("INSERT INTO t(v) VALUES(randomblob(1000000))");
  }
  std::string path() const { return cluster_.directory() + "/backups/b.db"; }
  std::vector<std::string> Backups() const { return NamesIn(cluster_.directory() + "/backups"); }
  std::vector<std::string> Copies(size_t node) const {
    return NamesIn(cluster_.options(node).db_path + ".cairn/snapshot");
  }
  static std::vector<std::string> NamesIn(const std::string& directory) {
    std::vector<std::string> names;
    for (const auto& each : fs::directory_iterator(directory))
      names.push_back(each.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  void SetUp() override { fs::create_directory(cluster_.directory() + "/backups"); }

  TestCluster cluster_;
  size_t leader_ = 0;
  std::unique_ptr<Client> client_;
};

class BackupOfThree : public BackupTest {
 protected:
  BackupOfThree() : BackupTest(3) {}
};

TEST_F(BackupOfThree, AFollowersBackupHoldsWhatWasAcknowledgedBefore) {
  const size_t follower = (leader_ + 1) % 3;
  const auto from = cluster_.Connect({cluster_.address(follower)}, /*pin=*/true);
  for (int i = 1; i <= 3; ++i) {
    Write("INSERT INTO t VALUES(" + std::to_string(i) + ", 'x')");
    const auto done = from->Backup({.path = path()});
    ASSERT_TRUE(done.ok()) << done.status();
    EXPECT_EQ(Ask(path(), "SELECT max(id) FROM t"), std::to_string(i));
    EXPECT_EQ(Ask(path(), "PRAGMA integrity_check"), "ok");
    EXPECT_EQ(Ask(path(), "SELECT applied_index FROM _cairn_state"), std::to_string(done->index));
    EXPECT_EQ(done->bytes, fs::file_size(path()));
    const auto checksum = DecodeChecksumFile(ReadFile(ChecksumPath(path())));
    ASSERT_TRUE(checksum.ok());
    EXPECT_EQ(checksum->sha256, done->sha256);
    EXPECT_EQ(checksum->notes.at("index"), std::to_string(done->index));
    EXPECT_THAT(Backups(), ::testing::ElementsAre("b.db", "b.db.sha256")) << "and no -wal";
    EXPECT_EQ(fs::status(path()).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  }
  EXPECT_THAT(Copies(follower), IsEmpty());
}

TEST_F(BackupTest, ALostLinkBeginsAnewAtTheNextEndpoint) {
  Write("INSERT INTO t VALUES(1, 'x')");
  const auto from = cluster_.Connect({"127.0.0.1:1", cluster_.address(0)});
  const auto done = from->Backup({.path = path()});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(Ask(path(), "SELECT count(*) FROM t"), "1");
}

TEST_F(BackupTest, OneThatIsStoppedLeavesNothingAndTheOlderFileAsItWas) {
  Fill(5);
  std::ofstream(path()) << "older";
  std::ofstream(path() + ".sha256") << "its checksum";
  int calls = 0;
  const auto done = client_->Backup({.path = path(), .proceed = [&](const BackupProgress& at) {
                                       return at.bytes == 0 || ++calls < 3;
                                     }});
  EXPECT_EQ(done.status().code(), StatusCode::kCancelled) << done.status();
  EXPECT_THAT(Backups(), ::testing::UnorderedElementsAre("b.db", "b.db.sha256"));
  EXPECT_EQ(ReadFile(path()), "older");
}

TEST_F(BackupTest, ABadPathIsRefusedBeforeAnythingIsAsked) {
  const auto missing = client_->Backup({.path = cluster_.directory() + "/none/b.db"});
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound) << missing.status();
  const auto directory = client_->Backup({.path = cluster_.directory() + "/backups"});
  EXPECT_EQ(directory.status().code(), StatusCode::kFailedPrecondition) << directory.status();
  const auto slow = client_->Backup({.path = path(), .bytes_per_second_max = 1});
  EXPECT_EQ(slow.status().code(), StatusCode::kInvalidArgument) << slow.status();
  EXPECT_THAT(Backups(), IsEmpty());
}

// The client of one call, which reads when it is told to.
class SlowCall {
 public:
  SlowCall(const std::string& address, uint64_t bytes_per_second_max) {
    stub_ = v1::Database::NewStub(rpc::NewChannel(address, nullptr));
    v1::BackupRequest request;
    request.set_bytes_per_second_max(bytes_per_second_max);
    reader_ = stub_->Backup(&context_, request);
    EXPECT_TRUE(reader_->Read(&response_)) << reader_->Finish().error_message();
    EXPECT_TRUE(response_.has_header());
  }
  uint64_t size() const { return response_.header().size_bytes(); }
  grpc::Status Cancel() {
    context_.TryCancel();
    return reader_->Finish();
  }

 private:
  std::unique_ptr<v1::Database::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::BackupResponse>> reader_;
  v1::BackupResponse response_;
};

// Reads responses of a call that may be resumed, up to so many bytes of data, or to the end.
struct Part {
  v1::BackupHeader header;
  std::string data;
  std::optional<uint32_t> crc;
};
Part ReadPart(v1::Database::Stub* stub, const v1::BackupRequest& request, size_t bytes_max) {
  Part part;
  grpc::ClientContext context;
  const auto reader = stub->Backup(&context, request);
  v1::BackupResponse response;
  while (part.data.size() < bytes_max && reader->Read(&response)) {
    if (response.has_header()) part.header = response.header();
    part.data += response.data();
    if (response.has_crc32c()) part.crc = response.crc32c();
  }
  context.TryCancel();
  reader->Finish();
  return part;
}

TEST_F(BackupTest, OneThatIsCutOffGoesOnWithTheSameCopy) {
  // More than gRPC holds on its way: the node has otherwise sent all when the client goes.
  Fill(16);
  const auto stub = v1::Database::NewStub(rpc::NewChannel(cluster_.address(0), nullptr));
  v1::BackupRequest request;
  request.set_may_resume(true);
  const Part first = ReadPart(stub.get(), request, 1 << 20);
  ASSERT_NE(first.header.copy(), 0u);
  EXPECT_FALSE(first.crc.has_value());
  Write("INSERT INTO t VALUES(100, 'not in the backup')");
  request.set_copy(first.header.copy());
  request.set_offset(first.data.size());
  // Once more, at once: the node may not have noticed that the call before is lost.
  const Part second = ReadPart(stub.get(), request, 1 << 20);
  EXPECT_EQ(second.header.copy(), first.header.copy());
  EXPECT_EQ(second.header.index(), first.header.index());
  EXPECT_EQ(second.header.offset(), first.data.size());
  request.set_offset(first.data.size() + second.data.size());
  const Part third = ReadPart(stub.get(), request, SIZE_MAX);
  ASSERT_EQ(third.header.offset(), request.offset());
  const std::string whole = first.data + second.data + third.data;
  EXPECT_EQ(whole.size(), first.header.size_bytes());
  ASSERT_TRUE(third.crc.has_value());
  EXPECT_EQ(*third.crc, Crc32c(whole));
  std::ofstream(path(), std::ios::binary) << whole;
  EXPECT_EQ(Ask(path(), "PRAGMA integrity_check"), "ok");
  EXPECT_EQ(Ask(path(), "SELECT count(*) FROM t WHERE id = 100"), "0");
  // It has ended well, so nothing is held: the same question begins anew.
  const Part anew = ReadPart(stub.get(), request, 1);
  EXPECT_NE(anew.header.copy(), first.header.copy());
  EXPECT_EQ(anew.header.offset(), 0u);
  EXPECT_GT(anew.header.index(), first.header.index());
}

TEST_F(BackupTest, OneThatIsCutOffGivesWayToAnother) {
  Fill(3);
  const auto stub = v1::Database::NewStub(rpc::NewChannel(cluster_.address(0), nullptr));
  v1::BackupRequest request;
  request.set_may_resume(true);
  const Part cut = ReadPart(stub.get(), request, 1 << 20);
  const auto done = client_->Backup({.path = path()});
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(Ask(path(), "PRAGMA integrity_check"), "ok");
  request.set_copy(cut.header.copy());
  request.set_offset(cut.data.size());
  EXPECT_EQ(ReadPart(stub.get(), request, 1).header.offset(), 0u) << "it begins anew";
  cluster_.StopNode(0);
  EXPECT_THAT(Copies(0), IsEmpty());
}

TEST_F(BackupTest, OneAtATimeAndACutLeavesNoCopyBehind) {
  Fill(4);
  SlowCall slow(cluster_.address(0), 64 << 10);
  // The slow client has the state copied, for this user alone.
  const SteadyTime by = SystemClock().SteadyNow() + std::chrono::seconds(30) * kSlowness;
  while (Copies(0).empty() && SystemClock().SteadyNow() < by) std::this_thread::yield();
  EXPECT_THAT(Copies(0), ::testing::ElementsAre("backup-1.db"));
  const auto second = client_->Backup({.path = path()});
  EXPECT_EQ(second.status().code(), StatusCode::kResourceExhausted) << second.status();
  EXPECT_THAT(second.status().message(), HasSubstr("one at a time"));
  EXPECT_THAT(Backups(), IsEmpty());
  Write("INSERT INTO t VALUES(100, 'writes go on')");
  slow.Cancel();
  while (!Copies(0).empty() && SystemClock().SteadyNow() < by) std::this_thread::yield();
  EXPECT_THAT(Copies(0), IsEmpty());
  const auto third = client_->Backup({.path = path()});
  ASSERT_TRUE(third.ok()) << third.status();
  EXPECT_EQ(Ask(path(), "SELECT max(id) FROM t"), "100");
}

TEST_F(BackupTest, ANodeThatStopsEndsItsBackup) {
  Fill(2);
  SlowCall slow(cluster_.address(0), 64 << 10);
  cluster_.StopNode(0);
  EXPECT_THAT(Copies(0), IsEmpty());
  EXPECT_FALSE(slow.Cancel().ok());
}

}  // namespace
}  // namespace cairn::server
