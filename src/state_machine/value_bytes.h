#pragma once

#include <cstddef>
#include <string>
#include <variant>

#include "cairn/value.h"

namespace cairn::state_machine {

// Bytes of a text or a blob. Other values have none.
inline size_t ContentBytes(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return text->size();
  if (const auto* blob = std::get_if<Blob>(&value)) return blob->bytes.size();
  return 0;
}

}  // namespace cairn::state_machine
