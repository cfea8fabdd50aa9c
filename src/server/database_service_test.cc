#include "server/database_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "cairn/client.h"
#include "cairn/v1/database.grpc.pb.h"
#include "rpc/cluster_client.h"
#include "rpc/proto_convert.h"
#include "rpc/request_size.h"
#include "rpc/session_channel.h"
#include "server/limits.h"
#include "server/service_harness_test_util.h"

namespace cairn::server {
namespace {

using std::chrono::milliseconds;

class DatabaseServiceTest : public ::testing::Test {
 protected:
  ~DatabaseServiceTest() override {
    replica_.Shutdown(SteadyTime(0));
    harness_.Stop();
  }

  std::shared_ptr<rpc::SessionChannel> OpenChannel(size_t inflight_max = 10000) {
    rpc::SessionChannel::Options options;
    options.endpoint = harness_.address();
    options.inflight_max = inflight_max;
    return rpc::SessionChannel::Open(options, &timers_, &SystemClock());
  }
  static v1::SessionRequest QueryRequest(const std::string& sql) {
    v1::SessionRequest request;
    request.mutable_query()->mutable_statement()->set_sql(sql);
    return request;
  }
  SteadyTime In(milliseconds time) { return SystemClock().SteadyNow() + time; }

  struct Answer {
    Status status;
    v1::SessionResponse response;
  };
  Answer Ask(rpc::SessionChannel* channel, v1::SessionRequest request,
             milliseconds timeout = kPatience) {
    std::promise<Answer> promise;
    channel->Send(std::move(request), In(timeout),
                  [&](const Status& status, v1::SessionResponse* response) {
                    Answer answer{status, {}};
                    if (response != nullptr) answer.response.Swap(response);
                    promise.set_value(std::move(answer));
                  });
    return promise.get_future().get();
  }

