#include "transport/message_codec.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace cairn::transport {
namespace {

using raft::Entry;
using raft::EntryType;
using raft::Message;

std::string Encode(const Message& message) {
  std::string bytes;
  EncodeMessage(message, &bytes);
  return bytes;
}

Entry MakeEntry(uint64_t term, uint64_t index, EntryType type, std::string payload) {
  return {Term(term), LogIndex(index), type,
          std::make_shared<const std::string>(std::move(payload))};
}

raft::Configuration MakeConfiguration() {
  raft::Configuration config;
  for (uint64_t id : {3, 5, 9}) {
    if (id == 9) {
      config.learners.insert(MemberId(id));
    } else {
      config.voters.insert(MemberId(id));
    }
    config.info[MemberId(id)] = {id, "hub" + std::to_string(id) + ":50051", id * 77};
  }
  config.next_member_id = 10;
  return config;
}

// One message of each kind.
std::vector<Message> OneOfEach() {
  const std::vector<raft::MessageBody> bodies = {
      raft::PreVoteRequest{LogIndex(7), Term(2)},
      raft::PreVoteReply{true},
      raft::VoteRequest{LogIndex(9), Term(3), true},
      raft::VoteReply{false},
      raft::AppendRequest{
          LogIndex(10),
          Term(3),
          LogIndex(8),
          {MakeEntry(3, 11, EntryType::kNormal, "abc"), MakeEntry(4, 12, EntryType::kNoop, ""),
           MakeEntry(4, 13, EntryType::kConfig, std::string(300, '\0'))}},
      raft::AppendReply{false, LogIndex(10), LogIndex(6), Term(2)},
      raft::Heartbeat{LogIndex(5), ReadId(12)},
      raft::HeartbeatReply{ReadId(12)},
      raft::HeartbeatReply{ReadId(13), raft::Fitness{false, true, LogIndex(9)}},
      raft::SnapshotOffer{{LogIndex(1000), Term(4), MakeConfiguration(), LogIndex(20)}},
      raft::TimeoutNow{LogIndex(13)},
      raft::ReadIndexRequest{1ull << 63},
      raft::ReadIndexReply{17, true, LogIndex(13)},
      raft::DigestReport{LogIndex(13), 1ull << 63, 5, true},
      raft::DigestVerdict{LogIndex(13), 5, 1ull << 63, false},
      raft::Heartbeat{LogIndex(5), ReadId(12), {{1, 2}, {UINT64_MAX, 3}}, LogIndex(7), 8'000'000},
      raft::HeartbeatReply{ReadId(12), {}, {{UINT64_MAX, UINT64_MAX}, {4, 5}}},
      raft::ResultReport{LogIndex(14), {1, 1ull << 63, 0}},
      raft::ResultVerdict{LogIndex(14), 1ull << 63, true},
  };
  std::vector<Message> messages;
  messages.reserve(bodies.size());
  for (const raft::MessageBody& body : bodies) {
    messages.push_back({MemberId(1), MemberId(2), Term(4), body});
  }
  return messages;
}

TEST(MessageCodec, EveryKindComesBackAsItWas) {
  for (const Message& message : OneOfEach()) {
    const std::string bytes = Encode(message);
    const Result<Message> decoded = DecodeMessage(bytes);
    ASSERT_TRUE(decoded.ok()) << message.body.index() << ": " << decoded.status();
    EXPECT_EQ(decoded->from, message.from);
    EXPECT_EQ(decoded->to, message.to);
    EXPECT_EQ(decoded->term, message.term);
    EXPECT_EQ(decoded->body.index(), message.body.index());
    // Each value has one encoding, so equal bytes mean equal messages.
    EXPECT_EQ(Encode(*decoded), bytes);
  }
}

TEST(MessageCodec, FieldsOfAnAppendRequestAreWhatWasSent) {
  const Message message = OneOfEach()[4];
  const auto decoded = DecodeMessage(Encode(message));
  ASSERT_TRUE(decoded.ok());
  const auto& body = std::get<raft::AppendRequest>(decoded->body);
  EXPECT_EQ(body.prev_index, LogIndex(10));
  EXPECT_EQ(body.prev_term, Term(3));
  EXPECT_EQ(body.commit, LogIndex(8));
  ASSERT_EQ(body.entries.size(), 3u);
  EXPECT_EQ(body.entries[0].index, LogIndex(11));
  EXPECT_EQ(*body.entries[0].payload, "abc");
  EXPECT_EQ(body.entries[1].type, EntryType::kNoop);
  EXPECT_EQ(body.entries[2].index, LogIndex(13));
  EXPECT_EQ(body.entries[2].term, Term(4));
  EXPECT_EQ(body.entries[2].payload->size(), 300u);
}

TEST(MessageCodec, ASnapshotOfferCarriesItsConfiguration) {
  const auto decoded = DecodeMessage(Encode(OneOfEach()[9]));
  ASSERT_TRUE(decoded.ok());
  const auto& meta = std::get<raft::SnapshotOffer>(decoded->body).meta;
  EXPECT_EQ(meta.config, MakeConfiguration());
  EXPECT_EQ(meta.index, LogIndex(1000));
  EXPECT_EQ(meta.config_index, LogIndex(20));
}

TEST(MessageCodec, EveryPrefixAndEverySuffixIsRefused) {
  for (const Message& message : OneOfEach()) {
    const std::string bytes = Encode(message);
    for (size_t n = 0; n < bytes.size(); ++n) {
      EXPECT_EQ(DecodeMessage(bytes.substr(0, n)).status().code(), StatusCode::kInvalidArgument)
          << "kind " << message.body.index() << " cut at " << n;
    }
    EXPECT_FALSE(DecodeMessage(bytes + '\0').ok());
  }
}

TEST(MessageCodec, ACountThatTheInputCannotHoldIsRefusedBeforeMemoryIsReserved) {
  std::string bytes;
  ByteWriter writer(&bytes);
  writer.U8(5);  // AppendRequest
  for (int i = 0; i < 6; ++i) writer.Varint(1);
  writer.Varint(1ull << 60);
  EXPECT_EQ(DecodeMessage(bytes).status().code(), StatusCode::kInvalidArgument);
}

TEST(MessageCodec, IndexesThatWouldWrapAreRefused) {
  std::string bytes;
  ByteWriter writer(&bytes);
  writer.U8(5);
  for (int i = 0; i < 3; ++i) writer.Varint(1);
  writer.Varint(~0ull);  // prev_index
  for (int i = 0; i < 2; ++i) writer.Varint(1);
  writer.Varint(1);  // one entry
  writer.Varint(1);
  writer.U8(1);
  writer.String("x");
  EXPECT_EQ(DecodeMessage(bytes).status().code(), StatusCode::kInvalidArgument);
}

TEST(MessageCodec, SenderAndReceiverMustBeNamed) {
  Message message{MemberId(0), MemberId(2), Term(1), raft::VoteReply{true}};
  EXPECT_FALSE(DecodeMessage(Encode(message)).ok());
  message = {MemberId(1), MemberId(0), Term(1), raft::VoteReply{true}};
  EXPECT_FALSE(DecodeMessage(Encode(message)).ok());
}

TEST(MessageCodec, CostIsAnUpperBoundOfTheBytes) {
  for (const Message& message : OneOfEach()) {
    EXPECT_LE(Encode(message).size(), MessageCost(message)) << message.body.index();
  }
}

TEST(MessageCodec, AnyAppendRequestComesBack) {
  const bool ok = rc::check([] {
    raft::AppendRequest body;
    body.prev_index = LogIndex(*rc::gen::inRange<uint64_t>(0, 1ull << 62));
    body.prev_term = Term(*rc::gen::arbitrary<uint64_t>());
    body.commit = LogIndex(*rc::gen::arbitrary<uint64_t>());
    const auto payloads = *rc::gen::arbitrary<std::vector<std::string>>();
    LogIndex index = body.prev_index;
    for (const std::string& payload : payloads) {
      ++index;
      body.entries.push_back(MakeEntry(*rc::gen::inRange<uint64_t>(1, ~0ull), index.value(),
                                       static_cast<EntryType>(*rc::gen::inRange(1, 4)), payload));
    }
    const Message message{MemberId(*rc::gen::inRange<uint64_t>(1, ~0ull)), MemberId(2),
                          Term(*rc::gen::arbitrary<uint64_t>()), body};
    const std::string bytes = Encode(message);
    RC_ASSERT(bytes.size() <= MessageCost(message));
    const auto decoded = DecodeMessage(bytes);
    RC_ASSERT(decoded.ok());
    RC_ASSERT(Encode(*decoded) == bytes);
    const auto& back = std::get<raft::AppendRequest>(decoded->body);
    RC_ASSERT(back.entries.size() == body.entries.size());
    for (size_t i = 0; i < back.entries.size(); ++i) {
      RC_ASSERT(back.entries[i].index == body.entries[i].index);
      RC_ASSERT(back.entries[i].term == body.entries[i].term);
      RC_ASSERT(back.entries[i].type == body.entries[i].type);
      RC_ASSERT(*back.entries[i].payload == *body.entries[i].payload);
    }
  });
  EXPECT_TRUE(ok);
}

TEST(MessageCodec, GarbageNeverCrashesAndWhatIsAcceptedCanBeEncoded) {
  const bool ok = rc::check([] {
    // Damages real messages too, because random bytes alone seldom get past the first fields.
    std::string bytes = *rc::gen::arbitrary<std::string>();
    if (*rc::gen::arbitrary<bool>()) {
      const auto all = OneOfEach();
      bytes = Encode(all[*rc::gen::inRange<size_t>(0, all.size())]);
      const int damages = *rc::gen::inRange(1, 4);
      for (int i = 0; i < damages; ++i) {
        bytes[*rc::gen::inRange<size_t>(0, bytes.size())] = *rc::gen::arbitrary<char>();
      }
    }
    const auto decoded = DecodeMessage(bytes);
    if (!decoded.ok()) {
      RC_ASSERT(decoded.status().code() == StatusCode::kInvalidArgument);
      return;
    }
    const auto again = DecodeMessage(Encode(*decoded));
    RC_ASSERT(again.ok());
    RC_ASSERT(Encode(*again) == Encode(*decoded));
  });
  EXPECT_TRUE(ok);
}

}  // namespace
}  // namespace cairn::transport
