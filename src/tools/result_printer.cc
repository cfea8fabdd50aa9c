#include "tools/result_printer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tools/utf8.h"

namespace cairn::tools {
namespace {

// A table's columns get their widths from this many rows.
constexpr size_t kLayoutRows = 500;
constexpr size_t kCellWidthMax = 60;
constexpr const char* kReplacement = "\xef\xbf\xbd";

std::string HexLiteral(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "x'";
  for (const char c : bytes) {
    out += kDigits[static_cast<uint8_t>(c) >> 4];
    out += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return out + "'";
}

// The shortest text that reads back as the same number and shows that the number is a REAL.
std::string RealText(double real) {
  if (std::isinf(real)) return real < 0 ? "-Inf" : "Inf";
  std::array<char, 32> buffer;
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), real);
  std::string text(buffer.data(), end);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

// At most `width` columns, the last one an ellipsis if something was cut.
std::string Cut(std::string text, size_t width) {
  if (DisplayWidth(text) <= width) return text;
  std::string_view rest = text;
  size_t used = 0;
  size_t kept = 0;
  while (!rest.empty()) {
    const Utf8Character c = DecodeUtf8(rest);
    used += c.valid ? CharacterWidth(c.code) : 1;
    if (used + 1 > width) break;
    kept += c.bytes;
    rest.remove_prefix(c.bytes);
  }
  return text.substr(0, kept) + "…";
}

bool IsNumber(const Value& value) {
  return std::holds_alternative<int64_t>(value) || std::holds_alternative<double>(value);
}

class TablePrinter final : public ResultPrinter {
 public:
  TablePrinter(bool cut, std::ostream* out) : cut_(cut), out_(*out) {}

  Status OnColumns(const std::vector<Column>& columns) override {
    for (const Column& column : columns) {
      names_.push_back(Cut(EscapedText(column.name), kCellWidthMax));
      widths_.push_back(DisplayWidth(names_.back()));
    }
    return OkStatus();
  }

  Status OnRow(const Row& row) override {
    ++rows_;
    if (laid_out_) {
      PrintRow(row);
      return OkStatus();
    }
    for (size_t i = 0; i < row.size() && i < widths_.size(); ++i) {
      const size_t width = std::min(DisplayWidth(DisplayText(row[i])), kCellWidthMax);
      widths_[i] = std::max(widths_[i], width);
    }
    waiting_.push_back(row);
    if (waiting_.size() >= kLayoutRows) LayOut();
    return OkStatus();
  }

  void Finish() override {
    if (names_.empty()) return;
    if (!laid_out_) LayOut();
    PrintRule("└", "┴", "┘");
    out_ << rows_ << (rows_ == 1 ? " row\n" : " rows\n");
  }

 private:
  void LayOut() {
    laid_out_ = true;
    PrintRule("┌", "┬", "┐");
    for (size_t i = 0; i < names_.size(); ++i) PrintCell(i, names_[i], false);
    out_ << "│\n";
    PrintRule("├", "┼", "┤");
    for (const Row& row : waiting_) PrintRow(row);
    waiting_.clear();
  }

  void PrintRule(const char* left, const char* middle, const char* right) {
    for (size_t i = 0; i < widths_.size(); ++i) {
      out_ << (i == 0 ? left : middle);
      for (size_t n = 0; n < widths_[i] + 2; ++n) out_ << "─";
    }
    out_ << right << "\n";
  }

  void PrintRow(const Row& row) {
    for (size_t i = 0; i < widths_.size(); ++i) {
      const Value value = i < row.size() ? row[i] : Value();
      PrintCell(i, DisplayText(value), IsNumber(value));
    }
    out_ << "│\n";
  }

  void PrintCell(size_t column, const std::string& text, bool right) {
    const std::string shown = cut_ ? Cut(text, std::max<size_t>(widths_[column], 1)) : text;
    const size_t width = DisplayWidth(shown);
    const std::string space(widths_[column] - std::min(width, widths_[column]), ' ');
    out_ << "│ " << (right ? space + shown : shown + space) << " ";
  }