  FakeReplica replica_{&SystemClock()};
  ServiceHarness harness_{&replica_};
  rpc::TimerQueue timers_{&SystemClock()};
  std::unique_ptr<v1::Database::Stub> stub_ = v1::Database::NewStub(harness_.channel());
};

// Such a write was answered OK, and never ran.
TEST_F(DatabaseServiceTest, AnIdInTheMetadataIsJudgedWithWhatTheBodyAcknowledges) {
  const auto stub = v1::Database::NewStub(harness_.channel());
  const auto execute = [&](const std::string& id, uint64_t acknowledged_below) {
    grpc::ClientContext context;
    if (!id.empty()) context.AddMetadata(rpc::kRequestIdMetadata, id);
    v1::ExecuteRequest request;
    request.add_statements()->set_sql("INSERT");
    request.set_acknowledged_below(acknowledged_below);
    v1::ExecuteResponse response;
    return stub->Execute(&context, request, &response).error_code();
  };
  EXPECT_EQ(execute("S/1", 1), grpc::StatusCode::OK);
  EXPECT_EQ(execute("S/5", 100), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(execute("bare", 1), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(execute("", 1), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(replica_.fake_state().executions("INSERT"), 1);
}

// The metadata of a forwarding node was believed, and the write went without a session of the node.
TEST_F(DatabaseServiceTest, AUnaryRequestThatANodeOfAnotherClusterForwardsIsRefused) {
  grpc::ClientContext context;
  context.AddMetadata(rpc::kForwardedMetadata, "4711");
  v1::ExecuteRequest request;
  request.add_statements()->set_sql("INSERT");
  v1::ExecuteResponse response;
  EXPECT_EQ(stub_->Execute(&context, request, &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(replica_.fake_state().executions("INSERT"), 0);
}

TEST_F(DatabaseServiceTest, RequestsTellTheHostThatAskedAndOnlyNodesTellAnother) {
  const auto ask = [&](bool forwarded) {
    rpc::SessionChannel::Options options;
    options.endpoint = harness_.address();
    if (forwarded) options.metadata.emplace(rpc::kForwardedMetadata, "0");
    const auto channel = rpc::SessionChannel::Open(options, &timers_, &SystemClock());
    v1::SessionRequest request;
    request.mutable_execute()->add_statements()->set_sql("INSERT");
    request.mutable_execute()->mutable_request_id()->set_session(forwarded ? "b" : "a");
    request.mutable_execute()->mutable_request_id()->set_sequence(1);
    request.mutable_origin()->set_principal("host:192.0.2.7");
    request.mutable_origin()->set_named_by(3);
    Ask(channel.get(), std::move(request));
    channel->Close();
    channel->AwaitEnd();
    return replica_.fake_state().commands().back();
  };
  const state_machine::Command direct = ask(/*forwarded=*/false);
  EXPECT_EQ(direct.principal, "host:127.0.0.1");
  EXPECT_EQ(direct.named_by, 0U);
  const state_machine::Command forwarded = ask(/*forwarded=*/true);
  EXPECT_EQ(forwarded.principal, "host:192.0.2.7");
  EXPECT_EQ(forwarded.named_by, 3U);
}

TEST_F(DatabaseServiceTest, MalformedRequestsGetInvalidArgument) {
  v1::ExecuteRequest no_statement;
  v1::ExecuteRequest bad_id;
  bad_id.add_statements()->set_sql("INSERT");
  bad_id.mutable_request_id()->set_sequence(1);
  v1::ExecuteRequest long_session = bad_id;
  long_session.mutable_request_id()->set_session(std::string(65, 's'));
  v1::ExecuteRequest zero_sequence = bad_id;
  zero_sequence.mutable_request_id()->set_session("s");
  zero_sequence.mutable_request_id()->set_sequence(0);
  const std::string not_utf8 = std::string("\x0a\x05\x0a\x03\x61\xff\x62", 7);
  const std::string truncated = std::string("\x0a\x7f\x0a", 3);
  const std::string garbage = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
  const struct {
    const char* what;
    std::string bytes;
  } table[] = {
      {"no statement", no_statement.SerializeAsString()},
      {"id without session", bad_id.SerializeAsString()},
      {"session too long", long_session.SerializeAsString()},
      {"sequence 0", zero_sequence.SerializeAsString()},
      {"SQL that is not UTF-8", not_utf8},
      {"cut message", truncated},
      {"no message at all", garbage},
  };
  for (const auto& row : table) {
    const auto answer = harness_.Call("/cairn.v1.Database/Execute", row.bytes);
    EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << row.what;
  }
  EXPECT_TRUE(replica_.fake_state().commands().empty());
}

TEST_F(DatabaseServiceTest, ARequestOfMoreThan16MiBIsRefused) {
  v1::ExecuteRequest request;
  request.add_statements()->set_sql("INSERT " + std::string(rpc::kRequestBytesMax, 'x'));
  const auto answer = harness_.Call("/cairn.v1.Database/Execute", request.SerializeAsString());
  // This is not a code that asks for another try.
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(answer.status.error_message(), testing::HasSubstr("at most 16777216 are allowed"));
  request.mutable_statements(0)->set_sql("INSERT " + std::string(24 << 20, 'x'));
  EXPECT_EQ(
      harness_.Call("/cairn.v1.Database/Execute", request.SerializeAsString()).status.error_code(),
      grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// gRPC's clients hide an error of more than 8 KiB, with its code and outcome, behind their own.
TEST_F(DatabaseServiceTest, ALongErrorMessageIsCutAndItsCodeStays) {
  v1::ExecuteRequest request;
  request.add_statements()->set_sql("SELECT \xc3\xa4" + std::string(9'000, 'x'));
  replica_.fake_state().EchoRefusals(true);
  const auto answer = harness_.Call("/cairn.v1.Database/Execute", request.SerializeAsString());
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(answer.status.error_message(), testing::EndsWith("... (cut)"));
  EXPECT_LT(answer.status.error_message().size(), 2'100U);
}

TEST_F(DatabaseServiceTest, ARequestThatIsAcknowledgedBeforeItIsMadeIsRefused) {
  v1::ExecuteRequest request;
  request.add_statements()->set_sql("INSERT");
  request.mutable_request_id()->set_session("s");
  request.mutable_request_id()->set_sequence(1);
  request.set_acknowledged_below(2);
  const auto answer = harness_.Call("/cairn.v1.Database/Execute", request.SerializeAsString());
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(replica_.fake_state().commands().empty());
}

TEST_F(DatabaseServiceTest, QueryStreams100000RowsInBoundedChunks) {
  grpc::ClientContext context;
  v1::QueryRequest request;
  request.mutable_statement()->set_sql("100000");
  const auto stream = stub_->Query(&context, request);
  v1::QueryResponse response;
  int64_t next = 1;
  int messages = 0;
  while (stream->Read(&response)) {
    if (messages++ == 0) {
      EXPECT_EQ(response.columns_size(), 1);
    }
    EXPECT_LE(response.rows_size(), kQueryChunkRows);
    EXPECT_LE(response.ByteSizeLong(), kQueryChunkBytes + 1024);
    for (const v1::Row& row : response.rows()) ASSERT_EQ(row.values(0).integer(), next++);
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(next, 100001);
  EXPECT_GE(messages, 98);
}

TEST_F(DatabaseServiceTest, AQueryWithoutRowsStillTellsItsColumns) {
  grpc::ClientContext context;
  v1::QueryRequest request;
  request.mutable_statement()->set_sql("0");
  const auto stream = stub_->Query(&context, request);
  v1::QueryResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.columns(0).name(), "value");
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(DatabaseServiceTest, ACancelledOrLateQueryEndsAndFreesItsThread) {
  for (int i = 0; i < 10; ++i) {  // more than there are threads
    grpc::ClientContext context;
    v1::QueryRequest request;
    request.mutable_statement()->set_sql("slow");
    request.set_timeout_ms(30);
    const auto stream = stub_->Query(&context, request);
    v1::QueryResponse response;
    if (i % 2 == 0) context.TryCancel();
    while (stream->Read(&response)) {
    }
    EXPECT_EQ(stream->Finish().error_code(),
              i % 2 == 0 ? grpc::StatusCode::CANCELLED : grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  grpc::ClientContext context;
  v1::QueryRequest request;
  request.mutable_statement()->set_sql("1");
  v1::QueryResponse response;
  const auto stream = stub_->Query(&context, request);
  EXPECT_TRUE(stream->Read(&response));
}

// A reader that stays would keep SQLite's write-ahead log growing, whether the query computes on or
// its client does not take the rows.
TEST(QueryAge, AQueryPastItsAgeIsAbortedAndFreesItsThread) {
  FakeReplica replica(&SystemClock());
  ServiceHarness harness(&replica, milliseconds(100));
  const auto stub = v1::Database::NewStub(harness.channel());
  for (int i = 0; i < 4; ++i) {  // more than there are threads
    for (const char* sql : {"slow", "1000000000"}) {
      grpc::ClientContext context;
      v1::QueryRequest request;
      request.mutable_statement()->set_sql(sql);
      const auto stream = stub->Query(&context, request);
      v1::QueryResponse response;
      while (stream->Read(&response)) {
      }
      EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::ABORTED) << sql;
    }
  }
  replica.Shutdown(SteadyTime(0));
  harness.Stop();
}

// The message that gRPC still reads from must not be overwritten when the time is over.
TEST(QueryPace, AClientThatDoesNotReadEndsItsQueryAndNoMessageIsTouchedBefore) {
  FakeReplica replica(&SystemClock());
  ServiceHarness harness(&replica);
  const auto stub = v1::Database::NewStub(harness.channel());
  grpc::ClientContext context;
  v1::QueryRequest request;
  request.mutable_statement()->set_sql("1000000000");
  request.set_timeout_ms(300);
  const auto stream = stub->Query(&context, request);
  // The answer fills the connection's window, and then the client is too slow. A client that reads
  // before is fast enough for ever. The first run was the slice on a thread for short reads.
  const SteadyTime by = SystemClock().SteadyNow() + kPatience;
  while (replica.fake_state().queries_ended() < 2 && SystemClock().SteadyNow() < by) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  ASSERT_EQ(replica.fake_state().queries_ended(), 2);
  v1::QueryResponse response;
  int64_t rows = 0;
  while (stream->Read(&response)) {
    for (const v1::Row& row : response.rows()) ASSERT_EQ(row.values(0).integer(), ++rows);
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  replica.Shutdown(SteadyTime(0));
  harness.Stop();
}

TEST_F(DatabaseServiceTest, AResultTooLargeForOneMessageSaysToUseQuery) {
  auto channel = OpenChannel();
  const Answer answer = Ask(channel.get(), QueryRequest("1000000"));
  ASSERT_TRUE(answer.status.ok());
  EXPECT_EQ(answer.response.error().code(), static_cast<int>(StatusCode::kResourceExhausted));
  EXPECT_NE(answer.response.error().message().find("Query"), std::string::npos);
  channel->Close();
  channel->AwaitEnd();
}

TEST_F(DatabaseServiceTest, TextThatIsNotUtf8ComesBackByteForByte) {
  auto channel = OpenChannel();
  Answer answer = Ask(channel.get(), QueryRequest("notutf8"));
  ASSERT_TRUE(answer.status.ok());
  ASSERT_EQ(answer.response.query().rows_size(), 1);
  v1::Value* value = answer.response.mutable_query()->mutable_rows(0)->mutable_values(0);
  EXPECT_EQ(rpc::FromProto(value), Value(std::string("\xff\xfe")));
  channel->Close();
  channel->AwaitEnd();
}

TEST_F(DatabaseServiceTest, ASessionAnswers1000RequestsInFlightEachOnce) {
  auto channel = OpenChannel();
  std::atomic<int> answered{0};
  std::promise<void> all;
  for (int i = 0; i < 1000; ++i) {
    v1::SessionRequest request;
    request.mutable_execute()->add_statements()->set_sql("INSERT " + std::to_string(i));
    channel->Send(std::move(request), In(kPatience),
                  [&](const Status& status, v1::SessionResponse* response) {
                    EXPECT_TRUE(status.ok() && response->has_execute());
                    if (++answered == 1000) all.set_value();
                  });
  }
  all.get_future().get();
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(replica_.fake_state().executions("INSERT " + std::to_string(i)), 1);
  }
  channel->Close();
  channel->AwaitEnd();
}

TEST_F(DatabaseServiceTest, MoreThan4096RequestsInFlightOnOneStreamAreRefused) {
  auto channel = OpenChannel();
  replica_.HoldBarriers(true);
  std::atomic<int> answered{0};
  std::atomic<int> refused{0};
  std::promise<void> refusals;
  std::promise<void> all;
  for (int i = 0; i < 4196; ++i) {
    channel->Send(QueryRequest("1"), In(kPatience),
                  [&](const Status& status, v1::SessionResponse* response) {
                    EXPECT_TRUE(status.ok()) << status;
                    if (status.ok() && response->has_error() && ++refused == 100) {
                      refusals.set_value();
                    }
                    if (++answered == 4196) all.set_value();
                  });
  }
  EXPECT_EQ(refusals.get_future().wait_for(kPatience), std::future_status::ready);
  replica_.HoldBarriers(false);
  all.get_future().get();
  EXPECT_EQ(refused, 100);
  channel->Close();
  channel->AwaitEnd();
}

TEST_F(DatabaseServiceTest, AnEmptySessionRequestAndAMalformedMessageHaveDefinedAnswers) {
  auto channel = OpenChannel();
  const Answer answer = Ask(channel.get(), v1::SessionRequest());
  EXPECT_EQ(answer.response.error().code(), static_cast<int>(StatusCode::kInvalidArgument));
  EXPECT_EQ(answer.response.error().detail().outcome(), v1::OUTCOME_NOT_APPLIED);
  // The library sends text that is not UTF-8, and the node ends the stream.
  const Answer broken = Ask(channel.get(), QueryRequest("\xff"));
  EXPECT_EQ(broken.status.code(), StatusCode::kUnavailable);
  channel->AwaitEnd();
  EXPECT_TRUE(channel->broken());
}

TEST_F(DatabaseServiceTest, AStreamCutWithRequestsInFlightLeavesTheNodeWhole) {
  auto channel = OpenChannel();
  replica_.HoldBarriers(true);
  std::atomic<int> failed{0};
  for (int i = 0; i < 100; ++i) {
    channel->Send(QueryRequest("1"), In(kPatience),
                  [&](const Status& status, v1::SessionResponse*) {
                    if (!status.ok()) ++failed;
                  });
  }
  channel->Close();
  channel->AwaitEnd();
  EXPECT_EQ(failed, 100);
  replica_.HoldBarriers(false);
  auto again = OpenChannel();
  EXPECT_TRUE(Ask(again.get(), QueryRequest("1")).response.has_query());
  again->Close();
  again->AwaitEnd();
}

TEST_F(DatabaseServiceTest, ARequestThatWasNeverSentIsNotAppliedAndOneThatWasIsUnknown) {
  rpc::SessionChannel::Options options;
  options.endpoint = "127.0.0.1:1";
  auto nowhere = rpc::SessionChannel::Open(options, &timers_, &SystemClock());
  v1::SessionRequest write;
  write.mutable_execute()->add_statements()->set_sql("INSERT");
  EXPECT_EQ(Ask(nowhere.get(), write).status.outcome(), Outcome::kNotApplied);
  nowhere->AwaitEnd();

  auto channel = OpenChannel();
  ASSERT_TRUE(Ask(channel.get(), QueryRequest("1")).status.ok());
  replica_.HoldBarriers(true);
  // The timeout is shorter than the node's wait for a leader.
  EXPECT_EQ(Ask(channel.get(), QueryRequest("1"), milliseconds(150) * kSlowness).status.outcome(),
            Outcome::kUnknown);
  replica_.HoldBarriers(false);
  channel->Close();
  channel->AwaitEnd();
}

TEST_F(DatabaseServiceTest, ChangeOfMembershipStreamsProgressAndAVerdict) {
  rpc::ClusterClient cluster(harness_.address(), nullptr);
  v1::ChangeMembershipRequest request;
  request.set_kind(v1::ChangeMembershipRequest::KIND_ADD);
  request.set_node_id(4);
  request.set_address("127.0.0.1:50054");
  std::vector<std::string> lines;
  EXPECT_TRUE(cluster
                  .ChangeMembership(request, milliseconds(5000) * kSlowness,
                                    [&](const std::string& line) { lines.push_back(line); })
                  .ok());
  EXPECT_EQ(lines, (std::vector<std::string>{"learner added", "learner caught up"}));
  request.set_address("nonsense");
  EXPECT_EQ(cluster.ChangeMembership(request, milliseconds(5000) * kSlowness, nullptr).code(),
            StatusCode::kInvalidArgument);
  const auto status = cluster.Status(milliseconds(5000) * kSlowness);
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->role(), v1::ROLE_LEADER);
}

TEST_F(DatabaseServiceTest, LevelLocalNeedsNoLeaderAndLinearizableSaysUnavailable) {
  replica_.SetLeader(false, std::nullopt);
  rpc::ClusterClient node(harness_.address(), nullptr);
  v1::GetVersionRequest request;
  request.set_level(v1::VERSION_LEVEL_LOCAL);
  EXPECT_TRUE(node.GetVersion(request, milliseconds(5000) * kSlowness).ok());
  request.set_level(v1::VERSION_LEVEL_LINEARIZABLE);
  EXPECT_EQ(node.GetVersion(request, milliseconds(5000) * kSlowness).status().code(),
            StatusCode::kUnavailable);
  v1::GetTransactionRequest transaction;
  transaction.set_tx_id("known");
  transaction.set_level(v1::VERSION_LEVEL_LOCAL);
  const auto found = node.GetTransaction(transaction, milliseconds(5000) * kSlowness);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->state(), v1::TRANSACTION_STATE_COMMITTED);
}

TEST_F(DatabaseServiceTest, TheClientFailsOverToAnotherNodeAndEveryWriteTakesEffectOnce) {
  auto second = std::make_unique<ServiceHarness>(&replica_);
  ClientOptions options;
  options.endpoints = {harness_.address(), second->address()};
  auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok());
  std::atomic<int> good{0};
  std::atomic<int> answered{0};
  std::promise<void> all;
  constexpr int kWrites = 500;
  for (int i = 0; i < kWrites; ++i) {
    if (i == kWrites / 2) harness_.Stop();
    (*client)->ExecuteAsync({{"INSERT " + std::to_string(i), {}, {}}},
                            [&](const Result<ExecuteResult>& result) {
                              if (result.ok()) ++good;
                              if (++answered == kWrites) all.set_value();
                            });
  }
  all.get_future().get();
  EXPECT_EQ(good, kWrites);
  for (int i = 0; i < kWrites; ++i) {
    EXPECT_EQ(replica_.fake_state().executions("INSERT " + std::to_string(i)), 1) << i;
  }
  client->reset();
  replica_.Shutdown(SteadyTime(0));
  second.reset();
}

TEST_F(DatabaseServiceTest, TheClientReadsAResultTooLargeForOneMessageAsAStreamUpToItsBound) {
  ClientOptions options;
  options.endpoints = {harness_.address()};
  options.timeout = std::chrono::seconds(30) * kSlowness;
  auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok());
  const Result<QueryResult> large = (*client)->Query({"1000000", {}, {}});
  ASSERT_TRUE(large.ok()) << large.status();
  ASSERT_EQ(large->rows.size(), 1000000U);
  EXPECT_EQ(large->columns.size(), 1U);
  EXPECT_EQ(std::get<int64_t>(large->rows.back()[0]), 1000000);
  for (const char* sql : {"1000000", "1000"}) {
    const Result<QueryResult> bounded = (*client)->Query({sql, {}, {}}, {.result_bytes_max = 1000});
    EXPECT_EQ(bounded.status().code(), StatusCode::kResourceExhausted) << bounded.status();
    EXPECT_NE(bounded.status().message().find("result_bytes_max"), std::string::npos);
  }
  EXPECT_TRUE((*client)->Query({"1", {}, {}}, {.result_bytes_max = 1000}).ok());
}

TEST_F(DatabaseServiceTest, TheClientEndsAStreamThatIsUnderWayWhenItIsDestroyed) {
  ClientOptions options;
  options.endpoints = {harness_.address()};
  options.timeout = std::chrono::seconds(60);
  auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok());
  std::promise<Status> ended;
  QueryOptions query;
  query.result_bytes_max = size_t{1} << 40;
  (*client)->QueryAsync({"1000000000", {}, {}}, query, [&](const Result<QueryResult>& result) {
    ended.set_value(result.status());
  });
  // Most likely the stream runs now. In any case the callback comes before the end.
  std::this_thread::sleep_for(milliseconds(200));
  client->reset();
  auto status = ended.get_future();
  ASSERT_EQ(status.wait_for(SteadyTime(0)), std::future_status::ready);
  EXPECT_FALSE(status.get().ok());
}

TEST_F(DatabaseServiceTest, TheClientGivesUpAtItsDeadlineAndSaysWhatBecameOfTheWrite) {
  ClientOptions options;
  options.endpoints = {"127.0.0.1:1"};
  options.timeout = milliseconds(300);
  auto client = Client::Connect(options);
  ASSERT_TRUE(client.ok());
  const Result<ExecuteResult> result = (*client)->Execute({{"INSERT", {}, {}}});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.status().outcome(), Outcome::kNotApplied) << result.status();
  EXPECT_EQ((*client)->Execute({{"\xff", {}, {}}}).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(DatabaseServiceTest, BadEndpointsAreRefused) {
  for (const char* bad : {"", "host", "host:", ":1", "host:0", "host:65536", "host:x", "a b:1",
                          "http://host:1", "::1:1"}) {
    EXPECT_EQ(Client::Connect({.endpoints = {bad}}).status().code(), StatusCode::kInvalidArgument)
        << bad;
  }
  EXPECT_TRUE(Client::Connect({.endpoints = {"[::1]:50051"}}).ok());
}

// A leader that never finishes a change of membership.
class EndlessLeader final : public v1::Cluster::Service {
 public:
  EndlessLeader() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  ~EndlessLeader() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status ChangeMembership(grpc::ServerContext* context, const v1::ChangeMembershipRequest*,
                                grpc::ServerWriter<v1::ChangeMembershipResponse>* writer) override {
    v1::ChangeMembershipResponse line;
    line.set_progress("under way");
    writer->Write(line);
    while (!context->IsCancelled()) std::this_thread::sleep_for(milliseconds(5));
    cancelled_.set_value();
    return grpc::Status::CANCELLED;
  }
  const std::string& address() const { return address_; }
  std::future<void> cancelled() { return cancelled_.get_future(); }

 private:
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
  std::promise<void> cancelled_;
};

TEST_F(DatabaseServiceTest, ARelayedChangeOfMembershipEndsWithItsClient) {
  EndlessLeader leader;
  std::future<void> cancelled = leader.cancelled();
  replica_.SetLeader(false, LeaderHint{2, leader.address()});
  v1::ChangeMembershipRequest request;
  request.set_kind(v1::ChangeMembershipRequest::KIND_ADD);
  request.set_node_id(4);
  request.set_address("127.0.0.1:9");
  grpc::ClientContext context;
  const auto stub = v1::Cluster::NewStub(harness_.channel());
  const auto reader = stub->ChangeMembership(&context, request);
  v1::ChangeMembershipResponse line;
  ASSERT_TRUE(reader->Read(&line));
  EXPECT_EQ(line.progress(), "under way");
  context.TryCancel();
  EXPECT_EQ(cancelled.wait_for(kPatience), std::future_status::ready);
  reader->Finish();
}

}  // namespace
}  // namespace cairn::server
