#include "tools/json_row.h"

#include <cctype>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>

namespace cairn::tools {
namespace {

using Json = nlohmann::json;

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Takes the events of the parser, which itself keeps no more than one bit for each level. So the
// depth of the input takes no stack.
class RowMaker final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Scalar(Value(), "null"); }
  bool boolean(bool value) override {
    return Scalar(Value(int64_t{value ? 1 : 0}), value ? "true" : "false");
  }
  bool number_integer(number_integer_t value) override {
    return Scalar(Value(int64_t{value}), std::to_string(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ == 1 && value > static_cast<uint64_t>(INT64_MAX)) return TooLarge();
    return Scalar(Value(static_cast<int64_t>(value)), std::to_string(value));
  }
  // Also an integer that no type of 64 bits holds.
  bool number_float(number_float_t value, const string_t& text) override {
    const bool is_integer = text.find_first_of(".eE") == std::string::npos;
    if (depth_ == 1 && is_integer) return TooLarge();
    return Scalar(Value(value), text);
  }
  bool string(string_t& value) override {
    if (depth_ == 1) return Scalar(Value(std::move(value)), "");
    return Scalar(Value(), Json(value).dump());
  }
  bool binary(binary_t& /*value*/) override { return false; }  // JSON text has none

  bool start_object(size_t) override { return Open('{'); }
  bool end_object() override { return Close('}'); }
  bool start_array(size_t) override { return Open('['); }
  bool end_array() override { return Close(']'); }
  bool key(string_t& name) override {
    if (depth_ > 1) {
      Separate();
      text_ += Json(name).dump() + ":";
      after_key_ = true;
      return true;
    }
    name_ = std::move(name);
    return names_.insert(Lower(name_)).second || Fail("the object has it twice");
  }
  bool parse_error(size_t, const std::string& token, const Json::exception& error) override {
    constexpr int kNumberOverflow = 406;
    return error.id == kNumberOverflow && Fail("the number " + token + " is too large for a REAL");
  }

  Result<JsonRow> Take() {
    if (!trouble_.empty()) return InvalidArgument(trouble_);
    return std::move(row_);
  }

 private:
  bool Fail(const std::string& why) {
    trouble_ = (depth_ == 0 ? "" : name_ + ": ") + why;
    return false;
  }
  bool TooLarge() {
    return Fail("an integer is larger than 64 bits: write it as a text, or with a point");
  }
  void Separate() {
    if (!after_key_ && !text_.empty() && text_.back() != '[' && text_.back() != '{') text_ += ',';
    after_key_ = false;
  }
  bool Scalar(Value value, const std::string& text) {
    if (depth_ == 0) return false;
    if (depth_ == 1) {
      row_.fields.emplace_back(std::move(name_), std::move(value));
      return true;
    }
    Separate();
    text_ += text;
    return true;
  }
  bool Open(char bracket) {
    if (depth_ == 0 && bracket != '{') return false;
    if (depth_ == kJsonDepthMax) {
      return Fail("it is deeper than " + std::to_string(kJsonDepthMax) + " levels");
    }
    if (depth_ > 0) {
      Separate();
      text_ += bracket;
    }
    ++depth_;
    return true;
  }
  bool Close(char bracket) {
    if (--depth_ == 0) return true;
    text_ += bracket;
    if (depth_ != 1) return true;
    auto& [name, value] = row_.fields.emplace_back();
    name = std::move(name_);
    value.emplace<std::string>(std::exchange(text_, {}));
    return true;
  }

  JsonRow row_;
  std::set<std::string> names_;
  std::string name_;  // of the value that comes now
  std::string text_;  // of an array or an object within the row
  bool after_key_ = false;
  size_t depth_ = 0;
  std::string trouble_;
};

}  // namespace

Result<JsonRow> ParseJsonRow(const std::string& line) {
  RowMaker maker;
  const bool parsed = Json::sax_parse(line, &maker);
  ASSIGN_OR_RETURN(JsonRow row, maker.Take());
  if (!parsed) return InvalidArgument("the line is not a JSON object");
  return row;
}

}  // namespace cairn::tools
