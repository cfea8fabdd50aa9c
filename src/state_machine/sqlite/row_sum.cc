#include "state_machine/sqlite/row_sum.h"

#include <bit>

namespace cairn::state_machine {

static_assert(std::endian::native == std::endian::little, "sums are kept in the file");

void RowHash::Real(size_t place, double value) {
  // A column of REAL affinity stores whole numbers as integers, and SQLite's hook shows them now as
  // the one and now as the other. -0.0 is stored as 0.
  constexpr double kLimit = 9223372036854775808.0;  // 2^63
  if (value >= -kLimit && value < kLimit) {
    const auto whole = static_cast<int64_t>(value);
    if (static_cast<double>(whole) == value) return Integer(place, whole);
  }
  Tag(place, 2);
  state_ = MixWord(state_, std::bit_cast<uint64_t>(value));
}

void RowHash::Value(size_t place, sqlite3_value* value, bool as_real) {
  const int type = sqlite3_value_type(value);
  switch (type) {
    // Not even counted: a column that is added and is NULL everywhere changes no row.
    case SQLITE_NULL: return;
    case SQLITE_INTEGER: {
      const int64_t number = sqlite3_value_int64(value);
      return as_real ? Real(place, static_cast<double>(number)) : Integer(place, number);
    }
    case SQLITE_FLOAT: return Real(place, sqlite3_value_double(value));
    default: {
      Tag(place, type == SQLITE_TEXT ? 3 : 4);
      // Of a text, too: asked for as text SQLite may copy it, to put a zero at its end.
      const auto* bytes = static_cast<const char*>(sqlite3_value_blob(value));
      const int size = sqlite3_value_bytes(value);
      state_ = MixBytes(state_, bytes, static_cast<size_t>(size));
    }
  }
}

}  // namespace cairn::state_machine
