// Vectors as JSON arrays of numbers.

#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>

#include "vectors/vector.h"

namespace cairn::vectors {
namespace {

constexpr size_t kNumberBytesMax = 1024;
// The exponents that count; more digits change nothing.
constexpr int64_t kExponentMax = 1'000'000;

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

Status NotAVector(std::string_view why) {
  return InvalidArgument("the text is no vector: " + std::string(why) +
                         "; write it as '[1, 2.5, -3e-2]'");
}

Status NotANumber(size_t at, std::string_view number) {
  constexpr size_t kShownMax = 32;
  return NotAVector("element " + std::to_string(at) + " is no number: '" +
                    std::string(number.substr(0, kShownMax)) +
                    (number.size() > kShownMax ? "...'" : "'"));
}

// Of a number that is too large or too small for a double: true if it is too small. `number` is
// well-formed.
bool IsTiny(std::string_view number) {
  int64_t place = 0;  // of the first digit that is not zero; 0 is the one before the point
  bool found = false;
  bool behind_point = false;
  size_t i = 0;
  for (; i < number.size() && number[i] != 'e' && number[i] != 'E'; ++i) {
    if (number[i] == '.') behind_point = true;
    if (!IsDigit(number[i])) continue;
    if (behind_point && !found) --place;
    if (!behind_point && found) ++place;
    found = found || number[i] != '0';
  }
  int64_t exponent = 0;
  const bool negative = i + 1 < number.size() && number[i + 1] == '-';
  for (; i < number.size(); ++i) {
    if (IsDigit(number[i]) && exponent < kExponentMax) exponent = 10 * exponent + (number[i] - '0');
  }
  return place + (negative ? -exponent : exponent) < 0;
}

Result<double> ParseNumber(size_t at, std::string_view number) {
  std::string_view digits = number;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  const std::string_view unsigned_digits = digits.substr(digits.starts_with('-') ? 1 : 0);
  // Words such as "inf" and "nan" are not numbers here.
  const bool begins = !unsigned_digits.empty() &&
                      (IsDigit(unsigned_digits[0]) || unsigned_digits[0] == '.') &&
                      (digits.data() == number.data() || digits[0] != '-');
  double value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (!begins || stop != end || error == std::errc::invalid_argument) {
    return NotANumber(at, number);
  }
  if (error == std::errc::result_out_of_range) {
    if (!IsTiny(digits))
      value = std::numeric_limits<double>::infinity();
    else
      value = digits.starts_with('-') ? -0.0 : 0.0;
  }
  if (!std::isfinite(value)) {
    return InvalidArgument("element " + std::to_string(at) + " of the vector is too large");
  }
  return value;
}

// Takes the numbers between the brackets, one at a time.
class Numbers {
 public:
  explicit Numbers(std::string_view text) : text_(text) {}

  // After the opening bracket.
  Status Open() {
    SkipSpaces();
    if (!Take('[')) return NotAVector("it does not begin with '['");
    SkipSpaces();
    ended_ = Take(']');
    return OkStatus();
  }
  bool ended() const { return ended_; }
  Result<double> Next() {
    SkipSpaces();
    size_t end = at_;
    while (end < text_.size() && text_[end] != ',' && text_[end] != ']' && !IsSpace(text_[end])) {
      ++end;
    }
    const std::string_view number = text_.substr(at_, end - at_);
    if (number.empty() && end == text_.size()) return NotAVector("it does not end with ']'");
    if (number.size() > kNumberBytesMax) return NotANumber(count_, number);
    ASSIGN_OR_RETURN(const double value, ParseNumber(count_, number));
    at_ = end;
    ++count_;
    SkipSpaces();
    ended_ = Take(']');
    if (!ended_ && !Take(',')) {
      return NotAVector(at_ == text_.size() ? "it does not end with ']'"
                                            : "two elements have no ',' between them");
    }
    return value;
  }
  Status Close() {
    SkipSpaces();
    return at_ == text_.size() ? OkStatus() : NotAVector("more stands behind its ']'");
  }

 private:
  void SkipSpaces() {
    while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
  }
  bool Take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  const std::string_view text_;
  size_t at_ = 0;
  size_t count_ = 0;
  bool ended_ = false;
};

template <class T>
std::string TextOfAll(const std::vector<T>& elements) {
  std::string text = "[";
  char number[64];
  for (const T element : elements) {
    if (text.size() > 1) text += ',';
    text.append(number, std::to_chars(std::begin(number), std::end(number), element).ptr);
  }
  return text + "]";
}

template <class T>
Result<Elements> ParseAs(std::string_view text) {
  Numbers numbers(text);
  RETURN_IF_ERROR(numbers.Open());
  std::vector<T> elements;
  while (!numbers.ended()) {
    ASSIGN_OR_RETURN(const double value, numbers.Next());
    if (std::fabs(value) > static_cast<double>(std::numeric_limits<T>::max())) {
      return InvalidArgument("element " + std::to_string(elements.size()) +
                             " of the vector is too large for a 32-bit float; vector64() takes it");
    }
    if (elements.size() == kDimensionsMax) {
      return InvalidArgument("a vector has at most " + std::to_string(kDimensionsMax) +
                             " dimensions, and this one has more");
    }
    elements.push_back(static_cast<T>(value));
  }
  RETURN_IF_ERROR(numbers.Close());
  return Elements(std::move(elements));
}

}  // namespace

Result<Elements> ParseText(std::string_view text, Kind kind) {
  return kind == Kind::kFloat64 ? ParseAs<double>(text) : ParseAs<float>(text);
}

std::string TextOf(const Elements& elements) {
  return std::visit([](const auto& each) { return TextOfAll(each); }, elements);
}

}  // namespace cairn::vectors
