// The modes box, column, markdown and table, as the shell of SQLite prints them.
#include <algorithm>

#include "tools/result_printer.h"
#include "tools/utf8.h"

namespace cairn::tools {
namespace {

// Columns get their widths from the rows that fit in this. Longer cells of later rows stick out.
constexpr size_t kLayoutBytesMax = 64u << 20;

// A line between rows. A rule without a dash is not printed.
struct Rule {
  const char* left;
  const char* dash;
  const char* middle;
  const char* right;
};
struct Frame {
  const char* left;
  const char* middle;
  const char* right;
  bool header_centred;
  Rule top;
  Rule under_header;
  Rule between;  // between rows, if a cell has several lines
  Rule bottom;
};

constexpr Rule kNoRule{nullptr, nullptr, nullptr, nullptr};
constexpr Rule kBoxMiddle{"├─", "─", "─┼─", "─┤"};
constexpr Frame kBoxFrame{"│ ",
                          " │ ",
                          " │",
                          true,
                          {"┌─", "─", "─┬─", "─┐"},
                          kBoxMiddle,
                          kBoxMiddle,
                          {"└─", "─", "─┴─", "─┘"}};
constexpr Rule kAsciiRule{"+-", "-", "-+-", "-+"};
constexpr Frame kTableFrame{"| ",       " | ",      " |",       true,
                            kAsciiRule, kAsciiRule, kAsciiRule, kAsciiRule};
constexpr Frame kMarkdownFrame{"| ",    " | ",  " |", true, kNoRule, {"|-", "-", "-|-", "-|"},
                               kNoRule, kNoRule};
constexpr Frame kColumnFrame{
    "", "  ", "", false, kNoRule, {"", "-", "  ", ""}, {"", "", "", ""}, kNoRule};

const Frame& FrameOf(OutputMode mode) {
  if (mode == OutputMode::kBox) return kBoxFrame;
  if (mode == OutputMode::kMarkdown) return kMarkdownFrame;
  return mode == OutputMode::kColumn ? kColumnFrame : kTableFrame;
}

// The lines of a value, each without what could move the cursor.
std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0;;) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(EscapedText(std::string_view(text).substr(begin, end - begin)));
    if (end == text.size()) return lines;
    begin = end + 1;
  }
}

class AlignedPrinter final : public ResultPrinter {
 public:
  AlignedPrinter(const PrintStyle& style, std::ostream* out)
      : frame_(FrameOf(style.mode)),
        headers_(style.mode != OutputMode::kColumn || style.headers.value_or(true)),
        out_(*out) {}

  Status OnColumns(const std::vector<Column>& columns) override {
    for (const Column& column : columns) {
      names_.push_back({EscapedText(column.name)});
      widths_.push_back(DisplayWidth(names_.back().front()));
    }
    return OkStatus();
  }

  Status OnRow(const Row& row) override {
    ++rows_;
    Cells cells;
    for (size_t i = 0; i < row.size() && i < widths_.size(); ++i) {
      cells.push_back(LinesOf(PlainText(row[i])));
      has_lines_ = has_lines_ || cells.back().size() > 1;
      for (const std::string& line : cells.back()) {
        if (!laid_out_) widths_[i] = std::max(widths_[i], DisplayWidth(line));
        bytes_ += line.size();
      }
    }
    if (laid_out_) {
      PrintRow(cells);
      return OkStatus();
    }
    waiting_.push_back(std::move(cells));
    if (bytes_ > kLayoutBytesMax) LayOut();
    return OkStatus();
  }

  // As in SQLite's shell, a result without rows prints nothing.
  void Finish() override {
    if (rows_ == 0) return;
    if (!laid_out_) LayOut();
    PrintRule(frame_.bottom);
  }

 private:
  using Cells = std::vector<std::vector<std::string>>;  // the lines of each

  void LayOut() {
    laid_out_ = true;
    PrintRule(frame_.top);
    if (headers_) {
      PrintLines(names_, frame_.header_centred);
      PrintRule(frame_.under_header);
    }
    for (const Cells& cells : waiting_) PrintRow(cells);
    waiting_.clear();
  }

  void PrintRow(const Cells& cells) {
    if (printed_++ > 0 && has_lines_) PrintRule(frame_.between);
    PrintLines(cells, false);
  }

  void PrintRule(const Rule& rule) {
    if (rule.dash == nullptr) return;
    for (size_t i = 0; i < widths_.size(); ++i) {
      out_ << (i == 0 ? rule.left : rule.middle);
      for (size_t n = 0; n < widths_[i] && *rule.dash != '\0'; ++n) out_ << rule.dash;
    }
    out_ << rule.right << "\n";
  }

  void PrintLines(const Cells& cells, bool centred) {
    size_t lines = 1;
    for (const auto& cell : cells) lines = std::max(lines, cell.size());
    static const std::string kNothing;
    for (size_t line = 0; line < lines; ++line) {
      for (size_t i = 0; i < cells.size(); ++i) {
        const std::string& text = line < cells[i].size() ? cells[i][line] : kNothing;
        const size_t space = widths_[i] - std::min(DisplayWidth(text), widths_[i]);
        const size_t before = centred ? space / 2 : 0;
        out_ << (i == 0 ? frame_.left : frame_.middle) << std::string(before, ' ') << text
             << std::string(space - before, ' ');
      }
      out_ << frame_.right << "\n";
    }
  }

  const Frame& frame_;
  const bool headers_;
  std::ostream& out_;
  Cells names_;
  std::vector<size_t> widths_;
  std::vector<Cells> waiting_;
  size_t bytes_ = 0;
  size_t printed_ = 0;
  bool has_lines_ = false;
  bool laid_out_ = false;
};

}  // namespace

std::unique_ptr<ResultPrinter> NewAlignedPrinter(const PrintStyle& style, std::ostream* out) {
  return std::make_unique<AlignedPrinter>(style, out);
}

}  // namespace cairn::tools
