// Values from and to the types of C++.
//
//   client->Execute({{.sql = "INSERT INTO t VALUES (?1, ?2, ?3)",
//                     .positional = cairn::Values(7, "seven", std::nullopt)}});
//   for (const cairn::Row& row : result.rows) {
//     auto [id, name] = cairn::RowAs<int64_t, std::optional<std::string>>(row).value();
//   }
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "cairn/status.h"
#include "cairn/value.h"

namespace cairn {

namespace internal {

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

inline Value ToValue(std::nullopt_t) { return std::monostate(); }
inline Value ToValue(std::nullptr_t) { return std::monostate(); }
inline Value ToValue(Value value) { return value; }
inline Value ToValue(Blob blob) { return blob; }
inline Value ToValue(std::string text) { return text; }
inline Value ToValue(std::string_view text) { return std::string(text); }
inline Value ToValue(const char* text) { return std::string(text); }
template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
Value ToValue(T number) {
  if constexpr (std::is_floating_point_v<T>) return static_cast<double>(number);
  static_assert(std::is_floating_point_v<T> || std::is_signed_v<T> || sizeof(T) < sizeof(int64_t),
                "SQLite's integers are signed: cast the number to int64_t");
  return static_cast<int64_t>(number);
}
template <class T>
Value ToValue(std::optional<T> value) {
  return value ? ToValue(*std::move(value)) : Value(std::monostate());
}

// None if the value is of another type, or the number does not fit.
template <class T>
std::optional<T> FromValue(const Value& value) {
  if constexpr (std::is_same_v<T, Value>) {
    return value;
  } else if constexpr (IsOptional<T>::value) {
    if (std::holds_alternative<std::monostate>(value)) return T(std::nullopt);
    auto inner = FromValue<typename T::value_type>(value);
    return inner ? std::optional<T>(T(*std::move(inner))) : std::nullopt;
  } else if constexpr (std::is_same_v<T, bool>) {
    const auto* number = std::get_if<int64_t>(&value);
    return number != nullptr && (*number == 0 || *number == 1) ? std::optional<T>(*number == 1)
                                                               : std::nullopt;
  } else if constexpr (std::is_integral_v<T>) {
    const auto* number = std::get_if<int64_t>(&value);
    return number != nullptr && std::in_range<T>(*number)
               ? std::optional<T>(static_cast<T>(*number))
               : std::nullopt;
  } else if constexpr (std::is_floating_point_v<T>) {
    if (const auto* number = std::get_if<int64_t>(&value)) return static_cast<T>(*number);
    const auto* real = std::get_if<double>(&value);
    return real != nullptr ? std::optional<T>(static_cast<T>(*real)) : std::nullopt;
  } else {
    static_assert(std::is_same_v<T, std::string> || std::is_same_v<T, Blob>,
                  "bool, integers, floating point numbers, std::string, cairn::Blob, cairn::Value, "
                  "or std::optional of one of them");
    const auto* bytes = std::get_if<T>(&value);
    return bytes != nullptr ? std::optional<T>(*bytes) : std::nullopt;
  }
}

template <class T>
void Take(const Value& value, size_t place, std::optional<T>* out, Status* bad) {
  *out = FromValue<T>(value);
  if (*out || !bad->ok()) return;
  static constexpr const char* kKinds[] = {"NULL", "an INTEGER", "a REAL", "TEXT", "a BLOB"};
  *bad = InvalidArgument("column " + std::to_string(place + 1) + " holds " + kKinds[value.index()] +
                         ", which the asked type does not take");
}

template <class... Ts, size_t... Is>
Result<std::tuple<Ts...>> RowAs(const Row& row, std::index_sequence<Is...>) {
  std::tuple<std::optional<Ts>...> taken;
  Status bad;
  (Take(row[Is], Is, &std::get<Is>(taken), &bad), ...);
  if (!bad.ok()) return bad;
  return std::tuple<Ts...>(*std::move(std::get<Is>(taken))...);
}

}  // namespace internal

// Parameters of a statement. std::nullopt and an empty std::optional are NULL, bool is 0 or 1.
template <class... Ts>
std::vector<Value> Values(Ts&&... values) {
  return {internal::ToValue(std::forward<Ts>(values))...};
}

// The columns of a row. INVALID_ARGUMENT if the row has another number of columns, or a column holds
// another type: NULL needs std::optional, and an integer that does not fit is refused. An INTEGER is
// taken as a floating point number too.
template <class... Ts>
Result<std::tuple<Ts...>> RowAs(const Row& row) {
  if (row.size() != sizeof...(Ts)) {
    return InvalidArgument("the row has " + std::to_string(row.size()) + " columns, and " +
                           std::to_string(sizeof...(Ts)) + " are asked for");
  }
  return internal::RowAs<Ts...>(row, std::index_sequence_for<Ts...>());
}

}  // namespace cairn
