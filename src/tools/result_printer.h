// Prints the rows of one result: table, csv, json or line.
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

enum class OutputMode { kTable, kCsv, kJson, kLine };
std::optional<OutputMode> ParseOutputMode(std::string_view name);
const char* OutputModeName(OutputMode mode);

// Prints one result of any size in bounded memory: a table is laid out by its first rows, and later
// rows are fitted to that layout.
class ResultPrinter : public ResultSink {
 public:
  // Call once, after the last row.
  virtual void Finish() = 0;
  uint64_t rows() const { return rows_; }

 protected:
  uint64_t rows_ = 0;
};

// `out` must outlive the printer.
std::unique_ptr<ResultPrinter> NewResultPrinter(OutputMode mode, std::ostream* out);

// As people read it: NULL, 42, 1.5, text with control characters escaped, x'00ff'.
std::string DisplayText(const Value& value);
// As JSON: a BLOB as the text of its literal.
std::string JsonText(const Value& value);

}  // namespace cairn::tools
