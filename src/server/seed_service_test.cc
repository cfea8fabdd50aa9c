#include "server/seed_service.h"

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "cairn/v1/types.pb.h"
#include "rpc/proto_convert.h"
#include "server/service_harness_test_util.h"
#include "transaction.grpc.pb.h"

namespace cairn::server {
namespace {

// The contract as clients in the field were generated from it: rows_affected and version were
// int32.
constexpr char kOldProto[] = R"(
name: "old.proto" package: "transaction" syntax: "proto3"
message_type { name: "ExecuteRequest"
  field { name: "sql" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "ExecuteResponse"
  field { name: "rows_affected" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL } }
message_type { name: "PrepareRequest"
  field { name: "tx_id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "sql" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "args" number: 3 type: TYPE_STRING label: LABEL_REPEATED } }
message_type { name: "GetVersionRequest"
  field { name: "table" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "GetVersionResponse"
  field { name: "version" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL } }
)";

// Messages of the old contract, without generated code.
class OldClient {
 public:
  OldClient() {
    google::protobuf::FileDescriptorProto file;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(kOldProto, &file));
    pool_.BuildFile(file);
  }
  std::unique_ptr<google::protobuf::Message> New(const std::string& name) {
    const auto* type = pool_.FindMessageTypeByName("transaction." + name);
    return std::unique_ptr<google::protobuf::Message>(factory_.GetPrototype(type)->New());
  }
  std::string WithText(const std::string& name, const std::string& field,
                       const std::string& value) {
    auto message = New(name);
    message->GetReflection()->SetString(message.get(),
                                        message->GetDescriptor()->FindFieldByName(field), value);
    return message->SerializeAsString();
  }
  int32_t Int32Of(const std::string& name, const std::string& field, const std::string& bytes) {
    auto message = New(name);
    EXPECT_TRUE(message->ParseFromString(bytes));
    return message->GetReflection()->GetInt32(*message,
                                              message->GetDescriptor()->FindFieldByName(field));
  }

 private:
  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_{&pool_};
};

class SeedServiceTest : public ::testing::Test {
 protected:
  ~SeedServiceTest() override {
    replica_.Shutdown(SteadyTime(0));
    harness_.Stop();
  }
  FakeReplica replica_{&SystemClock()};
  ServiceHarness harness_{&replica_};
  std::unique_ptr<transaction::DatabaseService::Stub> stub_ =
      transaction::DatabaseService::NewStub(harness_.channel());
};

TEST_F(SeedServiceTest, AClientOfTheOldInt32ContractStillWorks) {
  OldClient old;
  auto executed = harness_.Call("/transaction.DatabaseService/Execute",
                                old.WithText("ExecuteRequest", "sql", "INSERT 1"));
  ASSERT_TRUE(executed.status.ok()) << executed.status.error_message();
  EXPECT_EQ(old.Int32Of("ExecuteResponse", "rows_affected", executed.bytes), 1);
  auto version = harness_.Call("/transaction.DatabaseService/GetVersion",
                               old.WithText("GetVersionRequest", "table", ""));
  ASSERT_TRUE(version.status.ok());
  EXPECT_EQ(old.Int32Of("GetVersionResponse", "version", version.bytes), 2);
  auto prepared = harness_.Call("/transaction.DatabaseService/Prepare",
                                old.WithText("PrepareRequest", "tx_id", "t"));
  EXPECT_TRUE(prepared.status.ok());
}

TEST_F(SeedServiceTest, ASelectInExecuteIsAnInvalidArgument) {
  grpc::ClientContext context;
  transaction::ExecuteRequest request;
  request.set_sql("SELECT 1");
  transaction::ExecuteResponse response;
  EXPECT_EQ(stub_->Execute(&context, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(SeedServiceTest, ArgumentsOfPrepareAreBoundAsText) {
  grpc::ClientContext context;
  transaction::PrepareRequest request;
  request.set_tx_id("t1");
  request.set_sql("INSERT INTO t VALUES (?1, ?2)");
  request.add_args("7");
  request.add_args(std::string("a\0b", 3));
  transaction::PrepareResponse response;
  ASSERT_TRUE(stub_->Prepare(&context, request, &response).ok());
  const auto commands = replica_.fake_state().commands();
  const auto& prepare = std::get<state_machine::Prepare>(commands.back().operation);
  EXPECT_EQ(prepare.tx_id, "t1");
  EXPECT_EQ(prepare.statement.positional,
            (std::vector<Value>{std::string("7"), std::string("a\0b", 3)}));
}

TEST_F(SeedServiceTest, ABatchIsOneCommandWithItsExpectations) {
  grpc::ClientContext context;
  transaction::ExecuteBatchRequest request;
  request.add_statements()->set_sql("INSERT INTO t VALUES (1)");
  transaction::BatchStatement* update = request.add_statements();
  update->set_sql("UPDATE t SET a = ?1 WHERE a = ?2");
  update->add_args("7");
  update->add_args("6");
  update->mutable_expect()->set_exactly(0);
  request.add_statements()->set_sql("INSERT INTO t VALUES (2)");
  transaction::ExecuteBatchResponse response;
  ASSERT_TRUE(stub_->ExecuteBatch(&context, request, &response).ok());
  EXPECT_EQ(response.results_size(), 3);
  const auto commands = replica_.fake_state().commands();
  const auto& execute = std::get<state_machine::Execute>(commands.back().operation);
  ASSERT_EQ(execute.statements.size(), 3u);
  EXPECT_EQ(execute.statements[1].positional, (std::vector<Value>{"7", "6"}));
  ASSERT_EQ(execute.expect.size(), 3u);
  EXPECT_EQ(execute.expect[0], RowExpectation());
  EXPECT_EQ(execute.expect[1], (RowExpectation{RowExpectation::Kind::kExactly, 0}));
  // Without any expectation it is what every version knows.
  request.mutable_statements(1)->clear_expect();
  grpc::ClientContext again;
  ASSERT_TRUE(stub_->ExecuteBatch(&again, request, &response).ok());
  const auto plain = replica_.fake_state().commands();
  EXPECT_TRUE(std::get<state_machine::Execute>(plain.back().operation).expect.empty());
}

// Such as one of a later version. The statement must not run without it.
TEST_F(SeedServiceTest, AnExpectationOfAnUnknownKindIsRefused) {
  grpc::ClientContext context;
  transaction::ExecuteBatchRequest request;
  request.add_statements()->set_sql("INSERT INTO t VALUES (1)");
  request.mutable_statements(0)->mutable_expect();
  transaction::ExecuteBatchResponse response;
  EXPECT_EQ(stub_->ExecuteBatch(&context, request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(replica_.fake_state().commands().empty());
}

TEST_F(SeedServiceTest, ARequestIdInTheMetadataIsUsedAndABadOneRefused) {
  const auto execute = [&](const std::string& id) {
    grpc::ClientContext context;
    context.AddMetadata(rpc::kRequestIdMetadata, id);
    transaction::ExecuteRequest request;
    request.set_sql("INSERT " + id);
    transaction::ExecuteResponse response;
    return stub_->Execute(&context, request, &response).error_code();
  };
  EXPECT_EQ(execute("order-17"), grpc::StatusCode::OK);
  EXPECT_EQ(execute("order-17"), grpc::StatusCode::OK);
  EXPECT_EQ(replica_.fake_state().executions("INSERT order-17"), 1);
  EXPECT_EQ(replica_.fake_state().commands()[0].id, (state_machine::RequestId{"order-17", 0}));
  EXPECT_EQ(execute("order-18/1"), grpc::StatusCode::OK);
  EXPECT_EQ(execute("order-17/2"), grpc::StatusCode::FAILED_PRECONDITION) << "no such session";
  for (const char* bad : {"/1", "s/0", "s/x", "s/", "s/18446744073709551616", "s/-1"}) {
    EXPECT_EQ(execute(bad), grpc::StatusCode::INVALID_ARGUMENT) << bad;
  }
  EXPECT_EQ(execute(std::string(65, 's')), grpc::StatusCode::INVALID_ARGUMENT);
}

// Its answer would be OK with 0 rows. The other calls answer OK alone, so nothing of their answers
// is gone.
// The status of a call under a request id, and the detail of its error.
template <class Request, class Response, class Call>
grpc::StatusCode CallAs(const char* id, const Request& request, Response* response, Call call,
                        v1::ErrorDetail* detail) {
  grpc::ClientContext context;
  context.AddMetadata(rpc::kRequestIdMetadata, id);
  const grpc::Status status = call(&context, request, response);
  const auto& trailers = context.GetServerTrailingMetadata();
  if (const auto it = trailers.find(rpc::kErrorMetadata); it != trailers.end()) {
    detail->ParseFromArray(it->second.data(), static_cast<int>(it->second.size()));
  }
  return status.error_code();
}

TEST_F(SeedServiceTest, ARetryWhoseResultIsGoneIsNotAnsweredOk) {
  replica_.fake_state().DropResults();
  const auto expect_gone = [](auto call) {
    v1::ErrorDetail detail;
    EXPECT_EQ(call(&detail), grpc::StatusCode::OK);
    EXPECT_EQ(call(&detail), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_EQ(detail.outcome(), v1::OUTCOME_APPLIED);
  };
  expect_gone([this](v1::ErrorDetail* detail) {
    transaction::ExecuteRequest request;
    request.set_sql("INSERT 1");
    transaction::ExecuteResponse response;
    const auto call = [this](auto... all) { return stub_->Execute(all...); };
    return CallAs("S/1", request, &response, call, detail);
  });
  EXPECT_EQ(replica_.fake_state().executions("INSERT 1"), 1);
  expect_gone([this](v1::ErrorDetail* detail) {
    transaction::ExecuteBatchRequest request;
    request.add_statements()->set_sql("INSERT 2");
    transaction::ExecuteBatchResponse response;
    const auto call = [this](auto... all) { return stub_->ExecuteBatch(all...); };
    return CallAs("S/2", request, &response, call, detail);
  });
  EXPECT_EQ(replica_.fake_state().executions("INSERT 2"), 1);
}

TEST_F(SeedServiceTest, ErrorsTellOutcomeAndLeaderInTheTrailers) {
  grpc::ClientContext context;
  transaction::ExecuteRequest request;
  request.set_sql("FAIL");
  transaction::ExecuteResponse response;
  const grpc::Status status = stub_->Execute(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find(rpc::kErrorMetadata);
  ASSERT_NE(found, trailers.end());
  v1::ErrorDetail detail;
  ASSERT_TRUE(detail.ParseFromArray(found->second.data(), static_cast<int>(found->second.size())));
  EXPECT_EQ(detail.outcome(), v1::OUTCOME_APPLIED);
}

TEST_F(SeedServiceTest, WithoutALeaderGetVersionAnswersZeroAndHealthIsUnavailable) {
  grpc::ClientContext before;
  transaction::Empty empty;
  EXPECT_TRUE(stub_->CheckHealth(&before, empty, &empty).ok());
  replica_.SetLeader(false, std::nullopt);
  grpc::ClientContext context;
  transaction::GetVersionResponse response;
  response.set_version(99);
  const grpc::Status status = stub_->GetVersion(&context, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.version(), 0);
  grpc::ClientContext after;
  EXPECT_EQ(stub_->CheckHealth(&after, empty, &empty).error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace cairn::server
