// CsvReader: the rows of a CSV file.
#pragma once

#include <istream>
#include <string>
#include <vector>

namespace cairn::tools {

// As the shell of SQLite reads CSV: fields are separated by commas or another byte, a field in double quotes may hold
// separators, line ends and doubled quotes. Not thread-safe.
class CsvReader {
 public:
  struct Row {
    std::vector<std::string> fields;
    size_t line = 0;      // where it begins, from 1
    std::string trouble;  // why the row is bad; empty: it is well formed
  };

  // `in` must outlive the reader. A byte order mark is left out.
  explicit CsvReader(std::istream* in, char separator = ',');
  // False: there is no further row.
  bool Next(Row* row);

 private:
  enum class Ends { kField, kRow };
  Ends TakeField(Row* row, std::string* field);
  Ends TakeQuoted(Row* row, std::string* field);
  Ends EndOfLine(int c);
  // Keeps a byte of the field. Of a row that is too long only the beginning is kept.
  void Keep(int c, Row* row, std::string* field);

  std::streambuf& in_;
  const int separator_;
  size_t line_ = 1;
  size_t row_bytes_ = 0;  // of the row so far
};

}  // namespace cairn::tools
