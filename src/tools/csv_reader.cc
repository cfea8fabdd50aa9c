#include "tools/csv_reader.h"

namespace cairn::tools {
namespace {

constexpr int kEof = std::char_traits<char>::eof();
// A quote that is never closed takes the rest of the file.
constexpr size_t kFieldBytesMax = 16u << 20;

}  // namespace

CsvReader::CsvReader(std::istream* in) : in_(*in->rdbuf()) {
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
  for (;;) {
    row->fields.emplace_back();
    if (TakeField(row, &row->fields.back()) == Ends::kRow) return true;
  }
}

// `c` ends a field: a comma, the end of the line or that of the file. Anything else ends it, too.
CsvReader::Ends CsvReader::EndOfLine(int c) {
  if (c == '\n') ++line_;
  return c == ',' ? Ends::kField : Ends::kRow;
}

CsvReader::Ends CsvReader::TakeField(Row* row, std::string* field) {
  if (in_.sgetc() == '"') return TakeQuoted(row, field);
  for (;;) {
    const int c = in_.sbumpc();
    if (c == ',' || c == '\n' || c == kEof) {
      if (c != ',' && !field->empty() && field->back() == '\r') field->pop_back();
      return EndOfLine(c);
    }
    if (field->size() < kFieldBytesMax) {
      field->push_back(static_cast<char>(c));
    } else {
      row->trouble = "a field is longer than 16 MiB";
    }
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
    if (field->size() < kFieldBytesMax) {
      field->push_back(static_cast<char>(c));
    } else {
      row->trouble = "a field is longer than 16 MiB";
    }
  }
  for (;;) {
    const int c = in_.sbumpc();
    if (c == ',' || c == '\n' || c == kEof) return EndOfLine(c);
    if (c != '\r') row->trouble = "text follows a closing quote";
  }
}

}  // namespace cairn::tools
