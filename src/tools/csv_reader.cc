#include "tools/csv_reader.h"

namespace cairn::tools {
namespace {

constexpr int kEof = std::char_traits<char>::eof();
// A quote that is never closed takes the rest of the file, and a file without line ends is one row.
constexpr size_t kRowBytesMax = 16u << 20;
// As many as SQLite allows columns.
constexpr size_t kFieldsMax = 2000;

}  // namespace

CsvReader::CsvReader(std::istream* in, char separator)
    : in_(*in->rdbuf()), separator_(static_cast<unsigned char>(separator)) {
  for (const int c : {0xef, 0xbb, 0xbf}) {
    if (in_.sgetc() != c) return;
    in_.sbumpc();
  }
}

bool CsvReader::Next(Row* row) {
  if (in_.sgetc() == kEof) return false;
  row->fields.clear();
  row->trouble.clear();
  row->line = line_;
  row_bytes_ = 0;
  std::string left_out;
  for (;;) {
    const bool fits = row->fields.size() < kFieldsMax;
    if (fits) row->fields.emplace_back();
    const Ends ends = TakeField(row, fits ? &row->fields.back() : &left_out);
    if (!fits) row->trouble = "the row has more than " + std::to_string(kFieldsMax) + " fields";
    left_out.clear();
    if (ends == Ends::kRow) return true;
  }
}

void CsvReader::Keep(int c, Row* row, std::string* field) {
  if (++row_bytes_ > kRowBytesMax) {
    row->trouble = "the row is longer than 16 MiB";
  } else {
    field->push_back(static_cast<char>(c));
  }
}

// `c` ends a field: a separator, the end of the line or that of the file. Anything else ends it, too.
CsvReader::Ends CsvReader::EndOfLine(int c) {
  if (c == '\n') ++line_;
  return c == separator_ ? Ends::kField : Ends::kRow;
}

CsvReader::Ends CsvReader::TakeField(Row* row, std::string* field) {
  if (in_.sgetc() == '"') return TakeQuoted(row, field);
  for (;;) {
    const int c = in_.sbumpc();
    if (c == separator_ || c == '\n' || c == kEof) {
      if (c != separator_ && !field->empty() && field->back() == '\r') field->pop_back();
      return EndOfLine(c);
    }
    Keep(c, row, field);
  }
}

CsvReader::Ends CsvReader::TakeQuoted(Row* row, std::string* field) {
  const size_t begin = line_;
  in_.sbumpc();
  for (;;) {
    int c = in_.sbumpc();
    if (c == kEof) {
      row->trouble = "the quote in line " + std::to_string(begin) + " is never closed";
      return Ends::kRow;
    }
    if (c == '"' && in_.sgetc() != '"') break;
    if (c == '"') c = in_.sbumpc();
    if (c == '\n') ++line_;
    Keep(c, row, field);
  }
  for (;;) {
    const int c = in_.sbumpc();
    if (c == separator_ || c == '\n' || c == kEof) return EndOfLine(c);
    if (c != '\r') row->trouble = "text follows a closing quote";
  }
}

}  // namespace cairn::tools
