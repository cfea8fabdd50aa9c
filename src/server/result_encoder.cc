#include "server/result_encoder.h"

#include <utility>

#include "cairn/v1/database.pb.h"
#include "rpc/proto_convert.h"
#include "server/wire_encoding.h"

namespace cairn::server {

void ResultEncoder::Begin(LogIndex index) {
  bytes_.clear();
  decoded_objects_ = 0;
  v1::QueryResult head;
  head.set_index(index.value());
  head.AppendToString(&bytes_);
}

bool ResultEncoder::AddColumns(const std::vector<Column>& columns) {
  for (const Column& column : columns) {
    v1::Column encoded;
    rpc::ToProto(Column(column), &encoded);
    ++decoded_objects_;
    if (!Reserve(FieldBytes(v1::QueryResult::kColumnsFieldNumber, encoded.ByteSizeLong()))) {
      return false;
    }
    AppendField(v1::QueryResult::kColumnsFieldNumber, encoded, &bytes_);
  }
  return true;
}

bool ResultEncoder::AddRow(Row row) {
  row_.clear();
  decoded_objects_ += row.size() + 1;
  for (Value& value : row) {
    v1::Value encoded;
    rpc::ToProto(std::move(value), &encoded);
    AppendField(v1::Row::kValuesFieldNumber, encoded, &row_);
  }
  if (!Reserve(FieldBytes(v1::QueryResult::kRowsFieldNumber, row_.size()))) return false;
  AppendField(v1::QueryResult::kRowsFieldNumber, row_, &bytes_);
  return true;
}

// The charge grows before the memory does, and by a half, so that it grows seldom.
bool ResultEncoder::Reserve(size_t bytes) {
  const size_t wanted = bytes_.size() + bytes;
  if (wanted <= bytes_.capacity()) return true;
  const size_t capacity = wanted + wanted / 2;
  if (capacity > free_bytes_ && !charge_.TryResize(capacity)) return false;
  bytes_.reserve(capacity);
  return true;
}

}  // namespace cairn::server