  const bool cut_;
  std::ostream& out_;
  std::vector<std::string> names_;
  std::vector<size_t> widths_;
  std::vector<Row> waiting_;
  bool laid_out_ = false;
};

class CsvPrinter final : public ResultPrinter {
 public:
  CsvPrinter(const PrintStyle& style, std::ostream* out)
      : headers_(style.headers.value_or(false)),
        separator_(style.separator.empty() ? "," : style.separator),
        quoted_("\"\r\n" + separator_),
        out_(*out) {}

  Status OnColumns(const std::vector<Column>& columns) override {
    if (!headers_ || columns.empty()) return OkStatus();
    for (size_t i = 0; i < columns.size(); ++i) PrintField(i, columns[i].name);
    out_ << "\n";
    return OkStatus();
  }
  Status OnRow(const Row& row) override {
    ++rows_;
    for (size_t i = 0; i < row.size(); ++i) PrintField(i, row[i]);
    out_ << "\n";
    return OkStatus();
  }
  void Finish() override {}

 private:
  // NULL is nothing, and the empty text is a pair of quotes.
  void PrintField(size_t column, const Value& value) {
    if (column > 0) out_ << separator_;
    const auto* const given = std::get_if<std::string>(&value);
    const std::string text = PlainText(value);
    if (text.find_first_of(quoted_) == std::string::npos && (given == nullptr || !text.empty())) {
      out_ << text;
      return;
    }
    out_ << '"';
    for (const char c : text) {
      if (c == '"') out_ << '"';
      out_ << c;
    }
    out_ << '"';
  }

  const bool headers_;
  const std::string separator_;
  const std::string quoted_;  // a field with one of these is in quotes
  std::ostream& out_;
};

class ListPrinter final : public ResultPrinter {
 public:
  ListPrinter(const PrintStyle& style, std::ostream* out)
      : headers_(style.headers.value_or(false)),
        escapes_(style.for_terminal),
        separator_(style.separator.empty() ? "|" : style.separator),
        out_(*out) {}

  Status OnColumns(const std::vector<Column>& columns) override {
    columns_ = columns;
    return OkStatus();
  }
  Status OnRow(const Row& row) override {
    if (rows_++ == 0 && headers_) {
      for (size_t i = 0; i < columns_.size(); ++i) {
        out_ << (i == 0 ? "" : separator_) << columns_[i].name;
      }
      out_ << "\n";
    }
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string text = PlainText(row[i]);
      out_ << (i == 0 ? "" : separator_) << (escapes_ ? EscapedText(text) : text);
    }
    out_ << "\n";
    return OkStatus();
  }
  void Finish() override {}

 private:
  const bool headers_;
  const bool escapes_;
  const std::string separator_;
  std::ostream& out_;
  std::vector<Column> columns_;
};

class JsonPrinter final : public ResultPrinter {
 public:
  explicit JsonPrinter(std::ostream* out) : out_(*out) {}

  Status OnColumns(const std::vector<Column>& columns) override {
    for (const Column& column : columns) names_.push_back(JsonText(column.name));
    return OkStatus();
  }
  // Written by hand, so that columns keep their order and columns of the same name are all kept.
  Status OnRow(const Row& row) override {
    out_ << (rows_++ == 0 ? "[{" : ",\n {");
    for (size_t i = 0; i < row.size() && i < names_.size(); ++i) {
      out_ << (i == 0 ? "" : ",") << names_[i] << ":" << JsonText(row[i]);
    }
    out_ << "}";
    return OkStatus();
  }
  void Finish() override {
    if (!names_.empty()) out_ << (rows_ == 0 ? "[]\n" : "]\n");
  }

 private:
  std::ostream& out_;
  std::vector<std::string> names_;
};

class LinePrinter final : public ResultPrinter {
 public:
  LinePrinter(bool escapes, std::ostream* out) : escapes_(escapes), out_(*out) {}

  Status OnColumns(const std::vector<Column>& columns) override {
    for (const Column& column : columns) {
      names_.push_back(EscapedText(column.name));
      width_ = std::max(width_, DisplayWidth(names_.back()));
    }
    return OkStatus();
  }
  Status OnRow(const Row& row) override {
    if (rows_++ > 0) out_ << "\n";
    for (size_t i = 0; i < row.size() && i < names_.size(); ++i) {
      const std::string text = PlainText(row[i]);
      out_ << std::string(width_ - DisplayWidth(names_[i]), ' ') << names_[i] << " = "
           << (escapes_ ? EscapedText(text) : text) << "\n";
    }
    return OkStatus();
  }
  void Finish() override {}

