#pragma once

#include <cstddef>
#include <string>
#include <variant>

#include "cairn/value.h"
#include "state_machine/command.h"

namespace cairn::state_machine {

// Bytes of a text or a blob. Other values have none.
inline size_t ContentBytes(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return text->size();
  if (const auto* blob = std::get_if<Blob>(&value)) return blob->bytes.size();
  return 0;
}

// What a column of a result counts, beside its name and type. Results depend on this number.
inline constexpr size_t kColumnBytes = 64;

// The memory that the values of a row take.
inline size_t HeldBytes(const Row& row) {
  size_t bytes = 0;
  for (const Value& value : row) bytes += sizeof(Value) + ContentBytes(value);
  return bytes;
}

// The memory that the rows and columns of a result take.
inline size_t HeldBytes(const StatementResult& result) {
  size_t bytes = 0;
  for (const Column& column : result.columns) {
    bytes += kColumnBytes + column.name.size() + column.decl_type.size();
  }
  for (const Row& row : result.rows) bytes += sizeof(Row) + HeldBytes(row);
  return bytes;
}

}  // namespace cairn::state_machine
