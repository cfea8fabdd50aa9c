// MessageCost: what a message takes in memory once it is decoded, seen from its bytes alone.
//
// Sixteen megabytes of empty requests are two gigabytes of objects. So the bytes are looked through
// first, which allocates nothing, and what is dear is refused before an object of it exists.
#pragma once

#include <google/protobuf/descriptor.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "base/result.h"

namespace cairn::server {

// Reads the fields of a message's bytes one by one.
class WireCursor;

class MessageCost {
 public:
  // Of a type whose messages do not hold each other. Made once for each type.
  static const MessageCost& Of(const google::protobuf::Descriptor* type);

  // Bytes of memory, never less than those of the objects: of the message as it came, of what is
  // made of it by protobuf, and of the command that is made of that. INVALID_ARGUMENT for bytes that
  // are no message; not all of those are found here.
  Result<size_t> Of(std::string_view bytes) const;

 private:
  enum class Kind : uint8_t { kUnknown, kNumber, kBytes, kMessage };
  struct Field {
    Kind kind = Kind::kUnknown;
    const MessageCost* message = nullptr;
  };

  explicit MessageCost(const google::protobuf::Descriptor* type);
  bool Scan(WireCursor* in, size_t* cost) const;
  bool ScanBytes(std::string_view bytes, const Field& field, size_t* cost) const;

  const std::string_view name_;
  size_t object_bytes_ = 0;
  std::array<Field, 32> fields_;  // by number
};

// Calls `take(std::string_view)` with the bytes of each field `number` that has a length, in order,
// until it gives an error. INVALID_ARGUMENT for bytes that are no message.
Status ForEachPiece(std::string_view message, uint32_t number,
                    const std::function<Status(std::string_view)>& take);
// The last value of the varint field `number`; 0 if there is none.
uint64_t NumberOf(std::string_view message, uint32_t number);

}  // namespace cairn::server
