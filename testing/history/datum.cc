#include "testing/history/datum.h"

#include <nlohmann/json.hpp>

namespace cairn::history {
namespace {

using nlohmann::ordered_json;

constexpr int kDepthMax = 64;

bool FromJson(const ordered_json& json, int depth, Datum* out) {
  if (depth > kDepthMax) return false;
  if (json.is_null()) {
    *out = Datum();
  } else if (json.is_boolean()) {
    *out = Datum(json.get<bool>());
  } else if (json.is_number_integer()) {
    if (json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX) return false;
    *out = Datum(json.get<int64_t>());
  } else if (json.is_string()) {
    *out = Datum(json.get<std::string>());
  } else if (json.is_array()) {
    DatumList list(json.size());
    for (size_t i = 0; i < list.size(); ++i) {
      if (!FromJson(json[i], depth + 1, &list[i])) return false;
    }
    *out = Datum(std::move(list));
  } else if (json.is_object()) {
    DatumMap members;
    for (const auto& [name, value] : json.items()) {
      if (!FromJson(value, depth + 1, &members[name])) return false;
    }
    *out = Datum(std::move(members));
  } else {
    return false;  // a number with a fraction
  }
  return true;
}

void AppendText(const std::string& text, std::string* out) {
  *out += ordered_json(text).dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

void Append(const Datum& datum, std::string* out) {
  if (datum.is_null()) {
    *out += "null";
  } else if (const bool* flag = std::get_if<bool>(&datum.any)) {
    *out += *flag ? "true" : "false";
  } else if (const int64_t* number = datum.number()) {
    *out += std::to_string(*number);
  } else if (const std::string* text = datum.text()) {
    AppendText(*text, out);
  } else if (const DatumList* list = datum.list()) {
    *out += '[';
    for (const Datum& each : *list) {
      if (&each != &list->front()) *out += ',';
      Append(each, out);
    }
    *out += ']';
  } else {
    *out += '{';
    for (const auto& [name, value] : *datum.members()) {
      if (out->back() != '{') *out += ',';
      AppendText(name, out);
      *out += ':';
      Append(value, out);
    }
    *out += '}';
  }
}

}  // namespace

bool Datum::operator==(const Datum& other) const { return any == other.any; }
bool Datum::operator<(const Datum& other) const { return any < other.any; }

std::string ToString(const Datum& datum) {
  std::string out;
  Append(datum, &out);
  return out;
}

std::optional<Datum> ParseJson(std::string_view text) {
  const ordered_json json = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  Datum datum;
  if (json.is_discarded() || !FromJson(json, 0, &datum)) return std::nullopt;
  return datum;
}

}  // namespace cairn::history
