#include "server/message_cost.h"

#include <gtest/gtest.h>

#include <string>

#include "base/thread_memory.h"
#include "cairn/v1/database.pb.h"
#include "rpc/proto_convert.h"
#include "server/convert.h"

namespace cairn::server {
namespace {

const MessageCost& CostOfExecute() { return MessageCost::Of(v1::ExecuteRequest::descriptor()); }

// The memory that decoding really takes, with the command that is made of the message and the bytes
// themselves.
int64_t Measured(const std::string& bytes) {
  const int64_t before = ThreadHeapBytes();
  v1::ExecuteRequest request;
  EXPECT_TRUE(request.ParseFromString(bytes));
  const Result<state_machine::Command> command = ToCommand(&request);
  return ThreadHeapBytes() - before + static_cast<int64_t>(bytes.size());
}

void ExpectCovered(const std::string& bytes, const char* what) {
  const Result<size_t> cost = CostOfExecute().Of(bytes);
  ASSERT_TRUE(cost.ok()) << what;
  EXPECT_GE(static_cast<int64_t>(*cost), Measured(bytes)) << what;
}

TEST(MessageCost, IsNoLessThanWhatDecodingTakes) {
  v1::ExecuteRequest nulls;
  nulls.add_statements()->set_sql("INSERT INTO t VALUES (?)");
  for (int i = 0; i < 300'000; ++i) nulls.mutable_statements(0)->add_positional();
  ExpectCovered(nulls.SerializeAsString(), "NULLs");

  v1::ExecuteRequest texts = nulls;
  for (auto& value : *texts.mutable_statements(0)->mutable_positional())
    value.set_text("12 bytes long");
  ExpectCovered(texts.SerializeAsString(), "short texts");
  for (auto& value : *texts.mutable_statements(0)->mutable_positional()) {
    value.set_text("a text that lies on the heap");
  }
  ExpectCovered(texts.SerializeAsString(), "texts");

  v1::ExecuteRequest named;
  named.add_statements();
  for (int i = 0; i < 100'000; ++i) named.mutable_statements(0)->add_named()->set_name(":a");
  ExpectCovered(named.SerializeAsString(), "named parameters");

  v1::ExecuteRequest statements;
  for (int i = 0; i < 200'000; ++i) statements.add_statements();
  ExpectCovered(statements.SerializeAsString(), "empty statements");

  v1::ExecuteRequest blob;
  blob.add_statements()->add_positional()->set_blob(std::string(5 << 20, '\0'));
  ExpectCovered(blob.SerializeAsString(), "a blob");

  std::string unknown;
  for (int i = 0; i < 300'000; ++i) unknown += std::string("\xf0\x01\x01", 3);  // field 30: 1
  ExpectCovered(unknown, "unknown numbers");
  unknown.clear();
  for (int i = 0; i < 300'000; ++i) unknown += std::string("\xf2\x01\x00", 3);  // field 30: ""
  ExpectCovered(unknown, "unknown texts");
  unknown.clear();
  for (int i = 0; i < 200'000; ++i) unknown += std::string("\xf3\x01\xf4\x01", 4);
  ExpectCovered(unknown, "unknown groups");
}

TEST(MessageCost, OfASmallRequestIsSmall) {
  v1::ExecuteRequest request;
  v1::Statement* const statement = request.add_statements();
  statement->set_sql("INSERT INTO t VALUES (?, ?, ?)");
  for (int i = 0; i < 3; ++i) statement->add_positional()->set_integer(i);
  const Result<size_t> cost = CostOfExecute().Of(request.SerializeAsString());
  ASSERT_TRUE(cost.ok());
  EXPECT_LT(*cost, 2000U);
}

TEST(MessageCost, BytesThatAreNoMessageAreToldWhereTheyShow) {
  for (const std::string& bytes :
       {std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), std::string("\x0a\x7f\x0a"),
        std::string("\x0a"), std::string("\x00\x01", 2), std::string("\xf4\x01"),
        std::string("\xf3\x01"), std::string("\x0f"), std::string("\x09\x01")}) {
    EXPECT_EQ(CostOfExecute().Of(bytes).status().code(), StatusCode::kInvalidArgument);
  }
  EXPECT_TRUE(CostOfExecute().Of("").ok());
}

TEST(MessageCost, TheRequestsOfASessionAreFoundOneByOne) {
  v1::SessionRequests requests;
  for (uint64_t id : {7U, 300U, 0U}) requests.add_requests()->set_id(id);
  requests.mutable_requests(1)->mutable_execute()->add_statements()->set_sql("x");
  std::vector<uint64_t> ids;
  EXPECT_TRUE(ForEachPiece(requests.SerializeAsString(), 1, [&](std::string_view request) {
                ids.push_back(NumberOf(request, 1));
                return OkStatus();
              }).ok());
  EXPECT_EQ(ids, (std::vector<uint64_t>{7, 300, 0}));
  EXPECT_FALSE(ForEachPiece("\x0a\x7f", 1, [](std::string_view) { return OkStatus(); }).ok());
}

}  // namespace
}  // namespace cairn::server
