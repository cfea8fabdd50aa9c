// What `cairn load` reads: dumps, CSV and JSON lines are first taken into a database of this process.
#pragma once

#include <cstdint>
#include <functional>
#include <istream>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "tools/local_database.h"

namespace cairn::tools {

// So an input that is cut off, has an error or violates a constraint is found before anything is
// sent, and SQLite itself runs the statements of a dump.

struct LoadSource {
  std::string name;  // in errors
  std::istream* in = nullptr;
  // The columns of a table that the cluster has: names, and defaults as SQL or empty. Nothing if the
  // cluster has no such table.
  struct ExistingColumn {
    std::string name;
    std::string default_sql;
  };
  using ExistingTable = std::vector<ExistingColumn>;
  std::function<Result<std::optional<ExistingTable>>(const std::string& table)> find_existing;
  // The tables of the cluster that the input has rows for, in lower case. Filled by the functions
  // below; `local` has tables of these names without constraints.
  std::set<std::string> existing;
  // Tables that the input drops if they exist.
  std::set<std::string> drops;
  std::function<void(uint64_t bytes)> on_progress;
};

enum class LineRead : uint8_t { kLine, kEnd, kTooLong };
// The next line without its end; a last line need not have one. Keeps at most `bytes_max` bytes, so
// that an input without lines does not fill the memory.
LineRead ReadLine(std::istream* in, size_t bytes_max, std::string* line);
// More than this is no line of a dump or of JSON lines.
inline constexpr size_t kLineBytesMax = 64u << 20;

// SQL text such as `.dump` writes. The error names the line and the statement.
Status TakeDump(LoadSource* source, LocalDatabase* local);

struct RowsOptions {
  std::string table;
  uint64_t skip = 0;     // lines or rows at the start
  char separator = ',';  // of the fields of CSV
};
// Without the table in the cluster, the first row names the columns. Otherwise a first row that
// names columns of the table says which they are. If only a part of its fields names columns, it is
// refused: a name may be misspelt, and then the names would become a row. Any other first row is a
// row. A row with too few or too many fields is bad. All bad rows are listed in `bad`, and then
// nothing is taken.
//
// The rows for a table of the cluster get the number of their line as rowid in `local`, which errors
// name.
Status TakeCsv(LoadSource* source, const RowsOptions& options, LocalDatabase* local,
               std::vector<std::string>* bad);
// A JSON object in each line. Without the table in the cluster, its keys are the columns. Names are
// the same whatever their case, as in SQL. A column that an object leaves out has its default.
Status TakeJsonLines(LoadSource* source, const RowsOptions& options, LocalDatabase* local,
                     std::vector<std::string>* bad);

}  // namespace cairn::tools
