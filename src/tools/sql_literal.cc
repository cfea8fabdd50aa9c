#include "tools/sql_literal.h"

#include <sqlite3.h>

#include <array>
#include <cfloat>
#include <charconv>
#include <cmath>
#include <memory>

#include "base/check.h"
#include "base/sql_name.h"
#include "tools/result_printer.h"

namespace cairn::tools {
namespace {

std::string QuotedText(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) quoted.append(c == '\'' ? 2 : 1, c);
  return quoted + '\'';
}

// SQLite's own reading of a number. Before 3.43 it rounds some texts to a neighbour of the nearest
// REAL.
class RealReader {
 public:
  RealReader() {
    sqlite3* db = nullptr;
    CHECK(sqlite3_open(":memory:", &db) == SQLITE_OK);
    db_.reset(db);
    sqlite3_stmt* stmt = nullptr;
    CHECK(sqlite3_prepare_v2(db, "SELECT CAST(?1 AS REAL)", -1, &stmt, nullptr) == SQLITE_OK);
    stmt_.reset(stmt);
  }
  bool Reads(const std::string& text, double as) {
    sqlite3_bind_text(stmt_.get(), 1, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
    const bool same =
        sqlite3_step(stmt_.get()) == SQLITE_ROW && sqlite3_column_double(stmt_.get(), 0) == as;
    sqlite3_reset(stmt_.get());
    return same;
  }

 private:
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close(db); }
    void operator()(sqlite3_stmt* stmt) const { sqlite3_finalize(stmt); }
  };
  std::unique_ptr<sqlite3, Close> db_;
  std::unique_ptr<sqlite3_stmt, Close> stmt_;
};

// As an expression of numbers that are read and multiplied without rounding.
std::string ProductText(double real) {
  constexpr int kBits = 50;
  constexpr const char* kTwoToBits = "1125899906842624.0";
  int exponent = 0;
  // A mantissa of at most 53 bits, as an integer.
  const double mantissa = std::ldexp(std::frexp(real, &exponent), DBL_MANT_DIG);
  exponent -= DBL_MANT_DIG;
  std::string text = "(" + std::to_string(static_cast<int64_t>(mantissa)) + ".0";
  const char* const sign = exponent < 0 ? "/" : "*";
  exponent = std::abs(exponent);
  for (; exponent >= kBits; exponent -= kBits) text += std::string(sign) + kTwoToBits;
  return text + sign + std::to_string(int64_t{1} << exponent) + ".0)";
}

// A text that SQLite reads as exactly this REAL: the shortest if that will do.
std::string RealLiteral(double real) {
  thread_local RealReader reader;
  std::string text = PlainText(real);
  for (int digits = 17; digits <= 20; ++digits) {
    if (reader.Reads(text, real)) return text;
    std::array<char, 40> buffer;
    const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), real,
                                            std::chars_format::scientific, digits - 1);
    text.assign(buffer.data(), end);
  }
  return reader.Reads(text, real) ? text : ProductText(real);
}

}  // namespace

std::string LiteralText(const Value& value) {
  if (std::holds_alternative<std::monostate>(value)) return "NULL";
  if (const auto* const text = std::get_if<std::string>(&value)) {
    // The shell of SQLite takes the carriage return before a line feed for a part of the line's end.
    if (text->find_first_of(std::string_view("\0\r", 2)) == std::string::npos) {
      return QuotedText(*text);
    }
    return "CAST(" + PlainText(Blob{*text}) + " AS TEXT)";
  }
  // Past the greatest REAL. SQLite reads it as infinity.
  const auto* const real = std::get_if<double>(&value);
  if (real == nullptr) return PlainText(value);
  if (std::isinf(*real)) return *real < 0 ? "-1e999" : "1e999";
  return RealLiteral(*real);
}

std::string NameText(std::string_view name) {
  bool plain = !name.empty() && !(name[0] >= '0' && name[0] <= '9');
  for (const char c : name) {
    plain = plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_');
  }
  plain = plain && sqlite3_keyword_check(name.data(), static_cast<int>(name.size())) == 0;
  return plain ? std::string(name) : QuotedName(name);
}

}  // namespace cairn::tools
