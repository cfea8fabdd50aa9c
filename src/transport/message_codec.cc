#include "transport/message_codec.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "raft/configuration_codec.h"

namespace cairn::transport {
namespace {

using raft::AppendReply;
using raft::AppendRequest;
using raft::DigestReport;
using raft::DigestVerdict;
using raft::Entry;
using raft::EntryType;
using raft::Heartbeat;
using raft::HeartbeatReply;
using raft::Message;
using raft::PreVoteReply;
using raft::PreVoteRequest;
using raft::ReadIndexReply;
using raft::ReadIndexRequest;
using raft::ResultReport;
using raft::ResultVerdict;
using raft::SnapshotOffer;
using raft::TimeoutNow;
using raft::VoteReply;
using raft::VoteRequest;

// These numbers are part of the protocol: never renumber them.
enum class Kind : uint8_t {
  kPreVoteRequest = 1,
  kPreVoteReply = 2,
  kVoteRequest = 3,
  kVoteReply = 4,
  kAppendRequest = 5,
  kAppendReply = 6,
  kHeartbeat = 7,
  kHeartbeatReply = 8,
  kSnapshotOffer = 9,
  kTimeoutNow = 10,
  kReadIndexRequest = 11,
  kReadIndexReply = 12,
  kDigestReport = 13,
  kDigestVerdict = 14,
  kResultReport = 15,
  kResultVerdict = 16,
};

// The term, the type and the length of an entry take at least one byte each.
constexpr size_t kEntryBytesMin = 3;

// There is one overload of Put for each kind. It writes the kind's number, then the fields in the
// order of raft/types.h.
class Encoder {
 public:
  explicit Encoder(std::string* out) : out_(out) {}

  void Header(Kind kind, const Message& message) {
    out_.U8(static_cast<uint8_t>(kind));
    Id(message.from);
    Id(message.to);
    Id(message.term);
  }

  void Put(const Message& m, const PreVoteRequest& b) {
    Header(Kind::kPreVoteRequest, m);
    Id(b.last_index);
    Id(b.last_term);
  }
  void Put(const Message& m, const PreVoteReply& b) {
    Header(Kind::kPreVoteReply, m);
    Bool(b.granted);
  }
  void Put(const Message& m, const VoteRequest& b) {
    Header(Kind::kVoteRequest, m);
    Id(b.last_index);
    Id(b.last_term);
    Bool(b.leadership_transfer);
  }
  void Put(const Message& m, const VoteReply& b) {
    Header(Kind::kVoteReply, m);
    Bool(b.granted);
  }
  void Put(const Message& m, const AppendRequest& b) {
    Header(Kind::kAppendRequest, m);
    Id(b.prev_index);
    Id(b.prev_term);
    Id(b.commit);
    out_.Varint(b.entries.size());
    LogIndex expected = b.prev_index;
    for (const Entry& entry : b.entries) {
      ++expected;
      CHECK(entry.index == expected)
          << "entry " << entry.index.value() << " where " << expected.value() << " belongs";
      Id(entry.term);
      out_.U8(static_cast<uint8_t>(entry.type));
      CHECK(entry.payload != nullptr) << "entry " << entry.index.value() << " has no payload";
      out_.String(*entry.payload);
    }
  }
  void Put(const Message& m, const AppendReply& b) {
    Header(Kind::kAppendReply, m);
    Bool(b.success);
    Id(b.index);
    Id(b.hint_index);
    Id(b.hint_term);
  }
  void Put(const Message& m, const Heartbeat& b) {
    Header(Kind::kHeartbeat, m);
    Id(b.commit);
    Id(b.read_id);
    Put(b.timing);
    Id(b.fresh_index);
    out_.Varint(b.fresh_age_ns);
  }
  void Put(const Message& m, const HeartbeatReply& b) {
    Header(Kind::kHeartbeatReply, m);
    Id(b.read_id);
    Bool(b.fitness.can_lead);
    Bool(b.fitness.takes_entries);
    Id(b.fitness.snapshot_min);
    Put(b.timing);
  }
  void Put(const Message& m, const SnapshotOffer& b) {
    Header(Kind::kSnapshotOffer, m);
    Id(b.meta.index);
    Id(b.meta.term);
    Id(b.meta.config_index);
    out_.String(raft::EncodeConfiguration(b.meta.config));
  }
  void Put(const Message& m, const TimeoutNow& b) {
    Header(Kind::kTimeoutNow, m);
    Id(b.last_index);
  }
  void Put(const Message& m, const ReadIndexRequest& b) {
    Header(Kind::kReadIndexRequest, m);
    out_.Varint(b.context);
  }
  void Put(const Message& m, const ReadIndexReply& b) {
    Header(Kind::kReadIndexReply, m);
    out_.Varint(b.context);
    Bool(b.ok);
    Id(b.index);
  }
  void Put(const Message& m, const DigestReport& b) {
    Header(Kind::kDigestReport, m);
    Id(b.index);
    out_.U64(b.a);
    out_.U64(b.b);
    Bool(b.damaged);
  }
  void Put(const Message& m, const DigestVerdict& b) {
    Header(Kind::kDigestVerdict, m);
    Id(b.index);
    out_.U64(b.a);
    out_.U64(b.b);
    Bool(b.leave);
  }
  void Put(const Message& m, const ResultReport& b) {
    Header(Kind::kResultReport, m);
    Id(b.first);
    out_.Varint(b.hashes.size());
    for (const uint64_t hash : b.hashes) out_.U64(hash);
  }
  void Put(const Message& m, const ResultVerdict& b) {
    Header(Kind::kResultVerdict, m);
    Id(b.index);
    out_.U64(b.hash);
    Bool(b.comparing);
  }

