// Values and names as SQL text.
#pragma once

#include <string>
#include <string_view>

#include "cairn/value.h"

namespace cairn::tools {

// A literal that SQLite reads back as the same value: 'it''s', 0.1, 1e999, x'00ff'. Text with a NUL
// or a carriage return becomes CAST(x'...' AS TEXT), which the shell of SQLite reads as it is.
std::string LiteralText(const Value& value);
// The name, in quotes (base/sql_name.h) where it needs them: na"me, order, 1a.
std::string NameText(std::string_view name);

}  // namespace cairn::tools
