#include "server/result_encoder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cairn/v1/database.pb.h"
#include "rpc/proto_convert.h"
#include "server/wire_encoding.h"

namespace cairn::server {
namespace {

constexpr size_t kFreeBytes = 1024;

std::vector<Row> SomeRows() {
  return {{int64_t{0}, int64_t{-1}, int64_t{INT64_MIN}},
          {},
          {Value(), 2.5, std::string("text")},
          {std::string("\xff not UTF-8"), Blob{std::string("\0\xfe", 2)}, std::string()},
          {std::string(70'000, 'x'), Blob{}, int64_t{INT64_MAX}}};
}

TEST(ResultEncoder, GivesTheBytesOfAQueryResult) {
  MemoryShare share("results", 1 << 20);
  ResultEncoder encoder(&share, kFreeBytes);
  encoder.Begin(LogIndex(7));
  ASSERT_TRUE(encoder.AddRow({int64_t{1}}));
  encoder.Begin(LogIndex(9));  // voids what came before
  ASSERT_TRUE(encoder.AddColumns({{"a", "INTEGER"}, {"b", ""}}));
  for (const Row& row : SomeRows()) ASSERT_TRUE(encoder.AddRow(row));

  v1::QueryResult result;
  ASSERT_TRUE(result.ParseFromString(encoder.TakeBytes()));
  EXPECT_EQ(result.index(), 9u);
  ASSERT_EQ(result.columns_size(), 2);
  EXPECT_EQ(result.columns(0).name(), "a");
  EXPECT_EQ(result.columns(0).decl_type(), "INTEGER");
  const std::vector<Row> rows = SomeRows();
  ASSERT_EQ(result.rows_size(), static_cast<int>(rows.size()));
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rpc::FromProto(result.mutable_rows(static_cast<int>(i))), rows[i]) << i;
  }
}

TEST(ResultEncoder, ChargesWhatIsNotSmallBeforeItTakesTheMemory) {
  MemoryShare share("results", 1 << 20);
  ResultEncoder encoder(&share, kFreeBytes);
  encoder.Begin(LogIndex(1));
  ASSERT_TRUE(encoder.AddRow({std::string(kFreeBytes / 4, 'x')}));
  EXPECT_EQ(encoder.TakeCharge().bytes(), 0u) << "small";

  ResultEncoder large(&share, kFreeBytes);
  large.Begin(LogIndex(1));
  ASSERT_TRUE(large.AddRow({std::string(100'000, 'x')}));
  EXPECT_FALSE(large.AddRow({std::string(1 << 20, 'x')})) << "past the share";
  EXPECT_LT(large.bytes(), 200'000u);
  EXPECT_GE(large.TakeCharge().bytes(), 100'000u);
}

TEST(WireEncoding, FieldsFollowEachOtherAsOneMessage) {
  v1::SessionResponse head;
  head.set_id(300);
  v1::QueryResult result;
  result.set_index(5);
  result.add_rows()->add_values()->set_text(std::string(10'000, 'y'));
  std::vector<grpc::Slice> fields;
  for (int i = 0; i < 3; ++i) {
    fields.push_back(EncodeField(v1::SessionResponses::kResponsesFieldNumber, head));
  }
  fields.push_back(EncodeField(v1::SessionResponses::kResponsesFieldNumber, head,
                               v1::SessionResponse::kQueryFieldNumber, result.SerializeAsString()));
  v1::Leader leader;
  leader.set_address("h:1");
  fields.push_back(EncodeField(v1::SessionResponses::kLeaderFieldNumber, leader));

  grpc::Slice all;
  ASSERT_TRUE(JoinFields(fields).DumpToSingleSlice(&all).ok());
  v1::SessionResponses message;
  ASSERT_TRUE(message.ParseFromArray(all.begin(), static_cast<int>(all.size())));
  ASSERT_EQ(message.responses_size(), 4);
  EXPECT_EQ(message.responses(2).id(), 300u);
  EXPECT_EQ(message.responses(3).id(), 300u);
  EXPECT_EQ(message.responses(3).query().rows(0).values(0).text().size(), 10'000u);
  EXPECT_EQ(message.leader().address(), "h:1");
}

}  // namespace
}  // namespace cairn::server
