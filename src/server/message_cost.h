// MessageCost: the memory that a message takes once it is decoded, found from its bytes alone.
//
// Sixteen megabytes of empty requests become two gigabytes of objects. So the bytes are looked
// through first, which allocates nothing, and a message that is too expensive is refused before an
// object of it exists.
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
  // The cost of a message type whose messages do not contain each other. Made once for each type.
  static const MessageCost& Of(const google::protobuf::Descriptor* type);

  // The bytes of memory of the message as it came, of the objects that protobuf makes of it, and of
  // the command that is made of those. The answer is never less than the real size.
  // INVALID_ARGUMENT for bytes that are no message, though not all such bytes are found here.
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