 private:
  const bool escapes_;
  std::ostream& out_;
  std::vector<std::string> names_;
  size_t width_ = 5;
};

}  // namespace

namespace {

struct NamedMode {
  OutputMode mode;
  const char* name;
};
constexpr NamedMode kModes[] = {
    {OutputMode::kAuto, "auto"},     {OutputMode::kBox, "box"},
    {OutputMode::kColumn, "column"}, {OutputMode::kCsv, "csv"},
    {OutputMode::kJson, "json"},     {OutputMode::kLine, "line"},
    {OutputMode::kList, "list"},     {OutputMode::kMarkdown, "markdown"},
    {OutputMode::kTable, "table"},
};

}  // namespace

std::optional<OutputMode> ParseOutputMode(std::string_view name) {
  for (const NamedMode& each : kModes) {
    if (name == each.name) return each.mode;
  }
  return std::nullopt;
}

const char* OutputModeName(OutputMode mode) {
  for (const NamedMode& each : kModes) {
    if (mode == each.mode) return each.name;
  }
  return "";
}

std::vector<std::string> OutputModes() {
  std::vector<std::string> names;
  for (const NamedMode& each : kModes) names.emplace_back(each.name);
  return names;
}

std::unique_ptr<ResultPrinter> NewResultPrinter(const PrintStyle& style, std::ostream* out) {
  switch (style.mode) {
    case OutputMode::kAuto: return std::make_unique<TablePrinter>(style.for_terminal, out);
    case OutputMode::kCsv: return std::make_unique<CsvPrinter>(style, out);
    case OutputMode::kJson: return std::make_unique<JsonPrinter>(out);
    case OutputMode::kLine: return std::make_unique<LinePrinter>(style.for_terminal, out);
    case OutputMode::kList: return std::make_unique<ListPrinter>(style, out);
    case OutputMode::kBox:
    case OutputMode::kColumn:
    case OutputMode::kMarkdown:
    case OutputMode::kTable: return NewAlignedPrinter(style, out);
  }
  return nullptr;
}

std::string PlainText(const Value& value) {
  if (std::holds_alternative<std::monostate>(value)) return "";
  if (const auto* integer = std::get_if<int64_t>(&value)) return std::to_string(*integer);
  if (const auto* real = std::get_if<double>(&value)) return RealText(*real);
  if (const auto* blob = std::get_if<Blob>(&value)) return HexLiteral(blob->bytes);
  return std::get<std::string>(value);
}

std::string EscapedText(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Character c = DecodeUtf8(text);
    if (!c.valid) {
      out += kReplacement;
    } else if (c.code == '\n') {
      out += "\\n";
    } else if (c.code == '\t') {
      out += "\\t";
    } else if (c.code == '\r') {
      out += "\\r";
    } else if (c.code < 0x20 || (c.code >= 0x7f && c.code < 0xa0)) {
      char code[8];
      std::snprintf(code, sizeof(code), "\\x%02x", static_cast<unsigned>(c.code));
      out += code;
    } else {
      out += text.substr(0, c.bytes);
    }
    text.remove_prefix(c.bytes);
  }
  return out;
}

std::string DisplayText(const Value& value) {
  if (std::holds_alternative<std::monostate>(value)) return "NULL";
  if (const auto* text = std::get_if<std::string>(&value)) return EscapedText(*text);
  return PlainText(value);
}

std::string JsonText(const Value& value) {
  if (std::holds_alternative<std::monostate>(value)) return "null";
  // JSON has no infinity. This text reads back as infinity, as in SQLite itself.
  const auto* real = std::get_if<double>(&value);
  if (real != nullptr && std::isinf(*real)) return *real < 0 ? "-9.0e+999" : "9.0e+999";
  const std::string text = PlainText(value);
  if (IsNumber(value)) return text;
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace cairn::tools
