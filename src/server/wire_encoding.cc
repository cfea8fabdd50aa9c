#include "server/wire_encoding.h"

#include <google/protobuf/io/coded_stream.h>

#include <cstring>

namespace cairn::server {
namespace {

using google::protobuf::io::CodedOutputStream;

// A larger field is a slice of its own.
constexpr size_t kSmallFieldBytes = 4 << 10;

uint32_t TagOf(uint32_t number) { return number << 3 | 2; }  // of a field with a length

uint8_t* WriteHead(uint32_t number, size_t bytes, uint8_t* at) {
  at = CodedOutputStream::WriteVarint32ToArray(TagOf(number), at);
  return CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(bytes), at);
}

// Makes room for the field, and writes its head. Returns the place of its bytes.
uint8_t* Extend(uint32_t number, size_t bytes, std::string* out) {
  const size_t begin = out->size();
  out->resize(begin + FieldBytes(number, bytes));
  return WriteHead(number, bytes, reinterpret_cast<uint8_t*>(out->data()) + begin);
}

void Copy(std::string_view bytes, uint8_t* at) {
  if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
}

grpc::Slice Concatenate(const grpc::Slice* fields, size_t count, size_t bytes) {
  grpc::Slice all(bytes);
  auto* at = const_cast<uint8_t*>(all.begin());
  for (const grpc::Slice* field = fields; field != fields + count; ++field) {
    std::memcpy(at, field->begin(), field->size());
    at += field->size();
  }
  return all;
}

}  // namespace

size_t FieldBytes(uint32_t number, size_t bytes) {
  return CodedOutputStream::VarintSize32(TagOf(number)) +
         CodedOutputStream::VarintSize32(static_cast<uint32_t>(bytes)) + bytes;
}

void AppendField(uint32_t number, std::string_view bytes, std::string* out) {
  Copy(bytes, Extend(number, bytes.size(), out));
}

void AppendField(uint32_t number, const google::protobuf::MessageLite& message, std::string* out) {
  message.SerializeWithCachedSizesToArray(Extend(number, message.ByteSizeLong(), out));
}

grpc::Slice EncodeField(uint32_t number, const google::protobuf::MessageLite& head,
                        uint32_t tail_number, std::string_view tail) {
  const size_t head_bytes = head.ByteSizeLong();
  const size_t bytes = head_bytes + (tail_number == 0 ? 0 : FieldBytes(tail_number, tail.size()));
  grpc::Slice field(FieldBytes(number, bytes));
  uint8_t* at = WriteHead(number, bytes, const_cast<uint8_t*>(field.begin()));
  at = head.SerializeWithCachedSizesToArray(at);
  if (tail_number != 0) Copy(tail, WriteHead(tail_number, tail.size(), at));
  return field;
}

grpc::ByteBuffer JoinFields(const std::vector<grpc::Slice>& fields) {
  std::vector<grpc::Slice> slices;
  for (size_t i = 0; i < fields.size();) {
    size_t end = i;
    size_t bytes = 0;
    while (end < fields.size() && fields[end].size() <= kSmallFieldBytes) {
      bytes += fields[end++].size();
    }
    if (end > i + 1) {
      slices.push_back(Concatenate(&fields[i], end - i, bytes));
      i = end;
    } else {
      slices.push_back(fields[i++]);
    }
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace cairn::server