 private:
  template <class Tag>
  void Id(StrongId<Tag> id) {
    out_.Varint(id.value());
  }
  void Bool(bool b) { out_.U8(b ? 1 : 0); }
  void Put(const raft::Timing& timing) {
    for (const raft::Stamp& stamp : {timing.sent, timing.answers}) {
      out_.U64(stamp.life);
      out_.Varint(stamp.time_ns);
    }
  }

  ByteWriter out_;
};

// Like ByteReader, Decoder reads on past an error; `ok()` at the end tells. Braced initialisation
// evaluates its parts in order, so the function bodies below read like the layout.
class Decoder {
 public:
  explicit Decoder(std::string_view in) : in_(in) {}

  Result<Message> Decode() {
    const auto kind = static_cast<Kind>(in_.U8());
    Message message;
    message.from = Id<MemberId>();
    message.to = Id<MemberId>();
    message.term = Id<Term>();
    std::optional<raft::MessageBody> body = Body(kind);
    if (!body || !ok_ || !in_.done()) {
      return InvalidArgument("malformed peer message of kind " +
                             std::to_string(static_cast<int>(kind)));
    }
    if (message.from.is_none() || message.to.is_none()) {
      return InvalidArgument("peer message without sender or receiver");
    }
    message.body = *std::move(body);
    return message;
  }

 private:
  std::optional<raft::MessageBody> Body(Kind kind) {
    switch (kind) {
      case Kind::kPreVoteRequest: return PreVoteRequest{Id<LogIndex>(), Id<Term>()};
      case Kind::kPreVoteReply: return PreVoteReply{Bool()};
      case Kind::kVoteRequest: return VoteRequest{Id<LogIndex>(), Id<Term>(), Bool()};
      case Kind::kVoteReply: return VoteReply{Bool()};
      case Kind::kAppendRequest: return Append();
      case Kind::kAppendReply:
        return AppendReply{Bool(), Id<LogIndex>(), Id<LogIndex>(), Id<Term>()};
      case Kind::kHeartbeat:
        return Heartbeat{Id<LogIndex>(), Id<ReadId>(), TimingOf(), Id<LogIndex>(), in_.Varint()};
      case Kind::kHeartbeatReply:
        return HeartbeatReply{Id<ReadId>(), raft::Fitness{Bool(), Bool(), Id<LogIndex>()},
                              TimingOf()};
      case Kind::kSnapshotOffer: return Offer();
      case Kind::kTimeoutNow: return TimeoutNow{Id<LogIndex>()};
      case Kind::kReadIndexRequest: return ReadIndexRequest{in_.Varint()};
      case Kind::kReadIndexReply: return ReadIndexReply{in_.Varint(), Bool(), Id<LogIndex>()};
      case Kind::kDigestReport: return DigestReport{Id<LogIndex>(), in_.U64(), in_.U64(), Bool()};
      case Kind::kDigestVerdict: return DigestVerdict{Id<LogIndex>(), in_.U64(), in_.U64(), Bool()};
      case Kind::kResultReport: return Results();
      case Kind::kResultVerdict: return ResultVerdict{Id<LogIndex>(), in_.U64(), Bool()};
    }
    return std::nullopt;
  }

