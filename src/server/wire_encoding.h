// Messages put together from encoded fields. Protobuf lets fields follow each other in any order,
// so a response is encoded as soon as it is made, and its objects are gone before it waits for the
// client.
#pragma once

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::server {

// The bytes that the field `number` takes with `bytes` bytes in it.
size_t FieldBytes(uint32_t number, size_t bytes);
// Appends a field of type bytes, or of a message whose encoding is `bytes`.
void AppendField(uint32_t number, std::string_view bytes, std::string* out);
// Appends a field of a message type.
void AppendField(uint32_t number, const google::protobuf::MessageLite& message, std::string* out);

// The field `number` of an outer message. Its message is `head`, followed by the field
// `tail_number` if there is a `tail`.
grpc::Slice EncodeField(uint32_t number, const google::protobuf::MessageLite& head,
                        uint32_t tail_number = 0, std::string_view tail = {});

// The message of these fields. Small fields are copied together, because gRPC handles each slice
// separately.
grpc::ByteBuffer JoinFields(const std::vector<grpc::Slice>& fields);

}  // namespace cairn::server
