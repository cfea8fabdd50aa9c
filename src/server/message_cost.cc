#include "server/message_cost.h"

#include <google/protobuf/message.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/status.h"

namespace cairn::server {
namespace {

enum WireType : uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kLength = 2,
  kGroup = 3,
  kGroupEnd = 4,
  kFixed32 = 5
};

// A pointer in a repeated field that has just grown, with what the allocator adds.
constexpr size_t kPointerBytes = 16;
// The state machine's object for a value or statement, and the copy that is kept to send it again.
constexpr size_t kDomainBytes = 144;
// A string object. Longer texts lie on the heap.
constexpr size_t kStringBytes = 32;
constexpr size_t kInlineTextBytes = 15;
// The copies of a text: the decoded one, the one to send again, and the one in the encoded command.
constexpr size_t kTextCopies = 3;
// Protobuf keeps a field that this program does not know.
constexpr size_t kUnknownFieldBytes = 64;

struct Tag {
  uint32_t number = 0;
  uint8_t type = 0;
};

}  // namespace

// Reads the fields of a message one by one. False: the bytes are no message.
class WireCursor {
 public:
  explicit WireCursor(std::string_view bytes)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool over() const { return at_ == end_; }

  bool Varint(uint64_t* value) {
    if (at_ != end_ && static_cast<uint8_t>(*at_) < 0x80) {  // nearly all are one byte
      *value = static_cast<uint8_t>(*at_++);
      return true;
    }
    *value = 0;
    for (int shift = 0; shift < 70 && at_ != end_; shift += 7) {
      const auto byte = static_cast<uint8_t>(*at_++);
      *value |= static_cast<uint64_t>(byte & 0x7f) << (shift & 63);
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool Skip(size_t n) {
    if (n > static_cast<size_t>(end_ - at_)) return false;
    at_ += n;
    return true;
  }
  bool Next(Tag* tag) {
    uint64_t key = 0;
    if (!Varint(&key) || key > UINT32_MAX || key < 8) return false;
    tag->number = static_cast<uint32_t>(key >> 3);
    tag->type = static_cast<uint8_t>(key & 7);
    return true;
  }
  bool Piece(std::string_view* piece) {
    uint64_t length = 0;
    if (!Varint(&length) || length > static_cast<size_t>(end_ - at_)) return false;
    *piece = {at_, static_cast<size_t>(length)};
    at_ += length;
    return true;
  }
  // The value of a field that has no length.
  bool Number(uint8_t type, uint64_t* value) {
    switch (type) {
      case kVarint: return Varint(value);
      case kFixed64: return Skip(8);
      case kFixed32: return Skip(4);
      default: return type == kGroup || type == kGroupEnd;
    }
  }

 private:
  const char* at_;
  const char* const end_;
};

const MessageCost& MessageCost::Of(const google::protobuf::Descriptor* type) {
  static std::recursive_mutex mutex;
  static auto* const costs =
      new std::map<const google::protobuf::Descriptor*, std::unique_ptr<MessageCost>>;
  const std::lock_guard lock(mutex);
  std::unique_ptr<MessageCost>& cost = (*costs)[type];
  if (cost == nullptr) cost.reset(new MessageCost(type));
  return *cost;
}

MessageCost::MessageCost(const google::protobuf::Descriptor* type) : name_(type->full_name()) {
  using google::protobuf::FieldDescriptor;
  object_bytes_ =
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->SpaceUsedLong();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* const field = type->field(i);
    Field& out = fields_.at(static_cast<size_t>(field->number()));
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        out = {Kind::kMessage, &Of(field->message_type())};
        break;
      case FieldDescriptor::CPPTYPE_STRING: out.kind = Kind::kBytes; break;
      default: out.kind = Kind::kNumber;
    }
  }
}

Result<size_t> MessageCost::Of(std::string_view bytes) const {
  WireCursor in(bytes);
  size_t cost = bytes.size();
  if (Scan(&in, &cost)) return cost;
  return InvalidArgument("the bytes are no valid " + std::string(name_));
}

bool MessageCost::Scan(WireCursor* in, size_t* cost) const {
  *cost += object_bytes_ + kPointerBytes + kDomainBytes;
  int groups = 0;  // open groups; everything in them is unknown
  while (!in->over()) {
    Tag tag;
    if (!in->Next(&tag)) return false;
    const bool known = groups == 0 && tag.number < fields_.size();
    const Field& field = fields_[known ? tag.number : 0];  // no field has the number 0
    if (tag.type == kLength) {
      std::string_view piece;
      if (!in->Piece(&piece) || !ScanBytes(piece, field, cost)) return false;
      continue;
    }
    uint64_t value = 0;
    if (!in->Number(tag.type, &value)) return false;
    if (field.kind != Kind::kNumber) *cost += kUnknownFieldBytes;
    if (tag.type == kGroup) ++groups;
    if (tag.type == kGroupEnd && --groups < 0) return false;
  }
  return groups == 0;
}

bool MessageCost::ScanBytes(std::string_view bytes, const Field& field, size_t* cost) const {
  if (field.kind == Kind::kMessage) {
    WireCursor in(bytes);
    return field.message->Scan(&in, cost);
  }
  if (field.kind != Kind::kBytes) *cost += kUnknownFieldBytes;
  *cost += kStringBytes;
  if (bytes.size() > kInlineTextBytes) *cost += kTextCopies * (bytes.size() + kPointerBytes);
  return true;
}

Status ForEachPiece(std::string_view message, uint32_t number,
                    const std::function<Status(std::string_view)>& take) {
  WireCursor in(message);
  const Status malformed = InvalidArgument("the bytes are no valid message");
  while (!in.over()) {
    Tag tag;
    if (!in.Next(&tag)) return malformed;
    std::string_view piece;
    uint64_t value = 0;
    if (tag.type != kLength) {
      // No message of Cairn has groups.
      if (tag.type == kGroup || !in.Number(tag.type, &value)) return malformed;
      continue;
    }
    if (!in.Piece(&piece)) return malformed;
    if (tag.number == number) RETURN_IF_ERROR(take(piece));
  }
  return OkStatus();
}

uint64_t NumberOf(std::string_view message, uint32_t number) {
  WireCursor in(message);
  uint64_t found = 0;
  while (!in.over()) {
    Tag tag;
    std::string_view piece;
    uint64_t value = 0;
    if (!in.Next(&tag)) break;
    if (tag.type == kLength ? !in.Piece(&piece) : !in.Number(tag.type, &value)) break;
    if (tag.type == kVarint && tag.number == number) found = value;
  }
  return found;
}

}  // namespace cairn::server