  AppendRequest Append() {
    AppendRequest body{Id<LogIndex>(), Id<Term>(), Id<LogIndex>(), {}};
    const uint64_t count = in_.Varint();
    // A count that the rest of the input cannot hold would let the input reserve any amount of
    // memory.
    if (count > in_.remaining() / kEntryBytesMin ||
        count > std::numeric_limits<uint64_t>::max() - body.prev_index.value()) {
      ok_ = false;
      return body;
    }
    body.entries.reserve(count);
    for (uint64_t i = 1; i <= count && ok_ && in_.ok(); ++i) {
      const Term term = Id<Term>();
      const uint8_t type = in_.U8();
      const std::string_view payload = in_.String();
      if (!in_.ok() || term.is_none() || type < static_cast<uint8_t>(EntryType::kNormal) ||
          type > static_cast<uint8_t>(EntryType::kConfig)) {
        ok_ = false;
        break;
      }
      body.entries.push_back(Entry{term, body.prev_index + i, static_cast<EntryType>(type),
                                   std::make_shared<const std::string>(payload)});
    }
    return body;
  }

  ResultReport Results() {
    ResultReport body{Id<LogIndex>(), {}};
    const uint64_t count = in_.Varint();
    if (count > in_.remaining() / sizeof(uint64_t)) {
      ok_ = false;
      return body;
    }
    body.hashes.reserve(count);
    for (uint64_t i = 0; i < count; ++i) body.hashes.push_back(in_.U64());
    return body;
  }

  SnapshotOffer Offer() {
    SnapshotOffer body;
    body.meta.index = Id<LogIndex>();
    body.meta.term = Id<Term>();
    body.meta.config_index = Id<LogIndex>();
    std::optional<raft::Configuration> config = raft::DecodeConfiguration(in_.String());
    if (config) {
      body.meta.config = *std::move(config);
    } else {
      ok_ = false;
    }
    return body;
  }

  raft::Timing TimingOf() { return {{in_.U64(), in_.Varint()}, {in_.U64(), in_.Varint()}}; }

  template <class StrongType>
  StrongType Id() {
    return StrongType(in_.Varint());
  }
  bool Bool() {
    const uint8_t value = in_.U8();
    if (value > 1) ok_ = false;
    return value == 1;
  }

  ByteReader in_;
  bool ok_ = true;
};

constexpr size_t kFixedCost = 128;   // header and every field of the largest fixed body
constexpr size_t kEntryCost = 32;    // term, type and length, and the Entry in memory
constexpr size_t kOfferCost = 4096;  // configuration of a SnapshotOffer

}  // namespace

void EncodeMessage(const Message& message, std::string* out) {
  Encoder encoder(out);
  std::visit([&](const auto& body) { encoder.Put(message, body); }, message.body);
}

Result<Message> DecodeMessage(std::string_view bytes) { return Decoder(bytes).Decode(); }

size_t MessageCost(const Message& message) {
  size_t cost = kFixedCost;
  if (const auto* append = std::get_if<AppendRequest>(&message.body)) {
    for (const Entry& entry : append->entries) cost += kEntryCost + entry.payload->size();
  } else if (std::holds_alternative<SnapshotOffer>(message.body)) {
    cost += kOfferCost;
  } else if (const auto* report = std::get_if<ResultReport>(&message.body)) {
    cost += report->hashes.size() * sizeof(uint64_t);
  }
  return cost;
}

}  // namespace cairn::transport
