// Datum: a value in a history, as JSON knows values (whole numbers only).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace cairn::history {

struct Datum;
using DatumList = std::vector<Datum>;
using DatumMap = std::map<std::string, Datum>;

// Plain data. Null stands for the unknown answer of a read, and for a missing row.
struct Datum {
  using Any = std::variant<std::monostate, bool, int64_t, std::string, DatumList, DatumMap>;
  Any any;

  Datum() = default;
  Datum(int64_t number) : any(number) {}  // NOLINT: implicit, so that {"append", 5, 1} is a Datum
  Datum(int number) : any(int64_t{number}) {}           // NOLINT: as above
  Datum(bool flag) : any(flag) {}                       // NOLINT: as above
  Datum(std::string text) : any(std::move(text)) {}     // NOLINT: as above
  Datum(const char* text) : any(std::string(text)) {}   // NOLINT: as above
  Datum(DatumList list) : any(std::move(list)) {}       // NOLINT: as above
  Datum(DatumMap members) : any(std::move(members)) {}  // NOLINT: as above

  bool is_null() const { return std::holds_alternative<std::monostate>(any); }
  // Returns null if the datum is of another kind.
  const int64_t* number() const { return std::get_if<int64_t>(&any); }
  const std::string* text() const { return std::get_if<std::string>(&any); }
  const DatumList* list() const { return std::get_if<DatumList>(&any); }
  const DatumMap* members() const { return std::get_if<DatumMap>(&any); }

  bool operator==(const Datum&) const;
  bool operator<(const Datum&) const;
};

// Returns the datum as JSON.
std::string ToString(const Datum& datum);
// Returns nothing if the text is not JSON, or has fractions, numbers beyond 64 bits, or more than
// 64 levels.
std::optional<Datum> ParseJson(std::string_view text);

}  // namespace cairn::history
