// Prints the rows of one result, in the modes of the shell.
#pragma once

#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/value.h"
#include "tools/node_client.h"

namespace cairn::tools {

// kAuto is Cairn's own table. The others look as in the shell of SQLite.
enum class OutputMode { kAuto, kBox, kColumn, kCsv, kJson, kLine, kList, kMarkdown, kTable };
std::optional<OutputMode> ParseOutputMode(std::string_view name);
const char* OutputModeName(OutputMode mode);
std::vector<std::string> OutputModes();  // the names

struct PrintStyle {
  OutputMode mode = OutputMode::kAuto;
  // Unset: the mode decides. kColumn has headers then; kCsv and kList have none. The other modes
  // always show names.
  std::optional<bool> headers = {};
  // Between the fields of kList and kCsv. Empty: | and a comma.
  std::string separator = {};
  // A person reads: long values are cut, and no value can change the terminal. Otherwise kAuto,
  // kLine and kList print values whole.
  bool for_terminal = true;
};

// Prints one result of any size in bounded memory: a table is laid out by its first rows, and later
// rows follow that layout.
class ResultPrinter : public ResultSink {
 public:
  // Call once, after the last row.
  virtual void Finish() = 0;
  uint64_t rows() const { return rows_; }

 protected:
  uint64_t rows_ = 0;
};

// `out` must outlive the printer.
std::unique_ptr<ResultPrinter> NewResultPrinter(const PrintStyle& style, std::ostream* out);
// The same for the modes box, column, markdown and table.
std::unique_ptr<ResultPrinter> NewAlignedPrinter(const PrintStyle& style, std::ostream* out);

// As programs read it: text unchanged, NULL empty, a BLOB as its literal.
std::string PlainText(const Value& value);
// Text that cannot move the cursor or change the terminal.
std::string EscapedText(std::string_view text);
// As people read it: NULL, 42, 1.5, text with control characters escaped, x'00ff'.
std::string DisplayText(const Value& value);
// As JSON: a BLOB as the text of its literal.
std::string JsonText(const Value& value);

}  // namespace cairn::tools
